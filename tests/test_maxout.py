"""The largest of four: its value, and a gradient that goes to one of them, ties and seeds included."""

import pytest
import torch
from families import normal

from nfbench.kernels import threads
from nfbench.kernels.backend import VARIABLE
from nfbench.kernels.maxout import largest

ON_GPU = torch.cuda.is_available()
DEVICES = pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not ON_GPU, reason="no CUDA device")])],
)


def _gradient(windows: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
    windows = windows.clone().requires_grad_()
    (found,) = torch.autograd.grad(largest(windows), windows, to)
    return found


@DEVICES
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 1), (2, 4, 0), (0, 4, 3)])
def test_value_and_gradient_are_amax(shape, device):
    """Without ties, value and gradient are those of torch's own maximum, exactly, whatever the gradient's layout."""
    windows, to = normal(*shape, seed=1).to(device), normal(shape[2], shape[0], seed=2).to(device).mT
    leaf = windows.clone().requires_grad_()
    expected = leaf.amax(-2)
    (grad,) = torch.autograd.grad(expected, leaf, to)
    assert torch.equal(largest(windows), expected)
    assert torch.equal(_gradient(windows, to), grad)


@DEVICES
@pytest.mark.parametrize("places", [(0, 1), (1, 2), (0, 3), (2, 3), (0, 1, 2, 3)])
def test_the_first_of_equals_has_the_gradient(places, device):
    """Where several are largest, the whole gradient goes to the first of them."""
    windows = torch.zeros(1, 4, 1, device=device)
    windows[0, list(places)] = 1.0
    expected = torch.zeros(1, 4, 1, device=device)
    expected[0, places[0]] = 3.0
    assert torch.equal(_gradient(windows, torch.full((1, 1), 3.0, device=device)), expected)


def test_a_gradient_has_a_gradient():
    """What a gradient through the maximum depends on can be differentiated in turn: a quadratic loss has a Hessian."""
    windows = normal(2, 4, 3, seed=5).requires_grad_()
    (grad,) = torch.autograd.grad(largest(windows).square().sum(), windows, create_graph=True)
    (second,) = torch.autograd.grad(grad.sum(), windows)
    assert torch.equal(second, 2.0 * (windows == windows.amax(-2, keepdim=True)).double())


def test_under_vmap():
    """Mapped over any dimension, with the gradient taken outside, each has the gradient that it has alone."""
    windows, to = normal(3, 4, 6, 5, seed=3), normal(6, 3, 5, seed=4)
    leaf = windows.clone().requires_grad_()
    (grad,) = torch.autograd.grad(torch.vmap(largest, in_dims=2)(leaf), leaf, to)
    for e in range(6):
        assert torch.equal(grad[:, :, e], _gradient(windows[:, :, e], to[e]))


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("learned", [False, True])
def test_nan_is_seen(place, learned):
    """A NaN among the four is their largest."""
    windows = torch.arange(8.0).reshape(1, 4, 2)
    windows[0, place, 1] = torch.nan
    assert largest(windows.requires_grad_(learned)).isnan().tolist() == [[False, True]]


@pytest.mark.parametrize("value", ["auto", "numba", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_backend_gives_the_same(value, dtype, monkeypatch):
    """Values and gradients are amax's, bit by bit, ties apart, also where threads share the units."""
    monkeypatch.setenv(VARIABLE, value)
    monkeypatch.setattr(threads, "GRAIN", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    windows, to = normal(7, 4, 130, seed=8).to(dtype), normal(130, 7, seed=9).to(dtype).mT
    leaf = windows.clone().requires_grad_()
    expected = leaf.amax(-2)
    (grad,) = torch.autograd.grad(expected, leaf, to)
    found = largest(windows.clone().requires_grad_())
    assert found.dtype == dtype
    assert torch.equal(found, expected)
    assert torch.equal(_gradient(windows, to), grad)
