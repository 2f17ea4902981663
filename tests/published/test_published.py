"""The paper's numbers, and what a comparison with them may conclude."""

import math
from pathlib import Path

import pytest
import yaml

import nfbench
from nfbench.foundation.errors import InputError
from nfbench.foundation.yaml_model import read_yaml
from nfbench.published.catalogue import experiment_of, published, sources
from nfbench.published.schema import Published
from nfbench.specification.registry import posteriors
from nfbench.specification.spec import parse

STATIC = "binarized-mnist:static,50000+10000+10000@0123456789ab"
MODEL = "dlgm:counted=after,data=binarized-mnist:static,dim=40,hidden=400,layers=1"
NAMES = sorted(file.stem for file in (Path(nfbench.__file__).parent / "published").glob("*.yaml"))


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
        ({"margin": {"nll": 0.1}}, "without a margin"),
        (
            {
                "margin": {"kl": 0.1, "nll": 0.1},
                "rows": [
                    {"target": "u1", "posterior": "planar", "K": 32, "value": 0.1},
                    {"target": "u1", "posterior": "planar", "K": 32, "value": 0.1, "metric": "nll"},
                ],
            },
            "rows of one metric",
        ),
    ],
)
def test_impossible_file_is_refused_by_name(tmp_path, figure3, change, reason):
    """A file with a remembered value, a negative margin, no baseline or a row twice is refused, and says why."""
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(figure3.model_dump() | change))
    with pytest.raises(InputError, match=reason):
        read_yaml(file, Published)


def test_every_file_is_listed_under_its_experiment():
    """No file is left out, a table comes before the figures that show its records, and others have none."""
    assert [source.name for source in sources("table2")] == ["table2", "figure4"]
    assert [source.name for source in sources("table3")] == ["table3"]
    assert sources("digits") == []
    assert sorted(source.name for name in NAMES for source in sources(name)) == NAMES


def test_experiment_of_a_figure():
    """A figure of another experiment's records names it; whatever is not published is its own."""
    assert experiment_of("figure4") == "table2"
    assert [experiment_of(name) for name in ("table2", "figure3", "my-own")] == ["table2", "figure3", "my-own"]


@pytest.mark.parametrize("name", NAMES)
def test_every_published_family_is_one_of_ours(name):
    """Each row's posterior is a spec that the registry knows, and describes the family that a record would have."""
    for row in published(name).rows:
        joint = "," if ":" in row.posterior else ":"
        spec = row.posterior if row.posterior == "gaussian" else f"{row.posterior}{joint}K={row.K}"
        assert row.describes(posteriors.choose(parse(spec)).family, row.K)


@pytest.mark.parametrize(
    ("family", "depth", "metric", "value", "bar"),
    [
        ("gaussian", 0, "free_energy", 96.75, 0.05),
        ("planar", 10, "nll", 87.53, 0.27),
        ("planar", 80, "gap", 4.43, 0.14),
        ("nice:hidden=16,mixing=permutation", 40, "free_energy", 93.02, 0.08),
    ],
)
def test_figure_4_values(family, depth, metric, value, bar):
    """A digitised value with its bar; .003 of reading is in the standard error."""
    found = published("figure4").value(MODEL, family, depth, metric)
    assert (found.value, found.bar) == (value, bar)
    assert found.se == pytest.approx(math.hypot(bar, 0.003))


def test_panels_of_figure_4_add_up():
    """F less KL is -ln p(x) in every row: a digit that was typed wrong would show."""
    figure4 = published("figure4")
    assert len(figure4.rows) == 27
    for row in figure4.rows:
        parts = [figure4.value(MODEL, row.posterior, row.K, name).value for name in ("free_energy", "gap", "nll")]
        assert parts[0] - parts[1] == pytest.approx(parts[2], abs=0.011)


def test_table_2_is_figure_4_cut_off():
    """Each printed value is that of the figure without its last digits, its error the figure's and those digits."""
    for row in published("table2").rows:
        drawn = published("figure4").value(MODEL, row.posterior, row.K, "nll")
        printed = published("table2").value(MODEL, row.posterior, row.K)
        assert printed.value == math.floor(10 * drawn.value) / 10
        assert (printed.bar, printed.se) == (drawn.bar, math.hypot(drawn.bar, 0.1))


