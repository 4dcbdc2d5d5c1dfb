"""What every runtime keeps: public names, dtypes as they came, strings as bytes, errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from gateway.core.artifact import Artifact, Provenance, Verdict, Verification
from gateway.core.dtypes import BY_NAME, Array
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import InvalidTensor, ModelRunError
from gateway.runtimes.base import Runtime
from gateway.runtimes.isolated import IsolatedRuntime
from gateway.runtimes.ort import OrtRuntime
from tests.formats.wire_format import message, number

RUNTIMES = {"in process": OrtRuntime, "in a worker": IsolatedRuntime}


def identity(dtype: str) -> bytes:
    """ONNX: u = Identity(t), v = Identity(t), both [n] of `dtype`."""

    def info(name: str) -> bytes:
        shape = message(2, message(1, message(2, "n")))
        return message(1, name) + message(2, message(1, number(1, BY_NAME[dtype].onnx) + shape))

    def node(output: str) -> bytes:
        return message(1, "t") + message(2, output) + message(4, "Identity")

    graph = message(1, node("u")) + message(1, node("v")) + message(2, "g") + message(11, info("t"))
    graph += message(12, info("u")) + message(12, info("v"))
    return number(1, 8) + message(7, graph) + message(8, message(1, "") + number(2, 17))


def artifact(dtype: str) -> Artifact:
    """Public names differ from the model's own: t is `data`, u is `first`, v is `second`."""
    inputs = (TensorSpec("data", dtype, (None,), "t"),)
    outputs = (TensorSpec("first", dtype, (None,), "u"), TensorSpec("second", dtype, (None,), "v"))
    return Artifact(
        "0" * 64,
        "onnx",
        (Signature(inputs, outputs),),
        Provenance("onnx", "", "", "", "", "", ""),
        Verification(Verdict.UNVERIFIED),
    )


def load(kind: type[Runtime], dtype: str, folder: Path) -> Runtime:
    (folder / "model.onnx").write_bytes(identity(dtype))
    return kind.load(artifact(dtype), folder, threads=1)


@pytest.fixture(params=RUNTIMES.values(), ids=RUNTIMES.keys())
def kind(request: pytest.FixtureRequest) -> Iterator[type[Runtime]]:
    return request.param


VALUES: dict[str, Array] = {
    "float32": np.array([1.5, np.nan, -np.inf], np.float32),
    "float64": np.array([1e300, -0.0]),
    "float16": np.array([1.5, 65504], np.float16),
    "bfloat16": np.array([1.5, 3e38], ml_dtypes.bfloat16),
    "int8": np.array([-128, 127], np.int8),
    "int64": np.array([-(2**63), 2**63 - 1]),
    "uint8": np.array([0, 255], np.uint8),
    "uint64": np.array([2**64 - 1], np.uint64),
    "bool": np.array([True, False]),
    "string": np.array([b"plain", "süß".encode(), b"with\0zero", b""], dtype=object),
}


@pytest.mark.parametrize("dtype", VALUES)
def test_values_come_back_as_they_went(kind: type[Runtime], dtype: str, tmp_path: Path) -> None:
    runtime = load(kind, dtype, tmp_path)
    try:
        answer = runtime.run("serving_default", {"data": VALUES[dtype]})
    finally:
        runtime.close()
    assert list(answer) == ["first", "second"]
    for array in answer.values():
        np.testing.assert_array_equal(array, VALUES[dtype], strict=True)


def test_outputs_come_in_the_order_asked_for(kind: type[Runtime], tmp_path: Path) -> None:
    runtime = load(kind, "float32", tmp_path)
    try:
        x = {"data": np.ones(2, np.float32)}
        assert list(runtime.run("serving_default", x, ("second", "first"))) == ["second", "first"]
        assert list(runtime.run("serving_default", x, ("second",))) == ["second"]
    finally:
        runtime.close()


def test_a_string_that_is_not_utf8_is_refused_not_changed(kind: type[Runtime], tmp_path: Path) -> None:
    """onnxruntime would make the text "b'\\xff'" of it without a word."""
    runtime = load(kind, "string", tmp_path)
    try:
        with pytest.raises(InvalidTensor, match="element 1 is not UTF-8"):
            runtime.run("serving_default", {"data": np.array([b"fine", b"\xff"], dtype=object)})
    finally:
        runtime.close()


def test_the_placement_names_runtime_device_and_process(kind: type[Runtime], tmp_path: Path) -> None:
    runtime = load(kind, "float32", tmp_path)
    try:
        placement = runtime.placement()
    finally:
        runtime.close()
    assert placement["runtime"].startswith("onnxruntime ")
    assert placement["device"] == "cpu"
    assert int(placement["pid"]) > 0


def test_a_provider_that_is_absent_is_said(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(identity("float32"))
    runtime = OrtRuntime.load(artifact("float32"), tmp_path, providers=("cuda", "cpu"))
    placement = runtime.placement()
    runtime.close()
    assert placement["device"] == "cuda" or placement["passed_over"] == "cuda"


def test_a_broken_artifact_is_an_error_of_ours(kind: type[Runtime], tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(identity("float32")[:40])
    with pytest.raises(ModelRunError):
        kind.load(artifact("float32"), tmp_path)


def test_closing_twice_is_fine_and_running_then_is_an_error(kind: type[Runtime], tmp_path: Path) -> None:
    runtime = load(kind, "float32", tmp_path)
    runtime.close()
    runtime.close()
    with pytest.raises(ModelRunError):
        runtime.run("serving_default", {"data": np.ones(1, np.float32)})
