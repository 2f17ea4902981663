"""The largest of four: its value, and a gradient that goes to one of them, ties and seeds included."""

import pytest
import torch
from support.families import normal

from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.kernels.cpu import shares
from nfbench.kernels.layers import maxout as module
from nfbench.kernels.layers.maxout import largest, maxout

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


SIZES = [(5, 3, 2), (1, 1, 1), (0, 2, 3), (130, 7, 9), (3, 2, 0)]  # rows, inputs, units


def _layer(rows, inputs, units, dtype=torch.float64):
    """Rows, weight and bias, to be differentiated."""
    sizes = (rows, inputs), (4 * units, inputs), (4 * units,)
    return [normal(*size, seed=seed).to(dtype).requires_grad_() for seed, size in enumerate(sizes)]


def _plain(x, weight, bias, window=4):
    return (x @ weight.mT + bias).unflatten(-1, (-1, window)).amax(-1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("value", ["numba", "reference"])
@pytest.mark.parametrize("threads_", [1, 3])
def test_a_layer(size, value, threads_, monkeypatch):
    """Value and gradients are those of torch's maximum, also where threads share the units or the rows."""
    monkeypatch.setenv(BACKEND_VARIABLE, value)
    monkeypatch.setattr(shares, "GRAIN", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads_)
    given, to = _layer(*size), normal(size[0], size[2], seed=9)
    expected, found = _plain(*given), maxout(*given, 4)
    assert found.shape == expected.shape
    pairs = torch.autograd.grad(found, given, to), torch.autograd.grad(expected, given, to)
    for ours, theirs in zip((found, *pairs[0]), (expected, *pairs[1]), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)


def test_one_unit_of_many_rows(monkeypatch):
    """Threads that share rows each sum up a gradient of the bias of their own."""
    monkeypatch.setattr(shares, "GRAIN", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    given = _layer(3 * shares.TILE, 2, 1)
    ours, theirs = (torch.autograd.grad(one.sum(), given[2])[0] for one in (maxout(*given, 4), _plain(*given)))
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)


def test_a_layers_gradient_has_a_gradient():
    """What a gradient depends on can be differentiated in turn."""
    given = [one.detach() for one in _layer(4, 3, 2)]
    assert torch.autograd.gradgradcheck(lambda x, weight, bias: maxout(x, weight, bias, 4).square(), _layer(4, 3, 2))
    assert maxout(*given, 4).shape == (4, 2)


@pytest.mark.parametrize("value", ["numba", "reference"])
@pytest.mark.parametrize("place", range(4))
def test_a_layer_gives_equals_gradient_to_the_first(place, value, monkeypatch):
    """Where several are largest, the whole gradient goes to the first of them."""
    monkeypatch.setenv(BACKEND_VARIABLE, value)
    x, weight, bias = torch.zeros(2, 1), torch.zeros(4, 1), torch.zeros(4)
    bias[place:] = 1.0
    bias.requires_grad_()
    (found,) = torch.autograd.grad(maxout(x, weight, bias, 4).sum(), bias)
    assert found.tolist() == [2.0 if at == place else 0.0 for at in range(4)]


@pytest.mark.parametrize("value", ["numba", "reference"])
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("learned", [False, True])
def test_nan_is_seen(place, learned, value, monkeypatch):
    """A NaN among the four is their largest."""
    monkeypatch.setenv(BACKEND_VARIABLE, value)
    bias = torch.arange(8.0)
    bias[4 + place] = torch.nan
    weight = torch.zeros(8, 1).requires_grad_(learned)
    assert maxout(torch.zeros(1, 1), weight, bias, 4).isnan().tolist() == [[False, True]]


def test_another_window():
    """Windows of another size are torch's own maximum."""
    x, weight, bias = normal(5, 3, seed=0), normal(6, 3, seed=1), normal(6, seed=2)
    torch.testing.assert_close(maxout(x, weight, bias, 2), _plain(x, weight, bias, 2), rtol=1e-13, atol=1e-13)


def _on_a_gpu(x, weight, bias, window):
    """The layer as a GPU takes it; the same operations where there is none."""
    if weight.is_cuda:
        return maxout(x, weight, bias, window)
    return module._of_neighbours(torch.nn.functional.linear(x, weight, bias), window)


@DEVICES
@pytest.mark.parametrize("size", SIZES)
def test_a_layer_on_a_gpu(size, device):
    """Value and gradients are those of torch's maximum on the CPU, with gradients and without."""
    given, to = _layer(*size), normal(size[0], size[2], seed=9)
    there = [one.detach().to(device).requires_grad_() for one in given]
    expected, found = _plain(*given), _on_a_gpu(*there, 4)
    pairs = torch.autograd.grad(found, there, to.to(device)), torch.autograd.grad(expected, given, to)
    for ours, theirs in zip((found, *pairs[0]), (expected, *pairs[1]), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-13, atol=1e-13)
    with torch.no_grad():
        torch.testing.assert_close(_on_a_gpu(*there, 2).cpu(), _plain(*given, 2), rtol=1e-13, atol=1e-13)


@DEVICES
@pytest.mark.parametrize("place", range(4))
def test_a_gpu_gives_equals_gradient_to_the_first(place, device):
    """Where several are largest, the whole gradient goes to the first of them; a NaN is the largest."""
    bias = torch.zeros(4, device=device)
    bias[place:] = 1.0
    given = torch.zeros(2, 1, device=device), torch.zeros(4, 1, device=device)
    (found,) = torch.autograd.grad(_on_a_gpu(*given, bias.requires_grad_(), 4).sum(), bias)
    assert found.tolist() == [2.0 if at == place else 0.0 for at in range(4)]
    bias = torch.arange(4.0, device=device)
    bias[place] = torch.nan
    assert _on_a_gpu(*given, bias, 4).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtypes(dtype):
    """Single precision stays single."""
    assert maxout(*_layer(5, 3, 2, dtype), 4).dtype == dtype


def test_autocast():
    """Under autocast the layer is torch's, in bfloat16, as everything else is there."""
    with torch.autocast("cpu", torch.bfloat16):
        assert maxout(*_layer(5, 3, 2, torch.float32), 4).dtype == torch.bfloat16
