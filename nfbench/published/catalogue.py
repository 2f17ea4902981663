"""Published numbers as data: what a paper printed, how it was read, and what a comparison with it may conclude."""

from functools import cache
from pathlib import Path

from nfbench.foundation.yaml_model import read_yaml
from nfbench.published.schema import Published

_FOLDER = Path(__file__).parent


def published(name: str) -> Published | None:
    """The published table or figure of a name.

    Args:
        name: such as ``figure3``.

    Returns:
        The table or figure, read from its YAML file once; None where no file has that name.

    >>> published("figure3").difference("u1", "planar", 8).value.__round__(3)
    0.047
    """
    return _all().get(name)


def sources(experiment: str) -> list[Published]:
    """Every published table and figure that is compared with the records of `experiment`, its namesake first.

    Args:
        experiment: its name.

    Returns:
        The sources; empty where nothing published is compared.

    >>> [source.name for source in sources("figure3")]
    ['figure3']
    """
    compared = [source for source in _all().values() if source.experiment == experiment]
    return sorted(compared, key=lambda source: (source.name != experiment, source.name))


def experiment_of(name: str) -> str:
    """The experiment whose records are shown under a name.

    Args:
        name: of an experiment, or of a published table or figure.

    Returns:
        The experiment of the published source called `name`, else `name` itself.

    >>> experiment_of("figure3"), experiment_of("digits")
    ('figure3', 'digits')
    """
    source = published(name)
    return source.experiment if source else name


@cache
def _all() -> dict[str, Published]:
    files = sorted(_FOLDER.glob("*.yaml"))
    return {file.stem: read_yaml(file, Published, {"name": file.stem}) for file in files}
