"""From an experiment's YAML to the cells to run: spec lists expanded, every name checked before anything is trained."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import yaml

from nfbench.experiments.data_of import protocols_of
from nfbench.experiments.families import choices
from nfbench.experiments.variations import variations_of
from nfbench.foundation.errors import InputError, first_line
from nfbench.foundation.names import unknown
from nfbench.foundation.yaml_model import yaml_value
from nfbench.specification import registry
from nfbench.specification.choices import CHOICES, LOGS, PLANS, RECHECKS, REFERENCE, TIMING, VERDICTS
from nfbench.specification.config import MOST_SEEDS, Cell, Group, Training, block_of
from nfbench.specification.entry import Choice
from nfbench.specification.experiment import Experiment, Profile
from nfbench.specification.registry import Registry

_SEEDS = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")
_MOST_TOGETHER = 20  # an update of 20 seeds of a small model costs about twice one of a single seed
_SEEDS_END = 2**63  # tables keep seeds in 64 bits
_KEY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def profile_of(experiment: Experiment, name: str) -> Profile:
    """Look up a profile, the size of an experiment's budget.

    Args:
        experiment: the experiment.
        name: name of the profile, such as ``quick``.

    Returns:
        The profile.

    Raises:
        InputError: the experiment has no profile of that name; the message lists its profiles.
    """
    if name not in experiment.profiles:
        raise unknown("profile", name, experiment.profiles, place=f" in experiment {experiment.name}")
    return experiment.profiles[name]


def plan(
    experiment: Experiment,
    profile: str,
    *,
    posteriors: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides_label: str = "",
) -> list[Group]:
    """Lay out the cells of one profile, in the experiment's order: targets, then posteriors, then seeds.

    The grid comes first, then each variation of it, without the posteriors that it makes no difference for.

    Args:
        experiment: gives targets, posteriors and profiles.
        profile: name of the profile.
        posteriors: specs that replace the experiment's.
        targets: specs that replace the experiment's.
        seeds: numbers that replace the profile's ``0 .. seeds-1``.
        overrides_label: text from `label`, which marks the records of a changed profile.

    Returns:
        One group for each target, posterior and block of seeds, with a cell for each seed.

    Raises:
        InputError: unknown profile, target, posterior or option, or a name that records cannot have.
    """
    files = {CHOICES: "the files of 'nfbench choose'", PLANS: "what is to be run", RECHECKS: "rechecks"}
    files |= {VERDICTS: "what 'nfbench verify' found", LOGS: "what workers said"}
    taken = files | {REFERENCE: "the committed records", TIMING: "the records of 'nfbench time'"}
    if experiment.name in taken:
        raise InputError(
            f"experiment name {experiment.name!r} is taken: that folder of results holds {taken[experiment.name]}"
        )
    grid = partial(_grid, profile=profile, posteriors=posteriors, seeds=seeds, overrides_label=overrides_label)
    groups = grid(experiment, None, 0, targets=targets)
    return groups + list(variations_of(experiment, groups, targets, grid))


def _grid(
    experiment: Experiment,
    variation: str | None,
    first: int,
    *,
    profile: str,
    posteriors: Sequence[str] | None,
    targets: Sequence[str] | None,
    seeds: Sequence[int] | None,
    overrides_label: str,
) -> list[Group]:
    """The groups of one grid: the experiment's own, or that of a variation; `first` is its first row in tables."""
    budget = profile_of(experiment, profile)
    common = {
        "experiment": experiment.name,
        "profile": profile + overrides_label,
        "training": _with_together(budget),
        "variation": variation,
        **{key: getattr(budget, key) for key in ("push", "evaluation")},
    }
    numbers = list(dict.fromkeys(range(budget.seeds) if seeds is None else seeds))
    columns = _ordered(registry.posteriors, experiment.posteriors, budget.posteriors, posteriors)
    groups = []
    rows = _ordered(registry.targets, experiment.targets, budget.targets, targets)
    data = protocols_of([str(choice) for _, choice in rows])
    _check_data(budget.training, data, f"variation {variation!r}: " if variation else "")
    for row, target_choice in rows:
        common |= {"target": str(target_choice), "data": data[str(target_choice)]}
        for column, posterior_choice in columns:
            common |= {"sources": registry.sources_of(str(posterior_choice), str(target_choice))}
            common |= {"library": posterior_choice.entry.checked_library}
            cells = [Cell(**common, posterior=str(posterior_choice), seed=seed) for seed in numbers]
            groups += [Group(cells=block, order=(first + row, column)) for block in _blocks(cells)]
    return groups


def _check_data(training: Training | None, data: Mapping[str, str | None], owner: str) -> None:
    """Refuse a training that needs data of targets that have none."""
    if training is None:
        return
    for name, usual in (("anneal", "joint"), ("head", "scaled")):
        value = getattr(training, name)
        for target in [target for target, protocol in data.items() if protocol is None and value != usual]:
            raise InputError(f"{owner}training.{name}={value}: expected {usual}, as target {target!r} has no data")


