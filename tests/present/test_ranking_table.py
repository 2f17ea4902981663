"""The table and the picture of `nfbench choose`, from its data alone."""

import math

import pytest
from matplotlib.figure import Figure

from nfbench.analysis.ranking import Candidate, Restart, verdict
from nfbench.analysis.ranking_data import as_data
from nfbench.present.plots.ranking import picture
from nfbench.present.tables.ranking import moments, ranking


@pytest.fixture
def data():
    """Three families: a Gaussian that is worse, a chosen flow, and one that was not fitted."""

    def family(name, energy, khat, reference=None):
        restarts = tuple(Restart(seed, energy + seed / 1000, 0.001, khat, 900.0, 0.02, 0.001) for seed in range(3))
        return Candidate(name, name, restarts, 0.02, 0.7, 20_000, 4, 0.01, 2000, 1000, 12.5, reference)

    rows = [
        family("gaussian", 1.0, 0.9),
        family("planar:K=8", 0.5, -math.inf, (0.1, 0.2)),
        Candidate("nsf", "Spline", problem="lost"),
    ]
    found = as_data(rows, verdict(rows, 0.05), 0.05)
    row = {"name": "tau", "mean": 1.234567, "mean_se": 0.01, "sd": None, "sd_se": 0.1, "posterior_sd": 2.0}
    return {"target": "file:mine.py", **found, "moments": [row] * 22}


def test_the_table_says_what_each_family_is_worth(data):
    """A row a family in the order of cost, the chosen one marked, with words for an exact k-hat and for a failure."""
    table = ranking(data)
    assert [row[0] for row in table.rows] == ["gaussian", "planar:K=8", "nsf"]
    assert dict(table.marks) == {(1, 0): "best"}
    cells = [dict(zip(table.head, row, strict=True)) for row in table.rows]
    assert cells[0]["k-hat"] == "0.90"
    assert cells[0]["to the best"].startswith("+0.500")
    assert cells[1]["k-hat"] == "exact"
    assert cells[1]["verdict"] == "chosen"
    assert cells[1]["mean error (sd)"] == "0.10"
    assert cells[2]["verdict"] == "lost"
    assert cells[2]["F (nats)"] == "—"


def test_moments_are_lines(data):
    """Mean and sd with their errors for twenty coordinates, and how many more there are."""
    lines = moments(data)
    assert lines[0] == "tau: mean 1.23 ± 0.01, sd — ± 0.1 (the family's own sd 2)"
    assert len(lines) == 21
    assert lines[-1] == "and 2 more"


def test_the_picture_has_a_mark_for_each_fitted_family(data):
    """Both fitted families have a mark, the trusted one filled, the other not; the caption says the verdict."""
    drawn = picture(data)
    assert isinstance(drawn.figure, Figure)
    lines = {line.get_label(): line for line in drawn.figure.axes[0].get_lines()}
    assert lines["gaussian"].get_markerfacecolor() == "white"
    assert lines["planar"].get_markerfacecolor() != "white"
    assert "nsf" not in lines
    assert data["sentence"] in drawn.caption
