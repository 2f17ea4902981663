"""A paper's claims beside tables of records that are made by hand: which verdict follows from which numbers."""

import itertools

import numpy as np
import pandas as pd
import pytest

from nfbench.analysis.claims import DIRECTION, NOT, OPEN, judge, published_differences
from nfbench.analysis.equivalence import REPRODUCED
from nfbench.published.claims import Claim, papers

FALLS = {"kind": "falls", "families": ["planar"], "metric": "kl"}
BELOW = {"kind": "below", "family": "planar", "than": "radial", "metric": "kl"}
ALIKE = {"kind": "alike", "family": "planar", "other": "radial", "metric": "kl", "margin": 0.05}
SMALLER = {"kind": "smaller", "family": "planar", "than": "radial", "metric": "kl"}
VALUES = {"kind": "values", "source": "figure3", "families": ["planar"], "metric": "kl"}


def claim(test):
    """A claim about Figure 3."""
    return Claim(text="It is so.", place="Sec. 1", experiment="figure3", test=test)


def records(means, *, seeds=5, spread=0.01, updates=100, **columns):
    """A table of records: (family, K) -> mean of the KL over seeds, which lie within `spread` of it."""
    rows = []
    for (family, depth), mean in means.items():
        values = mean + spread * np.random.default_rng(depth).permutation(np.linspace(-1, 1, seeds))
        for seed, value in enumerate(values):
            row = {"source": "own", "experiment": "figure3", "profile": f"of {updates}", "recipe": str(updates)}
            row |= {"data": None, "target": "u1", "target_label": "U1", "posterior": f"{family}:K={depth}"}
            row |= {"family": family, "label": family.title(), "K": depth, "num_params": 10 * depth, "log_z": 1.9}
            row |= {"order": (0, depth), "training": "Adam", "updates": updates, "importance_draws": 10}
            row |= {"long_draws": None, "long_points": None, "status": "done", "seed": seed, "seconds": 1.0}
            row |= {"id": f"{family}{depth}{seed}{updates}", "kl": value, "kl_se": 0.001}
            rows.append(row | columns)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ((0.5, 0.3, 0.1), REPRODUCED),
        ((0.5, 0.101, 0.1), DIRECTION),
        ((0.3, 0.5, 0.1), NOT),
        ((0.5, 0.1, 0.101), OPEN),
    ],
)
def test_a_metric_that_falls(means, verdict):
    """All steps shown; all means fall, one within its interval; a step rises; one rises within its interval."""
    table = records({("planar", depth): mean for depth, mean in zip((2, 8, 32), means, strict=True)})
    judged = judge(table, claim(FALLS))
    assert judged.verdict == verdict
    assert [piece.name for piece in judged.pieces] == ["U1: Planar K=2 to 8", "U1: Planar K=8 to 32"]


def test_one_family_below_another():
    """It is compared at equal K only, whatever lies between the families elsewhere."""
    means = {("planar", 2): 0.3, ("planar", 8): 0.1, ("radial", 2): 0.5, ("radial", 32): 0.01}
    judged = judge(records(means), claim(BELOW))
    assert judged.verdict == REPRODUCED
    assert [piece.name for piece in judged.pieces] == ["U1: Planar less Radial, K=2"]
    assert judge(records(means | {("planar", 2): 0.7}), claim(BELOW)).verdict == NOT


@pytest.mark.parametrize(("difference", "verdict"), [(0.01, REPRODUCED), (0.2, NOT), (0.06, OPEN)])
def test_families_that_are_alike(difference, verdict):
    """Within the margin, far beyond it, and beyond it by less than the seeds can show."""
    table = records({("planar", 2): 0.3 + difference, ("radial", 2): 0.3}, spread=0.0)
    table["kl"] += 0.01 * np.where(table["family"] == "planar", [-1, 1, 0, -1, 1] * 2, 0)
    assert judge(table, claim(ALIKE)).verdict == verdict


