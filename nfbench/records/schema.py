"""JSON Schema of the stored records, for programs that read them without nfbench.

It says which fields there are and of which types; what only code can check (ids and digests that fit the content,
curves of one length, finite metrics) is checked where nfbench reads a record.
"""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from nfbench.records.cells import Record
from nfbench.records.rechecks import Recheck
from nfbench.records.timings import Timing
from nfbench.records.verdicts import StoredVerdict

MODELS: dict[str, type[BaseModel]] = {"record": Record, "timing": Timing, "recheck": Recheck, "verdict": StoredVerdict}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NOT_FINITE = {"enum": ["NaN", "Infinity", "-Infinity"]}  # texts in place of numbers that JSON does not have


class _Generator(GenerateJsonSchema):
    """Numbers that may be not finite are texts then, in the models that store them so."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        number = super().float_schema(schema)
        stored_as_text = self._config.ser_json_inf_nan == "strings" and schema.get("allow_inf_nan") is not False
        return {"anyOf": [number, _NOT_FINITE]} if stored_as_text else number


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of record.

    Args:
        kind: a key of `MODELS`: ``record`` of a cell, ``timing``, ``recheck`` or ``verdict`` of `nfbench verify`.

    Returns:
        The schema, of the draft of 2020-12. Its ``$id`` ends in the version that the field `schema_version` has.
    """
    schema = MODELS[kind].model_json_schema(schema_generator=_Generator)
    version = schema["properties"]["schema_version"]["const"]
    return {"$schema": _DIALECT, "$id": f"urn:nfbench:{kind}:{version}", **schema}
