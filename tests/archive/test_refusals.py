"""Everything that an archive must not be: a row each, the refusal names it, and nothing is unpacked."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from gateway.archive import Limits, open_archive
from gateway.errors import CorruptArchive, GatewayError, UnsafeArchive
from tests.archive.forge import (
    DEVICE,
    END,
    LINK,
    Entry,
    checked,
    deflated,
    differing_ends,
    file,
    gzipped,
    header,
    long_name,
    overlap,
    padded,
    pax,
    quoted_overlap,
    zip_of,
)

SMALL = Limits(members=50, total_bytes=8 << 20, slack_bytes=4096)
OK = Entry(b"model.onnx", b"bytes of a model")
A_ACUTE = "á.bin"


def named(name: bytes) -> bytes:
    return zip_of([OK, Entry(name, b"x")])


NAMES = {
    "absolute": (b"/etc/cron.d/x", "absolute path"),
    "parent": (b"../../x", "'..'"),
    "parent inside": (b"a/../../x", "'..'"),
    "backslash": (b"..\\..\\x", "backslash"),
    "drive letter": (b"C:x", "drive letter"),
    "drive letter with folder": (b"c:/x", "drive letter"),
    "NUL": (b"model.onnx\0.txt", "NUL"),
    "control character": (b"a\x1b[2Jb", "control character"),
    "newline": (b"a\nb", "control character"),
    "right to left": ("a\u202egpj.exe".encode(), "control character"),
    "not UTF-8": (b"\xff\xfe", "no UTF-8"),
    "half of a pair": (b"\xed\xa0\x80", "no UTF-8"),
    "empty part": (b"a//b", "empty part"),
    "dot part": (b"a/./b", "'.'"),
    "long part": (b"a" * 256, "longer than"),
    "long path": (b"/".join([b"a" * 200] * 6), "longer than"),
    "deep": (b"d/" * 40 + b"x", "folders deep"),
    "no name": (b"", "no name"),
    "two dots alone": (b"..", "'..'"),
}

ZIPS: dict[str, tuple[bytes, type[GatewayError], str]] = {
    **{f"name: {why}": (named(name), UnsafeArchive, said) for why, (name, said) in NAMES.items()},
    "link": (zip_of([Entry(b"l", b"/etc/passwd", attributes=LINK)]), UnsafeArchive, "'l' is a link"),
    "device": (zip_of([Entry(b"d", attributes=DEVICE)]), UnsafeArchive, "'d' is a device"),
    "twice": (zip_of([OK, OK]), UnsafeArchive, "'model.onnx' is there twice"),
    "case": (zip_of([Entry(b"A.bin"), Entry(b"a.bin")]), UnsafeArchive, "one file where case"),
    "case of a folder": (zip_of([Entry(b"A/x"), Entry(b"a/y")]), UnsafeArchive, "one folder where case"),
    "composed letters": (
        zip_of([Entry(A_ACUTE.encode()), Entry("a\u0301.bin".encode())]), UnsafeArchive, "composed letters"),
    "sharp s": (zip_of([Entry("straße".encode()), Entry(b"STRASSE")]), UnsafeArchive, "one file where case"),
    "file and folder": (zip_of([Entry(b"a"), Entry(b"a/b")]), UnsafeArchive, "is a file and 'a' a folder"),
    "folder listed over a file": (
        zip_of([Entry(b"a"), Entry(b"a/", attributes=0)]), UnsafeArchive, "is a file and 'a' a folder"),
    "folder that is a file": (zip_of([Entry(b"a/")]), UnsafeArchive, "a file by its mode and a folder"),
    "file that is a folder": (zip_of([Entry(b"a", attributes=0o40755 << 16)]), UnsafeArchive, "a folder by its mode"),
    "folder that holds bytes": (zip_of([Entry(b"a/", b"x")]), UnsafeArchive, "folder that holds 1 bytes"),
    "other name inside": (
        zip_of([Entry(b"good.txt", b"x", local_name=b"../../e")]), UnsafeArchive, "the name '../../e'"),
    "other method inside": (zip_of([Entry(b"a", b"x", local_method=8)]), UnsafeArchive, "another method"),
    "other size inside": (zip_of([Entry(b"a", b"x", local_size=9)]), UnsafeArchive, "other sizes"),
    "other checksum inside": (zip_of([Entry(b"a", b"x", local_crc=9)]), UnsafeArchive, "another checksum"),
    "encrypted inside only": (zip_of([Entry(b"a", b"x", local_flags=0x801)]), UnsafeArchive, "other flags"),
    "encrypted": (zip_of([Entry(b"a", b"x", flags=0x801)]), UnsafeArchive, "encrypted"),
    "strongly encrypted": (zip_of([Entry(b"a", b"x", flags=0x41)]), UnsafeArchive, "encrypted"),
    "bzip2": (zip_of([Entry(b"a", b"x", method=12, raw=b"BZh")]), UnsafeArchive, "bzip2 (12)"),
    "unknown method": (zip_of([Entry(b"a", b"x", method=77, raw=b"?")]), UnsafeArchive, "an unknown method (77)"),
    "patch": (zip_of([Entry(b"a", b"x", flags=0x20)]), UnsafeArchive, "patch"),
    "another name in an extra": (
        zip_of([Entry(b"a", b"x", extra=struct.pack("<2HBI", 0x7075, 9, 1, 0) + b"../e")]),
        UnsafeArchive, "another name, '../e'"),
    "bomb": (zip_of([Entry(b"a", bytes(1 << 20), 8)]), UnsafeArchive, "more than 200 times as much: a bomb"),
    "quoted overlap": (quoted_overlap(b"kernel" * 9, 30), UnsafeArchive, "the name"),
    "overlap": (overlap(), UnsafeArchive, "overlap by 3"),
    "hidden behind": (zip_of([Entry(b"a", b"x", after=b"PK\3\4hidden")]), UnsafeArchive, "belong to no member"),
    "a member that is not listed": (
        zip_of([Entry(b"a", b"x"), Entry(b"evil", b"x", listed=False)]), UnsafeArchive, "belong to no member"),
    "far gap": (zip_of([Entry(b"a", b"x", after=bytes(70_000))]), UnsafeArchive, "belong to no member"),
    "total": (zip_of([Entry(b"a%d" % n, bytes(3 << 20)) for n in range(3)]), UnsafeArchive, "watch.max_drop_bytes"),
    "count": (zip_of([Entry(b"%d" % n) for n in range(51)]), UnsafeArchive, "more than the limit of 50"),
    "too many claimed": (zip_of([OK], count=60_000), UnsafeArchive, "60000 members"),
    "bytes before": (zip_of([OK], before=b"PK\3\4 and no more"), UnsafeArchive, "start and 'model.onnx' belong to no"),
    "bytes before, not counted": (
        zip_of([OK], before=b"PK\3\4 and", offset=46), CorruptArchive, "before it or behind"),
    "bytes behind": (zip_of([OK], behind=b"more"), CorruptArchive, "no end record"),
    "end record in the comment": (zip_of([OK], comment=b"PK\5\6 and no more"), CorruptArchive, "another end record"),
    "archive in the comment": (zip_of([OK], comment=zip_of([Entry(b"evil")])), CorruptArchive, "before it or behind"),
    "archive behind the archive": (
        zip_of([Entry(b"evil")], before=zip_of([OK])), UnsafeArchive, "the file's start and 'evil' belong to no"),
    "several volumes": (zip_of([OK], disk=1), CorruptArchive, "several volumes"),
    "on another volume": (zip_of([Entry(b"a", disk=1)]), CorruptArchive, "another volume"),
    "more rows than there are": (zip_of([OK], count=2), CorruptArchive, "directory has"),
    "rows behind the last": (zip_of([OK, OK], count=1), CorruptArchive, "behind its last row"),
    "stored and two sizes": (zip_of([Entry(b"a", b"x", size=5, local_size=5)]), CorruptArchive, "and has 5"),
    "zip64 that is not there": (zip_of([OK], count=0xFFFF), CorruptArchive, "zip64 record that is not there"),
    "two end records that differ": (differing_ends(), CorruptArchive, "two end records differ"),
    "zip64 record elsewhere": (
        differing_ends().replace(b"PK\6\6", b"PK\6\5"), CorruptArchive, "zip64 end record is not where"),
    "zip64 sizes that are not there": (
        zip_of([Entry(b"a", b"x", size=0xFFFFFFFF)]), CorruptArchive, "no zip64 sizes"),
    "header outside": (zip_of([OK, Entry(b"a", at=1 << 30, in_file=False)]), CorruptArchive, "no header at"),
    "no header there": (zip_of([Entry(b"a", b"x" * 60, at=3)]), CorruptArchive, "no header at 3"),
    "data outside": (
        zip_of([Entry(b"a", b"x", packed=1 << 20, size=1 << 20)]), CorruptArchive, "ends at"),
    "cut": (zip_of([OK])[:-9], CorruptArchive, "no end record"),
    "only its first bytes": (b"PK\3\4", CorruptArchive, "no end record"),
}  # fmt: skip

PLAIN = file(b"model.onnx")
TARS: dict[str, tuple[bytes, type[GatewayError], str]] = {
    **{
        f"name: {why}": (PLAIN + long_name(name) + file(b"x") + END, UnsafeArchive, said)
        for why, (name, said) in NAMES.items()
        if b"\0" not in name and name
    },
    "absolute in the header": (file(b"/etc/x") + END, UnsafeArchive, "absolute"),
    "parent in the prefix": (header(b"x", prefix=b"../..") + END, UnsafeArchive, "'..'"),
    "parent in a pax record": (pax((b"path", b"../x")) + file(b"fine") + END, UnsafeArchive, "'..'"),
    "NUL in a pax record": (pax((b"path", b"a\0b")) + file(b"fine") + END, UnsafeArchive, "NUL"),
    "link": (header(b"l", kind=b"2", link=b"/etc/passwd") + END, UnsafeArchive, "'l' is a link"),
    "hard link": (header(b"l", kind=b"1", link=b"model.onnx") + END, UnsafeArchive, "a hard link"),
    "device": (header(b"d", kind=b"4") + END, UnsafeArchive, "a device"),
    "character device": (header(b"d", kind=b"3") + END, UnsafeArchive, "a device"),
    "FIFO": (header(b"f", kind=b"6") + END, UnsafeArchive, "a FIFO"),
    "sparse": (header(b"s", kind=b"S") + END, UnsafeArchive, "a sparse file"),
    "sparse by pax": (pax((b"GNU.sparse.major", b"1")) + file(b"s") + END, UnsafeArchive, "a sparse file"),
    "unknown type": (header(b"u", kind=b"Z") + END, UnsafeArchive, "unknown type b'Z'"),
    "file called as a folder": (header(b"d/") + END, UnsafeArchive, "a file by its type and a folder by its name"),
    "folder without a type that holds bytes": (
        header(b"d/", 1, b"\0") + padded(b"x") + END, UnsafeArchive, "folder that holds 1 bytes"),
    "one name for all": (
        pax((b"path", b"x"), kind=b"g") + PLAIN + END, UnsafeArchive, "a record for all members sets path"),
    "twice": (PLAIN + PLAIN + END, UnsafeArchive, "there twice"),
    "twice with ./": (PLAIN + file(b"./model.onnx") + END, UnsafeArchive, "there twice"),
    "case": (file(b"A") + file(b"a") + END, UnsafeArchive, "one file where case"),
    "file and folder": (file(b"a") + file(b"a/b") + END, UnsafeArchive, "a file and"),
    "total": (b"".join(file(b"%d" % n, bytes(3 << 20)) for n in range(3)) + END, UnsafeArchive, "max_drop_bytes"),
    "count": (b"".join(file(b"%d" % n) for n in range(52)) + END, UnsafeArchive, "more members than the limit of 50"),
    "names without end": (PLAIN + long_name(b"a") * 200 + END, UnsafeArchive, "more members"),
    "bytes behind": (PLAIN + END + b"hidden", UnsafeArchive, "belong to no member"),
    "another archive behind": (PLAIN + END + file(b"evil") + END, UnsafeArchive, "belong to no member"),
    "cut in a header": (PLAIN + header(b"x")[:100], CorruptArchive, "ends inside a header"),
    "cut in a file": (header(b"x", 4096) + b"x" * 512, CorruptArchive, "4096 bytes were expected"),
    "wrong checksum": (PLAIN + header(b"x")[:-1] + b"!" + END, CorruptArchive, "checksum is wrong"),
    "long record": (header(b"p", 1 << 30, b"x") + END, CorruptArchive, "expected at most 65536"),
    "record cut": (header(b"p", 2000, b"x"), CorruptArchive, "ends inside a name"),
    "broken record": (header(b"p", 20, b"x") + padded(b"99 path=x\n") + PLAIN, CorruptArchive, "breaks its own rules"),
    "record of no length behind another": (
        header(b"p", 19, b"x") + padded(b"8 a=bcd\n\n\n\n\n\n\n\n\n\n\n\n") + PLAIN, CorruptArchive, "its own rules"),
    "record of no length": (header(b"p", 9, b"x") + padded(b"0 path=x\n") + PLAIN, CorruptArchive, "its own rules"),
    "size that is no number": (pax((b"size", b"-1")) + PLAIN + END, CorruptArchive, "has the size"),
    "size beyond all": (pax((b"size", b"9" * 18)) + PLAIN + END, CorruptArchive, "ends inside"),
    "name of nothing": (PLAIN + long_name(b"x") + END, CorruptArchive, "ends before a member"),
    "negative size": (
        checked(bytearray(header(b"n")[:124] + b"\xff" * 12 + header(b"n")[136:])) + END,
        CorruptArchive, "a negative number"),
}  # fmt: skip

TGZS: dict[str, tuple[bytes, type[GatewayError], str]] = {
    "slip": (gzipped(file(b"../x") + END), UnsafeArchive, "'..'"),
    "link": (gzipped(header(b"l", kind=b"2", link=b"/") + END), UnsafeArchive, "a link"),
    "bomb": (gzipped(file(b"a", bytes(6 << 20)) + END), UnsafeArchive, "times as much: a bomb"),
    "bomb of zeros behind the end": (gzipped(PLAIN + bytes(900 << 10)), UnsafeArchive, "a bomb"),
    "bomb in a record": (gzipped(header(b"p", 1 << 30, b"x") + bytes(1 << 22)), UnsafeArchive, "bomb"),
    "cut": (gzipped(PLAIN + END)[:-9], CorruptArchive, "gzip data ends before its end"),
    "damaged": (gzipped(PLAIN + END)[:-8] + b"\0" * 8, CorruptArchive, "gzip data is damaged"),
    "no tar inside": (gzipped(b"hello, this is no tar" * 40), CorruptArchive, "checksum is wrong"),
    "bytes behind": (gzipped(PLAIN + END) + b"hidden", CorruptArchive, "damaged"),
    "another archive behind": (gzipped(PLAIN + END) + gzipped(file(b"evil") + END), UnsafeArchive, "belong to no"),
}

ALL = {
    **{f"zip, {why}": row for why, row in ZIPS.items()},
    **{f"tar, {why}": row for why, row in TARS.items()},
    **{f"tgz, {why}": row for why, row in TGZS.items()},
}


@pytest.mark.parametrize("why", ALL)
def test_refused(why: str, tmp_path: Path) -> None:
    data, kind, said = ALL[why]
    path = tmp_path / "archive"
    path.write_bytes(data)
    with pytest.raises(kind) as caught:
        open_archive(path, SMALL)
    assert said in caught.value.explain()
    assert caught.value.message.startswith("archive: ")
    assert caught.value.hint
    assert "\0" not in caught.value.message
    assert caught.value.message.isprintable()
    assert sorted(tmp_path.iterdir()) == [path]


LIES = {
    "checksum": Entry(b"a", b"abc", crc=1),
    "more than it says": Entry(b"a", b"abc" * 99, 8, size=5, crc=0),
    "less than it says": Entry(b"a", b"abc", 8, size=500, crc=0),
    "no deflated data": Entry(b"a", b"abc", 8, raw=b"\xff\xff\xff"),
    "no end": Entry(b"a", b"abc" * 9, 8, raw=deflated(b"abc" * 9)[:-2]),
    "bytes behind its end": Entry(b"a", b"abc", 8, raw=deflated(b"abc") + b"more"),
}


@pytest.mark.parametrize("why", LIES)
def test_lies_that_only_unpacking_shows_leave_nothing(why: str, tmp_path: Path) -> None:
    """The first file is whole and was written already."""
    path = tmp_path / "archive.zip"
    path.write_bytes(zip_of([OK, LIES[why]]))
    with open_archive(path) as archive:
        assert archive.read("model.onnx", 99) == b"bytes of a model"
        with pytest.raises(CorruptArchive):
            archive.read("a", 1 << 20)
        with pytest.raises(CorruptArchive) as caught:
            archive.extract(tmp_path / "out")
    assert "'a'" in caught.value.message
    assert sorted(tmp_path.iterdir()) == [path]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    path.write_bytes(
        zip_of([Entry(b"/abs"), Entry(b"../up"), Entry(b"l", b"x", attributes=LINK), Entry(b"e", flags=1), OK, OK])
    )
    with pytest.raises(UnsafeArchive) as caught:
        open_archive(path)
    for part in ("'/abs' is an absolute", "'../up' leaves", "'l' is a link", "'e' is encrypted", "is there twice"):
        assert part in caught.value.message


def test_a_thousand_problems_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    path.write_bytes(zip_of([Entry(b"../%d" % number) for number in range(1000)]))
    with pytest.raises(UnsafeArchive) as caught:
        open_archive(path)
    assert caught.value.message.endswith("and 988 more problems")
    assert len(caught.value.message) < 3000


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    rows = {
        b"BZh91AY": "bzip2",
        b"\xfd7zXZ\0": "xz",
        b"7z\xbc\xaf\x27\x1c": "7-Zip",
        b"hello": "68 65 6c",
        b"": "nothing",
    }
    for data, said in rows.items():
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(CorruptArchive, match=said):
            open_archive(tmp_path / "x")


def test_links_and_pipes_are_not_opened(tmp_path: Path) -> None:
    import os

    (tmp_path / "real").write_bytes(zip_of([OK]))
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder", "absent"):
        with pytest.raises(GatewayError, match="cannot be read"):
            open_archive(tmp_path / name)


def test_a_bomb_costs_no_memory_and_no_time(tmp_path: Path) -> None:
    """2 MiB that unpack to 2 GiB: refused from the directory (zip), or after the first pieces (tgz)."""
    import tracemalloc

    piece, packed = bytes(1 << 20), zlib.compressobj(9, zlib.DEFLATED, 31)
    data = packed.compress(header(b"a", 2047 << 20)) + b"".join(packed.compress(piece) for _ in range(256))
    (tmp_path / "a.tgz").write_bytes(data)
    (tmp_path / "a.zip").write_bytes(zip_of([Entry(b"a", b"", 8, raw=deflated(piece), size=1 << 31, crc=0)]))
    tracemalloc.start()
    try:
        for name in ("a.tgz", "a.zip"):
            with pytest.raises(UnsafeArchive, match="a bomb"):
                open_archive(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
