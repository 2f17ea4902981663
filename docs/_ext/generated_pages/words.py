"""Pages about words and numbers: the glossary, and what is published."""

from collections.abc import Mapping
from typing import Any

from generated_pages.markup import code, definitions
from generated_pages.source import PACKAGE
from nfbench.published import catalogue
from nfbench.records import glossary
from nfbench.records.measures import FLOOR, Measure

__all__ = ["diagnostics", "measures", "modes", "published", "stopping", "timing_words", "words"]


def published() -> str:
    """What is known of every published table or figure that records are compared with."""
    names = sorted(file.stem for file in (PACKAGE / "published").glob("*.yaml"))
    parts = []
    for name in names:
        source = catalogue.published(name)
        if source is None:
            continue
        how = {"Q": "as printed", "D": "digitised from the figure"}[source.mark]
        parts.append(
            f"`{name}`: {source.source}, {how}\n: {source.note}\n\n"
            f"  Two results are called equal within the margin {_margin(source.margin)}. {source.margin_reason}\n"
        )
    return "\n".join(parts)


def _margin(margin: Any) -> str:
    if isinstance(margin, Mapping):
        return ", ".join(f"{value} nats of {glossary.measure(name).label}" for name, value in margin.items())
    return f"of {margin} nats"


def measures() -> str:
    """The metrics of a record with their units."""
    return definitions((f"{code(name)}: {entry.title}", entry.meaning) for name, entry in glossary.MEASURES.items())


def diagnostics() -> str:
    """A section for every diagnostic of a density's posterior: formula, source and limits; floors have none."""
    return _with_limits(glossary.DIAGNOSTICS)


def stopping() -> str:
    """A section for every number of a training that may stop on evidence."""
    return _with_limits(glossary.STOPPING)


def _with_limits(measures: Mapping[str, Measure]) -> str:
    parts = []
    for name, entry in measures.items():
        if name.endswith(FLOOR):
            continue
        rows = [("Formula", entry.formula), ("Source", entry.source), ("What it cannot see", entry.blind)]
        has_floor = name + FLOOR in measures
        named = code(name) + (f" and {code(name + FLOOR)}" if has_floor else "")
        parts.append(f"### {entry.title}\n\n{named}. {entry.meaning}\n\n{definitions(rows)}")
    return "\n".join(parts)


def words() -> str:
    """The words that tables and reports use."""
    return definitions(glossary.WORDS.items())


def timing_words() -> str:
    """The words of timings."""
    return definitions(glossary.TIMING_WORDS.items())


def modes() -> str:
    """What a timing can be of."""
    return definitions((code(name), meaning) for name, meaning in glossary.MODES.items())
