"""The diagonal base as one node of the graph, against the same operation by operation."""

import pytest
import torch
from support.families import normal

from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.kernels.diagonal import cpu, reference, torch_node

SHAPES = [
    (7, 1, 1, 3),
    (7, 4, 1, 3),
    (7, 4, 4, 3),
    (1, 4, 4, 2),
    (5, 1, 3, 2),
    (150, 2, 1, 13),
    (90, 3, 3, 8),
    (0, 2, 1, 2),
    (3, 0, 1, 2),
]  # S, B, rows, D


def _given(shape):
    draws, batch, rows, dim = shape
    return normal(draws, batch, dim, seed=1).requires_grad_(), normal(rows, 2 * dim, seed=2).requires_grad_()


def _results(function, given):
    """z, ln q and the gradients in noise and base of a fixed mixture of both."""
    z, log_q = function(*given)
    weights = normal(*z.shape, seed=3), normal(*log_q.shape, seed=4)
    return [z, log_q, *torch.autograd.grad((z, log_q), given, weights)]


@pytest.mark.parametrize("backend", ["auto", "triton"])
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_reference(shape, backend, monkeypatch):
    """Values and gradients, with numbers for all points or each its own, and without draws or points."""
    monkeypatch.setenv(BACKEND_VARIABLE, backend)
    given = _given(shape)
    for ours, theirs in zip(_results(reference.draw, given), _results(reference.reference, given), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_gradcheck():
    """The node's gradient is that of finite differences."""
    assert torch.autograd.gradcheck(reference.draw, _given((3, 2, 2, 2)))


def test_one_node(monkeypatch):
    """Autograd sees one step, of compiled loops on the CPU, of torch's operations elsewhere."""
    given = _given((3, 2, 1, 2))
    for backend, loops in (("auto", cpu), ("triton", torch_node)):
        monkeypatch.setenv(BACKEND_VARIABLE, backend)
        node = reference.draw(*given)[0].grad_fn
        assert type(node).__name__ == "_DrawBackward"
        assert node.loops is loops


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_operations_run():
    """Alone there, values and gradients are the CPU's, by torch's own nodes."""
    given = _given((7, 4, 4, 3))
    there = [one.detach().cuda().requires_grad_() for one in given]
    assert type(reference.draw(*there)[0].grad_fn).__name__ == "AddBackward0"
    for ours, theirs in zip(_results(_moved_back, there), _results(reference.reference, given), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-12, atol=1e-12)


def _moved_back(noise, base):
    z, log_q = reference.draw(noise, base)
    return z.cpu(), log_q.cpu()


def test_the_reference_backend_takes_the_operations(monkeypatch):
    """`NFBENCH_BACKEND=reference` is plain PyTorch through and through."""
    monkeypatch.setenv(BACKEND_VARIABLE, "reference")
    assert type(reference.draw(*_given((3, 2, 1, 2)))[0].grad_fn).__name__ == "AddBackward0"


def test_seeds_together():
    """Under vmap, over seeds, each has what it has alone."""
    noise, base = normal(5, 3, 2, 2, seed=5), normal(5, 1, 4, seed=6).requires_grad_()
    together = torch.vmap(reference.draw)(noise, base)
    for seed in range(5):
        for ours, alone in zip(together, reference.draw(noise[seed], base[seed]), strict=True):
            torch.testing.assert_close(ours[seed], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(20_000, 1, 1, 40), (2, 3000, 3000, 40), (3000, 2, 1, 70)])
def test_threads_and_single_precision(shape):
    """Shared out over two threads, float32 is as near to float64 as plain float32 is, or within a rounding of sums."""
    given = _given(shape)
    single = [one.detach().float().requires_grad_() for one in given]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        ours = _results(reference.draw, single)
    finally:
        torch.set_num_threads(before)
    for exact, one, plain in zip(
        _results(reference.reference, given), ours, _results(reference.reference, single), strict=True
    ):
        assert one.dtype == torch.float32
        granted = 2**3 * torch.finfo(torch.float32).eps * exact.norm()
        assert (one - exact).norm() <= 4 * (plain - exact).norm() + granted


def test_any_memory_order():
    """Strided arguments and gradients that are one number expanded give what contiguous ones give."""
    noise, base = _given((6, 4, 1, 3))
    turned = noise.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    found = []
    for one in (noise, turned):
        z, log_q = reference.draw(one, base)
        found.append([z, log_q, *torch.autograd.grad(z.sum() + 2 * log_q.sum(), (one, base))])
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


def test_nan_stays_in_its_draw():
    """A NaN in the noise leaves the other draws as they are."""
    noise, base = (one.detach() for one in _given((5, 2, 1, 9)))
    clean = reference.draw(noise, base)
    noise[1, 0, 4] = torch.nan
    z, log_q = reference.draw(noise, base)
    assert log_q[1, 0].isnan()
    assert z[1, 0].isnan().sum() == 1
    others = torch.ones(5, 2, dtype=torch.bool)
    others[1, 0] = False
    assert torch.equal(z[others], clean[0][others])
    assert torch.equal(log_q[others], clean[1][others])
