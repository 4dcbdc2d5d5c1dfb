"""The index is only a cache: what is damaged costs time and a warning, never a wrong answer."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from gateway.core.modeltoml import ModelOptions, parse
from gateway.repository import fs
from gateway.repository.index import Index, Known

FULL = parse(
    'target = "onnx"\nlabels = "l"\nserve_failed = true\n[[inputs]]\nname = "x"\ndtype = "float32"\nshape = ["?", 3]\n'
    "[preprocess]\nresize = [2, 2]"
)
KNOWN = Known("d" * 64, FULL, ("cat", "häßlich\x00"), 1 << 40)


def print_of(number: int) -> str:
    return f"{number:064x}"


def test_what_is_recorded_is_there_after_a_restart(tmp_path: Path) -> None:
    Index(tmp_path / "index").record(print_of(1), KNOWN)
    index = Index(tmp_path / "index")
    assert index.get(print_of(1)) == KNOWN
    assert index.get(print_of(2)) is None
    assert index.get("../../etc/passwd") is None
    assert index.get("") is None


DAMAGED = {
    "empty": b"",
    "half": json.dumps(KNOWN.to_json()).encode()[:100],
    "not text": b"\xff\xfe\x00",
    "a list": b"[]",
    "null": b"null",
    "another schema": json.dumps({**KNOWN.to_json(), "schema": 2}).encode(),
    "no digest": json.dumps({**KNOWN.to_json(), "digest": "../x"}).encode(),
    "options of another kind": json.dumps({**KNOWN.to_json(), "options": []}).encode(),
    "labels of another kind": json.dumps({**KNOWN.to_json(), "labels": 3}).encode(),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_entry_is_unknown(data: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    index = Index(tmp_path)
    (tmp_path / f"{print_of(1)}.json").write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert index.get(print_of(1)) is None
    assert "is damaged" in caplog.text
    index.record(print_of(1), KNOWN)
    assert Index(tmp_path).get(print_of(1)) == KNOWN


def test_it_is_bounded(tmp_path: Path) -> None:
    index = Index(tmp_path, max_entries=3)
    for number in range(10):
        index.record(print_of(number), Known("d" * 64, ModelOptions(), (), number))
        os.utime(tmp_path / f"{print_of(number)}.json", (number, number))
    assert len(list(tmp_path.iterdir())) == 3
    fresh = Index(tmp_path)
    assert [n for n in range(10) if fresh.get(print_of(n))] == [7, 8, 9]


def test_a_full_disk_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    index = Index(tmp_path)
    monkeypatch.setattr(fs, "write", full)
    index.record(print_of(1), KNOWN)
    assert "cannot be written (No space left on device)" in caplog.text
    assert index.get(print_of(1)) == KNOWN
    assert Index(tmp_path).get(print_of(1)) is None
    assert not list(tmp_path.iterdir())
