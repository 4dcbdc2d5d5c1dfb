"""gateway.json: everything comes back as it went, and what cannot be trusted is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gateway.core.artifact import SCHEMA, Artifact, Fact, Provenance, Verdict, Verification
from gateway.core.compare import compare
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import StoreError

ones = np.ones((2, 3), np.float32)
FULL = Artifact(
    digest="d" * 64,
    kind="onnx",
    signatures=(
        Signature((TensorSpec("x", "float32", (None, 3)),), (TensorSpec("y", "float32", (None, 3)),)),
        Signature((), (TensorSpec("z", "string", None),), name="constants"),
    ),
    provenance=Provenance(
        format="onnx",
        format_version="opset 17",
        evidence="ModelProto with 3 nodes",
        source_digest="s" * 64,
        converter="onnx 1",
        environment="base",
        sandbox="level 2",
        facts=(Fact("opset", "17", "opset_import"),),
        warnings=("2 weights are unused",),
        versions={"onnx": "1.23.2"},
        seconds={"convert": 0.25},
    ),
    verification=Verification(
        Verdict.PASSED,
        "onnx ReferenceEvaluator 1.23.2",
        comparisons=(
            compare(ones, ones, case="ramp", output="y"),
            compare(ones, ones * np.float32(1.00001), case="normal", output="y"),
        ),
        batch="row k equals the single run",
    ),
    files={"model.onnx": 1234, "weights/a.bin": 5},
)


def test_json_round_trip() -> None:
    assert Artifact.from_json(json.loads(json.dumps(FULL.to_json(), allow_nan=False))) == FULL


def test_worst_is_the_one_furthest_off() -> None:
    worst = FULL.verification.worst
    assert worst is not None
    assert worst.case == "normal"
    assert FULL.to_json()["verification"]["worst"]["case"] == "normal"
    assert Verification(Verdict.UNVERIFIED).worst is None


def test_signature_by_name() -> None:
    found = FULL.signature("constants")
    assert found is not None
    assert found.outputs[0].name == "z"
    assert FULL.signature("missing") is None


def changed(**change: Any) -> dict[str, Any]:
    data = FULL.to_json()
    for key, value in change.items():
        if value is None:
            del data[key]
        else:
            data[key] = value
    return data


BAD = {
    "a newer schema is refused, not guessed": (
        changed(schema=SCHEMA + 1),
        f"has schema {SCHEMA + 1}, expected {SCHEMA}",
    ),
    "no schema": (changed(schema=None), "has schema None"),
    "a missing key": (changed(signatures=None), "is damaged: KeyError"),
    "an unknown verdict": (changed(verification={"verdict": "perfect"}), "is damaged: ValueError"),
    "a list for a table": (changed(provenance=[]), "is damaged: TypeError"),
    "an unknown dtype": (
        changed(signatures=[{"name": "s", "inputs": [{"name": "x", "dtype": "f", "shape": []}], "outputs": []}]),
        "is damaged",
    ),
    "text for a table": (changed(files="x"), "is damaged"),
    "a number for everything": (3, "is damaged"),
}


@pytest.mark.parametrize(("data", "says"), BAD.values(), ids=BAD.keys())
def test_from_json_refuses(data: Any, says: str) -> None:
    with pytest.raises(StoreError, match=says) as caught:
        Artifact.from_json(data)
    assert "convert the model again" in str(caught.value)
