"""Fused CPU kernels against the plain PyTorch chains: values, gradients, layouts, edges, threads, seeds under vmap."""

import pytest
import torch
from support.families import normal

from nfbench import InputError, posterior
from nfbench.foundation import settings
from nfbench.kernels import dispatch
from nfbench.kernels.chain import cpu, operators
from nfbench.kernels.cpu import shares as threads
from nfbench.kernels.cpu.shares import FEW, TILE
from nfbench.kernels.planar import cpu as planar_cpu
from nfbench.kernels.planar import reference as planar
from nfbench.kernels.radial import reference as radial

pytestmark = pytest.mark.usefixtures("compiled")
FLOAT = torch.float64
MAPS = {"planar": (planar, lambda dim: 2 * dim + 1), "radial": (radial, lambda dim: dim + 2)}
EVERY = pytest.mark.parametrize("name", MAPS)
SHAPES = [  # S, B, data points that have numbers of their own, D, K
    (1, 1, 1, 2, 3),
    (FEW, 1, 1, 1, 4),
    (TILE + 7, 3, 1, 5, 4),
    (1, 4, 4, 6, 5),
    (1, 19, 19, 3, 70),
    (FEW - 1, 3, 3, 2, 4),
    (TILE + 1, 2, 2, 3, 2),
    (3, 1, 1, 513, 2),
    (9, 1, 1, 513, 1),
    (TILE * 2, 1, 1, 12, 70),
    (TILE + 3, 3, 3, 40, 17),
    (0, 1, 1, 2, 3),
    (2, 0, 1, 2, 3),
]


def _maps(name, own, depth, dim, seed, scale=1.0):
    return scale * normal(own, depth, MAPS[name][1](dim), seed=seed)


def _results(chain, z, maps):
    """z_K, ln|det| and the gradients in both arguments of a fixed mixture of both."""
    given = [one.detach().clone().requires_grad_() for one in (z, maps)]
    z_k, log_det = chain(*given)
    weights = normal(*z_k.shape, seed=99).to(z_k.dtype)
    torch.autograd.backward((z_k, log_det), (weights, 1 + weights[..., 0]))
    return [z_k.detach(), log_det.detach(), *[one.grad for one in given]]


def _error(found, exact):
    """Norm of the difference over the norm, of each result."""
    return [float((ours - theirs).norm() / theirs.norm()) for ours, theirs in zip(found, exact, strict=True)]


@EVERY
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_reference(name, shape):
    """Values and all gradients are the reference's in float64, in all layouts, to 1e-10 of their size."""
    draws, batch, own, dim, depth = shape
    z, maps = normal(draws, batch, dim, seed=1), _maps(name, own, depth, dim, seed=2, scale=2 / dim**0.5)
    module = MAPS[name][0]
    for ours, theirs in zip(_results(module.chain, z, maps), _results(module.reference, z, maps), strict=True):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-10 * float(theirs.abs().max()) if theirs.numel() else 0)


