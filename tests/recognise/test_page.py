"""What `make recognise` counted; what `gateway inspect` and `gateway formats` say of kinds that are not converted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway import cli
from gateway.recognise import KINDS
from tests.recognise import written as w

ROOT = Path(__file__).parent.parent.parent


def test_the_counts_hold_what_was_promised() -> None:
    data = json.loads((ROOT / "docs" / "recognised.json").read_text())
    assert data["samples"] >= 200
    assert (data["wrong"], data["wrong_cut"]) == (0, 0)
    assert set(data["kinds"]) <= set(KINDS)


def test_inspect_of_what_is_not_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.bin"
    file.write_bytes(b"GGUF" + bytes(60))
    assert cli.main(["inspect", str(file)]) == 1
    said = capsys.readouterr().out
    assert "m.bin: GGUF (llama.cpp) version 0  (confidence 1.00)" in said
    assert "evidence: the bytes 'GGUF' at 0" in said
    assert "next: It is not converted here." in said
    assert cli.main(["inspect", str(file), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["error"], data["exit"]) == ("UnsupportedFormat", 1)
    assert data["findings"][0]["format"] == "gguf"
    assert data["findings"][0]["converted_to"] == []


def test_inspect_names_what_an_archive_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.zip").write_bytes(w.zipped({"net/m.gguf": b"GGUF" + w.u32(3) + bytes(64)}))
    assert cli.main(["inspect", str(tmp_path / "m.zip")]) == 1
    said = capsys.readouterr().out
    assert "m.zip: zip archive holding GGUF" in said
    assert "net/m.gguf: the bytes 'GGUF' at 0" in said
    assert "Language models are served by llama.cpp" in said


def test_inspect_names_two_plausible_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.txt").write_bytes(b"7767517\n2 1\n")
    assert cli.main(["inspect", str(tmp_path / "net.txt")]) == 1
    said = capsys.readouterr().out
    assert "ncnn 7767517" in said
    assert "pnnx 7767517" in said


def test_formats_lists_the_whole_registry(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["formats"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "ONNX .onnx -> onnx" in said
    assert "GGUF (llama.cpp)" in said
    assert cli.main(["formats", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"onnx", "mxnet", "gguf", "coreml"} <= {row["name"] for row in rows}
    assert all(row["targets"] or row["next"] for row in rows)
