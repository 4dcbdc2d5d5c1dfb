"""Every kind by a small file: the right name, cut short, under a wrong name; noise; what never may happen."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gateway.recognise import KINDS, recognise_bytes
from gateway.recognise.registry import loose_suffixes
from tests.recognise import written as w
from tests.recognise.rules import BY_NAME, CUTS, SUFFIXES, look, wrong, wrong_cut
from tests.recognise.written import Sample
from tests.recognise.written_rows import SAMPLES

SINGLE = {name: sample for name, sample in SAMPLES.items() if len(sample.files) == 1}


def plant(folder: Path, sample: Sample) -> Path:
    for name, data in sample.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES.keys())
def test_right_name(sample: Sample, tmp_path: Path) -> None:
    answer = look(plant(tmp_path, sample))
    assert wrong(answer, sample.kind, sample.inside, sample.version) == ""
    best = answer.best
    assert best is not None
    assert best.evidence
    assert best.what_next.endswith((".", ")"))
    assert best.to_json()["format"] == sample.kind


@pytest.mark.parametrize("sample", SINGLE.values(), ids=SINGLE.keys())
def test_cut_short_is_never_another_name(sample: Sample) -> None:
    (name, data), *_ = sample.files.items()
    lies = []
    for size in sorted({int(len(data) * cut) for cut in CUTS} | set(range(min(len(data), 40))) | {len(data) - 1}):
        if said := wrong_cut(recognise_bytes(data[:size], name, strict=True), sample.kind):
            lies.append(f"{size} of {len(data)} bytes: {said}")
    assert lies == []


@pytest.mark.parametrize("sample", SINGLE.values(), ids=SINGLE.keys())
def test_a_wrong_suffix_changes_nothing(sample: Sample) -> None:
    (_, data), *_ = sample.files.items()
    found = {suffix: recognise_bytes(data, f"x{suffix}", strict=True) for suffix in SUFFIXES}
    if sample.name in BY_NAME:
        return  # without its name it is less: a zip, or unknown
    lies = {suffix: said for suffix, answer in found.items() if (said := wrong_cut(answer, sample.kind))}
    assert lies == {}
    if not sample.inside:
        missed = [suffix for suffix, answer in found.items() if answer.best is None or answer.best.kind != sample.kind]
        assert missed == []


def test_noise_has_no_name() -> None:
    dice = random.Random(7)
    named = []
    for _ in range(400):
        data = dice.randbytes(dice.randrange(1, 600))
        best = recognise_bytes(data, "noise.bin", strict=True).best
        if best is not None and best.confidence > 0.7:
            named.append((best.kind, best.evidence, data[:16].hex()))
    assert named == []


def test_text_has_no_name() -> None:
    for text in (
        "",
        "\n",
        "hello\n",
        "# Read me\n\nlayer by layer\n",
        "a: 1\nb: 2\n",
        "{}",
        "[]",
        '{"a": 1}',
        "1,2\n3,4\n",
    ):
        assert recognise_bytes(text.encode(), "notes.txt", strict=True).best is None, text


def test_damage_never_raises() -> None:
    """Bytes turned over in the middle of every sample: any answer, no error, and `strict` lets ours out."""
    dice = random.Random(11)
    for sample in SINGLE.values():
        (name, data), *_ = sample.files.items()
        for _ in range(12):
            broken = bytearray(data)
            for _ in range(dice.randrange(1, 6)):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            recognise_bytes(bytes(broken), name, strict=True)


DEEP = {
    "JSON lists": b"[" * 500_000,
    "JSON objects": b'{"a":' * 200_000,
    "text protobuf": b"a {" * 300_000,
    "pickle of marks": b"\x80\x04" + b"(" * 500_000,
    "pickle that says 2^60 bytes": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0f",
    "protobuf of 2^120": b"\x0a" + b"\xff" * 17,
    "protobuf in protobuf": b"".join(b"\x0a\xff\xff\x03" for _ in range(3000)) + bytes(100),
    "zip without members": b"PK\x05\x06" + bytes(18),
    "zip with a directory of 4 GiB": b"PK\x03\x04" + bytes(60) + b"PK\x05\x06" + bytes(6) + b"\xff\xfe" * 5 + bytes(2),
    "HDF5 whose root is itself": b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8]) + bytes(100),
    "flatbuffer that points back": b"\x04\0\0\0TFL3" + b"\xff" * 60,
    "safetensors of 2^63": b"\xff" * 7 + b"\x7f{" + bytes(50),
    "tar of negative size": b"a".ljust(124, b"\0") + b"\x80" + b"\xff" * 11 + bytes(376),
    "XML entities": b'<!DOCTYPE a [' + b'<!ENTITY b "&c;&c;">' * 2000 + b"]><PMML/>",
    "gzip of nothing": b"\x1f\x8b\x08",
}  # fmt: skip


@pytest.mark.parametrize("data", DEEP.values(), ids=DEEP.keys())
@pytest.mark.parametrize("name", ["m.json", "m.pb", "m.zip"])
def test_hostile_bytes_cost_little_and_never_raise(data: bytes, name: str) -> None:
    recognise_bytes(data, name, strict=True)


QUOTED = {
    "a skops class": w.zipped({"schema.json": w.js({"__module__": "a\u2028b\x1b", "__class__": "C" * 5000})}),
    "a member's name": w.zipped({"a\n\x1b[2J/m.onnx": w.ONNX}),
    "a pickle's global": b"\x80\x02csklearn.\x1b[31m\nSVC\nq\x00.",
    "a version of XGBoost": w.js({"learner": {"objective": {"name": "x\x07"}}, "version": [1]}),
}


@pytest.mark.parametrize("data", QUOTED.values(), ids=QUOTED.keys())
def test_what_is_quoted_of_a_file_can_stand_in_a_log(data: bytes) -> None:
    for finding in recognise_bytes(data, "m.zip", strict=True).findings:
        assert (finding.evidence + finding.version + finding.what_next).isprintable()
        assert len(finding.evidence) < 700


def test_a_bomb_is_not_unpacked() -> None:
    import gzip

    from gateway.recognise import archives
    from gateway.recognise.blob import BytesBlob

    bomb = gzip.compress(bytes(64 << 20))
    packed = archives.of_packed(BytesBlob("m.gz", bomb))
    assert packed is not None
    assert packed[1].reach <= archives.MAX_GZIP


def test_the_registry() -> None:
    """Every row is whole: a sentence that ends, a known safety, suffixes in lower case."""
    for kind in KINDS.values():
        assert kind.next.endswith((".", ")", "`")), kind.name
        assert kind.safety in ("data", "program", "code"), kind.name
        assert kind.title, kind.name
        assert all(suffix == suffix.lower() or suffix == "MLmodel" for suffix in kind.suffixes), kind.name
    assert {".onnx", ".h5", ".pt", ".gguf"} <= loose_suffixes()
    assert not {".json", ".txt", ".bin"} & loose_suffixes()
