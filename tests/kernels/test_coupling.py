"""The compiled chain of couplings against the same in plain PyTorch, which is its oracle."""

import pytest
import torch
from support.families import normal

from nfbench import posterior
from nfbench.foundation.settings import BACKEND_VARIABLE
from nfbench.kernels.coupling import operators, reference
from nfbench.kernels.cpu import shares
from nfbench.kernels.cpu.shares import FEW, TILE

pytestmark = pytest.mark.usefixtures("compiled")
MIXINGS = pytest.mark.parametrize("mixing", ["permutation", "orthogonal"])
SHAPES = [  # S, B, rows of biases, D, K, H
    (TILE + 7, 1, 1, 2, 3, 5),
    (TILE * 2, 1, 1, 5, 2, 32),
    (9, 3, 1, 3, 4, 1),
    (1, TILE + 5, TILE + 5, 3, 3, 8),
    (3, 7, 7, 40, 2, 17),
    (FEW, 1, 1, 13, 1, 16),
    (TILE, 2, 2, 65, 1, 3),
]


def _given(shape, mixing, seed=1):
    """Draws and the arguments of a chain, its mixings drawn."""
    draws, points, rows, dim, depth, hidden = shape
    kept, moved = dim - dim // 2, dim // 2
    total, products = torch.eye(dim).double(), []
    for k in range(depth):
        one = torch.eye(dim).double()[normal(dim, seed=seed + k).argsort()]
        total = total @ (one if mixing == "permutation" else torch.linalg.qr(normal(dim, dim, seed=seed + k))[0])
        products.append(total)
    learned = [
        normal(depth, kept, hidden, seed=seed + 11),
        normal(rows, depth, hidden, seed=seed + 12),
        normal(depth, hidden, moved, seed=seed + 13) / hidden**0.5,
        normal(depth, moved, seed=seed + 14),
    ]
    return normal(draws, points, dim, seed=seed + 10), torch.stack(products), learned


def _results(z, basis, learned, monkeypatch, value="numba", weights=None):
    """z_K and the gradients in z and all that is learned, of a fixed mixture of z_K's numbers."""
    monkeypatch.setenv(BACKEND_VARIABLE, value)
    given = [one.detach().clone().requires_grad_() for one in (z, *learned)]
    w_in, b_in, w_out, b_out = given[1:]
    found = reference.chain(given[0], basis, w_in, b_in, w_out, b_out)
    weights = normal(*z.shape, seed=99).to(z.dtype) if weights is None else weights
    return [found.detach(), *torch.autograd.grad(found, given, weights)]