def test_table_3_has_no_bars():
    """Four values without an error bar; what is left of their error is the last printed digit."""
    table3 = published("table3")
    found = [table3.value("dlgm", row.posterior, row.K) for row in table3.rows]
    assert [one.value for one in found] == [-293.7, -308.6, -317.9, -320.7]
    assert {(one.bar, one.se) for one in found} == {(None, 0.05)}
    assert "no error bars" in table3.note


def test_what_is_not_published_has_no_value():
    """Radial flows, NICE with orthogonal mixing, other depths, other targets, and a level that means nothing."""
    figure4 = published("figure4")
    absent = [("dlgm", "radial", 10), ("dlgm", "nice:mixing=orthogonal", 10), ("dlgm", "planar", 5)]
    assert [figure4.value(*one, "nll") for one in [*absent, ("digits", "planar", 10)]] == [None] * 4
    assert figure4.value("dlgm", "planar", 10, "kl") is None
    assert published("figure3").value("u1", "planar", 8) is None
    assert figure4.difference("dlgm", "planar", 10) is None


@pytest.mark.parametrize("name", ["table2", "figure4"])
def test_data_and_model_of_table_2(name):
    """The fixed binarisation, validation images merged or not, is the paper's; other data or another network is not."""
    source = published(name)
    assert source.objection(MODEL, STATIC) is None
    assert source.objection(MODEL, STATIC.replace("50000+10000", "60000+0")) is None
    assert "fixed binarisation" in source.objection(MODEL, "mnist:dynamic,60000+0+10000@0123456789ab")
    assert "fixed binarisation" in source.objection(MODEL)
    assert "dim=40, hidden=400" in source.objection(MODEL.replace("hidden=400", "hidden=16"), STATIC)


def test_data_of_table_3():
    """All of CIFAR-10 is comparable; a part of it, noise between the levels, or other images: each has its reason."""
    model, whole = "dlgm:dim=30,hidden=400", "cifar10-patches:eps=0.0001,45000+5000+10000@0123456789ab"
    table3 = published("table3")
    assert table3.objection(model, whole) is None
    assert "4,000 images" in table3.objection(model, "cifar10-patches:first4000,eps=0.0001,3000+2000+2000@0123")
    assert "noise" in table3.objection(model, whole.replace("0001", "0001,dequantised"))
    assert "CIFAR-10" in table3.objection(model, STATIC)


@pytest.mark.parametrize("name", ["table2", "figure4", "table3"])
def test_the_papers_budget(name):
    """Section 6: 500,000 updates of RMSprop in minibatches of 100, annealed to 10,000, 100 repeats, 200 draws."""
    setup = published(name).setup
    training = setup.training
    assert (training.optimizer, training.learning_rate, training.momentum) == ("rmsprop", 1e-5, 0.9)
    assert (training.updates, training.batch, training.anneal_updates) == (500_000, 100, 10_000)
    assert (setup.seeds, setup.importance_draws) == (100, 200)


def test_margins_are_steps_of_the_source():
    """Each margin is the step in depth that its reason names, computed from the rows."""
    steps = {"figure4": ("planar", 40, 80), "table2": ("planar", 40, 80), "table3": ("planar", 5, 10)}
    for name, (family, shallow, deep) in steps.items():
        source = published(name)
        before, after = (source.value(MODEL, family, depth, "nll") for depth in (shallow, deep))
        assert source.margin["nll"] == pytest.approx(before.value - after.value, abs=0.011)


def test_cited_and_remeasured_have_sources():
    """Nothing that others measured stands without its source, nor among the paper's rows."""
    table2 = published("table2")
    assert [one.value for one in table2.cited] == [88.08, 86.40, 85.51, 84.71, 84.13]
    assert all(one.source for one in (*table2.cited, *table2.remeasured))
    assert {one.who for one in table2.remeasured} == {"ATML group 10, Oxford", "Pythae"}
    assert {row.value for row in table2.rows}.isdisjoint({89.78, 92.58, 88.95})
