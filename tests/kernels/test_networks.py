"""Networks in one pass over the draws, alone and with the affine map that they decide, against plain PyTorch."""

import pytest
import torch
from support.families import normal

from nfbench import InputError
from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.kernels.cpu import shares
from nfbench.kernels.cpu.shares import FEW, TILE
from nfbench.kernels.layers import affine, perceptron
from nfbench.kernels.layers.affine import Form

pytestmark = pytest.mark.usefixtures("compiled")
FORMS = {
    "coupling": Form(2.0, gated=False, scale_first=True),
    "affine": Form(2.0, gated=False, scale_first=False),
    "gated": Form(1.0, gated=True, scale_first=False, unit=0.731),
}
CALLS = {
    "network": (perceptron.perceptron, perceptron.reference),
    **{
        name: (
            lambda *tensors, form=form: affine.affine(*tensors, form),
            lambda *tensors, form=form: affine.reference(*tensors, form),
        )
        for name, form in FORMS.items()
    },
}
EVERY = pytest.mark.parametrize("name", CALLS)
SIZES = [  # S, B, D, inputs, H, outputs, rows of both biases
    (TILE + 7, 1, 2, 1, 32, 2, 1, 1),
    (2 * TILE, 1, 5, 5, 31, 10, 1, 1),
    (9, 3, 3, 2, 1, 2, 3, 1),
    (3, 7, 40, 20, 17, 40, 7, 7),
    (FEW, 1, 3, 3, 2, 6, 1, 1),
    (1, TILE + 5, 4, 2, 8, 4, 1, TILE + 5),
    (2, 2 * TILE - 3, 3, 3, 5, 6, 2 * TILE - 3, 1),
]


def tensors(size, name, dtype=torch.float64, seed=1):
    """Draws, and weights and biases of a network, to be differentiated."""
    draws, points, dim, inputs, hidden, outputs, rows, biases = size
    width = inputs if name == "network" else dim
    drawn = (draws, points, width), (inputs, hidden), (rows, hidden), (hidden, outputs), (biases, outputs)
    made = [normal(*shape, seed=seed + place) for place, shape in enumerate(drawn)]
    made[3] = made[3] / hidden**0.5
    return [each.to(dtype).requires_grad_() for each in made]


def results(call, given):
    """What a call returns, and the gradients of a weighted sum of it."""
    outputs = call(*given)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    weights = [normal(*output.shape, seed=99 + place).to(output.dtype) for place, output in enumerate(outputs)]
    return [*(output.detach() for output in outputs), *torch.autograd.grad(outputs, given, weights)]


def assert_close(ours, theirs, dtype):
    """Equal but for some hundred roundings of the largest number."""
    for mine, plain in zip(ours, theirs, strict=True):
        assert (mine.shape, mine.dtype) == (plain.shape, dtype)
        assert (mine.double() - plain).norm() <= 2**8 * torch.finfo(dtype).eps * plain.norm()


@EVERY
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("threads_", [1, 3])
def test_agrees_with_plain_pytorch(name, size, dtype, threads_, monkeypatch):
    """Values and all gradients, also where threads share the draws, to rounding."""
    monkeypatch.setattr(shares, "GRAIN", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads_)
    call, plain = CALLS[name]
    exact = results(plain, [each.detach().to(dtype).double().requires_grad_() for each in tensors(size, name)])
    assert_close(results(call, tensors(size, name, dtype)), exact, dtype)


@EVERY
def test_gradients_are_those_of_finite_differences(name):
    """First ones by the compiled loops, second ones by the plain form."""
    given = tensors((FEW, 1, 3, 2, 3, 2, 1, 1), name)
    call, _ = CALLS[name]
    assert "_Direct" in type((call(*given)[0] if name != "network" else call(*given)).grad_fn).__name__
    assert torch.autograd.gradcheck(call, given)
    assert torch.autograd.gradgradcheck(call, given)


