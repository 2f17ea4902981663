"""The paper's numbers, and what a comparison with them may conclude."""

import math

import pytest
import yaml

from nfbench.document import read_yaml
from nfbench.errors import InputError
from nfbench.published import Published, published


@pytest.fixture(scope="module")
def figure3():
    return published("figure3")


@pytest.mark.parametrize(
    ("family", "depth", "expected"),
    [
        ("planar", 2, 0.321),
        ("planar", 8, 0.047),
        ("radial", 2, 0.337),
        ("radial", 8, 0.096),
        ("radial", 32, 0.013),
        ("nice:mixing=orthogonal", 2, 3.203),
        ("nice:mixing=orthogonal", 8, 0.701),
        ("nice:mixing=permutation", 32, 0.317),
    ],
)
def test_differences_on_u1_are_those_of_the_figure(figure3, family, depth, expected):
    """Differences to planar K=32 on U1 are the ones worked out by hand from the digitised figure."""
    found = figure3.difference("u1", family, depth)
    assert math.isclose(found.value, expected, abs_tol=1e-12)
    assert not found.hidden


def test_error_of_a_difference_has_both_bars_and_the_digitisation(figure3):
    """Planar K=2 on U1: bars .008 and .001, and .003 for reading each of the two points."""
    found = figure3.difference("u1", "planar", 2)
    assert math.isclose(found.se, math.sqrt(0.008**2 + 0.001**2 + 2 * 0.003**2))


def test_baseline_differs_from_itself_by_exactly_nothing(figure3):
    """The baseline is marked, and neither its value nor its error is counted twice."""
    found = figure3.difference("u1", "planar", 32)
    assert (found.value, found.se, found.is_baseline) == (0.0, 0.0, True)


def test_options_that_the_paper_does_not_name_are_free(figure3):
    """A record's target and family may have options that the published row does not mention; named ones must agree."""
    named = figure3.difference("u2:walls=0.25", "nice:hidden=16,mixing=orthogonal", 8)
    assert named == figure3.difference("u2", "nice:mixing=orthogonal", 8)
    assert figure3.difference("u1", "nice:mixing=none", 8) is None
    assert figure3.difference("u1", "planar", 16) is None
    assert figure3.difference("normal", "planar", 8) is None


def test_whole_figure_is_there_and_only_u4_is_hidden(figure3):
    """Four energies, four families, three depths; the panel of U4 is not on the paper's page."""
    assert len(figure3.rows) == 48
    assert {row.target for row in figure3.rows if row.hidden} == {"u4"}
    assert all(row.hidden for row in figure3.rows if row.target == "u4")


def test_improper_energies_are_not_comparable(figure3):
    """U2 to U4 carry the reason why no verdict may be given; U1 does not."""
    assert figure3.objection("u1") is None
    assert all("normaliser" in figure3.objection(f"{name}:walls=0.25") for name in ("u2", "u3", "u4"))


def test_unpublished_experiment_has_no_numbers():
    """A user's own experiment is compared with nothing."""
    assert published("my-own") is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"margin": -1}, "margin"),
        ({"mark": "M"}, "mark"),
        ({"rows": [{"target": "u1", "posterior": "planar", "K": 2, "value": 0.1, "bar": 0}]}, "without the baseline"),
        ({"rows": [{"target": "u1", "posterior": "planar", "K": 32, "value": 0.1, "bar": 0}] * 2}, "stand twice"),
    ],
)
def test_impossible_file_is_refused_by_name(tmp_path, figure3, change, reason):
    """A file with a remembered value, a negative margin, no baseline or a row twice is refused, and says why."""
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(figure3.model_dump() | change))
    with pytest.raises(InputError, match=reason):
        read_yaml(file, Published)
