"""Pages about stored records and YAML files: the fields of their models, and their JSON Schemas."""

import ast
import inspect
import json
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from generated_pages.docstrings import arguments
from generated_pages.markup import code, rst, table
from nfbench.records import cells, timings
from nfbench.records.schema import MODELS, json_schema
from nfbench.specification import config
from nfbench.specification import experiment as experiment_file

__all__ = ["configuration", "records", "schemas", "timing_records"]


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
    for kind, text in schema_files().items():
        link = f'<a href="../schema/{kind}.schema.json">{kind}.schema.json</a>'
        parts.append(f"## {kind}\n\nAs a file: {link}.\n\n```json\n{text}\n```\n")
    return "\n".join(parts)


def schema_files() -> dict[str, str]:
    """The JSON Schema of every kind of stored record, as a file's text."""
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
