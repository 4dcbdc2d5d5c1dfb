"""A dropped archive is the folder that was packed: same model, options, vectors; or refused, and nothing stays."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from gateway import config
from gateway.errors import CorruptArchive, DropError, GatewayError, JobCancelled, UnsafeArchive
from gateway.repository.detect import detect
from gateway.repository.drop import read_loose
from gateway.repository.store import Store
from tests.archive.forge import LINK, Entry, by_tarfile, gzipped, zip_of
from tests.e2e.affine import affine
from tests.repository.trees import Watched, plant

FOLDER = {
    "m.onnx": affine(1.0),
    "model.toml": b'verify = "off"\nlabels = "l.txt"',
    "l.txt": b"cat\ndog\n",
    "test/input_0.npy": b"in",
    "README.md": b"papers",
    "__MACOSX/._m.onnx": b"a packer's own",
}
AROUND = {f"faces/{name}": data for name, data in FOLDER.items()}


def packed(files: dict[str, bytes]) -> bytes:
    return zip_of([Entry(name.encode(), data, 8) for name, data in files.items()])


ARCHIVES = {
    "a.zip": packed(FOLDER),
    "b.ZIP": packed(AROUND),
    "c.tar": by_tarfile(FOLDER),
    "d.tgz": gzipped(by_tarfile(AROUND)),
    "e.tar.gz": gzipped(by_tarfile({f"./{name}": data for name, data in FOLDER.items()})),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_the_folder_that_was_packed(name: str, repo: Path, watched: Watched, store: Store) -> None:
    plant(repo, {name: ARCHIVES[name]})
    (seen,) = watched.settled().values()
    drop = watched.repository.ingest(seen, store)
    assert seen.model == name[0]
    assert drop.source.files == ("m.onnx",)
    assert drop.source.path("m.onnx").read_bytes() == FOLDER["m.onnx"]
    assert detect(drop.source).format == "onnx"
    assert (drop.options.verify, drop.labels) == ("off", ("cat", "dog"))
    assert drop.vectors is not None
    assert [path.name for path in drop.vectors.iterdir()] == ["input_0.npy"]
    again = watched.repository.ingest(seen, store)  # from the index, without unpacking
    assert (again.source, again.options, again.labels) == (drop.source, drop.options, drop.labels)
    loose = read_loose(repo / name)
    assert (loose.digest, loose.options, loose.labels) == (drop.digest, drop.options, drop.labels)
    assert loose.source.path("m.onnx").read_bytes() == FOLDER["m.onnx"]
    scratch = loose.source.root
    del loose
    gc.collect()
    assert not scratch.exists()


def test_model_toml_beside_the_archive_comes_before_the_one_inside(repo: Path, watched: Watched, store: Store) -> None:
    plant(repo, {"a.zip": ARCHIVES["a.zip"], "a.toml": 'verify = "required"'})
    (seen,) = watched.settled().values()
    drop = watched.repository.ingest(seen, store)
    assert (drop.options.verify, drop.labels) == ("required", ())


def test_in_a_version_folder(repo: Path, watched: Watched, store: Store) -> None:
    plant(repo, {"faces/3/model.zip": ARCHIVES["b.ZIP"]})
    seen = watched.settled()["faces", 3]
    assert watched.repository.ingest(seen, store).source.files == ("m.onnx",)


SMALL = config.Watch(max_drop_bytes=1 << 20, max_drop_files=5)
REFUSED: dict[str, tuple[bytes, type[GatewayError], str]] = {
    "slip": (packed({"../../x": b"x"}), UnsafeArchive, "leaves the folder"),
    "link": (zip_of([Entry(b"m.onnx", b"/etc/passwd", attributes=LINK)]), UnsafeArchive, "is a link"),
    "too many files": (packed({f"{n}": b"" for n in range(6)}), UnsafeArchive, "more than the limit of 5"),
    "too many bytes": (
        zip_of([Entry(b"%d" % n, bytes(99) + b"x" * (400 << 10)) for n in range(3)]), UnsafeArchive, "max_drop_bytes"),
    "damaged": (zip_of([Entry(b"a", b"abc", crc=1)]), CorruptArchive, "checksum"),
    "cut short": (ARCHIVES["a.zip"][:-30], CorruptArchive, "no end record"),
    "nothing inside": (zip_of([]), DropError, "holds no files of a model"),
    "papers inside": (packed({"README": b"x", ".DS_Store": b"x"}), DropError, "holds no files of a model"),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_refused_and_nothing_stays(why: str, repo: Path, store: Store) -> None:
    data, kind, said = REFUSED[why]
    plant(repo, {"bad.zip": data})
    watched = Watched(repo, store.index, SMALL)
    (seen,) = watched.settled().values()
    if seen.problem is None:
        with pytest.raises(kind) as caught:
            watched.repository.ingest(seen, store)
        assert said in caught.value.message
        assert str(store.root) not in caught.value.explain()
    else:
        assert seen.bytes > SMALL.max_drop_bytes
    left = [p for p in store.root.rglob("*") if p.is_file() and p.name not in ("lock", "open")]
    assert left == []


def test_an_archive_inside_is_not_unpacked(repo: Path, watched: Watched, store: Store) -> None:
    plant(repo, {"a.zip": packed({"inner.zip": ARCHIVES["a.zip"]})})
    (seen,) = watched.settled().values()
    assert watched.repository.ingest(seen, store).source.files == ("inner.zip",)


def test_unpacking_stops_when_nobody_wants_it(repo: Path, watched: Watched, store: Store) -> None:
    plant(repo, {"a.zip": ARCHIVES["a.zip"]})
    (seen,) = watched.settled().values()
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(JobCancelled):
        watched.repository.ingest(seen, store, cancel)
    assert list((store.root / "drops").iterdir()) == []
