"""Pages about what is registered: families, targets, data, experiments, contenders, checks."""

import inspect
import sys
from typing import Any

from generated_pages.docstrings import arguments, type_words
from generated_pages.markup import code, definitions, rst, table
from nfbench.experiments import library
from nfbench.specification import registry
from nfbench.specification.entry import Entry

__all__ = ["checks", "contenders", "data", "experiments", "libraries", "posteriors", "targets"]

MEANINGS = {"K": "number of maps", "dim": "latent dimensions D"}  # where a factory does not say


def posteriors() -> str:
    """A section for every registered posterior family that no other library computes."""
    return "\n".join(section(entry) for entry in registry.posteriors if entry.library is None)


def libraries() -> str:
    """What is said of every library once, with a section for every family that it computes."""
    parts: dict[str, list[str]] = {}
    for entry in registry.posteriors:
        if entry.library is not None:
            about = rst(inspect.getdoc(sys.modules[entry.factory.__module__]) or "")
            start = f"## {entry.library.module}\n\n`pip install {entry.library.distribution}`\n\n{about}"
            parts.setdefault(entry.library.module, [start]).append("#" + section(entry, about_module=False))
    return "\n".join(part for sections in parts.values() for part in sections)


def targets() -> str:
    """A section for every registered target."""
    return "\n".join(section(entry) for entry in registry.targets)


def data() -> str:
    """A section for every data protocol, with its licence and files."""
    from nfbench.data.source import source

    parts = []
    for entry in registry.protocols:
        origin = source(entry.name)
        rows = [
            (
                code(file.names[0]),
                f"{file.size / 1e6:,.1f} MB" if file.size else "",
                code(file.sha256[:16]) if file.sha256 else "—",
            )
            for file in origin.files
        ]
        files = table(("file", "size", "sha256 of its rows, first 16 digits"), rows) if rows else "No file to download."
        parts.append(f"{section(entry)}\nLicence: {origin.licence}.\n\n{files}\n")
    return "\n".join(parts)


def experiments() -> str:
    """A section for every packaged experiment: its grid, its profiles, its YAML file with the reasons in comments."""
    parts = []
    for name in library.names():
        experiment = library.load(name)
        grid = [("targets", experiment.targets), ("posteriors", experiment.posteriors)]
        lines = [f"- {kind}: {', '.join(map(code, specs))}" for kind, specs in grid]
        profiles = table(
            ("profile", "seeds", "training", "updates", "draws S", "batch B", "draws of the evaluation"),
            [(code(key), *_budget(profile)) for key, profile in experiment.profiles.items()],
        )
        parts.append(
            f"(experiment-{name})=\n## `{name}`\n\n**{experiment.title}.** {experiment.summary}\n\n"
            + "\n".join(lines)
            + f"\n\n{profiles}\n"
            + f"```{{literalinclude}} ../../nfbench/experiments/{name}.yaml\n:language: yaml\n"
            + f":caption: nfbench/experiments/{name}.yaml\n```\n"
        )
    return "\n".join(parts)


def _budget(profile: Any) -> tuple[str, ...]:
    training, draws = profile.training, f"{profile.evaluation.draws:,}"
    if training is None:
        return str(profile.seeds), "none: random parameters", "—", "—", "—", draws
    words = f"{training.optimizer}, {training.learning_rate:g}, {training.schedule}"
    return str(profile.seeds), words, f"{training.updates:,}", str(training.draws), str(training.batch), draws


def contenders() -> str:
    """A section for everybody who is timed."""
    from nfbench.timing.contenders.contract import contenders as every

    parts = []
    for name, contender in every().items():
        kinds = [("flow layers", contender.build), ("training steps", contender.step)]
        facts = [
            f"- `--vs {name}`"
            + (f", or its group `--vs {contender.group}`" if contender.group not in ("", name) else ""),
            f"- does: {' and '.join(kind for kind, build in kinds if build)}",
            f"- versions recorded: {', '.join(map(code, contender.distributions))}",
        ]
        docstring = inspect.getdoc(sys.modules[contender.made_by.__module__]) or ""
        parts.append(f"## {contender.label}\n\n" + "\n".join(facts) + f"\n\n{rst(docstring)}\n")
    return "\n".join(parts)


def checks() -> str:
    """Every check of `nfbench verify`, in the order of its report."""
    from nfbench.verification import checks as battery
    from nfbench.verification.check import CHECKS

    assert battery.__all__  # the import fills the list
    return definitions((code(check.name), f"{check.proves}. Tolerance: {check.tolerance}.") for check in CHECKS)


def section(entry: Entry, *, about_module: bool = True) -> str:
    """A registry's entry as a section: names, source, options, docstrings of its module and factory.

    Args:
        entry: of any registry.
        about_module: whether the module's docstring is a part of it.

    Returns:
        Markdown with a heading of the second level.
    """
    labels = dict.fromkeys(_label(entry, variant) for variant in entry.variants())
    source = f"{entry.cite}" + (f" ({entry.year})" if entry.year and str(entry.year) not in entry.cite else "")
    module = (inspect.getdoc(sys.modules[entry.factory.__module__]) or "") if about_module else ""
    text, meanings = arguments((inspect.getdoc(entry.factory) or entry.summary).partition("\n")[2])
    rows = [
        (
            code(name),
            type_words(kind),
            code(default),
            meanings.get("depth" if name == "K" else name, MEANINGS.get(name, "")),
        )
        for name, (kind, default) in entry.options.items()
    ]
    options = table(("option", "type", "default", "meaning"), rows) if rows else "No options.\n"
    return (
        f"## `{entry.name}`\n\n{entry.summary}\n\n"
        f"- in tables: {'; '.join(labels)}\n- source: {source}\n- module: `{entry.factory.__module__}`\n\n"
        f"{options}\n{rst(module)}\n{rst(text)}"
    )


def _label(entry: Entry, variant: str) -> str:
    options = {name: default for name, (_, default) in entry.options.items()}
    chosen = dict(part.split("=", 1) for part in variant.removeprefix(entry.name).lstrip(":").split(",") if part)
    return entry.label.format(**(options | chosen))