@EVERY
@pytest.mark.parametrize("shape", [(TILE * 5, 1, 1, 3, 4), (1, 41, 41, 4, 3), (TILE * 6, 1, 1, 13, 3)])
def test_threads_change_nothing(name, shape, monkeypatch):
    """Work that is shared out among three threads gives what one thread gives, but for the rounding of sums."""
    draws, batch, own, dim, depth = shape
    z, maps, chain = normal(draws, batch, dim, seed=1), _maps(name, own, depth, dim, seed=2), MAPS[name][0].chain
    alone, before = _results(chain, z, maps), torch.get_num_threads()
    used = []
    together = threads.together
    monkeypatch.setattr(cpu, "together", lambda steps, shares: used.append(len(shares)) or together(steps, shares))
    monkeypatch.setattr(threads, "GRAIN", 1)
    torch.set_num_threads(3)
    try:
        shared = _results(chain, z, maps)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert used == [draws // TILE if draws > 1 else 11] * 2  # tiles, or 41 points in up to 12 shares of one length
    for ours, theirs in zip(shared, alone, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-11, atol=1e-11)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_way_back_may_be_shared_out_otherwise(name, dtype, monkeypatch):
    """Points with numbers of their own: one thread goes up, several go back, in parts that cut blocks of points."""
    z, maps = normal(1, 43, 4, seed=1).to(dtype), _maps(name, 43, 3, 4, seed=2).to(dtype)
    chain, whole = MAPS[name][0].chain, _results(MAPS[name][0].chain, z, maps)
    monkeypatch.setattr(threads, "GRAIN", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        given = [one.detach().clone().requires_grad_() for one in (z, maps)]
        z_k, log_det = chain(*given)
        torch.set_num_threads(3)
        weights = normal(*z_k.shape, seed=99).to(dtype)
        torch.autograd.backward((z_k, log_det), (weights, 1 + weights[..., 0]))
    finally:
        torch.set_num_threads(before)
    for ours, theirs in zip([z_k, log_det, *[one.grad for one in given]], whole, strict=True):
        assert ours.detach().equal(theirs)


@EVERY
@pytest.mark.parametrize("shape", [(FEW, 1, 1, 3, 2), (2, 3, 3, 2, 2), (1, 2, 2, 4, 3)])
def test_gradcheck(name, shape):
    """Analytical gradients agree with finite differences in float64."""
    draws, batch, own, dim, depth = shape
    given = normal(draws, batch, dim, seed=3).requires_grad_(), _maps(name, own, depth, dim, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(MAPS[name][0].chain, given)


@EVERY
def test_operators_are_well_formed(name):
    """Torch's own checks of a custom operator: schema, autograd, fake tensors, tracing."""
    given = normal(1, 10, 3, seed=5).requires_grad_(), _maps(name, 1, 2, 3, seed=6).requires_grad_()
    torch.library.opcheck(getattr(torch.ops.nfbench, name).default, given)


@EVERY
@pytest.mark.parametrize("shape", [(200, 1, 1, 2, 32), (200, 1, 1, 40, 8), (1, 50, 50, 40, 8), (600, 1, 1, 40, 8)])
def test_float32(name, shape):
    """In float32 each result is within 1e-5 of the float64 reference, relative to the norm."""
    draws, batch, own, dim, depth = shape
    z, maps = normal(draws, batch, dim, seed=7), _maps(name, own, depth, dim, seed=8, scale=0.5 if dim < 9 else 0.25)
    found = _results(MAPS[name][0].chain, z.float(), maps.float())
    assert all(one.dtype == torch.float32 for one in found)
    assert max(_error(found, _results(MAPS[name][0].reference, z, maps))) < 1e-5


@pytest.mark.parametrize("shape", [(4000, 1, 1, 2, 8), (1, 300, 300, 2, 8), (1000, 1, 1, 16, 4)])
def test_steep_maps_in_float32(shape):
    """At w.u = 19, where most draws are saturated, gradients are as near the truth as plain float32's, within 4 times.

    A tanh that ends 1e-7 off 1, the same for all draws, makes them 100 times worse: U1 is then trained to another end.
    """
    draws, batch, own, dim, depth = shape
    z, w = 3 * normal(draws, batch, dim, seed=21), normal(own, depth, dim, seed=22)
    u = 19 * w / w.square().sum(-1, keepdim=True)
    maps = torch.cat([w, u, normal(own, depth, 1, seed=23)], -1)
    exact = _results(planar.reference, z, maps)
    ours = _error(_results(planar.chain, z.float(), maps.float()), exact)
    plain = _error(_results(planar.reference, z.float(), maps.float()), exact)
    for mine, theirs in zip(ours, plain, strict=True):
        assert mine < 4 * theirs + 4 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("draws", [1, FEW - 1, TILE + 5])
def test_a_volume_that_no_float_holds(draws):
    """Eight planar maps each flatten another coordinate, by e^23: ln|det| in float32 is the sum of the logarithms."""
    z, maps = normal(draws, 1, 8, seed=1), torch.zeros(1, 8, 17, dtype=torch.float64)
    for k in range(8):
        maps[0, k, k], maps[0, k, 8 + k] = 1e-6, -23e6  # so that w.u = -23
    found, exact = (planar.chain(z.to(kind), maps.to(kind))[1] for kind in (torch.float32, torch.float64))
    assert exact.max() < -150
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=0)


@EVERY
@pytest.mark.parametrize("draws", [1, FEW - 1, TILE + 5])
def test_nan_stays_in_its_draw(name, draws):
    """A draw that is NaN comes out as NaN; all others, and their gradients, come out as without it."""
    own, dim, chain = 3 if draws < TILE else 1, 13, MAPS[name][0].chain  # 13: rows end in a part of a vector
    z, maps = normal(draws, 3, dim, seed=9), _maps(name, own, 4, dim, seed=10)
    clean = _results(chain, z, maps)
    z[0, 1, 1] = torch.nan
    found = _results(chain, z, maps)
    others = torch.ones(draws, 3, dtype=torch.bool)
    others[0, 1] = False
    for ours, theirs in zip(found[:3], clean[:3], strict=True):  # z_K, ln|det|, gradient in z
        assert ours[0, 1].isnan().all()
        assert torch.equal(ours[others], theirs[others])
    if own == 3:
        assert found[3][1].isnan().any()
        assert torch.equal(found[3][[0, 2]], clean[3][[0, 2]])


@EVERY
def test_any_memory_order(name):
    """Transposed, strided and expanded arguments give what contiguous ones give."""
    chain = MAPS[name][0].chain
    z, maps = normal(12, 3, 4, seed=11), _maps(name, 3, 2, 4, seed=12)
    expected = _results(chain, z, maps)
    strided = [torch.stack([one, one], -1)[..., 0] for one in (z, maps)]
    for ours, theirs in zip(_results(chain, *strided), expected, strict=True):
        assert torch.equal(ours, theirs)
    wide, _ = chain(z[:, :1], maps)
    again, _ = chain(z[:, :1].expand(12, 3, 4).contiguous(), maps)
    assert torch.equal(wide, again)


@EVERY
@pytest.mark.parametrize("features", [None, 5])
@pytest.mark.parametrize("draws", [1, 10])
def test_seeds_under_vmap(name, features, draws):
    """Stacked seeds under vmap, with the backward pass outside, get each seed's own draws and gradients."""
    models = [posterior(f"{name}:K=3", 2, features, seed=seed, dtype=FLOAT) for seed in range(3)]
    params, buffers = torch.func.stack_module_state(models)
    noise = normal(3, draws, 4, 2, seed=13)
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
    chain, draws, dim = MAPS[name][0].chain, 1000, 8

    def kept(depth: int) -> int:
        total = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            chain(normal(draws, 1, dim, seed=15).requires_grad_(), _maps(name, 1, depth, dim, seed=16).requires_grad_())
        return total

    assert (kept(80) - kept(40)) / 40 <= draws + MAPS[name][1](dim)


@EVERY
def test_compile_does_not_break(name):
    """torch.compile traces a posterior in one graph, and its numbers and gradients are those without it."""
    q = posterior(f"{name}:K=3", 2, dtype=FLOAT)
    noise = normal(9, 1, 2, seed=30)
    found = []
    for function in (q, torch.compile(q, fullgraph=True, backend="aot_eager")):
        q.zero_grad()
        z, log_q = function(noise)
        (z.square().sum() + log_q.sum()).backward()
        found.append([z, log_q, *[parameter.grad.clone() for parameter in q.parameters()]])
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_backend_is_chosen_by_the_environment(monkeypatch):
    """`reference` keeps the kernels out, `numba` insists on them, and anything else is refused by name."""
    z, maps = normal(10, 1, 2, seed=17), _maps("planar", 1, 2, 2, seed=18)
    calls, forward = [], planar_cpu.forward
    monkeypatch.setattr(planar_cpu, "forward", lambda *given: calls.append(given) or forward(*given))
    for dtype in (torch.float64, torch.float32):
        before = len(calls)
        for value, expected in (("reference", 0), ("auto", 1), ("numba", 2), ("", 3)):
            monkeypatch.setenv(settings.BACKEND_VARIABLE, value)
            planar.chain(z.to(dtype), maps.to(dtype))
            assert len(calls) == before + expected
    monkeypatch.setenv(settings.BACKEND_VARIABLE, "auto")
    assert planar.chain(z.half(), maps.half())[0].dtype == torch.float16
    monkeypatch.setenv(settings.BACKEND_VARIABLE, "numba")
    with pytest.raises(InputError, match=r"NFBENCH_BACKEND=numba: draws are torch\.float16"):
        planar.chain(z.half(), maps.half())
    monkeypatch.setenv(settings.BACKEND_VARIABLE, "cuda")
    with pytest.raises(InputError, match="NFBENCH_BACKEND='cuda': expected one of auto, reference, numba, triton"):
        planar.chain(z, maps)


def test_triton_is_refused_where_it_cannot_run(monkeypatch):
    """Asked for without a GPU and without the interpreter, Triton's kernels are refused in one line."""
    monkeypatch.setenv(settings.BACKEND_VARIABLE, "triton")
    monkeypatch.setattr(dispatch.launch, "triton_interpreted", lambda: False)
    with pytest.raises(InputError, match=r"NFBENCH_BACKEND=triton: draws are torch\.float64 on cpu; expected"):
        planar.chain(normal(10, 1, 2, seed=17), _maps("planar", 1, 2, 2, seed=18))


def test_a_map_without_kernels_that_fit_takes_its_reference(monkeypatch):
    """Where the check at first use refuses a map's Triton kernels, the plain chain runs."""
    monkeypatch.setenv(settings.BACKEND_VARIABLE, "triton")
    monkeypatch.setattr(dispatch.launch, "triton_interpreted", lambda: True)
    monkeypatch.setattr(dispatch.launch, "installed", lambda: True)
    monkeypatch.setattr(dispatch.self_check, "usable", lambda *_: False)
    called = []

    def plain(z, maps):
        called.append(maps)
        return planar.reference(z, maps)

    chain = operators.fused("planar", plain, planar.numbers).chain
    chain(normal(10, 1, 2, seed=17), _maps("planar", 1, 2, 2, seed=18))
    assert len(called) == 1
