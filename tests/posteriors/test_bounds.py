"""Bounds that hold whatever the training: what eight maps can reach, and that longer chains are not worse.

Those of families that are Gaussians are in ``test_gaussian_families.py``, that of a mixture in ``test_mixture.py``.
"""

from pathlib import Path

import numpy as np
import pytest
from support.families import own

import nfbench
from nfbench.analysis.summary import estimate
from nfbench.training.fit import fit_seeds

FITS = Path(__file__).parent / "fits"
# Each is what `nfbench.fit(spec, "u1", updates=updates, draws=256, learning_rate=0.02, seed=0)` saved: of nsf:K=8 after
# 2,000 updates, of iaf:K=8,mode=affine after 4,000; half a minute of one core each.
REFERENCE = Path(__file__).parents[2] / "results" / "reference"


@pytest.mark.parametrize("file", sorted(FITS.glob("*.safetensors")), ids=lambda file: file.stem)
def test_eight_maps_come_within_a_hundredth_of_the_ring(file):
    """With eight maps KL(q||u1) is at most .01 nats: a stored fit reaches that with the code as it is today."""
    fitted = nfbench.load(file)
    kl = nfbench.evaluate(fitted, draws=60_000).loc["kl"]
    assert "K=8" in fitted.posterior_spec
    assert -5 * kl["se"] < kl["value"] < 0.01


def test_both_kinds_of_eight_maps_are_stored():
    """The test above runs for the spline and for the inverse autoregressive flow."""
    assert [file.stem for file in sorted(FITS.glob("*.safetensors"))] == ["iaf", "nsf"]


FIGURE3 = nfbench.results(REFERENCE).frame.query("experiment == 'figure3'")


@pytest.mark.parametrize("target", sorted(FIGURE3["target"].unique()))
def test_longer_chains_are_not_worse(target):
    """Of a family in a profile, a longer chain's KL less the shorter's, paired by seed, has no interval above 0."""
    compared = 0
    for family, rows in FIGURE3[FIGURE3["target"] == target].groupby(["profile", "family"]):
        values = rows[rows["status"] == "done"].pivot(index="seed", columns="K", values="kl")
        for shorter, longer in zip(values, list(values)[1:], strict=False):
            change = estimate((values[longer] - values[shorter]).dropna())
            assert change.n >= 3
            assert change.low <= 0, (family, shorter, longer, change)
            compared += 1
    assert compared >= 8


PAPERS = {spec.partition(":")[0] for spec in FIGURE3["posterior"]}
NEWER = sorted({entry.name for entry in own() if entry.has_depth} - PAPERS)


@pytest.mark.parametrize("family", NEWER)
def test_longer_chains_of_newer_families_are_not_worse(family):
    """Of four seeds that train as one program for as long, three maps are not worse than one within the interval."""
    shorter, longer = (bounds(f"{family}:K={depth}") for depth in (1, 3))
    change = estimate(longer - shorter)
    assert change.low <= 0, (family, shorter, longer)


def bounds(spec):
    """KL(q||u1) in nats for each of four seeds, (E,)."""
    fits = fit_seeds(spec, "u1", range(4), updates=150, draws=64, learning_rate=0.02)
    return np.array(
        [nfbench.evaluate(fitted, draws=2000, forward_draws=2, grid=2).loc["kl", "value"] for fitted in fits]
    )
