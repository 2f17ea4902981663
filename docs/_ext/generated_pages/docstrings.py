"""What docstrings in Google style and types say of arguments."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from generated_pages.markup import code


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
