"""Parts of the documentation that are written from the package itself while Sphinx builds the pages.

A line ``<!-- generated: NAME -->`` in a Markdown page is replaced by what `GENERATORS[NAME]` returns, so no page lists
by hand what a registry, the glossary or the folders' own docstrings know.
"""

import ast
import importlib
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

import nfbench
from nfbench.experiments import library
from nfbench.foundation import settings
from nfbench.published import catalogue
from nfbench.records import cells, glossary, timings
from nfbench.records.measures import FLOOR, Measure
from nfbench.records.schema import MODELS, json_schema
from nfbench.specification import config, registry
from nfbench.specification import experiment as experiment_file
from nfbench.specification.entry import Entry

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PACKAGE = Path(nfbench.__file__).parent
ROOT = Path(__file__).parents[2]
MEANINGS = {"K": "number of maps", "dim": "latent dimensions D"}  # where a factory does not say
MARK = re.compile(r"^<!-- generated: ([a-z_]+) -->$", re.MULTILINE)


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


def library_verdicts() -> str:
    """What ``nfbench verify`` found of the families of other libraries, from the verdicts beside the package."""
    from nfbench.present.tables.verdicts import protocol, words

    verdicts = nfbench.results(ROOT / "results" / "standard").verdicts.values()
    stored = [verdict for verdict in verdicts if verdict.examined.library]
    if not stored:
        return "No verdict is stored: `nfbench verify --libraries --results results/standard` writes them.\n"
    rows = [
        (
            verdict.label,
            ": ".join([words(verdict), *filter(None, [", ".join(verdict.with_status("fail"))])]),
            "no" if "density" in verdict.lacking else "yes",
        )
        for verdict in stored
    ]
    return f"{protocol(stored)}\n\n{table(('family', 'verdict', 'density at points'), rows)}"


def volume_preserving() -> str:
    """The least divergence of volume-preserving maps on the energies of Figure 3, beside its longest chains."""
    from nfbench.evaluation.volume_preserving import least_divergence
    from nfbench.targets.build import target

    frame = nfbench.results(ROOT / "results" / "reference").frame
    frame = frame[frame["experiment"] == "figure3"]
    frame = frame[frame["K"] == frame["K"].max()]
    rows = []
    for spec, on_target in frame.groupby("target", sort=False):
        least = least_divergence(target(str(spec))).kl
        for posterior, seeds in on_target.groupby("posterior", sort=False):
            if registry.posteriors.choose(str(posterior)).facts["volume_preserving"]:
                numbers = (least, seeds["kl"].min(), seeds["kl"].median(), seeds["kl"].max())
                label = f"{seeds['label'].iloc[0]}, K = {seeds['K'].iloc[0]:.0f}"
                rows.append((seeds["target_label"].iloc[0], label, *(f"{value:.3f}" for value in numbers)))
    return table(("target", "posterior", "least possible (nats)", "best seed", "median", "worst seed"), rows)


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


def configuration() -> str:
    """The models of an experiment's YAML file and of cells, with what each field means."""
    return models(config) + models(experiment_file)


def records() -> str:
    """The models of a stored record of a cell."""
    return models(cells)


def timing_records() -> str:
    """The models of a stored record of a timing."""
    return models(timings)


def schemas() -> str:
    """A section for the JSON Schema of every kind of stored record, with a link to its file."""
    parts = []
    for kind, text in _schema_files().items():
        link = f'<a href="../schema/{kind}.schema.json">{kind}.schema.json</a>'
        parts.append(f"## {kind}\n\nAs a file: {link}.\n\n```json\n{text}\n```\n")
    return "\n".join(parts)


def _schema_files() -> dict[str, str]:
    return {kind: json.dumps(json_schema(kind), indent=1, ensure_ascii=False) for kind in MODELS}


def models(module: types.ModuleType) -> str:
    """A section for every pydantic model that a module defines, with a table of its fields.

    A field's meaning is its line in the docstring's ``Attributes``, or else the comment behind it.
    """
    source = Path(str(module.__file__)).read_text()
    parts = []
    for node in ast.parse(source).body:
        model = getattr(module, node.name) if isinstance(node, ast.ClassDef) else None
        if not (isinstance(node, ast.ClassDef) and inspect.isclass(model) and issubclass(model, BaseModel)):
            continue
        text, meanings = arguments(inspect.getdoc(model) or "", "Attributes")
        fields = [part for part in node.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)]
        rows = []
        for field in fields:
            name, line = field.target.id, source.splitlines()[(field.end_lineno or 1) - 1]
            info = model.model_fields.get(name)
            if info is not None:
                meaning = meanings.get(name) or line.partition("  # ")[2]
                default = "required" if info.is_required() else code(_default(info))
                rows.append((code(name), _type(field, info, module), default, meaning))
        head = ("field", "type", "default", "meaning")
        shown = len(head) if any(row[-1] for row in rows) else len(head) - 1
        if rows:
            body = table(head[:shown], [row[:shown] for row in rows])
            parts.append(f"### {node.name}\n\n{rst(text)}\n{body}")
    return "\n".join(parts)


