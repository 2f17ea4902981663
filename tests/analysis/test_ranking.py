"""The verdict of `nfbench choose` from numbers alone: which family is chosen, which are refused, and why."""

import json
import math

import pytest

from nfbench.analysis.ranking import Candidate, Restart, khat_text, verdict
from nfbench.analysis.ranking_data import as_data


def family(name, energies, *, khat=0.1, gap=0.3, agreement=0.02, diverged=(), **rest):
    """A candidate whose restarts have these F, one k-hat and one gap."""
    restarts = tuple(
        Restart(seed, diverged=True) if seed in diverged else Restart(seed, energy, 0.001, khat, 900.0, gap, 0.001)
        for seed, energy in enumerate(energies)
    )
    return Candidate(name, name.title(), restarts, agreement, 0.7, 10_000, 4, 0.01, 100, **rest)


def test_the_cheapest_within_the_margin_is_chosen():
    """Of three trusted families the cheapest within the margin of the best is chosen, neither best nor first."""
    found = verdict([family("a", [2.0, 2.1]), family("b", [1.03, 1.04]), family("c", [1.0, 1.01])], 0.05)
    assert found.posterior == "b"
    assert found.differences["b"].mean == pytest.approx(0.03)
    assert found.differences["c"].mean == 0.0
    assert found.sentence.startswith("b (B) will do: 0.03 nats from the best, c, within the margin of 0.05; k-hat 0.10")
    assert found.remarks["a"] == "1 nats worse than the best"
    assert found.remarks["b"] == "chosen"
    assert found.remarks["c"] == "would do, at a higher cost"


def test_a_smaller_margin_chooses_the_best():
    """With a margin below their difference the dearer family is chosen: the margin is what decides."""
    assert verdict([family("b", [1.03, 1.04]), family("c", [1.0, 1.01])], 0.02).posterior == "c"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"khat": 0.75}, "k-hat 0.75 is above its threshold 0.70"),
        ({"khat": math.inf}, "k-hat infinite is above its threshold 0.70"),
        ({"khat": math.nan}, "k-hat unknown is above its threshold 0.70"),
        ({"agreement": 1.5}, "restarts disagree by 1.5 sd"),
        ({"agreement": math.nan}, "restarts disagree by nan sd"),
        ({"diverged": (1,)}, "1 of 3 restarts diverged"),
        ({"density_error": 0.07}, "its ln q is 0.07 nats off the density of its draws, so that F is no bound"),
        ({"density_error": math.inf}, "its ln q is not that of its draws at all, so that F is no bound"),
    ],
)
def test_each_fault_alone_is_a_reason(changes, reason):
    """A family with one fault is not trusted, says so, and is not chosen although it is the best."""
    bad = family("bad", [1.0, 1.0, 1.0], **changes)
    assert bad.faults() == [reason]
    alone = verdict([bad], 0.05)
    assert alone.posterior is None
    assert alone.sentence.startswith("none of these can be trusted here, because")
    assert reason in alone.sentence


def test_a_wrong_density_is_not_what_others_are_compared_with():
    """The lowest F is of a wrong ln q: the others are compared among themselves, and one of them is chosen."""
    found = verdict([family("a", [1.0, 1.0]), family("wrong", [-4.0, -4.0], density_error=0.2)], 0.05)
    assert found.posterior == "a"
    assert found.differences["a"].mean == 0.0
    assert "wrong" not in found.differences
    assert found.remarks["wrong"].startswith("its ln q is 0.2 nats off")


def test_a_trusted_family_that_is_far_from_an_untrusted_best_is_not_chosen():
    """The best one's bound shows that the trusted one is wrong by at least the difference: none will do."""
    found = verdict([family("safe", [2.0, 2.0, 2.0]), family("best", [1.0, 1.0, 1.0], khat=0.9)], 0.05)
    assert found.posterior is None
    assert "best: k-hat 0.90" in found.sentence
    assert "safe has no such fault but is 1 ± 0.0016 nats worse" in found.sentence


def test_nothing_fitted_is_none_with_the_reasons():
    """Families that failed or diverged altogether give no choice and every reason."""
    lost = Candidate("x", "X", problem="RuntimeError: lost")
    found = verdict([lost, family("y", [1.0, 1.0], diverged=(0, 1))], 0.05)
    assert found.posterior is None
    assert "x: RuntimeError: lost" in found.sentence
    assert "y: 2 of 2 restarts diverged" in found.sentence


def test_it_suffices_only_with_a_small_gap_and_no_fault():
    """The search ends at a family whose largest gap with two standard errors is below the margin, if it is trusted."""
    assert family("a", [1.0, 1.0], gap=0.047).suffices(0.05)
    assert not family("a", [1.0, 1.0], gap=0.049).suffices(0.05)
    assert not family("a", [1.0, 1.0], gap=0.01, khat=0.8).suffices(0.05)


def test_the_data_are_json_without_numbers_that_are_not_finite():
    """What JSON cannot hold is None; an exact posterior's k-hat keeps its word."""
    rows = [family("a", [1.0, 1.0], khat=-math.inf), Candidate("x", "X", problem="lost")]
    data = as_data(rows, verdict(rows, 0.05), 0.05)
    again = json.loads(json.dumps(data, allow_nan=False))
    assert again["posterior"] == "a"
    assert again["candidates"][0]["khat"] is None
    assert again["candidates"][0]["khat_text"] == "exact" == khat_text(-math.inf)
    assert again["candidates"][1]["remark"] == "lost"
