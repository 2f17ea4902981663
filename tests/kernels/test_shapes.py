"""Tensors that do not fit each other are refused in one line, before a kernel reads memory that is not theirs."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.families import normal, specs, wild

from nfbench import InputError, posterior
from nfbench.foundation.settings import VARIABLE
from nfbench.kernels import shapes
from nfbench.kernels.coupling import reference as coupling
from nfbench.kernels.diagonal import reference as diagonal
from nfbench.kernels.layers import bernoulli
from nfbench.kernels.layers.maxout import maxout
from nfbench.kernels.planar import reference as planar
from nfbench.kernels.radial import reference as radial
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.specification.registry import posteriors

EVERY = pytest.mark.parametrize("spec", specs(0, 1, 8))
DEEP = pytest.mark.parametrize("spec", specs(8))
MAPS = {"planar": planar, "radial": radial}


def _zeros(*shape, dtype=torch.float32):
    return torch.zeros(shape, dtype=dtype)


def _refused(call, *words):
    """`call` raises an `InputError` of one line in which all words occur."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert re.search(rf"(?<![\w.]){re.escape(str(word))}(?!\w)", message), (word, message)


def test_every_family_is_here():
    """The tables below run over the registry."""
    assert {spec.split(":")[0] for spec in specs(8)} == set(posteriors.names())


BAD_NOISE = [  # shape, and what the message says
    ((5, 2), ("noise (5, 2)", "2 axes")),
    ((2,), ("noise (2,)", "1 axes")),
    ((), ("noise ()", "0 axes")),
    ((1, 5, 2, 1), ("noise (1, 5, 2, 1)", "4 axes")),
    ((5, 1, 3), ("noise (5, 1, 3)", "D = 3", "D = 2")),
    ((5, 1, 1), ("noise (5, 1, 1)", "D = 1", "D = 2")),
    ((5, 1, 0), ("noise (5, 1, 0)", "D = 0", "D = 2")),
]


@EVERY
@pytest.mark.parametrize(("shape", "words"), BAD_NOISE)
def test_noise_of_another_shape(spec, shape, words):
    """Noise has three axes, and the D of the posterior; so have points whose density is asked for.

    Two axes (S, D) are enough for points where there are no data points, not where there are.
    """
    q = posterior(spec, 2)
    _refused(lambda: q(_zeros(*shape)), *words)
    given_, said = _zeros(*shape), [word.replace("noise", "z") for word in words]
    if len(shape) != 2:
        _refused(lambda: q.log_prob(given_), *said)
    _refused(lambda: posterior(spec, 2, points=5).log_prob(given_), *(said if len(shape) == 2 else ()))
    _refused(lambda: posterior(spec, 2, 4).log_prob(given_, _zeros(1, 4)), *said[: 1 + (len(shape) == 2)])


@EVERY
@pytest.mark.parametrize("draws", [1, 100])
@pytest.mark.parametrize(("batch", "rows"), [(5, 3), (3, 5), (2, 3), (4, 8), (0, 3), (3, 0), (1, 0)])
def test_data_points_of_another_number(spec, draws, batch, rows):
    """The data points of noise are those of the features, or of the posterior's own numbers."""
    q = posterior(spec, 2, 4)
    noise, features = _zeros(draws, batch, 2), _zeros(rows, 4)
    words = f"{draws}, {batch}, 2", f"B = {batch}", f"features ({rows}, 4) have {rows}"
    _refused(lambda: q(noise, features), *words)
    _refused(lambda: q.log_prob(noise, features), *words)
    if not rows:
        _refused(lambda: posterior(spec, 2, points=rows), "points=0")
        return
    free = posterior(spec, 2, points=rows)
    for call in (free, free.log_prob):
        _refused(lambda call=call: call(noise), f"B = {batch}", f"base ({rows}, 4) has {rows}")


@EVERY
@pytest.mark.parametrize(
    ("features", "words"),
    [((3, 5), (5, 4)), ((3, 1), (1, 4)), ((4,), ("1 axes", "B, F")), ((1, 3, 4), ("3 axes", "B, F"))],
)
def test_features_of_another_shape(spec, features, words):
    """Features have two axes and the width of the posterior; a free posterior takes none."""
    q = posterior(spec, 2, 4)
    _refused(lambda: q(_zeros(5, features[0], 2), _zeros(*features)), str(tuple(features)), *words)
    free = posterior(spec, 2)
    for call in (free, free.log_prob):
        _refused(lambda call=call: call(_zeros(5, 3, 2), _zeros(3, 4)), "features (3, 4)", "free")


