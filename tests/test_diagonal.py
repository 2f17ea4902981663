"""The diagonal base as one node of the graph, against the same operation by operation."""

import pytest
import torch
from families import normal

from nfbench.kernels import diagonal
from nfbench.kernels.backend import VARIABLE

SHAPES = [
    (7, 1, 1, 3),
    (7, 4, 1, 3),
    (7, 4, 4, 3),
    (1, 4, 4, 2),
    (5, 1, 3, 2),
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


@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_reference(shape):
    """Values and gradients, with numbers for all points or each its own, and without draws or points."""
    given = _given(shape)
    for ours, theirs in zip(_results(diagonal.draw, given), _results(diagonal.reference, given), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_gradcheck():
    """The node's gradient is that of finite differences."""
    assert torch.autograd.gradcheck(diagonal.draw, _given((3, 2, 2, 2)))


def test_one_node():
    """Autograd sees one step."""
    given = _given((3, 2, 1, 2))
    assert type(diagonal.draw(*given)[0].grad_fn).__name__ == "_DrawBackward"


def test_the_reference_backend_takes_the_operations(monkeypatch):
    """`NFBENCH_BACKEND=reference` is plain PyTorch through and through."""
    monkeypatch.setenv(VARIABLE, "reference")
    assert type(diagonal.draw(*_given((3, 2, 1, 2)))[0].grad_fn).__name__ == "AddBackward0"


def test_seeds_together():
    """Under vmap, over seeds, each has what it has alone."""
    noise, base = normal(5, 3, 2, 2, seed=5), normal(5, 1, 4, seed=6).requires_grad_()
    together = torch.vmap(diagonal.draw)(noise, base)
    for seed in range(5):
        for ours, alone in zip(together, diagonal.draw(noise[seed], base[seed]), strict=True):
            torch.testing.assert_close(ours[seed], alone, rtol=1e-12, atol=1e-12)
