"""Experiments as YAML and the grid of cells that they span."""

import pytest
import torch

from nfbench.experiments import plan as grid
from nfbench.experiments.execute import plan_experiment
from nfbench.experiments.library import load, names
from nfbench.experiments.plan import label, parse_overrides, parse_seeds, plan, typed
from nfbench.foundation.errors import InputError, MissingDataError
from nfbench.specification.experiment import Experiment
from nfbench.specification.registry import posteriors, register_posterior, targets
from nfbench.specification.spec import parse
from nfbench.targets.build import target
from nfbench.training.schedules import annealing

PAPER = {"optimizer": "rmsprop", "learning_rate": 1e-5, "momentum": 0.9, "schedule": "constant"}


def experiment(**changes):
    """A small grid of two targets, two families and two profiles."""
    training = {"learning_rate": 0.1, "updates": 10, "anneal_updates": 0}
    content = {
        "name": "mine",
        "title": "A title",
        "summary": "A summary",
        "targets": ["u1", "u2"],
        "posteriors": ["planar:K=2|8", "gaussian"],
        "profiles": {
            "quick": {"seeds": 2, "training": training},
            "smoke": {"seeds": 1, "training": training, "targets": ["u2"], "posteriors": ["gaussian", "planar:K=2"]},
        },
    }
    return Experiment.model_validate(content | changes)


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("profile", ["smoke", "quick", "standard", "paper"])
def test_every_packaged_profile_can_be_planned(name, profile, monkeypatch):
    """All profiles of all experiments expand to cells whose every name is known, each once, with or without data."""
    experiment = load(name)
    if profile not in ("smoke", "quick") and profile not in experiment.profiles:
        pytest.skip(f"{name} has no {profile} profile")
    try:
        groups = plan(experiment, profile)
    except MissingDataError:
        monkeypatch.setattr(grid, "protocols_of", lambda specs: {spec: str(targets.choose(spec)) for spec in specs})
        groups = plan(experiment, profile)
    cells = [cell for group in groups for cell in group.cells]
    assert len({cell.id for cell in cells}) == len(cells) > 0
    assert {cell.experiment for cell in cells} == {name}


def test_all_stands_for_every_registered_family():
    """It is one spec of each family, K = 4 for couplings and autoregressive flows, also of one registered later.

    Families of other libraries have a word of their own.
    """
    groups = plan(experiment(posteriors=["all"]), "quick", targets=["u1"])
    own = [entry.name for entry in posteriors if entry.library is None]
    assert sorted(parse(group.posterior).name for group in groups) == own
    libraries = plan(experiment(posteriors=["libraries"]), "quick", targets=["u1"])
    installed = [entry.name for entry in posteriors if entry.library is not None and entry.installed]
    assert sorted(parse(group.posterior).name for group in libraries) == installed
    depths = {group.posterior.partition(":")[0]: group.posterior for group in groups}
    assert "K=4" in depths["realnvp"]
    assert "K=8" in depths["planar"]

    @register_posterior("later", label="Later", cite="nobody")
    def later(dim: int) -> None:
        """A family of another package."""

    groups = plan(experiment(posteriors=["all", "planar:K=8"]), "quick", targets=["u1"])
    assert len(groups) == len(own) + 1
    with pytest.raises(InputError, match="'all'"):
        plan(experiment(targets=["all"]), "quick")


@pytest.mark.parametrize("name", ["synthetic", "posteriordb"])
def test_experiments_on_targets_with_facts_cover_all_families(name, monkeypatch):
    """Every profile has all registered families; the largest at least three seeds, posteriordb's 25 posteriors."""
    monkeypatch.setattr(grid, "protocols_of", lambda specs: dict.fromkeys(specs))
    for profile in load(name).profiles:
        groups = plan(load(name), profile)
        assert {parse(group.posterior).name for group in groups} == {
            entry.name for entry in posteriors if entry.library is None
        }
    assert all(len(group.seeds) >= 3 for group in groups)
    assert len({group.target for group in groups}) >= (25 if name == "posteriordb" else 11)


