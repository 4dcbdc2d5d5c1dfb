"""What honest packers write is read as they meant it, and unpacked to plain files; or nothing is."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from gateway.archive import Limits, Member, kind_of, open_archive
from gateway.errors import JobCancelled, StoreError, TooLarge
from tests.archive.forge import Entry, by_tarfile, gzipped, zip_of

FILES = {
    "model/saved.pb": b"\x08\x01" * 700,
    "model/variables/data-00000": os.urandom(3 << 20),
    "model/empty": b"",
    "model/größe – 漢字.txt": "ä".encode(),
    "model/" + "l" * 200 + "/onnx::MatMul_12": b"long",
}


def by_zipfile(method: int, **how: bool) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in FILES.items():
            with archive.open(name, "w", **how) as stream:
                stream.write(data)
    return out.getvalue()


def streamed() -> bytes:
    """Written to a pipe: sizes and checksum stand behind each member."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += data  # type: ignore[operator]
            return len(data)  # type: ignore[arg-type]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, data in FILES.items():
            archive.writestr(name, data)
    return bytes(pipe.data)


def both_end_records() -> bytes:
    """As torch writes all of its files: a wide end record although the short one can say it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
        data = by_zipfile(zipfile.ZIP_STORED)
    assert b"PK\6\6" in data
    assert data[-12:-10] == b"\5\0", "the short one says 5 files"
    return data


def pieces_of_gzip() -> bytes:
    tar = by_tarfile(FILES)
    return gzip.compress(tar[:1000]) + gzip.compress(tar[1000:]) + bytes(512)


HONEST = {
    "zip, stored": lambda: by_zipfile(zipfile.ZIP_STORED),
    "zip, deflated": lambda: by_zipfile(zipfile.ZIP_DEFLATED),
    "zip, zip64 in every member": lambda: by_zipfile(zipfile.ZIP_DEFLATED, force_zip64=True),
    "zip, both end records": both_end_records,
    "zip, through a pipe": streamed,
    "tar, pax": lambda: by_tarfile(FILES),
    "tar, GNU": lambda: by_tarfile(FILES, tarfile.GNU_FORMAT),
    "tgz": lambda: gzipped(by_tarfile(FILES)),
    "tgz, in two pieces with padding": pieces_of_gzip,
}


@pytest.mark.parametrize("packer", HONEST)
def test_honest_packers(packer: str, tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(HONEST[packer]())
    with open_archive(path) as archive:
        assert archive.kind == packer.split(",")[0]
        assert archive.members == tuple(Member(name, len(FILES[name])) for name in sorted(FILES))
        for name, data in FILES.items():
            assert archive.read(name, 4 << 20) == data
            assert archive.head(name, 3) == data[:3]
        assert archive.extract(tmp_path / "out") == tuple(sorted(FILES))
    found = {p.relative_to(tmp_path / "out").as_posix(): p for p in (tmp_path / "out").rglob("*") if not p.is_dir()}
    assert {name: p.read_bytes() for name, p in found.items()} == FILES
    assert {stat.S_IMODE(p.lstat().st_mode) & 0o111 for p in found.values()} == {0}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive", "out"]


@pytest.mark.parametrize(("command", "kind"), [("zip -qr", "zip"), ("tar cf", "tar"), ("tar czf", "tgz")])
def test_the_tools_of_the_shell(command: str, kind: str, tmp_path: Path) -> None:
    if shutil.which(command.split()[0]) is None:
        pytest.skip(f"{command.split()[0]} is not installed")
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "a.bin").write_bytes(b"a" * 9000)
    (tmp_path / "in" / "sub" / "b").write_bytes(b"b")
    subprocess.run([*command.split(), tmp_path / "archive.zip", "."], cwd=tmp_path / "in", check=True)
    with open_archive(tmp_path / "archive.zip") as archive:
        assert archive.kind == kind
        assert archive.names == ("a.bin", "sub/b")


def test_interleaved_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(by_zipfile(zipfile.ZIP_DEFLATED))
    with open_archive(path) as archive:
        one = archive.chunks(["model/variables/data-00000"])
        first = next(one)[1]
        assert archive.read("model/saved.pb", 9999) == FILES["model/saved.pb"]
        assert first + b"".join(piece for _, piece in one) == FILES["model/variables/data-00000"]


def test_keep_chooses_and_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(by_zipfile(zipfile.ZIP_DEFLATED))
    (tmp_path / "out").mkdir()
    with open_archive(tmp_path / "a.zip") as archive:
        assert archive.extract(tmp_path / "out", lambda name: name.endswith(".pb")) == ("model/saved.pb",)
    assert [p.name for p in (tmp_path / "out").rglob("*")] == ["model", "saved.pb"]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(by_zipfile(zipfile.ZIP_DEFLATED))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with open_archive(tmp_path / "a.zip") as archive, pytest.raises(StoreError, match="cannot be unpacked"):
        archive.extract(tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "out"]


def test_whoever_stops_it_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(by_zipfile(zipfile.ZIP_STORED))
    calls = iter(range(3))

    def stop() -> None:
        if next(calls) == 2:
            raise JobCancelled("nobody wants it any more")

    with open_archive(tmp_path / "a.zip") as archive, pytest.raises(JobCancelled):
        archive.extract(tmp_path / "out", check=stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip"]


def test_reading_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of([Entry(b"config.json", b"{}" * 50)]))
    with open_archive(tmp_path / "a.zip") as archive:
        with pytest.raises(TooLarge, match=r"'config\.json' has 100 bytes, expected at most 99"):
            archive.read("config.json", 99)
        with pytest.raises(KeyError):
            archive.read("absent", 99)
        with pytest.raises(KeyError):
            archive.head("absent")


def test_what_is_always_allowed_may_be_packed_small(tmp_path: Path) -> None:
    """Zeros deflate a thousandfold: a small file of them is no bomb."""
    (tmp_path / "a.zip").write_bytes(zip_of([Entry(b"zeros", bytes(1 << 20), 8)]))
    with open_archive(tmp_path / "a.zip", Limits()) as archive:
        assert archive.read("zeros", 1 << 20) == bytes(1 << 20)


def test_an_empty_zip_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of([]))
    with open_archive(tmp_path / "a.zip") as archive:
        assert archive.members == ()


def test_kinds_by_their_first_bytes() -> None:
    assert kind_of(by_tarfile({"a": b"x"})[:512]) == "tar"
    assert kind_of(gzip.compress(b"x")) == "tgz"
    assert kind_of(by_zipfile(zipfile.ZIP_STORED)) == "zip"
    assert [kind_of(data) for data in (b"", b"PK", bytes(512), b"x" * 511, os.urandom(100))] == [""] * 5