@EVERY
@pytest.mark.parametrize("features", [None, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool])
def test_noise_of_another_dtype(spec, features, dtype):
    """Noise of another dtype than the parameters' is refused, with both named; features likewise."""
    q, noise = posterior(spec, 2, features), _zeros(5, 3, 2)
    given_ = () if features is None else (_zeros(3, features),)
    for call in (q, q.log_prob):
        _refused(lambda call=call: call(noise.to(dtype), *given_), dtype, torch.float32)
    if features is not None:
        _refused(lambda: q(noise, given_[0].to(dtype)), "features", dtype, torch.float32)
    _refused(lambda: q.double()(noise, *(one.double() for one in given_)), torch.float32, torch.float64)


@DEEP
def test_autocast_still_takes_coarse_features(spec):
    """Under autocast, features come in bfloat16 from an encoder; noise stays in the parameters' dtype."""
    q = posterior(spec, 2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert q(_zeros(5, 3, 2), _zeros(3, 4, dtype=torch.bfloat16))[1].dtype == torch.float32
        _refused(lambda: q(_zeros(5, 3, 2, dtype=torch.bfloat16), _zeros(3, 4)), torch.bfloat16, torch.float32)
        _refused(lambda: q(_zeros(5, 3, 2), _zeros(3, 4, dtype=torch.int64)), torch.int64, torch.float32)


@EVERY
def test_a_flow_called_by_itself(spec):
    """`forward`, `inverse` and `draw` of a flow refuse theta of other rows or width, and z of another D."""
    flow = posterior(spec, 2).flow
    width, z, base = flow.num_params, _zeros(6, 5, 2), _zeros(1, 4)
    for call in (flow, flow.inverse):
        _refused(lambda call=call: call(z, _zeros(3, width)), "B = 5", f"theta (3, {width}) has 3")
        _refused(lambda call=call: call(z, _zeros(0, width)), "B = 5", f"theta (0, {width}) has 0")
        _refused(lambda call=call: call(z, _zeros(1, width + 1)), width, width + 1)
        _refused(lambda call=call: call(z, _zeros(width)), "1 axes")
        _refused(lambda call=call: call(_zeros(6, 5, 3), _zeros(1, width)), "z (6, 5, 3)", "D = 3", 2)
        _refused(lambda call=call: call(_zeros(6, 2), _zeros(1, width)), "z (6, 2)", "2 axes")
        _refused(lambda call=call: call(z.double(), _zeros(1, width)), torch.float64, torch.float32)
    _refused(lambda: flow.draw(z, _zeros(3, 4), _zeros(1, width)), "B = 5", "base (3, 4) has 3")
    _refused(lambda: flow.draw(z, _zeros(1, 6), _zeros(1, width)), "D = 2", "D = 3")
    _refused(lambda: flow.draw(z, _zeros(4), _zeros(1, width)), "1 axes")
    _refused(lambda: flow.draw(z, base.double(), _zeros(1, width)), torch.float64, torch.float32)
    if width:
        _refused(lambda: flow.draw(z, base, _zeros(3, width)), "B = 5", 3)
        _refused(lambda: flow.draw(z, base, _zeros(1, 2 * width)), width, 2 * width)
        _refused(lambda: flow.draw(z, base, _zeros(1, width).double()), torch.float64, torch.float32)


@pytest.mark.parametrize("name", MAPS)
def test_kernels_called_by_themselves(name):
    """The chains' own entries know only what the tensors say, and that is enough."""
    module = MAPS[name]
    row = module.numbers(2)
    z, base = _zeros(6, 5, 2), _zeros(1, 4)
    for call in (module.chain, module.inverse):
        _refused(lambda call=call: call(z, _zeros(3, 4, row)), "B = 5", f"maps (3, 4, {row}) has 3")
        _refused(lambda call=call: call(z, _zeros(1, 4, row + 1)), row, row + 1)
        _refused(lambda call=call: call(z, _zeros(4, row)), "2 axes")
        _refused(lambda call=call: call(z[0], _zeros(1, 4, row)), "2 axes")
        _refused(lambda call=call: call(z.half(), _zeros(1, 4, row)), torch.float16, torch.float32)
        _refused(lambda call=call: call(z.long(), _zeros(1, 4, row).long()), torch.int64)
    _refused(lambda: module.draw(z, base, _zeros(3, 2 * row)), "B = 5", f"theta (3, {2 * row}) has 3")
    _refused(lambda: module.draw(z, base, _zeros(1, 2 * row + 1)), 2 * row + 1, row)
    _refused(
        lambda: module.draw(z[:, :1], _zeros(2, 4), _zeros(3, row)), "base (2, 4) has 2", f"theta (3, {row}) has 3"
    )
    _refused(lambda: module.draw(z, base, _zeros(1, 2 * row), 3), 2 * row, 3 * row)
    _refused(lambda: module.draw(z, base, _zeros(2, 1, row)), "3 axes")


BAD_BASE = [((5, 3, 2), (2, 4)), ((5, 3, 2), (0, 4)), ((5, 3, 2), (1, 6)), ((5, 3, 2), (4,)), ((3, 2), (1, 4))]


@pytest.mark.parametrize(("noise", "base"), BAD_BASE)
def test_the_base_by_itself(noise, base):
    """The diagonal Gaussian's own entry."""
    _refused(lambda: diagonal.draw(_zeros(*noise), _zeros(*base)), "diagonal")


def _network():
    """Points (20, 3, 5), K = 4 couplings with H = 6 units, and marks of what is read and moved."""
    z, basis = normal(20, 3, 5, seed=1), torch.eye(5, dtype=torch.float64).repeat(4, 1, 1)
    sizes = (4, 3, 6), (1, 4, 6), (4, 6, 2), (4, 2)
    return [z, basis, *(normal(*size, seed=seed) for seed, size in enumerate(sizes))], coupling.used(basis, 3)


@pytest.mark.parametrize(
    ("place", "shape"),
    [
        (0, (20, 3, 4)),
        (0, (20, 5)),
        (1, (3, 5, 5)),
        (1, (4, 5, 4)),
        (2, (4, 2, 6)),
        (2, (4, 3, 7)),
        (3, (2, 4, 6)),
        (3, (0, 4, 6)),
        (3, (1, 3, 6)),
        (4, (4, 6, 3)),
        (4, (4, 5, 2)),
        (5, (4, 3)),
        (5, (3, 2)),
    ],
)
def test_couplings_by_themselves(place, shape):
    """Each tensor of a coupling network in turn does not fit the others."""
    given_, rows = _network()
    assert coupling.chain(*given_, rows).shape == (20, 3, 5)
    given_[place] = normal(*shape, seed=9)
    for call in (coupling.chain, coupling.inverse):
        _refused(lambda call=call: call(*given_), "coupling")


def test_couplings_of_other_dtypes_and_marks():
    """Weights of another dtype, and marks for another chain."""
    given_, rows = _network()
    for place in range(6):
        mixed = [one.float() if at == place else one for at, one in enumerate(given_)]
        _refused(lambda mixed=mixed: coupling.chain(*mixed), torch.float32, torch.float64)
    _refused(lambda: coupling.chain(*given_, (rows[0][:3], rows[1])), "reads (3, 5)", "K = 3", "K = 4")


def test_the_likelihood_by_itself():
    """Logits and observations of other pixels, data points or kinds."""
    logits, x = _zeros(2, 3, 5), _zeros(3, 5)
    _refused(lambda: bernoulli.log_prob(logits, x[:, :4]), 5, 4)
    _refused(lambda: bernoulli.log_prob(logits, x[:2]), "B = 3", 2)
    _refused(lambda: bernoulli.log_prob(logits[0], x[:2]), "B = 3", 2)
    _refused(lambda: bernoulli.log_prob(logits, x[0]), "1 axes")
    _refused(lambda: bernoulli.log_prob(logits[0, 0], x), "1 axes")
    _refused(lambda: bernoulli.log_prob(logits, x.byte()), torch.uint8)


def test_maxout_by_itself():
    """A layer whose bias is longer than its outputs, of other inputs, windows or kinds."""
    x, weight, bias = _zeros(7, 3), _zeros(8, 3).requires_grad_(), _zeros(8)
    _refused(lambda: maxout(x, weight, _zeros(12), 4), "weight (8, 3)", "bias (12,)")
    _refused(lambda: maxout(_zeros(7, 2), weight, bias, 4), 2, 3)
    _refused(lambda: maxout(x, weight, bias, 3), 8, 3)
    _refused(lambda: maxout(x, weight, bias, 0), 8, 0)
    _refused(lambda: maxout(x[0], weight, bias, 4), "1 axes")
    _refused(lambda: maxout(x, weight, bias.double(), 4), torch.float64, torch.float32)
    _refused(lambda: maxout(x.double(), weight, bias, 4), torch.float64, torch.float32)


def test_another_device():
    """Tensors on several devices are refused, with both named."""
    far = _zeros(1, 4).to("meta")
    _refused(lambda: diagonal.draw(_zeros(5, 3, 2), far), "cpu", "meta")
    _refused(lambda: posterior("planar:K=2", 2)(_zeros(5, 3, 2).to("meta")), "cpu", "meta")


class _Trusting(Flow):
    """A family of somebody else, which checks nothing."""

    def __init__(self, start=4):
        super().__init__(dim=2, depth=1, num_params=4)
        self.start = start

    def forward(self, z, theta):
        return z + theta[..., :2], z.new_zeros(z.shape[:-1])

    def inverse(self, z, theta):
        return z - theta[..., :2], z.new_zeros(z.shape[:-1])

    def draw(self, noise, base, theta):
        return noise, noise.sum(-1)

    def initial(self):
        return torch.zeros(self.start)


def test_a_family_of_somebody_else():
    """The posterior around any flow checks noise, features, base and theta; the flow need not."""
    _refused(lambda: FlowPosterior(_Trusting(start=5)), "_Trusting", "(5,)", "(4,)")
    q, free = FlowPosterior(_Trusting(), 3), FlowPosterior(_Trusting(), points=4)
    assert q(_zeros(5, 2, 2), _zeros(2, 3))[0].shape == (5, 2, 2)
    for call in (q, q.log_prob):
        _refused(lambda call=call: call(_zeros(5, 3, 2), _zeros(2, 3)), "B = 3", "features (2, 3) have 2")
        _refused(lambda call=call: call(_zeros(5, 2, 3), _zeros(2, 3)), "D = 3", "D = 2")
    free.source.theta = torch.nn.Parameter(_zeros(3, 4))
    for call in (free, free.log_prob):
        _refused(lambda call=call: call(_zeros(5, 1, 2)), "base (4, 4) has 4", "theta (3, 4) has 3")
        _refused(lambda call=call: call(_zeros(5, 4, 2)), "B = 4", "theta (3, 4) has 3")


def _both(call, monkeypatch):
    """What a call returns by the kernels and by the reference."""
    found = []
    for value in ("auto", "reference"):
        monkeypatch.setenv(VARIABLE, value)
        found.append(call())
    return found


@EVERY
@pytest.mark.parametrize(
    ("batch", "rows"), [(4, 4), (4, 1), (1, 4), (1, 1), (0, 0), (0, 1)], ids=lambda size: f"{size}"
)
@pytest.mark.parametrize("draws", [0, 1, 20])
def test_what_fits_is_as_the_reference(spec, draws, batch, rows, monkeypatch):
    """One row for all data points, one point's noise for all rows, and no data points or draws at all."""
    q = wild(spec, 3, seed=1, scale=0.5, features=4)
    noise, features = normal(draws, batch, 3, seed=2), normal(rows, 4, seed=3)
    parameters = list(q.parameters())

    def call():
        z, log_q = q(noise, features)
        total = z.square().sum() + log_q.sum() + q.log_prob(noise, features).sum()
        return z, log_q, *torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)

    ours, theirs = _both(call, monkeypatch)
    assert ours[0].shape == (draws, 4 if rows == 4 else batch, 3)
    assert ours[1].shape == ours[0].shape[:2]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@EVERY
