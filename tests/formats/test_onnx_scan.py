"""Is it ONNX? Decided from structure: what is not is not taken, what is broken is still named."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.formats.base import Source, all_formats
from gateway.formats.onnx.scan import external_files, scan
from tests import models
from tests.formats.wire_format import message, number

NODE = message(1, message(1, "x"), message(2, "y"), message(4, "Relu"))
GRAPH = message(7, NODE, message(2, "graph"))
OPSET = message(8, number(2, 17))
WHOLE = number(1, 8) + message(2, "pytorch") + GRAPH + OPSET


@dataclass(frozen=True)
class Case:
    data: bytes
    version: str = ""  # "" says: not ONNX
    confidence: float = 1.0
    evidence: str = ""
    name: str = "model.bin"


CASES = {
    "whole, without the suffix": Case(WHOLE, "IR 8, opset 17", 1.0, "first node is Relu"),
    "no opset_import in IR 3 or later": Case(number(1, 8) + GRAPH, "IR 8", 0.7, "no opset_import"),
    "IR 1 had no opset_import": Case(number(1, 1) + GRAPH, "IR 1", 0.9),
    "opset of another domain is not the opset": Case(
        number(1, 8) + GRAPH + message(8, message(1, "com.microsoft"), number(2, 1)) + OPSET, "IR 8, opset 17"
    ),
    "an empty producer name starts 08 xx 12 00": Case(number(1, 8) + message(2) + GRAPH + OPSET, "IR 8, opset 17"),
    "cut inside the graph": Case(WHOLE[:-8], "IR 8", 0.7, "truncated"),
    "cut inside the last field's length": Case(WHOLE + b"\x3a\xff", "IR 8, opset 17", 0.7, "truncated"),
    "cut before the first node, called .onnx": Case(WHOLE[:14], "IR 8", 0.4, "goes past the end", "model.onnx"),
    "cut before the first node, other name": Case(WHOLE[:14]),
    "SavedModel: field 2 is a MetaGraphDef": Case(
        number(1, 1) + message(2, message(2, message(1, message(1, "x"), message(2, "Placeholder"))))
    ),
    "SavedModel called .onnx": Case(
        number(1, 1) + message(2, message(2, message(1, message(1, "x"), message(2, "Add")))), name="model.onnx"
    ),
    "CoreML: a model type at 200 and beyond": Case(
        number(1, 7) + message(2, message(1, message(1, "x"))) + message(500, message(1, "layer"))
    ),
    "CNTK v2: a map of values": Case(number(1, 1) + message(2, message(1, "uid"), message(2, number(1, 1)))),
    "caffemodel: field 1 is a name": Case(message(1, "net") + message(100, message(1, "conv1"), message(2, "Conv"))),
    "GraphDef": Case(message(1, message(1, "x"), message(2, "Placeholder"))),
    "a graph without nodes": Case(number(1, 8) + message(7, message(2, "graph")) + OPSET),
    "a node without an operator": Case(number(1, 8) + message(7, message(1, message(1, "x"))) + OPSET),
    "a field that no ModelProto has": Case(WHOLE + message(99, "x")),
    "IR 0": Case(number(1, 0) + GRAPH + OPSET),
    "IR 200": Case(number(1, 200) + GRAPH + OPSET),
    "0 bytes": Case(b"", name="model.onnx"),
    "zeros": Case(bytes(4096), name="model.onnx"),
    "text": Case(b"this is not a model\n" * 50, name="model.onnx"),
    "a zip": Case(b"PK\x03\x04" + bytes(100)),
    "HDF5": Case(b"\x89HDF\r\n\x1a\n" + bytes(100)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_scan(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.data)
    found = scan(path)
    if not case.version:
        assert found is None
        return
    assert found is not None
    assert (found.version, found.confidence) == (case.version, case.confidence)
    assert case.evidence in found.evidence


def test_noise_is_never_onnx_and_never_raises(tmp_path: Path) -> None:
    dice = random.Random(5)
    path = tmp_path / "model.bin"
    for _ in range(300):
        path.write_bytes(dice.randbytes(dice.randrange(1, 400)))
        assert scan(path) is None


def test_every_truncation_of_a_real_model_is_named_or_unknown(tmp_path: Path) -> None:
    whole = models.model("conv").read_bytes()
    path = tmp_path / "model.onnx"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        found = scan(path)
        assert found is None or found.confidence < 1.0, size
        if size > 200:
            assert found is not None, size
            assert "truncated" in found.evidence or "no opset_import" in found.evidence, size


@pytest.mark.parametrize("name", ["half_plus_two", "conv", "external", "initializers_as_inputs", "old_opset"])
def test_match_takes_real_models(name: str) -> None:
    root = models.folder(name)
    files = tuple(sorted(path.name for path in root.iterdir()))
    match = all_formats()["onnx"].match(Source(root, files))
    assert match is not None
    assert (match.format, match.confidence, match.main) == ("onnx", 1.0, "model.onnx")
    assert match.used == files  # the file of external data is claimed


def test_external_files_are_read_from_the_wire() -> None:
    assert external_files(models.model("external")) == ("weights.bin",)
    assert external_files(models.model("external_escaping")) == ("../../secret.bin",)


def test_two_models_in_one_folder_leave_one_over(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(WHOLE)
    match = all_formats()["onnx"].match(Source(tmp_path, ("a.onnx", "b.onnx")))
    assert match is not None
    assert match.used == ("a.onnx",)  # detect then sees that b.onnx is a model too


def test_an_artifact_folder_is_one_model(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(WHOLE)
    (tmp_path / "gateway.json").write_text("{}")
    match = all_formats()["onnx"].match(Source(tmp_path, ("gateway.json", "model.onnx")))
    assert match is not None
    assert set(match.used) == {"gateway.json", "model.onnx"}
