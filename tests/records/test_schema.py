"""The published JSON Schemas: every committed record is valid, and what is none is not."""

import copy
import json
from pathlib import Path

import pytest
from support.json_schema import faults
from support.recorded import make
from support.synthetic_verdicts import verdict

from nfbench.records.rechecks import Recheck
from nfbench.records.schema import MODELS, json_schema
from nfbench.records.timings import Agreement

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
FILES = sorted(REFERENCE.glob("*/*.json"))


def valid(kind, content):
    """Whether parsed JSON is valid."""
    schema = json_schema(kind)
    return not any(True for _ in faults(content, schema, schema))


@pytest.mark.parametrize("kind", ["record", "timing"])
def test_every_committed_record_is_valid(kind):
    """None of those in results/reference breaks its schema."""
    files = [file for file in FILES if (file.parent.name == "timing") == (kind == "timing")]
    assert files
    schema = json_schema(kind)
    for file in files:
        assert list(faults(json.loads(file.read_bytes()), schema, schema)) == [], file


@pytest.mark.parametrize("kind", MODELS)
def test_the_schema_names_every_field_and_its_version(kind):
    """Fields, required ones, and no others; JSON has it, and the id ends in the version."""
    schema = json_schema(kind)
    assert json.loads(json.dumps(schema)) == schema
    assert schema["properties"].keys() == MODELS[kind].model_fields.keys()
    assert set(schema["required"]) == {name for name, field in MODELS[kind].model_fields.items() if field.is_required()}
    assert schema["additionalProperties"] is False
    assert schema["$id"] == f"urn:nfbench:{kind}:1"


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("id"),
        lambda record: record.update(schema_version=2),
        lambda record: record.update(status="fine"),
        lambda record: record.update(note=""),
        lambda record: record["cell"].update(seed=-1),
        lambda record: record["cell"].update(seed="0"),
        lambda record: record["cell"]["training"].update(learning_rate=0),
        lambda record: record["metrics"].update(kl=0.1),
        lambda record: record["curves"].update(step=["ten"]),
        lambda record: record["facts"].update(order=[0, "1"]),
    ],
)
def test_what_is_no_record_is_not_valid(change):
    """A missing, wrong or additional field, also in nested parts."""
    record = json.loads(make(0).model_dump_json())
    assert valid("record", record)
    broken = copy.deepcopy(record)
    change(broken)
    assert not valid("record", broken)


def test_numbers_that_are_not_finite_are_texts_where_they_may_be_stored():
    """As nfbench writes them: the agreement of a contender that gave NaN."""
    schema = json_schema("timing")
    agreement = json.loads(Agreement(error=float("nan"), tolerance=1e-4).model_dump_json())
    assert agreement["error"] == "NaN"
    assert list(faults(agreement, schema["$defs"]["Agreement"], schema)) == []
    assert list(faults(agreement | {"error": "none"}, schema["$defs"]["Agreement"], schema)) != []


def test_a_recheck_is_valid():
    """As it is written."""
    facts = {"id": "0" * 16, "numbers": "0" * 64, "verdict": "equal", "detail": "", "status": "done"}
    recheck = Recheck(**facts, finished="2026-01-01T00:00:00+00:00", provenance={})
    assert valid("recheck", json.loads(recheck.model_dump_json()))


def test_a_verdict_is_valid():
    """As `nfbench verify` stores it, with checks that failed and with what a family cannot do."""
    stored = verdict(failed=("finite",), lacking={"density": "seen"})
    assert valid("verdict", json.loads(stored.model_dump_json()))
