"""Posteriors and flows refuse tensors that do not fit each other in one line, whatever the family."""

import pytest
import torch
from support.families import flows, posterior, specs
from support.refused import DEEP, EVERY, refused, zeros

from nfbench.posteriors.contract import Flow
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.specification.registry import posteriors


def test_every_family_is_here():
    """The tables below run over the registry, but for what other libraries compute."""
    assert {spec.split(":")[0] for spec in specs(8)} == {entry.name for entry in posteriors if entry.library is None}


N, SHORTER, LONGER = "N", "N - 1", "N + 1"  # sizes of noise; of z for D in the place of N
BAD_NOISE = [  # shape, and what the message says
    ((5, N), "2 axes"),
    ((N,), "1 axes"),
    ((), "0 axes"),
    ((1, 5, N, 1), "4 axes"),
    ((5, 1, LONGER), None),
    ((5, 1, SHORTER), None),
    ((5, 1, 0), None),
]


def _calls(q, noise, z):
    """What a posterior can be called with, and its methods: draws, and where it has one the density at points."""
    return ((q, noise), (q.log_prob, z)) if q.has_density else ((q, noise),)


def _sized(shape, name, size, words, letter="D"):
    """The shape with its letters replaced, and what the message about `name` says: `words`, or both sizes."""
    sizes = {N: size, SHORTER: size - 1, LONGER: size + 1}
    shape = tuple(sizes.get(axis, axis) for axis in shape)
    said = [words] if words else [f"{letter} = {shape[-1]}", f"{letter} = {size}"]
    return shape, [f"{name} {shape}", *said]


@EVERY
@pytest.mark.parametrize(("shape", "words"), BAD_NOISE)
def test_noise_of_another_shape(spec, shape, words):
    """Noise has three axes, and the D of the posterior; so have points whose density is asked for.

    Two axes (S, D) are enough for points where there are no data points, not where there are.
    """
    q = posterior(spec, 2)
    of_noise, said = _sized(shape, "noise", q.noise_dim, words, "D" if isinstance(q, FlowPosterior) else "N")
    refused(lambda: q(zeros(*of_noise)), *said)
    of_z, said = _sized(shape, "z", 2, words)
    given_ = zeros(*of_z)
    if not q.has_density:
        return
    if len(shape) != 2:
        refused(lambda: q.log_prob(given_), *said)
    refused(lambda: posterior(spec, 2, points=5).log_prob(given_), *(said if len(shape) == 2 else ()))
    refused(lambda: posterior(spec, 2, 4).log_prob(given_, zeros(1, 4)), *said[: 1 + (len(shape) == 2)])


@EVERY
@pytest.mark.parametrize("draws", [1, 100])
@pytest.mark.parametrize(("batch", "rows"), [(5, 3), (3, 5), (2, 3), (4, 8), (0, 3), (3, 0), (1, 0)])
def test_data_points_of_another_number(spec, draws, batch, rows):
    """The data points of noise are those of the features, or of the posterior's own numbers."""
    q = posterior(spec, 2, 4)
    noise, z, features = zeros(draws, batch, q.noise_dim), zeros(draws, batch, 2), zeros(rows, 4)
    words = f"{draws}, {batch}", f"B = {batch}", f"features ({rows}, 4) have {rows}"
    refused(lambda: q(noise, features), *words)
    if q.has_density:
        refused(lambda: q.log_prob(z, features), *words)
    if not rows:
        refused(lambda: posterior(spec, 2, points=rows), "points=0")
        return
    free = posterior(spec, 2, points=rows)
    width = free.source.base.shape[1]
    for call, draws_ in _calls(free, noise, z):
        refused(lambda call=call, d=draws_: call(d), f"B = {batch}", f"base ({rows}, {width}) has {rows}")


@EVERY
@pytest.mark.parametrize(
    ("features", "words"),
    [((3, 5), (5, 4)), ((3, 1), (1, 4)), ((4,), ("1 axes", "B, F")), ((1, 3, 4), ("3 axes", "B, F"))],
)
def test_features_of_another_shape(spec, features, words):
    """Features have two axes and the width of the posterior; a free posterior takes none."""
    q = posterior(spec, 2, 4)
    refused(lambda: q(zeros(5, features[0], q.noise_dim), zeros(*features)), str(tuple(features)), *words)
    free = posterior(spec, 2)
    for call, draws in _calls(free, zeros(5, 3, free.noise_dim), zeros(5, 3, 2)):
        refused(lambda call=call, draws=draws: call(draws, zeros(3, 4)), "features (3, 4)", "free")


