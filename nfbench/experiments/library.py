"""Experiments as YAML: those of the package, one file each in this folder, and a user's own files of the same form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nfbench.foundation.errors import InputError
from nfbench.foundation.names import unknown
from nfbench.foundation.yaml_model import read_yaml
from nfbench.published.catalogue import published
from nfbench.specification.experiment import Experiment

_FOLDER = Path(__file__).parent
_SUFFIXES = (".yaml", ".yml")


def names() -> list[str]:
    """The experiments that come with the package.

    Returns:
        Their names, sorted.

    >>> [name for name in names() if name.startswith("figure")]
    ['figure1', 'figure3']
    """
    return sorted(file.stem for file in _FOLDER.glob("*.yaml"))


def load(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Read a packaged experiment by name, or a file that ends in ``.yaml`` or ``.yml``.

    Args:
        name_or_path: name of a packaged experiment, or path of a file.
        overrides: dotted key -> value that replaces the file's, e.g. ``profiles.quick.training.updates``.

    Returns:
        The validated experiment.

    Raises:
        InputError: unknown name, unreadable file, content that is not an experiment (with its line), or a name that
            is taken by another experiment of the package.
    """
    if name_or_path.endswith(_SUFFIXES):
        _check_name(Path(name_or_path))
        return read_yaml(Path(name_or_path), Experiment, overrides)
    known = names()
    if name_or_path not in known:
        raise unknown("experiment", name_or_path, known, note=", or a .yaml file")
    return read_yaml(_FOLDER / f"{name_or_path}.yaml", Experiment, overrides)


def _check_name(file: Path) -> None:
    """Refuse a file with the name of a packaged experiment, or of a published figure, that is not that experiment."""
    experiment = read_yaml(file, Experiment)
    if experiment.name in names():
        same = experiment == read_yaml(_FOLDER / f"{experiment.name}.yaml", Experiment)
    else:
        same = published(experiment.name) is None
    if not same:
        raise InputError(
            f"{file}: name {experiment.name!r} is taken by nfbench's own, with which its records would mix; "
            "expected another name"
        )
