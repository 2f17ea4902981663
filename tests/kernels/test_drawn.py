"""Base and chain as one node of the graph, against the two one after the other, operation by operation."""

import pytest
import torch
from kernels.test_fused import EVERY, MAPS, SHAPES
from support.families import normal

from nfbench.foundation import settings
from nfbench.kernels.chain import cpu
from nfbench.kernels.cpu import shares as threads
from nfbench.kernels.cpu.shares import TILE
from nfbench.kernels.diagonal import reference

pytestmark = pytest.mark.usefixtures("compiled")


def _given(name, shape):
    """Noise, base and theta, all to be differentiated."""
    draws, batch, own, dim, depth = shape
    maps = 2 / dim**0.5 * normal(own, depth, MAPS[name][1](dim), seed=2)
    return [normal(draws, batch, dim, seed=1), 0.3 * normal(own, 2 * dim, seed=3), maps.flatten(1)]


def _apart(name):
    module, numbers = MAPS[name]

    def draw(noise, base, theta):
        z_0, log_q = reference.reference(noise, base)
        row = numbers(noise.shape[-1])
        z, log_det = module.reference(z_0, theta.reshape(len(theta), theta.shape[1] // row, row))
        return z, log_q - log_det

    return draw


def _results(draw, given):
    given = [one.detach().clone().requires_grad_() for one in given]
    z, log_q = draw(*given)
    weights = normal(*z.shape, seed=99).to(z)
    return [z.detach(), log_q.detach(), *torch.autograd.grad((z, log_q), given, (weights, 1 + weights[..., 0]))]


@EVERY
@pytest.mark.parametrize("shape", [*SHAPES, (5, 1, 4, 3, 2), (TILE + 1, 1, 3, 2, 3)])
def test_agrees_with_the_reference(name, shape):
    """Values and all gradients, the noise's too, in float64, also where one point's noise serves many rows."""
    given = _given(name, shape)
    for ours, theirs in zip(_results(MAPS[name][0].draw, given), _results(_apart(name), given), strict=True):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-10 * float(theirs.abs().max()) if theirs.numel() else 0)


@EVERY
def test_one_node(name):
    """Autograd sees one step from noise, base and theta to draws and their density."""
    given = [one.requires_grad_() for one in _given(name, (20, 1, 1, 3, 4))]
    z, log_q = MAPS[name][0].draw(*given)
    assert z.grad_fn is log_q.grad_fn
    nodes = [type(node).__name__ for node, _ in z.grad_fn.next_functions if node is not None]
    assert nodes == ["AccumulateGrad"] * 3


@EVERY
@pytest.mark.parametrize("shape", [(TILE * 5, 1, 1, 3, 4), (1, 41, 41, 4, 3), (3, 9, 9, 4, 3)])
def test_threads_change_nothing(name, shape, monkeypatch):
    """Shared out among three threads, results are those of one, but for the rounding of sums."""
    given, draw, before, used = _given(name, shape), MAPS[name][0].draw, torch.get_num_threads(), []
    alone, together = _results(draw, given), threads.together
    monkeypatch.setattr(cpu, "together", lambda steps, shares: used.append(len(shares)) or together(steps, shares))
    monkeypatch.setattr(threads, "GRAIN", 1)
    torch.set_num_threads(3)
    try:
        shared = _results(draw, given)
    finally:
        torch.set_num_threads(before)
    assert min(used) > 1
    for ours, theirs in zip(shared, alone, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12 * float(theirs.abs().max()))


@EVERY
def test_only_what_is_asked_for_is_found(name):
    """Noise has no gradient as a rule; frozen maps let the base learn, and a frozen base the maps."""
    given, draw = _given(name, (30, 1, 1, 3, 4)), MAPS[name][0].draw
    every = _results(draw, given)[2:]
    for place in range(3):
        alone = [one.detach().clone().requires_grad_(at == place) for at, one in enumerate(given)]
        z, log_q = draw(*alone)
        weights = normal(*z.shape, seed=99).to(z)
        torch.autograd.backward((z, log_q), (weights, 1 + weights[..., 0]))
        assert [one.grad is not None for one in alone] == [at == place for at in range(3)]
        torch.testing.assert_close(alone[place].grad, every[place], rtol=0, atol=0)


@EVERY
@pytest.mark.parametrize("place", [0, 2])
def test_what_is_changed_in_between_is_noticed(name, place):
    """Draws cannot be differentiated at numbers that are no longer there."""
    given = _given(name, (30, 1, 1, 3, 4))
    leaves = [one.clone().requires_grad_() for one in given]
    held = [leaf + 0 for leaf in leaves]
    z, _ = MAPS[name][0].draw(*held)
    held[place].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


@EVERY
@pytest.mark.parametrize("log_sigma", [-200.0, -85.0, -3.0, 0.0, 3.0, 85.0])
def test_sigma_of_any_size(name, log_sigma):
    """Single precision follows e^(ln sigma) from nothing to its largest powers."""
    noise, base, theta = (one.float() for one in _given(name, (20, 1, 1, 2, 1)))
    base[:, 2:] = log_sigma
    moved, _ = reference.draw(noise, base)
    torch.testing.assert_close(moved, reference.reference(noise, base)[0], rtol=1e-6, atol=1e-37)
    z, log_q = MAPS[name][0].draw(noise, base, theta)
    for ours, theirs in zip((z, log_q), MAPS[name][0].chain(moved, theta.unsqueeze(1)), strict=True):
        assert ours.isfinite().equal(theirs.isfinite())


@EVERY
def test_a_nan_stays_in_its_draw(name):
    """A draw of NaN noise is NaN, and no other."""
    noise, base, theta = _given(name, (2 * TILE + 5, 1, 1, 3, 6))
    noise[7] = float("nan")
    z, log_q = MAPS[name][0].draw(noise, base, theta)
    assert z.isnan().any(-1).flatten().nonzero().flatten().tolist() == [7]
    assert log_q.isnan().flatten().nonzero().flatten().tolist() == [7]


@EVERY
def test_the_reference_backend_takes_the_operations(name, monkeypatch):
    """`NFBENCH_BACKEND=reference` is plain PyTorch through and through."""
    monkeypatch.setenv(settings.BACKEND_VARIABLE, "reference")
    given = [one.requires_grad_() for one in _given(name, (20, 1, 1, 3, 4))]
    assert type(MAPS[name][0].draw(*given)[1].grad_fn).__name__ == "SubBackward0"