@EVERY
@pytest.mark.parametrize("features", [None, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool])
def test_noise_of_another_dtype(spec, features, dtype):
    """Noise of another dtype than the parameters' is refused, with both named; features likewise."""
    q = posterior(spec, 2, features)
    noise = zeros(5, 3, q.noise_dim)
    given_ = () if features is None else (zeros(3, features),)
    for call, draws in _calls(q, noise, zeros(5, 3, 2)):
        refused(lambda call=call, draws=draws: call(draws.to(dtype), *given_), dtype, torch.float32)
    if features is not None:
        refused(lambda: q(noise, given_[0].to(dtype)), "features", dtype, torch.float32)
    refused(lambda: q.double()(noise, *(one.double() for one in given_)), torch.float32, torch.float64)


@DEEP
def test_autocast_still_takes_coarse_features(spec):
    """Under autocast, features come in bfloat16 from an encoder; noise stays in the parameters' dtype."""
    q = posterior(spec, 2, 4)
    noise = zeros(5, 3, q.noise_dim)
    with torch.autocast("cpu", torch.bfloat16):
        assert q(noise, zeros(3, 4, dtype=torch.bfloat16))[1].dtype == torch.float32
        refused(lambda: q(noise.bfloat16(), zeros(3, 4)), torch.bfloat16, torch.float32)
        refused(lambda: q(noise, zeros(3, 4, dtype=torch.int64)), torch.int64, torch.float32)


@pytest.mark.parametrize("spec", flows(0, 1, 8))
def test_a_flow_called_by_itself(spec):
    """`forward`, `inverse` and `draw` of a flow refuse theta of other rows or width, and z of another D."""
    flow = posterior(spec, 2).flow
    width, z, base = flow.num_params, zeros(6, 5, 2), zeros(1, 4)
    for call in (flow, flow.inverse):
        refused(lambda call=call: call(z, zeros(3, width)), "B = 5", f"theta (3, {width}) has 3")
        refused(lambda call=call: call(z, zeros(0, width)), "B = 5", f"theta (0, {width}) has 0")
        refused(lambda call=call: call(z, zeros(1, width + 1)), width, width + 1)
        refused(lambda call=call: call(z, zeros(width)), "1 axes")
        refused(lambda call=call: call(zeros(6, 5, 3), zeros(1, width)), "z (6, 5, 3)", "D = 3", 2)
        refused(lambda call=call: call(zeros(6, 2), zeros(1, width)), "z (6, 2)", "2 axes")
        refused(lambda call=call: call(z.double(), zeros(1, width)), torch.float64, torch.float32)
    refused(lambda: flow.draw(z, zeros(3, 4), zeros(1, width)), "B = 5", "base (3, 4) has 3")
    refused(lambda: flow.draw(z, zeros(1, 6), zeros(1, width)), "D = 2", "D = 3")
    refused(lambda: flow.draw(z, zeros(4), zeros(1, width)), "1 axes")
    refused(lambda: flow.draw(z, base.double(), zeros(1, width)), torch.float64, torch.float32)
    if width:
        refused(lambda: flow.draw(z, base, zeros(3, width)), "B = 5", 3)
        refused(lambda: flow.draw(z, base, zeros(1, 2 * width)), width, 2 * width)
        refused(lambda: flow.draw(z, base, zeros(1, width).double()), torch.float64, torch.float32)


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
    refused(lambda: FlowPosterior(_Trusting(start=5)), "_Trusting", "(5,)", "(4,)")
    q, free = FlowPosterior(_Trusting(), 3), FlowPosterior(_Trusting(), points=4)
    assert q(zeros(5, 2, 2), zeros(2, 3))[0].shape == (5, 2, 2)
    for call in (q, q.log_prob):
        refused(lambda call=call: call(zeros(5, 3, 2), zeros(2, 3)), "B = 3", "features (2, 3) have 2")
        refused(lambda call=call: call(zeros(5, 2, 3), zeros(2, 3)), "D = 3", "D = 2")
    free.source.theta = torch.nn.Parameter(zeros(3, 4))
    for call in (free, free.log_prob):
        refused(lambda call=call: call(zeros(5, 1, 2)), "base (4, 4) has 4", "theta (3, 4) has 3")
        refused(lambda call=call: call(zeros(5, 4, 2)), "B = 4", "theta (3, 4) has 3")
