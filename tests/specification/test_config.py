"""Configuration: rules of a training, and errors that name the line."""

import os
import time

import pytest
from pydantic import ValidationError

from nfbench.experiments.plan import parse_overrides
from nfbench.foundation.errors import InputError
from nfbench.foundation.yaml_model import read_yaml
from nfbench.specification.config import Cell, Evaluation, Group, Training
from nfbench.specification.experiment import Experiment

GOOD = """\
name: mine
title: A title
summary: A summary
targets: [u1]
posteriors:
  - planar:K=2
profiles:
  quick:
    seeds: 3
    training:
      learning_rate: 0.02
      updates: 100
      anneal_updates: 40
    evaluation: {draws: 50}
"""


def written(tmp_path, text):
    """The text as a file."""
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return file


def test_a_good_file_is_read(tmp_path):
    """What is written is there, what is not has its default."""
    training = read_yaml(written(tmp_path, GOOD), Experiment).profiles["quick"].training
    assert (training.learning_rate, training.updates, training.optimizer) == (0.02, 100, "adam")


@pytest.mark.parametrize(
    ("old", "new", "line", "names"),
    [
        ("title: A title", "titel: A title", 2, ["titel", "did you mean title?"]),
        ("title: A title\n", "", 1, ["title", "required"]),
        ("      updates: 100", "      updtes: 100", 12, ["profiles.quick.training.updtes", "did you mean updates"]),
        ("      updates: 100\n", "", 10, ["profiles.quick.training.updates", "required"]),
        (
            "      updates: 100",
            "      updates: 100\n      speed: 3",
            13,
            ["quick.training.speed", "learning_rate, mom"],
        ),
        ("      updates: 100", "      updates: many", 12, ["training.updates", "valid integer", "'many'"]),
        ("    seeds: 3", "    seeds: 0", 9, ["quick.seeds", "greater than or equal to 1", "got 0"]),
        ("  - planar:K=2", "  - planar:K=2\n  - [1]", 7, ["posteriors.1", "valid string"]),
        ("{draws: 50}", "{draws: 50, drows: 1}", 14, ["evaluation.drows", "did you mean draws", "importance_draws"]),
        ("      anneal_updates: 40", "      anneal_updates: 400", 10, ["anneal_updates=400", "updates=100"]),
        ("    seeds: 3", "    seeds: 3\n    push: {}", 8, ["profiles.quick", "either 'training' or 'push'"]),
        ("    seeds: 3", "    seeds: 3\n    seeds: 4", 10, ["'seeds'", "twice"]),
        ("name: mine", "name: My Own", 1, ["name", "pattern", "'My Own'"]),
        ("targets: [u1]", "targets: []", 4, ["targets", "at least 1"]),
        ("targets: [u1]", "targets: [u1", 5, ["not YAML"]),
        ("targets: [u1]", "targets:\t[u1", 4, ["not YAML"]),
        ("    seeds: 3", "    seeds: 99999999999999", 9, ["quick.seeds", "less than or equal to 100000", "got 999"]),
        ("    seeds: 3", "    seeds: 3\n    targets: []", 10, ["quick.targets", "at least 1"]),
        ("learning_rate: 0.02", "learning_rate: .inf", 11, ["learning_rate", "finite number", "got inf"]),
        ("name: mine", "name: m" + 100 * "y", 1, ["name", "at most 100"]),
    ],
)
def test_errors_name_the_line(tmp_path, old, new, line, names):
    """``file:line: key: reason`` in one line, for keys that are wrong, missing or repeated and for wrong values."""
    assert old in GOOD
    file = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_yaml(file, Experiment)
    message = str(caught.value)
    assert message.startswith(f"{file}:{line}: ")
    assert "\n" not in message
    assert all(name in message for name in names), message


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text\n"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    """A file that is empty, a list or a text is refused at its first line."""
    with pytest.raises(InputError, match=r"mine\.yaml:1: expected keys and values"):
        read_yaml(written(tmp_path, text), Experiment)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """A missing file and one that is not text are refused by name."""
    with pytest.raises(InputError, match=r"cannot read .*absent\.yaml"):
        read_yaml(tmp_path / "absent.yaml", Experiment)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match=r"cannot read .*binary\.yaml"):
        read_yaml(tmp_path / "binary.yaml", Experiment)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("title: &a [*a]\n", "nested without end"),
        ("&a {title: *a}\n", "nested without end"),
        ("[" * 3000, "nested without end"),
        ("title: 2020-13-41\n", "not YAML: month must be in 1..12"),
        ("seeds: " + 5000 * "9", "not YAML: Exceeds the limit"),
        ("? [a, b]\n: 1\n", "not YAML: found unhashable key"),
    ],
    ids=["recursive list", "recursive mapping", "deep", "no date", "long number", "list as key"],
)
def test_what_python_cannot_hold_is_refused(tmp_path, text, reason):
    """YAML that is well formed and yet no data of Python's is one line that names the file."""
    file = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_yaml(file, Experiment)
    assert str(caught.value).startswith(str(file))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def _nested(line):
    """Nine levels of ten aliases each, which stand for 10^9 values; `line` writes a level from its name and parts."""
    levels = ["&l0 {a: x}", *(line(number, ", ".join(10 * [f"*l{number - 1}"])) for number in range(1, 10))]
    return f"[{', '.join(levels)}]"


