"""An experiment's grid once more with one thing changed: what a paper leaves open, tried one choice at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nfbench.experiments.families import choices
from nfbench.foundation.checks import settings
from nfbench.foundation.errors import InputError
from nfbench.foundation.names import unknown
from nfbench.specification.config import Group, Origin, Training
from nfbench.specification.experiment import Experiment, Profile, Variation
from nfbench.specification.registry import posteriors
from nfbench.specification.registry import targets as registered
from nfbench.specification.spec import Spec, expand


def variations_of(
    experiment: Experiment, grid: Sequence[Group], targets: Sequence[str] | None, lay: Callable[..., list[Group]]
) -> Iterator[Group]:
    """The groups of all variations of an experiment, each cell with what it differs from.

    Args:
        experiment: as its file has it.
        grid: groups of the grid as it is.
        targets: specs that replace the experiment's; None: none.
        lay: (experiment, name of the variation, its first row in tables, ``targets=``) -> the groups of one grid.

    Yields:
        Groups, in the order of the experiment.

    Raises:
        InputError: a variation is of a posterior that the grid lacks, makes two targets of the grid the same one, or
            cannot be trained.
    """
    of_profiles = [spec for each in experiment.profiles.values() for spec in each.posteriors or ()]
    known = choices(posteriors, [*experiment.posteriors, *of_profiles]) if experiment.variations else {}
    first = 1 + max((group.order[0] for group in grid), default=-1)  # row in tables
    for name, variation in experiment.variations.items():
        meant = choices(posteriors, variation.posteriors or [*known, *(group.posterior for group in grid)])
        for posterior in meant if variation.posteriors else ():
            if posterior not in known:
                place = f" in the grid of variation {name!r} of {experiment.name}"
                raise unknown("posterior", posterior, known, place=place)
        given = None if targets is None else with_options(targets, variation.target)
        origins = _origins(grid, variation, f"variation {name!r} of {experiment.name}")
        groups = lay(varied(experiment, name), name, first, targets=given)
        first = 1 + max((group.order[0] for group in groups), default=first - 1)
        for group in groups:
            if group.posterior in meant:
                cells = [cell.model_copy(update={"origin": origins[cell.target]}) for cell in group.cells]
                yield group.model_copy(update={"cells": tuple(cells)})


def _origins(grid: Sequence[Group], variation: Variation, owner: str) -> dict[str, Origin]:
    """By target of a variation what it differs from, in the grid."""
    origins: dict[str, Origin] = {}
    for group in grid:
        origin = Origin(target=group.target, recipe=group.cells[0].recipe)
        for target in choices(registered, with_options([group.target], variation.target)):
            if origins.setdefault(target, origin) != origin:
                both = f"{origins[target].target!r} and {group.target!r}"
                raise InputError(f"{owner}: {both} become one target; expected options in which they do not differ")
    return origins


def varied(experiment: Experiment, name: str) -> Experiment:
    """The experiment with one of its variations made in every target and every profile.

    Args:
        experiment: as its file has it.
        name: of a variation.

    Returns:
        An experiment without variations.

    Raises:
        InputError: no variation of that name, or a training that cannot be.

    >>> from nfbench.experiments.library import load
    >>> varied(load("table2-choices"), "two layers").targets[0].count("layers=2")
    1
    """
    if name not in experiment.variations:
        raise unknown("variation", name, experiment.variations, place=f" in experiment {experiment.name}")
    variation = experiment.variations[name]

    def changed(key: str, profile: Profile) -> Profile:
        if profile.training is None:
            raise InputError(f"variation {name!r} of {experiment.name}: expected profiles that train")
        owner = f"variation {name!r} of {experiment.name}: profiles.{key}.training"
        training = settings(owner, Training, profile.training.model_dump(), variation.training)
        targets = profile.targets and with_options(profile.targets, variation.target)
        return profile.model_copy(update={"training": training, "targets": targets})

    return experiment.model_copy(
        update={
            "targets": with_options(experiment.targets, variation.target),
            "profiles": {key: changed(key, profile) for key, profile in experiment.profiles.items()},
            "variations": {},
        }
    )


def with_options(targets: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """Give targets other options.

    Args:
        targets: specs, which may have lists of values.
        options: by name.

    Returns:
        Specs, one for each combination.

    >>> with_options(["dlgm:dim=2|4"], {"layers": 2})
    ['dlgm:dim=2,layers=2', 'dlgm:dim=4,layers=2']
    """
    texts = {key: str(value) for key, value in options.items()}
    specs = [spec for target in targets for spec in expand(target)]
    return [str(Spec(spec.name, tuple((dict(spec.options) | texts).items()))) for spec in specs]