def test_figure3_is_the_papers_grid():
    """Four energies, four families, three lengths; the paper profile is Section 6's training, the quick 20 seeds."""
    groups = plan(load("figure3"), "paper")
    assert len({(group.target, group.posterior) for group in groups}) == 4 * 4 * 3
    assert [len(group.cells) for group in groups] == [20] * (100 // 20) * 4 * 4 * 3
    training = groups[0].cells[0].training
    assert training.model_dump(include={*PAPER, "updates", "draws", "anneal_updates"}) == PAPER | {
        "updates": 500_000,
        "draws": 100,
        "anneal_updates": 10_000,
    }
    assert {len(group.cells) for group in plan(load("figure3"), "quick")} == {20}


def test_quick_annealing_ends_after_two_fifths():
    """Annealing reaches 1 at 40 % of the updates of both trained quick profiles, and not at 39 %."""
    for name in ("figure3", "digits"):
        training = load(name).profiles["quick"].training
        assert annealing(training)(int(0.39 * training.updates)) < 1.0
        assert annealing(training)(int(0.40 * training.updates)) == 1.0


def test_digits_paper_profile_is_section_six():
    """RMSprop at 1e-5, momentum .9, minibatches of 100, one draw, 500,000 updates, 200 importance draws."""
    profile = load("digits").profiles["paper"]
    assert (profile.training.model_dump(include={*PAPER, "batch", "draws", "updates", "anneal_updates"})) == PAPER | {
        "batch": 100,
        "draws": 1,
        "updates": 500_000,
        "anneal_updates": 10_000,
    }
    assert (profile.evaluation.importance_draws, profile.seeds) == (200, 100)


def test_the_grid_is_canonical_and_ordered():
    """Targets, then posteriors, then seeds; every spec in its canonical form; the order is that of the experiment."""
    groups = plan(experiment(), "quick")
    assert [(group.target, group.posterior, group.order, group.seeds) for group in groups] == [
        ("u1", "planar:K=2", (0, 0), (0, 1)),
        ("u1", "planar:K=8", (0, 1), (0, 1)),
        ("u1", "gaussian", (0, 2), (0, 1)),
        ("u2:walls=gaussian", "planar:K=2", (1, 0), (0, 1)),
        ("u2:walls=gaussian", "planar:K=8", (1, 1), (0, 1)),
        ("u2:walls=gaussian", "gaussian", (1, 2), (0, 1)),
    ]


def test_a_narrowed_profile_keeps_the_places():
    """Specs that a profile leaves out do not move the others: tables of all profiles have the same order."""
    assert [(group.posterior, group.order) for group in plan(experiment(), "smoke")] == [
        ("planar:K=2", (1, 0)),
        ("gaussian", (1, 2)),
    ]


def test_asked_specs_replace_the_experiments():
    """Posteriors, targets and seeds that are asked for run; a new one comes after the known, none comes twice."""
    groups = plan(
        experiment(),
        "quick",
        posteriors=["radial:K=1", "planar:K=8|8", "planar:K=8"],
        targets=["u2:walls=none"],
        seeds=[7, 6, 7],
    )
    assert [(group.target, group.posterior, group.order, group.seeds) for group in groups] == [
        ("u2:walls=none", "planar:K=8", (2, 1), (7, 6)),
        ("u2:walls=none", "radial:K=1", (2, 3), (7, 6)),
    ]


def test_a_cell_is_the_same_however_it_is_asked_for():
    """A cell of the whole grid and the same cell asked for alone share their record."""
    whole = {cell.id for group in plan(experiment(), "quick") for cell in group.cells}
    alone = plan(experiment(), "quick", posteriors=["planar:K=8"], targets=["u1"], seeds=[1])[0].cells[0]
    assert alone.id in whole


def test_data_targets_name_their_data():
    """A cell of a target with data carries the protocol's hash; others carry nothing."""
    assert plan(experiment(), "smoke")[0].cells[0].data is None
    with_data = plan(experiment(targets=["digits"]), "quick")[0].cells[0]
    assert with_data.data == target("digits").data


def test_planning_draws_nothing():
    """Building targets for their facts leaves torch's own generator as it was."""
    before = torch.random.get_rng_state()
    plan(experiment(targets=["digits"]), "quick")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("asked", "names_in"),
    [
        ({"profile": "quikc"}, ["'quikc'", "mine", "known: quick, smoke"]),
        ({"posteriors": ["plnar"]}, ["'plnar'", "did you mean planar?"]),
        ({"posteriors": ["planar:K=-1"]}, ["K=-1"]),
        ({"targets": ["u9"]}, ["'u9'", "u1"]),
        ({"targets": ["u2:walls=brick"]}, ["walls=brick"]),
    ],
)
def test_wrong_names_are_refused_before_anything_runs(asked, names_in):
    """An unknown profile, family, target or option fails the plan in one line."""
    with pytest.raises(InputError) as caught:
        plan(experiment(), **({"profile": "quick"} | asked))
    assert all(name in str(caught.value) for name in names_in), str(caught.value)