@pytest.mark.parametrize(
    "line",
    [
        lambda number, parts: f"&l{number} [{parts}]",
        lambda number, parts: f"&l{number} {{a: [{parts}], b: [{parts}]}}",
        lambda number, parts: f"&l{number} {{<<: [{parts}]}}",
    ],
    ids=["lists", "mappings", "merged"],
)
def test_aliases_of_aliases_are_refused_before_they_are_written_out(tmp_path, line):
    """A short file that stands for a thousand million values is one line within a second, as is such a value."""
    started = time.process_time()
    with pytest.raises(InputError, match=r"mine\.yaml:\d+: aliases that stand for [\d,]+ values; expected at most"):
        read_yaml(written(tmp_path, f"title: {_nested(line)}\n"), Experiment)
    with pytest.raises(InputError, match="aliases that stand for"):
        parse_overrides([f"targets={_nested(line)}"])
    assert time.process_time() - started < 1


def test_an_alias_is_as_good_as_what_it_stands_for(tmp_path):
    """Two profiles may share what is written once."""
    text = GOOD.replace("training:", "training: &t") + "  again: {seeds: 1, training: *t}\n"
    profiles = read_yaml(written(tmp_path, text), Experiment).profiles
    assert profiles["again"].training == profiles["quick"].training


def test_a_pipe_is_not_waited_for(tmp_path):
    """A pipe and a file of more than a mebibyte are refused by name."""
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(InputError, match=r"cannot read .*pipe\.yaml: it is a pipe or device"):
        read_yaml(tmp_path / "pipe.yaml", Experiment)
    with pytest.raises(InputError, match=r"mine\.yaml: it is larger than 1,048,576 bytes"):
        read_yaml(written(tmp_path, "#" * (2**20 + 1)), Experiment)


def test_overrides_replace_what_is_written(tmp_path):
    """A dotted key changes one value, or adds one that had its default."""
    changes = {"profiles.quick.training.updates": 500, "profiles.quick.evaluation.grid": 9}
    profile = read_yaml(written(tmp_path, GOOD), Experiment, changes).profiles["quick"]
    assert (profile.training.updates, profile.training.anneal_updates) == (500, 40)
    assert (profile.evaluation.grid, profile.evaluation.draws) == (9, 50)


@pytest.mark.parametrize(
    ("key", "value", "names"),
    [
        ("profiles.quick.training.updtes", 5, ["--set", "updtes", "did you mean updates"]),
        ("profiles.quick.training.updates", "x", ["--set", "training.updates", "valid integer", "'x'"]),
        ("profiles.quick.updates", 5, ["--set", "did you mean training.updates?", "known: seeds, recipe, training"]),
        ("profiles.quick.grid", 5, ["--set", "did you mean evaluation.grid?"]),
        ("profiles.quick.seeds.more", 5, ["--set", "'seeds' has no keys below it"]),
        ("profiles.quick.trainng.updates", 5, ["--set: profiles.quick.trainng", "did you mean training"]),
        ("profiles.quick.training.anneal_updates", 999, ["--set: profiles.quick.training", "updates=100"]),
        ("profiles.quick.training", None, ["--set: profiles.quick", "either 'training' or 'push'"]),
    ],
)
def test_wrong_overrides_are_not_blamed_on_the_file(tmp_path, key, value, names):
    """An override that is wrong is named as such."""
    with pytest.raises(InputError) as caught:
        read_yaml(written(tmp_path, GOOD), Experiment, {key: value})
    assert all(name in str(caught.value) for name in names), str(caught.value)


