"""A validator of JSON Schema, of the keywords that the schemas of records use, independent of pydantic."""

from collections.abc import Iterator, Mapping
from typing import Any

_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
_SAID = {"$schema", "$id", "$defs", "title", "description", "default"}  # keywords that demand nothing
_LIMITS = {
    "minimum": lambda value, limit: value >= limit,
    "exclusiveMinimum": lambda value, limit: value > limit,
    "maximum": lambda value, limit: value <= limit,
    "exclusiveMaximum": lambda value, limit: value < limit,
    "minItems": lambda value, limit: len(value) >= limit,
    "maxItems": lambda value, limit: len(value) <= limit,
}


def faults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], place: str = "$") -> Iterator[str]:
    """Where a value is not what a schema asks for; a keyword that is not known here raises a KeyError.

    Args:
        value: parsed JSON.
        schema: of this value.
        root: the whole schema, with its definitions.
        place: of the value, for messages.
    """
    for keyword, demand in schema.items():
        if keyword not in _SAID:
            yield from _faults(keyword, demand, value, schema, root, place)


def _faults(keyword, demand, value, schema, root, place):
    if keyword == "$ref":
        yield from faults(value, root["$defs"][demand.removeprefix("#/$defs/")], root, place)
    elif keyword == "anyOf":
        if all(any(True for _ in faults(value, each, root, place)) for each in demand):
            yield f"{place}: {value!r} is none of {demand}"
    elif keyword == "type":
        if not isinstance(value, _TYPES[demand]) or (isinstance(value, bool) and demand in ("integer", "number")):
            yield f"{place}: {value!r} is no {demand}"
    elif keyword in ("enum", "const"):
        if value not in (demand if keyword == "enum" else [demand]):
            yield f"{place}: {value!r} is not {demand}"
    elif keyword == "required":
        yield from (f"{place}: no {name}" for name in demand if isinstance(value, dict) and name not in value)
    elif keyword == "properties":
        for name, part in demand.items():
            if isinstance(value, dict) and name in value:
                yield from faults(value[name], part, root, f"{place}.{name}")
    elif keyword == "additionalProperties":
        others = (
            {}
            if not isinstance(value, dict)
            else {k: v for k, v in value.items() if k not in schema.get("properties", {})}
        )
        for name, part in others.items():
            if demand is False:
                yield f"{place}: {name} is one too many"
            elif demand is not True:
                yield from faults(part, demand, root, f"{place}.{name}")
    elif keyword == "propertyNames":
        for name in value if isinstance(value, dict) else ():
            yield from faults(name, demand, root, f"{place}.{name}")
    elif keyword in ("items", "prefixItems"):
        items = value if isinstance(value, list) else []
        parts = zip(items, demand if keyword == "prefixItems" else [demand] * len(items), strict=False)
        for number, (item, part) in enumerate(parts):
            yield from faults(item, part, root, f"{place}[{number}]")
    elif isinstance(value, int | float | list):
        if not _LIMITS[keyword](value, demand):
            yield f"{place}: {value!r} breaks {keyword} {demand}"
    else:
        assert keyword in _LIMITS, keyword
