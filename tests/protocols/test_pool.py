"""protos/ against the committed descriptor set, and both against what the official classes wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool

from gateway.protocols import pool

ROOT = Path(__file__).parents[2]
OFFICIAL: dict[str, Any] = json.loads((ROOT / "tests/conformance/tfserving.json").read_text())
TRITON: dict[str, Any] = json.loads((ROOT / "tests/conformance/triton_protos.json").read_text())

# Fields of the original that the gateway does not declare: skipped as unknown, each with its reason.
LEFT_OUT = {
    "tensorflow.TensorProto": {"resource_handle_val", "variant_val", "float8_val"},  # types it does not carry
    "tensorflow.TensorInfo": {"composite_tensor"},  # TensorFlow's own Python types
    "tensorflow.serving.PredictRequest": {"predict_streamed_options", "request_options"},  # an experiment
}


def test_the_committed_descriptor_set_is_what_protos_compile_to(tmp_path: Path) -> None:
    files = sorted(str(file.relative_to(ROOT / "protos")) for file in (ROOT / "protos").rglob("*.proto"))
    out = tmp_path / "protos.binpb"
    command = ["-m", "grpc_tools.protoc", "-I", "protos", "--include_imports", f"--descriptor_set_out={out}", *files]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, timeout=60)
    assert out.read_bytes() == pool.DESCRIPTORS.read_bytes(), "run `make protos` and commit"


@pytest.mark.parametrize("name", OFFICIAL["messages"])
def test_names_numbers_and_types_are_the_official_ones(name: str) -> None:
    ours = pool.pool().FindMessageTypeByName(name)
    found = {f.name: [f.number, f.type, f.is_repeated, f.json_name] for f in ours.fields}
    official = {k: v for k, v in OFFICIAL["messages"][name].items() if k not in LEFT_OUT.get(name, ())}
    assert found == official


@pytest.mark.parametrize("name", OFFICIAL["enums"])
def test_enum_values_are_the_official_ones(name: str) -> None:
    ours = {value.name: value.number for value in pool.pool().FindEnumTypeByName(name).values}
    official = OFFICIAL["enums"][name]
    assert ours.items() <= official.items()
    missing = set(official) - set(ours)
    assert all(key.endswith("_REF") or key.startswith("DO_NOT_USE") for key in missing)


@pytest.mark.parametrize("name", OFFICIAL["services"])
def test_methods_are_the_official_ones(name: str) -> None:
    service = pool.pool().FindServiceByName(name)
    ours = {m.name: [m.input_type.full_name, m.output_type.full_name] for m in service.methods}
    assert ours.items() <= OFFICIAL["services"][name].items()


def test_tritons_messages_enums_and_methods_are_all_the_official_ones() -> None:
    """All of them: what a client may send is declared, even where the answer is UNIMPLEMENTED."""
    found: dict[str, Any] = {"messages": {}, "enums": {}, "services": {}}
    for name in TRITON["messages"]:
        fields = pool.pool().FindMessageTypeByName(name).fields
        found["messages"][name] = {f.name: [f.number, f.type, f.is_repeated, f.json_name] for f in fields}
    for name in TRITON["enums"]:
        found["enums"][name] = {v.name: v.number for v in pool.pool().FindEnumTypeByName(name).values}
    for name in TRITON["services"]:
        found["services"][name] = {
            m.name: [m.input_type.full_name, m.output_type.full_name, m.client_streaming, m.server_streaming]
            for m in pool.pool().FindServiceByName(name).methods
        }
    assert found == {key: TRITON[key] for key in found}


KINDS = {
    "predict request": "PredictRequest",
    "predict response": "PredictResponse",
    "metadata request": "GetModelMetadataRequest",
    "status request": "GetModelStatusRequest",
    "status response": "GetModelStatusResponse",
    "classification request": "ClassificationRequest",
    "classification response": "ClassificationResponse",
    "regression request": "RegressionRequest",
    "regression response": "RegressionResponse",
    "multi inference request": "MultiInferenceRequest",
    "multi inference response": "MultiInferenceResponse",
    "reload request": "ReloadConfigRequest",
    "reload response": "ReloadConfigResponse",
}


@pytest.mark.parametrize("name", OFFICIAL["recorded"])
def test_recorded_bytes_survive_our_classes(name: str) -> None:
    recorded = bytes.fromhex(OFFICIAL["recorded"][name])
    message = pool.message(f"tensorflow.serving.{KINDS[name]}").FromString(recorded)
    assert message.SerializeToString(deterministic=True) == recorded
    message.DiscardUnknownFields()
    assert message.SerializeToString(deterministic=True) == recorded, "a field was taken as unknown"


def test_nothing_of_ours_is_in_the_default_pool() -> None:
    for name in ("tensorflow.TensorProto", "tensorflow.serving.PredictRequest", "inference.ModelInferRequest"):
        with pytest.raises(KeyError):
            descriptor_pool.Default().FindMessageTypeByName(name)
