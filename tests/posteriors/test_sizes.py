"""Sizes that fit give results of the shapes that follow from them, whatever the family; all others are refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.families import flows, normal, posterior, specs, wild
from support.refused import DEEP, EVERY, refused, zeros

from nfbench.foundation.settings import BACKEND_VARIABLE


def _both(call, monkeypatch):
    """What a call returns by the kernels and by the reference."""
    found = []
    for value in ("auto", "reference"):
        monkeypatch.setenv(BACKEND_VARIABLE, value)
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
    noise, features = normal(draws, batch, q.noise_dim, seed=2), normal(rows, 4, seed=3)
    points = normal(draws, batch, 3, seed=4)
    parameters = list(q.parameters())

    def call():
        z, log_q = q(noise, features)
        total = z.square().sum() + log_q.sum()
        if q.has_density:
            total = total + q.log_prob(points, features).sum()
        return z, log_q, *torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)

    ours, theirs = _both(call, monkeypatch)
    assert ours[0].shape == (draws, 4 if rows == 4 else batch, 3)
    assert ours[1].shape == ours[0].shape[:2]
    for one, other in zip(ours, theirs, strict=True):
        # A gradient's sums round as their largest terms do: those of HVI are 1e10 here, and some cancel to nothing.
        largest = float(other.detach().abs().max()) if other.numel() else 0.0
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * max(1.0, largest))


@EVERY
def test_without_data_points_a_free_posterior_is_empty_too(spec):
    """B = 0, forward and backward: nothing, and gradients of zero."""
    q = posterior(spec, 2)
    z, log_q = q(zeros(5, 0, q.noise_dim))
    assert (z.shape, log_q.shape) == ((5, 0, 2), (5, 0))
    (z.sum() + log_q.sum()).backward()
    assert all(one.grad is None or not one.grad.any() for one in q.parameters())


@pytest.mark.parametrize("spec", flows(8))
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

    size = models[0].noise_dim
    assert call(zeros(3, 7, 5, size), zeros(3, 5, 4))[0].shape == (3, 7, 5, 2)
    refused(lambda: call(zeros(3, 7, 5, size), zeros(3, 2, 4)), "B = 5", "features (2, 4) have 2")
    refused(lambda: call(zeros(3, 7, 5, size + 1), zeros(3, 5, 4)), f"= {size + 1}", f"= {size}")


@DEEP
def test_checks_are_traced(spec):
    """`torch.compile` takes the checks into one graph, without a break."""
    spec = spec.replace("K=8", "K=1") if spec.startswith("cnf") else spec  # 16 stages a map, each of them traced
    q = posterior(spec, 2, 4)
    noise, features = normal(7, 5, q.noise_dim, seed=1).float(), normal(5, 4, seed=2).float()
    torch._dynamo.reset()
    found = torch.compile(q, fullgraph=True, backend="eager")(noise, features)
    for ours, theirs in zip(found, q(noise, features), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


SIZES = st.integers(0, 5)


FAMILY = st.sampled_from(specs(0, 1, 3))
FLOW = st.sampled_from(flows(0, 1, 3))


@settings(max_examples=200, deadline=None)
@given(FAMILY, SIZES, SIZES, st.integers(2, 4), st.integers(-2, 2), SIZES, st.integers(1, 4), st.booleans())
def test_random_shapes(spec, draws, batch, dim, more, rows, features, wide):
    """Whatever the sizes: what fits gives numbers of the shapes that follow, what does not is refused."""
    q = posterior(spec, dim, features)
    noise, given_ = torch.randn(draws, batch, q.noise_dim + more), torch.randn(rows, features + wide)
    points = torch.randn(draws, batch, dim + more)
    fits = not more and not wide and (rows in (batch, 1) or (batch == 1 and rows > 1))
    if not fits:
        refused(lambda: q(noise, given_))
        if q.has_density:
            refused(lambda: q.log_prob(points, given_))
        return
    z, log_q = q(noise, given_)
    assert z.shape == (draws, max(batch, rows) if batch else 0, dim)
    assert log_q.shape == z.shape[:2]
    if q.has_density:
        assert q.log_prob(z, given_).shape == z.shape[:2]


@settings(max_examples=200, deadline=None)
@given(FLOW, SIZES, SIZES, st.integers(2, 4), st.integers(2, 4), SIZES, SIZES, st.integers(-1, 1))
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
            refused(lambda call=call: call(z, theta))
    if not flow.num_params:  # the base alone
        return
    points = of_base if batch == 1 else batch
    if fits and fit(batch, of_base) and ((fit(points, rows) and rows in (1, of_base)) or of_base == 1):
        assert flow.draw(z, base, theta)[1].shape[0] == draws
    else:
        refused(lambda: flow.draw(z, base, theta))
