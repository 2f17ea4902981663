"""Fused CPU kernels against the plain PyTorch chains: values, gradients, layouts, edges, seeds under vmap."""

import pytest
import torch
from families import normal
from torch.nn.functional import softplus

from nfbench import InputError, posterior
from nfbench.kernels import backend, planar, planar_cpu, radial, radial_cpu
from nfbench.kernels.cpu import FEW, TILE, tanh

FLOAT = torch.float64


def _planar_numbers(batch, depth, dim, seed):
    return (
        normal(batch, depth, dim, seed=seed),
        normal(batch, depth, dim, seed=seed + 1),
        normal(batch, depth, seed=seed + 2),
    )


def _radial_numbers(batch, depth, dim, seed):
    positive = [softplus(normal(batch, depth, seed=seed + i)) for i in (1, 2)]
    return normal(batch, depth, dim, seed=seed), *positive


MAPS = {
    "planar": (planar.reference, planar_cpu.chain, _planar_numbers),
    "radial": (radial.reference, radial_cpu.chain, _radial_numbers),
}
EVERY = pytest.mark.parametrize("name", MAPS)
SHAPES = [  # S, B, data points that have numbers of their own, D, K
    (1, 1, 1, 2, 3),
    (FEW, 1, 1, 1, 4),
    (TILE + 7, 3, 1, 5, 4),
    (1, 4, 4, 6, 5),
    (FEW - 1, 3, 3, 2, 4),
    (TILE + 1, 2, 2, 3, 2),
    (3, 1, 1, 513, 2),
    (9, 1, 1, 513, 1),
    (0, 1, 1, 2, 3),
    (2, 0, 1, 2, 3),
]


def _results(chain, z, numbers):
    """z_K, ln|det| and the gradients in every argument of a fixed mixture of both."""
    given = [one.detach().clone().requires_grad_() for one in (z, *numbers)]
    z_k, log_det = chain(*given)
    weights = normal(*z_k.shape, seed=99).to(z_k.dtype)
    (z_k * weights).sum().add((log_det * (1 + weights[..., 0])).sum()).backward()
    return [z_k.detach(), log_det.detach(), *[one.grad for one in given]]


@EVERY
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_reference(name, shape):
    """Values and all gradients are the reference's in float64, in both layouts, to 1e-10 of their size."""
    draws, batch, own, dim, depth = shape
    reference, chain, make = MAPS[name]
    z, numbers = normal(draws, batch, dim, seed=1), make(own, depth, dim, seed=2)
    for ours, theirs in zip(_results(chain, z, numbers), _results(reference, z, numbers), strict=True):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-10 * float(theirs.abs().max()) if theirs.numel() else 0)


@EVERY
@pytest.mark.parametrize("shape", [(FEW, 1, 1, 3, 2), (2, 3, 3, 2, 2), (1, 2, 2, 4, 3)])
def test_gradcheck(name, shape):
    """Analytical gradients agree with finite differences in float64."""
    draws, batch, own, dim, depth = shape
    _, chain, make = MAPS[name]
    given = (normal(draws, batch, dim, seed=3), *make(own, depth, dim, seed=4))
    assert torch.autograd.gradcheck(chain, tuple(one.requires_grad_() for one in given))


@EVERY
def test_operators_are_well_formed(name):
    """Torch's own checks of a custom operator: schema, autograd, fake tensors, tracing."""
    module = {"planar": planar_cpu, "radial": radial_cpu}[name]
    given = [normal(1, 10, 3, seed=5), *MAPS[name][2](1, 2, 3, seed=6)]
    torch.library.opcheck(module._forward, tuple(one.requires_grad_() for one in given))


@EVERY
@pytest.mark.parametrize("shape", [(200, 1, 1, 2, 32), (200, 1, 1, 40, 8), (1, 50, 50, 40, 8)])
def test_float32(name, shape):
    """In float32 each result is within 1e-5 of the float64 reference, relative to the norm; draws that both compute."""
    draws, batch, own, dim, depth = shape
    reference, chain, make = MAPS[name]
    z, numbers = normal(draws, batch, dim, seed=7), [0.5 * one for one in make(own, depth, dim, seed=8)]
    ours = _results(chain, z.float(), [one.float() for one in numbers])
    for single, double in zip(ours, _results(reference, z, numbers), strict=True):
        assert single.dtype == torch.float32
        assert float((single - double).norm() / double.norm()) < 1e-5


@EVERY
@pytest.mark.parametrize("draws", [FEW - 1, TILE + 5])
def test_nan_stays_in_its_draw(name, draws):
    """A draw that is NaN comes out as NaN; all others come out as without it."""
    _, chain, make = MAPS[name]
    z, numbers = normal(draws, 1, 3, seed=9), make(1, 4, 3, seed=10)
    clean, clean_det = chain(z, *numbers)
    z[2, 0, 1] = torch.nan
    found, found_det = chain(z, *numbers)
    others = torch.arange(draws) != 2
    assert found[2].isnan().all()
    assert found_det[2].isnan().all()
    assert torch.equal(found[others], clean[others])
    assert torch.equal(found_det[others], clean_det[others])


