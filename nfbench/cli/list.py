"""Commands that show what there is: ls, info, env."""

import inspect
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nfbench.foundation.errors import InputError
from nfbench.foundation.names import did_you_mean

if TYPE_CHECKING:
    from nfbench.specification.entry import Entry
    from nfbench.specification.registry import Registry

Kind = Literal["posteriors", "targets", "experiments"]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def ls(
    kind: Annotated[Kind | None, typer.Argument(help="What to list; all if omitted.")] = None, *, as_json: Json = False
) -> None:
    """List the known posteriors, targets and experiments."""
    listed = {name: _facts_of(name) for name in ([kind] if kind else ("posteriors", "targets", "experiments"))}
    if as_json:
        print(json.dumps(listed, indent=1))
        return
    for number, (name, rows) in enumerate(listed.items()):
        print("\n" * bool(number) + f"{name}:")
        width = max((len(row["name"]) for row in rows), default=0)
        for row in rows:
            print(f"  {row['name']:<{width}}  {row.get('title', row['summary'])}")
        if examples := [] if name == "experiments" else _registry(name).of_files():
            print(f"  and models of your own: {', '.join(examples)}")


def info(
    name: Annotated[
        str, typer.Argument(help="A posterior, target or experiment, a spec such as planar:K=8, or a .yaml file.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Show the facts of one posterior, target or experiment."""
    described = _find(name)
    if as_json:
        print(json.dumps(described, indent=1))
        return
    for number, facts in enumerate(described):
        print("\n" * bool(number) + f"{facts.pop('kind')} {facts.pop('name')}")
        docstring = facts.pop("docstring", None)
        for key, value in facts.items():
            print(*_lines(key, value), sep="\n")
        if docstring:
            print("", *(f"  {line}".rstrip() for line in docstring.splitlines()), sep="\n")


def env(*, as_json: Json = False) -> None:
    """Show what numbers depend on here: package, revision, libraries, machine, devices."""
    import torch

    from nfbench.foundation.environment import devices, provenance

    facts = provenance() | {"devices": devices(), "threads": torch.get_num_threads()}
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    for key, value in facts.items():
        print(*_lines(key, value, indent=""), sep="\n")


def _lines(key: str, value: Any, indent: str = "  ") -> Iterator[str]:
    if isinstance(value, dict):
        yield f"{indent}{key}:" + ("" if value else " none")
        for name, inner in value.items():
            yield from _lines(name, inner, indent + "  ")
    elif isinstance(value, list):
        yield f"{indent}{key}: {', '.join(map(str, value)) or 'none'}"
    else:
        yield f"{indent}{key}: {'unknown' if value is None else value}"


def _facts_of(kind: str) -> list[dict[str, Any]]:
    if kind == "experiments":
        from nfbench.experiments.library import names

        return [_experiment(name) for name in names()]
    return [_entry(entry) for entry in _registry(kind)]


def _registry(kind: str) -> "Registry":
    from nfbench.specification import registry

    return registry.posteriors if kind == "posteriors" else registry.targets


def _find(text: str) -> list[dict[str, Any]]:
    """Everything of that name, with its kind; a spec also says what its options mean in full."""
    from nfbench.experiments.library import names
    from nfbench.published.catalogue import experiment_of
    from nfbench.specification.spec import expand

    if text.endswith((".yaml", ".yml")) or text in names():
        return [{"kind": "experiment", **_experiment(text)}]
    if (experiment := experiment_of(text)) != text:  # a published figure or table of another experiment's records
        return [{"kind": "experiment", **_experiment(experiment), "shown as": text}]
    spec, described = expand(text)[0], []
    for kind in ("posteriors", "targets"):
        if spec.name in (registry := _registry(kind)).names():
            choices = [registry.choose(each) for each in expand(text)]
            entry = choices[0].entry
            facts = _entry(entry) | {"label": list(dict.fromkeys(choice.label for choice in choices))}
            specs = [str(choice) for choice in choices]
            described.append(
                {"kind": registry.kind, **facts, "spec": specs, "docstring": inspect.getdoc(entry.factory)}
            )
    if not described:
        raise _unknown(text, spec.name)
    return described


def _unknown(text: str, name: str) -> InputError:
    from nfbench.experiments.library import names

    known = {kind: _registry(kind).names() for kind in ("posteriors", "targets")} | {"experiments": names()}
    hint = did_you_mean(name, [each for group in known.values() for each in group])
    listed = "; ".join(f"{kind}: {', '.join(group)}" for kind, group in known.items())
    return InputError(f"nothing named {text!r};{hint} known {listed}")


def _entry(entry: "Entry") -> dict[str, Any]:
    options = {key: f"{_type(kind)}, default {default}" for key, (kind, default) in entry.options.items()}
    return {
        "name": entry.name,
        "label": entry.label,
        "summary": entry.summary,
        "cite": entry.cite,
        "year": entry.year,
        "options": options,
    }


def _type(kind: Any) -> str:
    """An option's type in words, from its JSON schema.

    >>> _type(Literal["permutation", "orthogonal"])
    'permutation | orthogonal'
    >>> _type(int | Literal["all"])
    'integer | all'
    """
    from pydantic import TypeAdapter

    schema = TypeAdapter(kind).json_schema()
    return " | ".join(_schema_type(part) for part in schema.get("anyOf", [schema]))


def _schema_type(schema: dict[str, Any]) -> str:
    """The type that a JSON schema without alternatives describes."""
    if "enum" in schema or "const" in schema:
        return " | ".join(map(str, schema.get("enum", [schema.get("const")])))
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema]
    return " ".join([str(schema.get("type", "any")), *limits])


def _experiment(name_or_path: str) -> dict[str, Any]:
    from nfbench.experiments.library import load

    return load(name_or_path).model_dump(mode="json", exclude_none=True)
