"""An experiment's grid once more with one thing changed: what a paper leaves open, tried one choice at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from nfbench.foundation.errors import InputError
from nfbench.foundation.names import unknown
from nfbench.specification.config import Training
from nfbench.specification.experiment import Experiment, Profile
from nfbench.specification.spec import Spec, expand


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
        try:
            training = Training(**(profile.training.model_dump() | variation.training))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, ["profiles", key, "training", *first["loc"]]))
            raise InputError(f"variation {name!r} of {experiment.name}: {place}: {first['msg']}") from None
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