def test_without_data_points_a_free_posterior_is_empty_too(spec):
    """B = 0, forward and backward: nothing, and gradients of zero."""
    q = posterior(spec, 2)
    z, log_q = q(_zeros(5, 0, 2))
    assert (z.shape, log_q.shape) == ((5, 0, 2), (5, 0))
    (z.sum() + log_q.sum()).backward()
    assert all(one.grad is None or not one.grad.any() for one in q.parameters())


@DEEP
def test_flows_take_one_points_noise_for_many_rows(spec, monkeypatch):
    """`forward` and `inverse` of a flow spread z of one data point over the rows of theta, as draws do."""
    flow = wild(spec, 3, seed=4, scale=0.5).flow
    z, theta = normal(20, 1, 3, seed=5), normal(4, flow.num_params, seed=6)
    if not flow.num_params:
        return
    for call in (flow, flow.inverse):
        spread = call(z.expand(20, 4, 3), theta)
        for found in _both(lambda call=call: call(z, theta), monkeypatch):
            for one, other in zip(found, spread, strict=True):
                torch.testing.assert_close(one, other.expand_as(one), rtol=1e-9, atol=1e-9)


@DEEP
def test_seeds_together_are_checked(spec):
    """Under vmap the sizes of one example are checked."""
    models = [posterior(spec, 2, 4, seed=seed) for seed in range(3)]
    params, buffers = torch.func.stack_module_state(models)

    def call(noise, features):
        def one(params, buffers, noise, features):
            return torch.func.functional_call(models[0], (params, buffers), (noise, features))

        return torch.vmap(one)(params, buffers, noise, features)

    assert call(_zeros(3, 7, 5, 2), _zeros(3, 5, 4))[0].shape == (3, 7, 5, 2)
    _refused(lambda: call(_zeros(3, 7, 5, 2), _zeros(3, 2, 4)), "B = 5", "features (2, 4) have 2")
    _refused(lambda: call(_zeros(3, 7, 5, 3), _zeros(3, 5, 4)), "D = 3", "D = 2")


