"""How far seeds are from each other: from the moments that records keep, in Python and on the command line."""

import numpy as np
import pytest
from support.commands import run_command
from support.recorded import with_arrays
from support.synthetic import Plan, figure3

import nfbench
from nfbench.foundation.errors import InputError
from nfbench.records.store import path

MEANS = {"planar:K=2": [0.0, 0.1, -0.1], "planar:K=8": [0.0, 3.0, 0.0], "planar:K=32": [0.0, 0.0, 9.0]}  # by seed


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Planar flows of three seeds: alike, one apart by 3 sd, and one that diverged with two that are alike."""
    root = tmp_path_factory.mktemp("results")
    plan = Plan(root, seeds=3, diverged={("u1", "planar:K=32", 2)})
    for record in figure3(plan, targets=("u1",), kls={"planar": {2: 0.3, 8: 0.2, 32: 0.1}}):
        if record.status == "done":
            mean = np.array([MEANS[record.cell.posterior][record.cell.seed], 0.0])
            moments = {"posterior_mean": mean, "posterior_sd": np.ones(2)}
            with_arrays(path(root, "figure3", record.id), lambda arrays, more=moments: arrays | more)
    return root


def test_moments_and_bounds_of_seeds_are_compared(root):
    """The largest difference of means, in sds of q, and of F; a seed that diverged is counted and not compared."""
    results = nfbench.results(root)
    data = results.restarts("figure3").data.set_index("posterior")
    assert data["moments"].to_dict() == pytest.approx({"planar:K=2": 0.2, "planar:K=8": 3.0, "planar:K=32": 0.0})
    assert data[["compared", "diverged"]].loc["planar:K=32"].tolist() == [2, 1]
    cells = results.frame[results.frame["posterior"] == "planar:K=8"]
    assert data.loc["planar:K=8", "free_energy"] == pytest.approx(float(np.ptp(cells["free_energy"])))
    (table,) = results.restarts("figure3").tables
    assert [row[5] for row in table.rows] == ["agree", "disagree", "some diverged"]


def test_the_command_shows_them(root, capsys):
    """``nfbench table --restarts`` prints the table, narrowed as any; beside another comparison it is refused."""
    code, out, err = run_command(capsys, "table", "figure3", "--restarts", "--results", root, "--filter", "K=8")
    assert (code, err, "disagree" in out, out.count("| U1 |")) == (0, "", True, 1)
    code, out, err = run_command(capsys, "table", "figure3", "--restarts", "--at", "updates", "--results", root)
    assert (code, out, "without --metric, --margin and --restarts" in err) == (2, "", True)


def test_records_without_moments_have_no_such_table(tmp_path):
    """They are named in one line."""
    figure3(Plan(tmp_path, seeds=2), targets=("u1",))
    with pytest.raises(InputError, match="records of figure3 keep no moments of q of two seeds"):
        nfbench.results(tmp_path).restarts("figure3")