def test_as_good_with_fewer_numbers():
    """The smallest planar flow that is as good as the best radial one has fewer numbers, or more, or there is none."""
    best = {("radial", 2): 0.5, ("radial", 8): 0.3}
    judged = judge(records(best | {("planar", 2): 0.4, ("planar", 4): 0.1}), claim(SMALLER))
    assert (judged.verdict, judged.pieces[0].note) == (REPRODUCED, "40 numbers against 80")
    assert judge(records(best | {("planar", 32): 0.1}), claim(SMALLER)).verdict == NOT
    assert judge(records(best | {("planar", 2): 0.4}), claim(SMALLER)).verdict == NOT


def test_published_values():
    """Figure 3(d) has planar K = 2 and 8 .321 and .047 above K = 32: equal, too low in that order, in another order."""
    base = {("planar", 32): 0.01}
    assert judge(records(base | {("planar", 2): 0.331, ("planar", 8): 0.057}), claim(VALUES)).verdict == REPRODUCED
    assert judge(records(base | {("planar", 2): 0.231, ("planar", 8): 0.057}), claim(VALUES)).verdict == DIRECTION
    assert judge(records(base | {("planar", 2): 0.057, ("planar", 8): 0.231}), claim(VALUES)).verdict == NOT


def test_what_cannot_be_compared_says_why():
    """Another problem than the published one, and no records at all, leave the claim open with a reason."""
    elsewhere = records({("planar", 2): 0.3, ("planar", 32): 0.1}, target="u2")
    judged = judge(elsewhere, claim(VALUES))
    assert (judged.verdict, judged.pieces) == (OPEN, [])
    assert "no normaliser" in judged.objection
    assert judge(elsewhere.iloc[:0], claim(FALLS)).objection == "no records of these posteriors"


def test_the_largest_budget_speaks():
    """A step that was run twice counts once, with the most updates; one that was run only with fewer counts as well."""
    brief = records({("planar", 2): 0.3, ("planar", 8): 0.5, ("planar", 32): 0.2}, updates=10)
    long = records({("planar", 2): 0.3, ("planar", 8): 0.1}, updates=1000)
    judged = judge(pd.concat([brief, long], ignore_index=True), claim(FALLS))
    assert [(piece.name, piece.block.updates) for piece in judged.pieces] == [
        ("U1: Planar K=2 to 8", 1000),
        ("U1: Planar K=8 to 32", 10),
    ]
    assert judged.verdict == REPRODUCED


def test_one_of_many_steps_is_no_contradiction():
    """A step that rises with p about .02 contradicts alone, but not as one of eight."""
    seeds = np.array([0.0, 0.03, 0.01, 0.02, 0.015])
    depths = [2**k for k in range(9)]
    table = records({("planar", depth): -0.5 * place for place, depth in enumerate(depths)}, spread=0.0)
    table.loc[table["K"] == depths[-1], "kl"] = -0.5 * 7 + seeds
    assert judge(table, claim(FALLS)).verdict == OPEN
    assert judge(table[table["K"] >= depths[-2]], claim(FALLS)).verdict == NOT


def test_the_papers_own_numbers():
    """Steps and differences of published rows, by hand."""
    rows = [
        ("u1", family, depth, "kl", value)
        for (family, depth), value in {
            ("planar", 2): 3.0,
            ("planar", 8): 1.0,
            ("radial", 2): 4.0,
            ("radial", 8): 0.5,
        }.items()
    ]
    assert published_differences(claim(FALLS).test, rows) == [-2.0]
    assert published_differences(claim(BELOW).test, rows) == [-1.0, 0.5]
    assert published_differences(claim(ALIKE | {"longest": True}).test, rows) == [0.5]
    assert published_differences(claim(VALUES).test, rows) == []


def test_each_claim_of_a_paper_stands_once():
    """No two claims of a paper have the same words: they are the keys of a table's rows."""
    for paper in papers():
        assert not [
            pair for pair in itertools.combinations([each.text for each in paper.claims], 2) if len({*pair}) < 2
        ]
