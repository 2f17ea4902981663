"""Optimizers and learning rates are torch's own, without its bookkeeping."""

import warnings

import pytest
import torch
from support.families import normal

from nfbench.specification.config import Training
from nfbench.training.optimizers import OPTIMIZERS
from nfbench.training.schedules import learning_rate

THEIRS = {
    "adam": lambda params: torch.optim.Adam(params, lr=0.01, betas=(0.7, 0.999)),
    "rmsprop": lambda params: torch.optim.RMSprop(params, lr=0.01, momentum=0.7),
}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_updates_are_torchs(name):
    """Twenty updates of tensors of several shapes are those of torch.optim, to float64's rounding."""
    starts = [normal(3, 4, seed=1), normal(5, seed=2), normal(2, 0, seed=3)]
    ours, theirs = ([value.clone() for value in starts] for _ in range(2))
    optimizer, torchs = OPTIMIZERS[name](ours, 0.7), THEIRS[name](theirs)
    for step in range(20):
        grads = [normal(*value.shape, seed=10 * step + index) for index, value in enumerate(starts)]
        optimizer.update(grads, 0.01)
        for value, grad in zip(theirs, grads, strict=True):
            value.grad = grad
        torchs.step()
    for own, torchs_own, start in zip(ours, theirs, starts, strict=True):
        assert torch.allclose(own, torchs_own, rtol=1e-12, atol=1e-12)
        assert not start.numel() or not torch.equal(own, start)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_a_rate_for_graphs_moves_as_its_number_does(name):
    """Read from a tensor, a rate moves parameters as the number does, to the rounding of the tensor's own type."""
    first, second = (OPTIMIZERS[name]([normal(4, seed=1)], 0.9) for _ in range(2))
    rate = second.graph_rate().fill_(0.1)
    first.update([normal(4, seed=2)], 0.1)
    second.update([normal(4, seed=2)], rate)
    eps = torch.finfo(rate.dtype).eps
    assert rate.shape == ()
    assert rate.dtype == (torch.float32 if name == "adam" else torch.float64)
    assert torch.allclose(first.params[0], second.params[0], rtol=eps, atol=eps)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_state_is_all_that_is_remembered(name):
    """An optimizer that takes up another's parameters and state goes on as that one does, bit by bit."""
    first, second = (OPTIMIZERS[name]([normal(4, seed=1)], 0.9) for _ in range(2))
    for step in range(3):
        first.update([normal(4, seed=step)], 0.1)
    for copy, value in zip([*second.params, *second.state()], [*first.params, *first.state()], strict=True):
        copy.copy_(value)
    for optimizer in (first, second):
        optimizer.update([normal(4, seed=7)], 0.1)
    assert torch.equal(first.params[0], second.params[0])


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_rows_move_as_the_whole_does(name):
    """With a gradient for each row, parameters and state are those of whole tensors, over a stored state as well."""
    starts = [normal(3, 4, seed=1), normal(3, seed=2), normal(3, 0, seed=3)]
    whole, split, read = (OPTIMIZERS[name]([value.clone() for value in starts], 0.7) for _ in range(3))
    split.split()
    for step in range(6):
        if step == 3:
            read.split()
            for copy, value in zip([*read.params, *read.state()], [*split.params, *split.state()], strict=True):
                copy.copy_(value)
            split = read
        grads = [normal(*value.shape, seed=10 * step + index) for index, value in enumerate(starts)]
        whole.update(grads, 0.01)
        split.update([row for value in grads for row in value], 0.01)
    for ours, theirs in zip([*split.params, *split.state()], [*whole.params, *whole.state()], strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-14, atol=0)
    assert int(split.steps[0]) == 6


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_no_gradient_moves_nothing(name):
    """A parameter whose gradient is zero from the start stays where it is."""
    value = normal(4, seed=1)
    optimizer = OPTIMIZERS[name]([value], 0.9)
    for _ in range(3):
        optimizer.update([torch.zeros(4, dtype=torch.float64)], 0.1)
    assert torch.equal(value, normal(4, seed=1))


@pytest.mark.parametrize("updates", [1, 2, 3, 10, 203])
def test_one_cycle_is_torchs(updates):
    """The rate before every update, and after the last, is that of torch's OneCycleLR, to rounding."""
    config = Training(learning_rate=0.02, schedule="one-cycle", updates=updates, anneal_updates=0)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=updates + 1, cycle_momentum=False)
    rate = learning_rate(config)
    for step in range(updates + 1):
        assert rate(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        if step < updates:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # there is no optimizer step between the schedule's
                schedule.step()


def test_constant_rate():
    """Without a schedule the rate is the one asked for, always."""
    rate = learning_rate(Training(learning_rate=0.02, updates=5, anneal_updates=0))
    assert {rate(step) for step in range(6)} == {0.02}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_moments_of_what_has_no_gradient_do_not_stay_denormal(name, dtype):
    """After one gradient and then none, moments end as 0 instead of as numbers that processors are slow with.

    Weights are those of torch's own optimizer all the while, bit by bit.
    """
    tiny = torch.finfo(dtype).tiny
    start, gradient = torch.linspace(0.5, 2.0, 64, dtype=dtype), 10.0 ** torch.linspace(-9, 1, 64, dtype=dtype)
    weights = start.clone()
    optimizer, torchs = OPTIMIZERS[name]([start.clone()], 0.7), THEIRS[name]([weights])
    looked = denormal = 0
    for step in range(2500):
        weights.grad = gradient if step == 0 else torch.zeros_like(gradient)
        optimizer.update([weights.grad], 0.01)
        torchs.step()
        theirs = next(iter(torchs.state.values()))
        denormal += sum(int((value.abs() > 0).logical_and(value.abs() < tiny).sum()) for value in theirs.values())
        if (step + 1) % 100 == 0:
            moments = torch.cat([*optimizer.first, *optimizer.second]).abs()
            assert not ((moments > 0) & (moments < tiny)).any()
            looked += 1
        assert torch.equal(optimizer.params[0], weights)
    assert looked == 25
    assert denormal > 0, "torch's own have none here, so that nothing was tested"
