"""What flows of K maps of one form share: theta split by maps, checks that hold for the methods that declare them."""

import pytest
import torch
from support.families import normal, wild

from nfbench import InputError, posterior
from nfbench.posteriors.contract import Identity
from nfbench.posteriors.families.nice import Nice
from nfbench.posteriors.families.planar import Planar
from nfbench.posteriors.families.radial import Radial
from nfbench.posteriors.flow_posterior import FlowPosterior

SPECS = pytest.mark.parametrize("spec", ["planar:K=3", "radial:K=3", "nice:K=3,hidden=5"])


@pytest.mark.parametrize("family", ["planar", "radial"])
def test_a_chain_is_its_maps_one_after_the_other(family):
    """Chains of one map each, with row k of `maps`, give in turn the point and ln|det| of the whole chain."""
    whole, one_map = (wild(f"{family}:K={depth}", 4, seed=1).flow for depth in (3, 1))
    z, theta = normal(5, 2, 4, seed=2), normal(2, whole.num_params, seed=3)
    maps, point, total = whole.maps(theta), z, torch.zeros(5, 2, dtype=torch.float64)
    assert maps.shape == (2, 3, one_map.num_params)
    for k in range(3):
        point, log_det = one_map(point, maps[:, k])
        total = total + log_det
    z_k, log_det = whole(z, theta)
    torch.testing.assert_close(z_k, point, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(log_det, total, rtol=1e-10, atol=1e-10)


@SPECS
@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
def test_cost_is_that_of_the_base_and_of_each_map(spec, gradient):
    """A chain costs the base, and K times a map's numbers and flops for its draws, its rows and once."""
    flow = posterior(spec, 4).flow
    draw, row, shared = flow.map_cost(gradient=gradient)
    cost, base = flow.cost(7, 2, 2, gradient=gradient), Identity(4).cost(7, 2, 2, gradient=gradient)
    for ours, of_base, *of_map in zip(cost, base, draw, row, shared, strict=True):
        assert ours - of_base == 3 * (14 * of_map[0] + 2 * of_map[1] + of_map[2])


@pytest.mark.parametrize(("family", "arguments"), [(Planar, ()), (Radial, ()), (Nice, ("permutation", 5))])
@pytest.mark.parametrize("method", ["draw", "forward"])
def test_who_draws_anew_is_checked_anew(family, arguments, method):
    """The checks that a family declares hold for its own methods: the posterior checks draws for a subclass of it."""
    careless = type("Careless", (family,), {method: lambda *_: pytest.fail("called with tensors that do not fit")})
    for flow, message in ((family(2, 3, *arguments), None), (careless(2, 3, *arguments), "^posterior: noise")):
        with pytest.raises(InputError, match=message):
            FlowPosterior(flow)(torch.zeros(5, 1, 3))