@DEEP
def test_checks_are_traced(spec):
    """`torch.compile` takes the checks into one graph, without a break."""
    q = posterior(spec, 2, 4)
    noise, features = normal(7, 5, 2, seed=1).float(), normal(5, 4, seed=2).float()
    torch._dynamo.reset()
    found = torch.compile(q, fullgraph=True, backend="eager")(noise, features)
    for ours, theirs in zip(found, q(noise, features), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


SIZES = st.integers(0, 5)
FAMILY = st.sampled_from(specs(0, 1, 3))


@settings(max_examples=200, deadline=None)
@given(FAMILY, SIZES, SIZES, st.integers(2, 4), st.integers(2, 4), SIZES, st.integers(1, 4), st.booleans())
def test_random_shapes(spec, draws, batch, dim, of_noise, rows, features, wide):
    """Whatever the sizes: what fits gives numbers of the shapes that follow, what does not is refused."""
    q = posterior(spec, dim, features)
    noise, given_ = torch.randn(draws, batch, of_noise), torch.randn(rows, features + wide)
    fits = of_noise == dim and not wide and (rows in (batch, 1) or (batch == 1 and rows > 1))
    if not fits:
        _refused(lambda: q(noise, given_))
        _refused(lambda: q.log_prob(noise, given_))
        return
    z, log_q = q(noise, given_)
    assert z.shape == (draws, max(batch, rows) if batch else 0, dim)
    assert log_q.shape == z.shape[:2]
    assert q.log_prob(z, given_).shape == z.shape[:2]


@settings(max_examples=200, deadline=None)
@given(FAMILY, SIZES, SIZES, st.integers(2, 4), st.integers(2, 4), SIZES, SIZES, st.integers(-1, 1))
def test_random_thetas(spec, draws, batch, dim, of_z, rows, of_base, more):
    """The same for a flow that is called by itself, base and theta with rows of their own."""
    flow = posterior(spec, dim).flow
    width = max(0, flow.num_params + more)
    z, base, theta = torch.randn(draws, batch, of_z), torch.zeros(of_base, 2 * dim), torch.randn(rows, width)

    def fit(points, numbers):
        return numbers in (points, 1) or (points == 1 and numbers > 1)

    fits = of_z == dim and width == flow.num_params and fit(batch, rows)
    for call in (flow, flow.inverse):
        if fits:
            assert call(z, theta)[1].shape[0] == draws
        else:
            _refused(lambda call=call: call(z, theta))
    if not flow.num_params:  # the base alone
        return
    points = of_base if batch == 1 else batch
    if fits and fit(batch, of_base) and ((fit(points, rows) and rows in (1, of_base)) or of_base == 1):
        assert flow.draw(z, base, theta)[1].shape[0] == draws
    else:
        _refused(lambda: flow.draw(z, base, theta))


def test_forms_name_both_tensors():
    """The message of a form says which two tensors disagree, about which size."""
    given_ = ("x", _zeros(7, 3), "R I"), ("weight", _zeros(8, 2), "O I")
    with pytest.raises(InputError, match=r"^layer: x \(7, 3\) has I = 3, weight \(8, 2\) has I = 2: expected the same"):
        shapes.check_forms("layer", *given_)