def test_annealing_must_end_within_the_training():
    """The longest annealing that reaches beta = 1 is accepted, a longer one is refused."""
    Training(learning_rate=0.1, updates=99, anneal_updates=100)
    with pytest.raises(ValidationError, match="would not let beta reach 1"):
        Training(learning_rate=0.1, updates=98, anneal_updates=100)


def cell(**changes):
    """A cell of a training."""
    training = Training(learning_rate=0.1, updates=1, anneal_updates=0)
    facts = {"experiment": "mine", "profile": "quick", "target": "u1", "posterior": "planar:K=2", "seed": 0}
    return Cell(**({**facts, "training": training, "evaluation": Evaluation()} | changes))


def test_a_group_differs_in_seeds_only():
    """Cells of one configuration make a group; another posterior, or a seed twice, does not."""
    group = Group(cells=(cell(seed=0), cell(seed=4)), order=(0, 1))
    assert (group.seeds, group.target, group.posterior) == ((0, 4), "u1", "planar:K=2")
    with pytest.raises(ValidationError, match="more than their seed"):
        Group(cells=(cell(seed=0), cell(seed=1, posterior="planar:K=8")), order=(0, 0))
    with pytest.raises(ValidationError, match="twice"):
        Group(cells=(cell(seed=1), cell(seed=1)), order=(0, 0))


RECIPES = GOOD.replace(
    "profiles:\n",
    "recipes:\n  paper: {optimizer: rmsprop, learning_rate: 1.0e-5, schedule: constant}\n"
    "  adam: {optimizer: adam, learning_rate: 0.001, schedule: one-cycle}\nprofiles:\n",
).replace("    seeds: 3\n", "    seeds: 3\n    recipe: paper\n")


def test_a_recipe_fills_what_a_profile_leaves_open(tmp_path):
    """A profile's training has its recipe's optimizer, and keeps what it says itself; --set names another."""
    profile = read_yaml(written(tmp_path, RECIPES), Experiment).profiles["quick"]
    assert (profile.training.optimizer, profile.training.learning_rate, profile.training.updates) == (
        "rmsprop",
        0.02,
        100,
    )
    free = RECIPES.replace("      learning_rate: 0.02\n", "")
    paper = read_yaml(written(tmp_path, free), Experiment).profiles["quick"].training
    assert (paper.optimizer, paper.learning_rate, paper.schedule) == ("rmsprop", 1e-5, "constant")
    adam = read_yaml(written(tmp_path, free), Experiment, {"profiles.quick.recipe": "adam"}).profiles["quick"].training
    assert (adam.optimizer, adam.learning_rate, adam.schedule, adam.updates) == ("adam", 1e-3, "one-cycle", 100)


def test_an_unknown_recipe_is_named(tmp_path):
    """A recipe that the experiment has not is refused with those that it has; a wrong one with its place."""
    with pytest.raises(
        InputError, match=r"mine.yaml:1: recipe 'papr': unknown; did you mean paper\? known: paper, adam"
    ):
        read_yaml(written(tmp_path, RECIPES.replace("recipe: paper", "recipe: papr")), Experiment)
    with pytest.raises(InputError, match=r"mine.yaml:9: recipes.adam.learning_rate: .*greater than 0"):
        read_yaml(written(tmp_path, RECIPES.replace("learning_rate: 0.001", "learning_rate: 0")), Experiment)


def test_what_is_not_asked_for_changes_no_digest():
    """An evaluation without a long estimate hashes as before there was one; with one it is another cell."""
    plain, longer = Evaluation(draws=50), Evaluation(draws=50, long_draws=500)
    assert set(plain.model_dump(mode="json")) == {"draws", "forward_draws", "importance_draws", "dtype", "grid"}
    assert longer.model_dump(mode="json")["long_draws"] == 500
    assert Evaluation.model_validate(longer.model_dump(mode="json")) == longer