@EVERY
def test_any_memory_order(name):
    """Transposed, strided and expanded arguments give what contiguous ones give."""
    _, chain, make = MAPS[name]
    z, numbers = normal(12, 3, 4, seed=11), make(3, 2, 4, seed=12)
    expected = _results(chain, z, numbers)
    strided = [torch.stack([one, one], -1)[..., 0] for one in (z, *numbers)]
    for ours, theirs in zip(_results(chain, strided[0], strided[1:]), expected, strict=True):
        assert torch.equal(ours, theirs)
    wide, _ = chain(z[:, :1], *numbers)
    again, _ = chain(z[:, :1].expand(12, 3, 4).contiguous(), *numbers)
    assert torch.equal(wide, again)


@EVERY
@pytest.mark.parametrize("features", [None, 5])
def test_seeds_under_vmap(name, features):
    """Stacked seeds under vmap, with the backward pass outside, get each seed's own draws and gradients."""
    models = [posterior(f"{name}:K=3", 2, features, seed=seed, dtype=FLOAT) for seed in range(3)]
    params, buffers = torch.func.stack_module_state(models)
    noise = normal(3, 10, 4, 2, seed=13)
    given = [noise] if features is None else [noise, normal(3, 4, features, seed=14)]
    template = models[0]
    z, log_q = torch.vmap(lambda p, b, *x: torch.func.functional_call(template, (p, b), x))(params, buffers, *given)
    (z.square().sum() + log_q.sum()).backward()
    for e in range(3):
        one = posterior(f"{name}:K=3", 2, features, seed=e, dtype=FLOAT)
        alone, alone_q = one(*[part[e] for part in given])
        (alone.square().sum() + alone_q.sum()).backward()
        assert torch.allclose(z[e], alone, rtol=1e-12, atol=1e-12)
        for key, parameter in one.named_parameters():
            assert torch.allclose(params[key].grad[e], parameter.grad, rtol=1e-10, atol=1e-10), key


@EVERY
def test_memory_grows_by_scalars(name):
    """What a chain keeps for its backward pass grows, for each map, by one number a draw and the map's parameters."""
    _, chain, make = MAPS[name]
    draws, dim = 1000, 8

    def kept(depth: int) -> int:
        total = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        given = [one.requires_grad_() for one in (normal(draws, 1, dim, seed=15), *make(1, depth, dim, seed=16))]
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            chain(*given)
        return total

    parameters = sum(one[0, 0].numel() for one in make(1, 1, dim, seed=16))
    assert (kept(80) - kept(40)) / 40 <= draws + parameters + 1


def test_tanh():
    """The compiled float32 tanh is within 3 units in the last place, odd, keeps NaN, and is 1 far out."""
    from nfbench.kernels.cpu import compiled

    @compiled
    def every(x, out):
        for i in range(len(x)):
            out[i] = tanh(x[i])

    x = torch.cat([torch.linspace(-12, 12, 100_001), torch.logspace(-8, 1, 1000)]).numpy()
    found, back = x.copy(), x.copy()
    every(x, found)
    every(-x, back)
    exact = torch.tanh(torch.from_numpy(x).double())
    error = (torch.from_numpy(found).double() - exact).abs() / exact.abs().clamp_min(1e-30)
    assert error.max() < 3 * torch.finfo(torch.float32).eps
    assert (found == -back).all()
    edge = torch.tensor([torch.nan, torch.inf, -torch.inf]).numpy()
    out = edge.copy()
    every(edge, out)
    assert torch.from_numpy(out).isnan()[0]
    assert torch.allclose(torch.from_numpy(out[1:]), torch.tensor([1.0, -1.0]), atol=2e-7)


def test_backend_is_chosen_by_the_environment(monkeypatch):
    """`reference` keeps the kernels out, `numba` insists on them, and anything else is refused by name."""
    z, numbers = normal(10, 1, 2, seed=17), _planar_numbers(1, 2, 2, seed=18)
    calls = []
    monkeypatch.setattr(planar_cpu, "chain", lambda *given: calls.append(given) or planar.reference(*given))
    for value, expected in (("reference", 0), ("auto", 1), ("numba", 2), ("", 3)):
        monkeypatch.setenv(backend.VARIABLE, value)
        planar.chain(z, *numbers)
        assert len(calls) == expected
    single = [one.float() for one in (z, *numbers)]
    for value, expected in (("auto", len(calls)), ("numba", len(calls) + 1)):
        monkeypatch.setenv(backend.VARIABLE, value)
        planar.chain(*single)
        assert len(calls) == expected, "float32 is not for the kernels unless they are asked for"
    half = [one.half() for one in (z, *numbers)]
    monkeypatch.setenv(backend.VARIABLE, "auto")
    assert planar.chain(*half)[0].dtype == torch.float16
    monkeypatch.setenv(backend.VARIABLE, "numba")
    with pytest.raises(InputError, match=r"NFBENCH_BACKEND=numba: draws are torch\.float16"):
        planar.chain(*half)
    monkeypatch.setenv(backend.VARIABLE, "cuda")
    with pytest.raises(InputError, match="NFBENCH_BACKEND='cuda': expected one of auto, reference, numba"):
        planar.chain(z, *numbers)