def _default(info: Any) -> Any:
    value = info.get_default(call_default_factory=True)
    return f"{type(value).__name__}()" if isinstance(value, BaseModel) else value


def _type(field: ast.AnnAssign, info: Any, module: types.ModuleType) -> str:
    """The type of a model's field as its source has it, the values of a choice, and the limits of a number."""
    if typing.get_origin(info.annotation) is typing.Literal:
        return " or ".join(code(value) for value in typing.get_args(info.annotation))
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    keywords = field.value.keywords if isinstance(field.value, ast.Call) else []
    limits = [(signs[one.arg], one.value) for one in keywords if one.arg in signs]
    shown = [
        f"{sign} {getattr(module, limit.id) if isinstance(limit, ast.Name) else ast.unparse(limit)}"
        for sign, limit in limits
    ]
    return " ".join([code(ast.unparse(field.annotation)), ", ".join(shown)]).strip()


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


def checks() -> str:
    """Every check of `nfbench verify`, in the order of its report."""
    from nfbench.verification import checks as battery
    from nfbench.verification.check import CHECKS

    assert battery.__all__  # the import fills the list
    return definitions((code(check.name), f"{check.proves}. Tolerance: {check.tolerance}.") for check in CHECKS)


def letters() -> str:
    """The package's docstring: the letters of shapes, and the words for what is compared."""
    return rst(inspect.cleandoc(nfbench.__doc__ or "").split("\n", 1)[1])


def variables() -> str:
    """The environment variables that nfbench reads: the table of the module that reads them."""
    text = inspect.getdoc(settings) or ""
    return "\n".join(line for line in text.replace("``", "`").splitlines() if line.startswith("|")) + "\n"


def deprecations() -> str:
    """Every old name that still works, with what to write instead, and the version that no longer has them."""
    from nfbench.foundation.deprecated import GONE

    rows = []
    for file in sorted(PACKAGE.rglob("*.py")):
        if "__getattr__ = moved(" in file.read_text():
            parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            places = inspect.getclosurevars(vars(importlib.import_module(name))["__getattr__"]).nonlocals["places"]
            rows += [(code(f"{name}.{old}"), code(new)) for old, new in places.items()]
    return f"These are gone in version {GONE}:\n\n{table(('deprecated', 'write instead'), rows)}"


def tree() -> str:
    """Every folder of the package with the sentence that its ``__init__`` says about it, and its modules."""
    return "\n".join(_folders(PACKAGE, 0))


def _folders(folder: Path, depth: int) -> Iterator[str]:
    for child in sorted(path for path in folder.iterdir() if (path / "__init__.py").exists()):
        contract = " ".join((docstring(child / "__init__.py") or "").split())
        modules = sorted(path.stem for path in child.glob("*.py") if path.stem != "__init__")
        yield "  " * depth + f"- **`{child.name}/`** {contract}"
        if modules:
            yield "\n" + "  " * (depth + 1) + f"Modules: {', '.join(map(code, modules))}.\n"
        yield from _folders(child, depth + 1)


def floors() -> str:
    """The floors as the test of the architecture lists them, from the ground up."""
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text())
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and "FLOORS" in node.targets[0].id
    }
    parts = []
    for name, listed in values.items():
        room = name.removesuffix("FLOORS").rstrip("_").lower()
        lines = [
            f"{number}. {', '.join(code(unit) for unit in sorted(units))}" for number, units in enumerate(listed, 1)
        ]
        parts.append((f"Inside `{room}/`:" if room else "The package:") + "\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def public_functions() -> str:
    """The functions of the public face."""
    return _public("autofunction", lambda value: not inspect.isclass(value) and callable(value))


def public_classes() -> str:
    """The classes of the public face."""
    return _public("autoclass", inspect.isclass, "   :members:\n   :show-inheritance:\n")


def _public(directive: str, chosen: Callable[[Any], bool], options: str = "") -> str:
    names = sorted(name for name in nfbench.__all__ if chosen(getattr(nfbench, name)))
    blocks = [f".. {directive}:: nfbench.{name}\n{options}" for name in names]
    return eval_rst("\n".join(blocks))


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


def arguments(text: str, title: str = "Args") -> tuple[str, dict[str, str]]:
    """Take a section of a docstring in Google style out of it.

    Args:
        text: a docstring, dedented.
        title: of the section: ``Args`` or ``Attributes``.

    Returns:
        The text without that section, and what the section says of each name.
    """
    before, found, after = text.partition(f"\n{title}:\n")
    if not found:
        return text, {}
    block = re.match(r"(?:(?:[ ]+.*)?\n?(?=[ ]|\n|$))*", after)
    section = block[0] if block else ""
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return f"{before}\n{after[len(section) :]}", {name: " ".join(meaning.split()) for name, meaning in entries}


def type_words(kind: Any) -> str:
    """An option's type in words, from its JSON schema.

    Args:
        kind: a type or an annotated type.

    Returns:
        Such as ``integer >= 1`` or the values of a choice.
    """
    schema = TypeAdapter(kind).json_schema()
    return " or ".join(schema_type(part) for part in schema.get("anyOf", [schema]))


def schema_type(schema: Mapping[str, Any]) -> str:
    """The type that a JSON schema without alternatives describes, in words."""
    if "enum" in schema or "const" in schema:
        return " or ".join(code(value) for value in schema.get("enum", [schema.get("const")]))
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema]
    return " ".join([str(schema.get("type", "any")), *limits])


