"""What the registry says of a target that a user brings: an entry with the sha256 of their code and data."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nfbench.foundation.errors import InputError
from nfbench.specification import registry
from nfbench.specification.entry import Entry
from nfbench.specification.spec import PATH
from nfbench.targets.contract import Target


class Named(NamedTuple):
    """What the text after the first colon of a spec names, before anything of it is run.

    Attributes:
        place: the user's file.
        label: for tables and plots.
        digest: sha256 of the file and of all that the density depends on besides.
    """

    place: Path
    label: str
    digest: str


def open_models(name: str, example: str, look: Callable[[str, str], Named], build: Callable[[str], Target]) -> None:
    """Make specs known that name a user's own model, such as ``file:my_model.py``.

    Args:
        name: before the first colon.
        example: a right spec, for messages.
        look: says of the text behind the colon, and of what messages call the target, what it names; raises an
            `InputError` where there is no such thing.
        build: makes the target of that text.
    """

    def entry(text: str) -> Entry:
        if not text:
            raise InputError(f"target {name!r}: no path; expected {example}")
        named = look(text, f"target '{name}:{text}'")

        def target(path: str) -> Target:
            """The user's own model."""
            return build(path)

        # Whose code it is: not nfbench's, so that it runs in a process of its own, which finds the file by its path.
        target.__module__, target.__qualname__ = f"file {named.place.name}", "target"
        label = named.label.replace("{", "{{").replace("}", "}}")
        options = {PATH: (str, "")}
        summary = "The user's own model."
        return Entry(name, target, label, "own model", None, summary, options, module_source=named.digest)

    registry.targets.open_files(name, entry, example)