@EVERY
@pytest.mark.parametrize("rows", [1, 4])
def test_seeds_together(name, rows):
    """Under vmap, over seeds with weights of their own, each has what it has alone, gradients too."""
    call, _ = CALLS[name]
    each = [tensors((9, 4, 3, 2, 6, 4, rows, 1), name, seed=10 * seed) for seed in range(3)]
    stacked = [torch.stack([one.detach() for one in same]).requires_grad_() for same in zip(*each, strict=True)]
    together = results(torch.vmap(call), stacked)
    outputs = len(together) - len(stacked)
    for seed, given in enumerate(each):
        values = call(*given)
        values = values if isinstance(values, tuple) else (values,)
        weights = [normal(3, *value.shape, seed=99 + place)[seed] for place, value in enumerate(values)]
        alone = [*values, *torch.autograd.grad(values, given, weights)]
        assert len(values) == outputs
        assert_close([one[seed] for one in together], [one.detach() for one in alone], torch.float64)


def test_operators_are_well_formed():
    """Torch's own checks of custom operators: schema, autograd, fake tensors, tracing."""
    size = (10, 1, 3, 2, 4, 4, 1, 1)
    for name, module, more in (("network", perceptron, ()), ("affine", affine, ([2.0, 0.0, 1.0, 1.0],))):
        given = perceptron.grouped(*[each.detach() for each in tensors(size, name)])
        given = [each.contiguous() for each in given]
        torch.library.opcheck(module._forward, (*[each.clone().requires_grad_() for each in given], *more))
        grads = [normal(1, 10, 4, seed=7)] if name == "network" else [normal(1, 10, 3, seed=7), normal(1, 10, seed=8)]
        torch.library.opcheck(module._backward, (*given, *grads, *more))


@EVERY
@pytest.mark.parametrize("value", ["reference", "auto"])
@pytest.mark.parametrize("draws", [FEW - 1, FEW])
def test_who_computes(name, value, draws, monkeypatch):
    """`NFBENCH_BACKEND`, and the number of draws, decide; a transform that differentiates and autocast are torch's."""
    monkeypatch.setenv(BACKEND_VARIABLE, value)
    given, (call, plain) = tensors((draws, 1, 3, 2, 4, 2, 1, 1), name, torch.float32), CALLS[name]
    outputs = call(*given)
    first = outputs[0] if isinstance(outputs, tuple) else outputs
    assert ("_Direct" in type(first.grad_fn).__name__) == (value == "auto" and draws == FEW)
    gradients = [torch.func.grad(lambda z, f=f: f(z, *given[1:])[0].sum())(given[0]) for f in (call, plain)]
    assert torch.equal(*gradients)
    with torch.autocast("cpu", torch.bfloat16):
        cast = call(*given)
    assert "_Direct" not in type((cast[0] if isinstance(cast, tuple) else cast).grad_fn).__name__


@EVERY
def test_nan_is_seen(name):
    """A draw that is not a number has no other result, and spoils no other draw."""
    call, _ = CALLS[name]
    given = tensors((FEW, 1, 2, 1, 4, 2, 1, 1), name)
    with torch.no_grad():
        given[0][3] = torch.nan
    outputs = call(*given)
    for output in outputs if isinstance(outputs, tuple) else (outputs,):
        assert output.isnan().flatten(1).all(-1).tolist() == [draw == 3 for draw in range(FEW)]
        assert output.isnan().flatten(1).any(-1).tolist() == [draw == 3 for draw in range(FEW)]


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 2), (2, 3), (2, 8)])
def test_a_map_of_coordinates_that_there_are_not(inputs, outputs):
    """A network that reads more coordinates than there are, or moves more, or half of one, is one line."""
    given = tensors((FEW, 1, 3, inputs, 4, outputs, 1, 1), "affine")
    with pytest.raises(InputError, match=f"{inputs} inputs and {outputs} outputs: expected at most 3 inputs"):
        affine.affine(*given, FORMS["affine"])


@pytest.mark.parametrize("name", FORMS)
def test_a_map_back(name):
    """`move_back` undoes `move`, and its log-derivatives are the opposite ones."""
    z, numbers = normal(5, 1, 3, seed=1), 3 * normal(5, 1, 6, seed=2)
    moved, log_slopes = affine.move(z, numbers, FORMS[name])
    back, opposite = affine.move_back(moved, numbers, FORMS[name])
    torch.testing.assert_close(back, z, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(opposite, -log_slopes, rtol=0, atol=0)