def test_a_target_that_cannot_be_built_is_refused():
    """What a factory raises, be it the user's own or torch's lack of memory, fails the plan in one line."""
    targets.names()

    @targets.register("hopeless", label="Hopeless", cite="nobody")
    def hopeless() -> None:
        """A target that is too large."""
        raise RuntimeError("can't allocate memory\nmore lines")

    with pytest.raises(InputError) as caught:
        plan(experiment(targets=["hopeless"]), "quick")
    expected = "target 'hopeless' cannot be built: RuntimeError: can't allocate memory (test_experiments.py:"
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_the_reference_folders_name_is_taken():
    """An experiment called reference would write among the committed records."""
    with pytest.raises(InputError, match="'reference' is taken"):
        plan(experiment(name="reference"), "quick")


def test_unknown_experiments_are_refused(tmp_path):
    """A name that is none gets suggestions; a file that is not there is named."""
    with pytest.raises(InputError, match=r"'figure33'; did you mean figure3.* known: digits, figure1, figure3"):
        load("figure33")
    with pytest.raises(InputError, match=r"cannot read .*absent\.yaml"):
        load(str(tmp_path / "absent.yaml"))


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", [3]), ("0-4", [0, 1, 2, 3, 4]), ("0,2,5-7", [0, 2, 5, 6, 7]), (" 1 , 1-2 ", [1, 2]), ("7-7", [7])],
)
def test_seeds_are_read(text, seeds):
    """Numbers, ranges with both ends, and lists of them; each seed once."""
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text",
    ["", "a", "-1", "1-", "0--3", "1;2", "1,,2", "4-2", "1.5", "²", "0-99999999999", "9223372036854775808", "9" * 30],
)
def test_wrong_seeds_are_refused(text):
    """One line that repeats the text and says what was expected."""
    with pytest.raises(InputError, match=r"seeds .*expected"):
        parse_seeds(text)


def test_overrides_are_typed_as_yaml():
    """Values are numbers, texts, truths and lists as YAML reads them; the label sorts the keys."""
    changes = parse_overrides(["training.updates=100", "training.autocast=true", "targets=[u1, u2]", "a=b=c"])
    assert changes == {"training.updates": 100, "training.autocast": True, "targets": ["u1", "u2"], "a": "b=c"}
    assert label({"seeds": 2, "evaluation.grid": 9}) == "[evaluation.grid=9,seeds=2]"
    assert label({}) == ""


@pytest.mark.parametrize("texts", [["updates"], ["=3"], ["a="], ["a..b=1"], ["a b=1"], ["a=1", "a=2"], ["a=[1"]])
def test_wrong_overrides_are_refused(texts):
    """A text that is not key=value, or a repeated key, is refused in one line."""
    with pytest.raises(InputError, match="--set") as caught:
        parse_overrides(texts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "spellings"),
    [
        ("training.learning_rate", ["0.001", "1e-3", "1.0e-3", "0.0010"]),
        ("training.updates", ["100", "0100", "1_00", "+100"]),
        ("training.momentum", ["0", "0.0", "0e0"]),
    ],
)
def test_spellings_of_a_number_are_one_cell(key, spellings):
    """However a number is written, the changed profile has one name and its cells have one id."""
    plans = [
        plan_experiment(
            "figure3",
            "quick",
            ["gaussian"],
            ["u1"],
            [0],
            parse_overrides([f"{key}={text}", "training.anneal_updates=0"]),
        )
        for text in spellings
    ]
    assert len({groups[0].cells[0].id for groups in plans}) == 1
    assert len({groups[0].cells[0].profile for groups in plans}) == 1


def test_committed_names_of_changed_profiles_stay():
    """The name of a profile that committed records were made with is spelled as it was."""
    changes = {"training.updates": 30_000, "training.anneal_updates": 3000}
    experiment = load("table2", {f"profiles.standard.{key}": value for key, value in changes.items()})
    name = "standard" + label(typed(experiment.profiles["standard"], changes))
    assert name == "standard[training.anneal_updates=3000,training.updates=30000]"