def _with_together(budget: Profile) -> Training | None:
    """The training, with a number of seeds that train as one program: the profile's, at most 20, if it gives none.

    Of more seeds, several programs run beside each other on the cores. Which seeds are asked for does not matter.
    """
    training = budget.training
    if training is None or training.together is not None:
        return training
    return training.model_copy(update={"together": min(budget.seeds, _MOST_TOGETHER)})


def _blocks(cells: Sequence[Cell]) -> list[tuple[Cell, ...]]:
    """The cells of one target and posterior, parted into those that train as one program, in order of first seeds."""
    training = cells[0].training
    if training is None or training.together is None:
        return [tuple(cells)]
    blocks: dict[tuple[int, ...], list[Cell]] = {}
    for cell in cells:
        blocks.setdefault(block_of(cell.seed, training.together), []).append(cell)
    return [tuple(block) for block in blocks.values()]


def parse_seeds(text: str) -> list[int]:
    """Parse seeds as written on the command line.

    Args:
        text: numbers and ranges that include both ends, separated by commas.

    Returns:
        The seeds in order, each once.

    Raises:
        InputError: not of that form, too many, or a range that runs backwards.

    >>> parse_seeds("0,2,5-7")
    [0, 2, 5, 6, 7]
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = _SEEDS.fullmatch(part.strip())
        if match is None:
            raise InputError(
                f"seeds {text!r}: {part!r} is neither a number nor a range; expected e.g. 3, 0-9 or 0,2,5-7"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"seeds {text!r}: the range {part.strip()} runs backwards; expected {last}-{first}")
        if last >= _SEEDS_END or last - first >= MOST_SEEDS:
            raise InputError(f"seeds {text!r}: {part.strip()}: expected at most {MOST_SEEDS} seeds, each below 2^63")
        seeds += range(first, last + 1)
    return list(dict.fromkeys(seeds))


def parse_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """Parse changes of a profile as written on the command line.

    Args:
        texts: each ``key=value``, with a dotted key relative to a profile and a value as in YAML.

    Returns:
        Key -> value.

    Raises:
        InputError: not of that form, or a repeated key.

    >>> parse_overrides(["training.updates=100", "training.schedule=constant"])
    {'training.updates': 100, 'training.schedule': 'constant'}
    """
    overrides: dict[str, Any] = {}
    for text in texts:
        key, equals, value = (piece.strip() for piece in text.partition("="))
        if not (equals and value and _KEY.fullmatch(key)):
            raise InputError(f"--set {text!r}: expected key=value, e.g. training.updates=100")
        if key in overrides:
            raise InputError(f"--set {text!r}: {key} is set twice")
        overrides[key] = _yaml_value(text, value)
    return overrides


def typed(profile: Profile, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides with the values that the changed profile has, so that two spellings of a number have one name.

    Args:
        profile: with the overrides in it.
        overrides: dotted keys of the profile -> values as they were written: 1e-3, which YAML takes for a text.

    Returns:
        The same keys; a number, text or truth value is the profile's own, anything else as it was written.
    """
    values = {}
    for key, written in overrides.items():
        value: Any = profile
        for part in key.split("."):
            value = getattr(value, part, None)
        values[key] = value if isinstance(value, str | int | float) else written
    return values


def label(overrides: Mapping[str, Any]) -> str:
    """Name the changes of a profile, as records append them to its name.

    Args:
        overrides: dotted keys of the profile -> values.

    Returns:
        The changes in brackets, sorted by key; an empty text for none.

    >>> label({"training.updates": 100, "seeds": 2})
    '[seeds=2,training.updates=100]'
    """
    texts = (f"{key}={overrides[key]}" for key in sorted(overrides))
    return f"[{','.join(texts)}]" if overrides else ""


def _yaml_value(text: str, value: str) -> Any:
    """The value of a ``key=value`` text, typed as in YAML; digits alone are a decimal number, in YAML 0100 is 64."""
    try:
        return int(value) if value.isascii() and value.isdecimal() else yaml_value(value)
    except yaml.YAMLError as error:
        raise InputError(f"--set {text!r}: the value is not YAML: {getattr(error, 'problem', error)}") from None
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # month 13, thousands of digits, lists without end
        raise InputError(f"--set {text[:200]!r}: the value is not YAML: {first_line(error)}") from None


def _ordered(
    registry: Registry, experiment: Sequence[str], profile: Sequence[str] | None, user: Sequence[str] | None
) -> list[tuple[int, Choice]]:
    """The specs to run, with their places in tables.

    The experiment's own specs keep their places whatever a profile or a user leaves out.

    Args:
        registry: posteriors or targets.
        experiment: specs of the experiment.
        profile: specs of the profile, which replace them.
        user: specs of the user, which replace both.
    """
    places = {text: place for place, text in enumerate(choices(registry, [*experiment, *(profile or [])]))}
    chosen = choices(registry, user or profile or experiment)
    for text in chosen:
        places.setdefault(text, len(places))
    return sorted(((places[text], choice) for text, choice in chosen.items()), key=lambda pair: pair[0])
