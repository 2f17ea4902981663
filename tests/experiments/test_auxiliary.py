"""Cells of families without a density at points, from the training to tables and pictures."""

import json
import math

import pytest

import nfbench
from nfbench.analysis.blocks import blocks
from nfbench.present.plots import density
from nfbench.present.tables.experiment import table

SPECS = ["planar:K=2", "hvi:steps=1", "ula:steps=1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One seed of U1 at the smallest budget."""
    root = tmp_path_factory.mktemp("auxiliary")
    return nfbench.run("figure3", "smoke", targets=["u1"], posteriors=SPECS, seeds=[0], results=root), root


@pytest.fixture(scope="module")
def block(run):
    """The block of those records."""
    (block,) = blocks(run[0].results.frame)
    return block


def test_what_needs_a_density_is_absent_and_said_so(run):
    """Bound and KL are there, forward KL is not; only these records have the fact, so that others keep their text."""
    results, root = run[0].results, run[1]
    assert run[0].counts["done"] == len(SPECS)
    for row in results.frame.to_dict("records"):
        auxiliary = not row["posterior"].startswith("planar")
        record = json.loads((root / "figure3" / f"{row['id']}.json").read_text())
        assert ("auxiliary" in record["facts"]) == auxiliary
        assert ("forward_kl" in record["metrics"]) != auxiliary
        assert {"free_energy", "kl"} <= set(record["metrics"])
        assert math.isnan(row["forward_kl"]) == auxiliary
        assert ("q" in results.arrays(row)) != auxiliary


def test_the_table_says_what_their_numbers_are(run, block):
    """A dash for what is absent, never NaN, and a sentence that names the families."""
    text = table(run[0].results.frame, "figure3", "md")
    assert "Of HVI (1 leapfrog), ULA (1 steps) ln q is that of auxiliary variables too" in text
    assert "nan" not in text.lower()
    assert len(block.auxiliary) == 2


def test_the_picture_says_that_there_is_no_density(run, block):
    """Panels of such families say so in place of an image."""
    (picture,) = density.pictures(run[0].results, block)
    words = [text.get_text() for axis in picture.figure.axes for text in axis.texts]
    assert words.count("no density\nat points") == 2


def test_a_box_is_evaluated_with_the_target():
    """Of an energy that no constant normalises the mass in its box is that of draws that follow its gradient."""
    fitted = nfbench.fit("hvi:steps=1", "u2:walls=none", updates=20)
    found = nfbench.evaluate(fitted, draws=2000)
    assert {"free_energy", "box_mass", "box_kl"} == set(found.index)
    assert 0 < found.loc["box_mass", "value"] <= 1