@MIXINGS
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("shared_out", [False, True])
def test_agrees_with_plain_pytorch(shape, mixing, shared_out, monkeypatch):
    """Values and all gradients, at wild weights: float64 to its rounding, float32 to 1e-5 of the largest number."""
    if shared_out:
        monkeypatch.setattr(shares, "GRAIN", 1)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    z, basis, learned = _given(shape, mixing)
    assert reference.compiled(z, len(basis))
    exact = _results(z, basis, learned, monkeypatch, "reference")
    for ours, theirs in zip(_results(z, basis, learned, monkeypatch), exact, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).norm() <= 2**10 * torch.finfo(torch.float64).eps * theirs.norm()
    single = _results(z.float(), basis.float(), [one.float() for one in learned], monkeypatch)
    for ours, theirs in zip(single, exact, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


@MIXINGS
def test_gradcheck(mixing):
    """The gradients are those of finite differences."""
    z, basis, learned = _given((FEW, 2, 2, 3, 2, 3), mixing)
    given = [one.requires_grad_() for one in (z, *learned)]
    assert torch.autograd.gradcheck(lambda z, *rest: reference.chain(z, basis, *rest), given)


def test_operators_are_well_formed():
    """Torch's own checks of a custom operator: schema, autograd, fake tensors, tracing."""
    given = [
        normal(2, 10, 3, seed=5),
        normal(2, 2, 3, 4, seed=6),
        normal(2, 1, 2, 4, seed=7),
        normal(2, 2, 3, 4, seed=8),
    ]
    marks = torch.tensor([[True, False, True], [True, True, False]]).expand(2, 2, 3).clone()
    learned = [one.requires_grad_() for one in given]
    torch.library.opcheck(operators._forward, (*learned, marks, ~marks))
    grads = normal(2, 10, 3, seed=9)
    torch.library.opcheck(operators._backward, (*[one.detach() for one in given], marks, ~marks, grads))


@pytest.mark.parametrize("draws", [0, 1, FEW - 1])
def test_few_draws_go_through_plain_pytorch(draws):
    """Below a number of draws, and without any, the loops are not asked."""
    z, basis, learned = _given((draws, 1, 1, 3, 2, 4), "permutation")
    assert not reference.compiled(z, len(basis))
    assert reference.chain(z, basis, *learned).shape == z.shape


def test_no_couplings():
    """K = 0 is the identity."""
    z, basis, learned = _given((20, 1, 1, 3, 1, 4), "permutation")
    empty = [learned[0][:0], learned[1][:, :0], learned[2][:0], learned[3][:0]]
    assert torch.equal(reference.chain(z, basis[:0], *empty), z)


@pytest.mark.parametrize("value", ["reference", "numba", "auto", "triton"])
def test_backend(value, monkeypatch):
    """`NFBENCH_BACKEND` decides; the loops are the CPU's."""
    monkeypatch.setenv(BACKEND_VARIABLE, value)
    z, basis, learned = _given((20, 1, 1, 3, 2, 4), "permutation")
    found = reference.chain(z.requires_grad_(), basis, *learned)
    steps, seen = [found.grad_fn], set()
    while steps:
        step = steps.pop()
        seen.add(type(step).__name__)
        steps += [before for before, _ in step.next_functions if before is not None]
    assert ("_DirectBackward" in seen) == (value in ("numba", "auto"))


@MIXINGS
@pytest.mark.parametrize("rows", [1, 4])
def test_seeds_together(mixing, rows, monkeypatch):
    """Under vmap, over seeds with weights and mixings of their own, each has what it has alone, gradients too."""
    each = [_given((5, 4, rows, 3, 2, 6), mixing, seed=100 * seed) for seed in range(1, 4)]
    z, basis = (torch.stack([one[place] for one in each]) for place in (0, 1))
    learned = [torch.stack([one[2][place] for one in each]).requires_grad_() for place in range(4)]
    z.requires_grad_()
    found = torch.vmap(reference.chain)(z, basis, *learned)
    weights = normal(*z.shape, seed=7)
    grads = torch.autograd.grad(found, [z, *learned], weights)
    for seed in range(3):
        alone = _results(*each[seed], monkeypatch, weights=weights[seed])
        for ours, theirs in zip((found, *grads), alone, strict=True):
            torch.testing.assert_close(ours[seed].detach(), theirs, rtol=1e-12, atol=1e-12)


def test_nan_stays_in_its_draw(monkeypatch):
    """A draw that is NaN comes out as NaN, with NaN gradient; all others come out as without it."""
    z, basis, learned = _given((TILE + 30, 1, 1, 4, 3, 6), "permutation")
    clean = _results(z, basis, learned, monkeypatch)
    z[5, 0, :] = torch.nan
    found = _results(z, basis, learned, monkeypatch)
    others = torch.arange(len(z)) != 5
    for ours, theirs in zip(found[:2], clean[:2], strict=True):
        assert ours[5].isnan().any()
        assert torch.equal(ours[others], theirs[others])


def test_any_memory_order(monkeypatch):
    """Strided draws and gradients that are one number expanded give what contiguous ones give."""
    z, basis, learned = _given((6, 4, 4, 5, 2, 3), "orthogonal")
    ones = torch.ones(1, 1, 1).double().expand(6, 4, 5)
    turned = z.transpose(0, 1).contiguous().transpose(0, 1)
    expected = _results(z, basis, learned, monkeypatch, weights=ones.contiguous())
    for ours, theirs in zip(_results(turned, basis, learned, monkeypatch, weights=ones), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_weights_that_are_zero_have_their_gradient(monkeypatch):
    """Only what the mixing forbids is left out: a layer that starts at zero learns."""
    z, basis, learned = _given((50, 1, 1, 4, 2, 6), "permutation")
    for place in (0, 2):
        learned[place] = torch.zeros_like(learned[place])
    exact = _results(z, basis, learned, monkeypatch, "reference")
    assert exact[4].any()
    for ours, theirs in zip(_results(z, basis, learned, monkeypatch), exact, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_training_compiles():
    """`torch.compile` takes the chain as one operator and its gradient as another."""
    q = posterior("nice:K=2,hidden=4", 3, dtype=torch.float64)
    noise = normal(20, 1, 3, seed=1)

    def loss(noise):
        z, log_q = q(noise)
        return (z.square().sum(-1) + log_q).mean()

    expected = torch.autograd.grad(loss(noise), list(q.parameters()))
    found = torch.autograd.grad(torch.compile(loss, backend="aot_eager")(noise), list(q.parameters()))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
