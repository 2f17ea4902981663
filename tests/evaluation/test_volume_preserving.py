"""The least divergence of volume-preserving maps: closed forms, and no stored seed of such a family lies below it."""

import math

import pytest
import torch

import nfbench
from nfbench.evaluation.volume_preserving import least_divergence
from nfbench.foundation.errors import InputError
from nfbench.specification.registry import posteriors
from nfbench.targets.build import target
from nfbench.targets.contract import Target


class Radial(Target):
    """A density of the distance from 0."""

    dim = 2

    def __init__(self, log_density, log_z):
        super().__init__()
        self.log_density, self.log_z = log_density, log_z

    def log_joint(self, z, batch=None):
        return self.log_density(z.norm(dim=-1))


def test_of_a_gaussian_it_is_zero_with_its_own_scale():
    """Where p is a Gaussian nothing is lost, and the scale is its standard deviation."""
    found = least_divergence(Radial(lambda r: -0.5 * (r / 0.7) ** 2, math.log(2 * math.pi * 0.49)))
    assert found.kl == pytest.approx(0, abs=1e-5)
    assert found.scale == pytest.approx(0.7, abs=1e-3)


def test_of_two_gaussians_far_apart_it_is_almost_zero():
    """Areas of the mixture are those of one Gaussian of twice the determinant's root: nothing need be lost."""
    log_z = math.log(2 * math.pi)

    class Two(Radial):
        def log_joint(self, z, batch=None):
            apart = torch.tensor([4.0, 0.0], dtype=z.dtype)
            both = torch.stack([-0.5 * (z - place).square().sum(-1) for place in (apart, -apart)])
            return both.logsumexp(0) - math.log(2)

    found = least_divergence(Two(None, log_z), half_width=12.0)
    assert found.kl == pytest.approx(0, abs=2e-4)  # exp(-8) where they meet
    assert found.scale == pytest.approx(math.sqrt(2), abs=2e-3)


def test_of_an_exponential_of_the_distance_it_is_the_closed_form():
    """For p = exp(-r) / 2 pi it is KL(c) = ln 2 pi - ln c - 1 + sqrt(c) / 2, least at c = 16."""
    found = least_divergence(Radial(lambda r: -r, math.log(2 * math.pi)), half_width=30.0)
    assert found.kl == pytest.approx(math.log(2 * math.pi / 16) + 1, abs=2e-4)  # the grid's step at the tip
    assert found.scale == pytest.approx(math.sqrt(16 / (2 * math.pi)), rel=2e-3)


@pytest.mark.parametrize("name", ["u1", "u2", "u3", "u4"])
def test_no_seed_of_a_volume_preserving_family_lies_below(name):
    """Of the committed records of Figure 3, each within four standard errors of its own."""
    least = least_divergence(target(name)).kl
    frame = nfbench.results("results/reference").frame
    rows = frame[
        (frame["experiment"] == "figure3") & (frame["status"] == "done") & frame["target"].str.startswith(name)
    ]
    kept = [posteriors.choose(spec).facts["volume_preserving"] for spec in rows["posterior"]]
    assert sum(kept) >= 120
    assert (rows[kept]["kl"] + 4 * rows[kept]["kl_se"] > least).all()
    assert rows[[not each for each in kept]]["kl"].min() < least  # others do


@pytest.mark.parametrize(
    ("wrong", "word"),
    [("digits", "D = 2"), ("funnel:dim=10", "D = 2"), ("u2:walls=none", "known ln Z"), ("funnel:dim=2", "wider")],
)
def test_what_has_no_such_bound_is_refused(wrong, word):
    """Other dimensions, no ln Z, and a square that holds too little."""
    with pytest.raises(InputError, match=word):
        least_divergence(target(wrong))


@pytest.mark.parametrize("wrong", [{"cells": 0}, {"cells": "many"}, {"half_width": -1.0}, {"half_width": math.nan}])
def test_a_square_that_is_none_is_refused(wrong):
    """Its width and its cells are positive numbers; the line names the one that is not."""
    with pytest.raises(InputError, match=f"{next(iter(wrong))}="):
        least_divergence(target("u1"), **wrong)