def docstring(file: Path) -> str | None:
    """The docstring of a module, which is read and not imported."""
    return ast.get_docstring(ast.parse(file.read_text()))


def code(value: object) -> str:
    """A value as inline code."""
    return f"`{value}`"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; bars within cells are escaped."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines) + "\n"


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """A definition list."""
    return "\n".join(f"{term}\n: {meaning}\n" for term, meaning in pairs)


def rst(text: str) -> str:
    """A dedented docstring in Google style as reStructuredText within Markdown; nothing for an empty one."""
    from sphinx.ext.napoleon import Config, GoogleDocstring

    if not text.strip():
        return ""
    lines = text.strip("\n").splitlines()
    escape(lines)
    return eval_rst(str(GoogleDocstring(lines, Config(napoleon_use_param=False, napoleon_use_rtype=False))))


def escape(lines: list[str]) -> None:
    """Escape in a docstring's lines, in place, what reStructuredText would take for markup of its own.

    These are the bars of formulas such as ln|det|, which would name a substitution, and a letter that ends a sentence,
    as in ``draws: S.``, which would begin a list. Inline code and examples stay.
    """
    example = False
    for number, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            parts = re.split(r"(`+[^`]*`+)", re.sub(r"(: )([A-Z]\.)", r"\1\\\2", line))
            lines[number] = "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)


def eval_rst(text: str) -> str:
    """ReStructuredText as a block of a Markdown page."""
    return f"````{{eval-rst}}\n{text.strip()}\n````\n"


GENERATORS: dict[str, Callable[[], str]] = {
    "libraries": libraries,
    "library_verdicts": library_verdicts,
    "posteriors": posteriors,
    "targets": targets,
    "data": data,
    "volume_preserving": volume_preserving,
    "experiments": experiments,
    "contenders": contenders,
    "configuration": configuration,
    "records": records,
    "timing_records": timing_records,
    "schemas": schemas,
    "published": published,
    "measures": measures,
    "diagnostics": diagnostics,
    "stopping": stopping,
    "words": words,
    "timing_words": timing_words,
    "modes": modes,
    "checks": checks,
    "letters": letters,
    "variables": variables,
    "deprecations": deprecations,
    "tree": tree,
    "floors": floors,
    "public_functions": public_functions,
    "public_classes": public_classes,
}


def fill(text: str) -> str:
    """A page's text with every mark replaced by what its generator returns.

    Args:
        text: Markdown.

    Returns:
        Markdown without marks.

    Raises:
        KeyError: a mark names no generator.
    """
    return MARK.sub(lambda mark: GENERATORS[mark[1]](), text)


def _fill_page(app: "Sphinx", name: str, content: list[str]) -> None:
    content[0] = fill(content[0])


def _write_schemas(app: "Sphinx", error: Exception | None) -> None:
    """Beside the pages, the JSON Schemas as files for programs."""
    if error is None and app.builder.format == "html":
        folder = Path(app.outdir) / "schema"
        folder.mkdir(exist_ok=True)
        for kind, text in _schema_files().items():
            (folder / f"{kind}.schema.json").write_text(text + "\n")


def _escape_docstring(app: "Sphinx", kind: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    if lines and lines[0].startswith("Alias for field number"):  # of a NamedTuple, which says no more by itself
        lines.clear()
    escape(lines)
    # A first line with a colon would be read as "type: description".
    for number in [number for number, line in enumerate(lines) if line.strip() in ("Returns:", "Yields:")][::-1]:
        indent = len(lines[number + 1]) - len(lines[number + 1].lstrip())
        lines.insert(number + 1, " " * indent + "\\ ")
    if kind in ("property", "attribute", "data") and lines:
        lines.insert(0, "\\ ")


def setup(app: "Sphinx") -> dict[str, typing.Any]:
    """What Sphinx calls to load this extension."""
    app.connect("source-read", _fill_page)
    app.connect("build-finished", _write_schemas)
    app.connect("autodoc-process-docstring", _escape_docstring, priority=100)
    return {"version": nfbench.__version__, "parallel_read_safe": True}
