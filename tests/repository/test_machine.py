"""The repository as a state machine: people add, overwrite, half-copy, rename and delete while it is ingested."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.errors import DropChanged
from gateway.repository.store import Store
from gateway.repository.walk import names_in
from tests.repository.trees import Watched

MODELS = ("a", "b", "c")
model, version = st.sampled_from(MODELS), st.sampled_from(("1", "02", "2"))


class Repo(RuleBasedStateMachine):
    """Each whole state writes one letter through both of its files; a mix of letters is a mix of two states."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="machine-"))
        self.store = Store(self.home / "store")
        self.store.open()
        self.repo = self.home / "repo"
        self.outside = self.home / "outside"
        for folder in (self.repo, self.outside):
            folder.mkdir()
        self.watched = Watched(self.repo, self.store.index)
        self.letters = 0
        self.names: dict[str, set[str]] = {}  # digest -> contents it was seen with

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.home)

    def letter(self) -> bytes:
        self.letters += 1
        return bytes([65 + self.letters % 26]) * 10 + str(self.letters).encode()

    def write(self, folder: Path, name: str, data: bytes) -> None:
        if folder.is_symlink():
            folder.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    @rule(model=model, version=version)
    def add_or_overwrite(self, model: str, version: str) -> None:
        folder, data = self.repo / model / version, self.letter()
        self.write(folder, "m.onnx", data)
        self.write(folder, "w.bin", data)

    @rule(model=model, version=version)
    def copy_half(self, model: str, version: str) -> None:
        folder = self.repo / model / version
        if not (folder / "w.bin").exists():  # else the half would look whole to anybody
            self.write(folder, "m.onnx", self.letter())

    @rule(model=model)
    def swap_by_rename(self, model: str) -> None:
        folder, data = self.repo / f".{model}", self.letter()
        self.write(folder, "m.onnx", data)
        self.write(folder, "w.bin", data)
        target = self.repo / model / "1"
        self.delete(model, "1")
        target.parent.mkdir(exist_ok=True)
        folder.rename(target)

    @rule(model=model, version=version)
    def delete(self, model: str, version: str) -> None:
        path = self.repo / model / version
        if path.is_symlink():
            path.unlink()
        shutil.rmtree(path, ignore_errors=True)

    @rule(one=model, other=model)
    def rename(self, one: str, other: str) -> None:
        if (self.repo / one).exists() and not (self.repo / other).exists():
            (self.repo / one).rename(self.repo / other)

    @rule(model=model)
    def spoil(self, model: str) -> None:
        (self.repo / model).mkdir(exist_ok=True)
        path = self.repo / model / "1"
        if not path.exists():
            path.symlink_to(self.outside)

    @rule(model=model)
    def repair(self, model: str) -> None:
        if (self.repo / model / "1").is_symlink():
            (self.repo / model / "1").unlink()

    @rule(wait=st.sampled_from((0.0, 0.5, 2.0)), stir=st.booleans())
    def ingest(self, wait: float, stir: bool) -> None:
        entries = [seen for seen in self.watched.scan(wait).entries if seen.settled and not seen.problem]
        for number, seen in enumerate(entries):
            if stir and number == 0:
                with (seen.root / "m.onnx").open("ab") as stream:
                    stream.write(b"!")
            try:
                drop = self.watched.repository.ingest(seen, self.store)
            except DropChanged:
                assert stir, "nobody touched it"
                (seen.root / "m.onnx").write_bytes(self.letter())
                (seen.root / "w.bin").unlink(missing_ok=True)
                continue
            assert not (stir and number == 0), "a drop was made of files that had changed"
            contents = [drop.source.path(name).read_bytes() for name in drop.source.files]
            assert len(set(contents)) == 1, "a drop mixes two states"
            self.names.setdefault(drop.digest, set()).add(repr((drop.source.files, contents[0])))
            self.store.release_drop(drop.digest)

    @invariant()
    def one_digest_one_content(self) -> None:
        assert all(len(contents) == 1 for contents in self.names.values())

    @invariant()
    def a_scan_never_raises_and_tells_each_version_once(self) -> None:
        keys = [(seen.model, seen.version) for seen in self.watched.scan().entries]
        assert len(keys) == len(set(keys))
        there = {name for name in names_in(self.repo) if any((self.repo / name).glob("*/m.onnx"))}
        assert there - {f".{m}" for m in MODELS} <= {name for name, _ in keys}


TestRepository = Repo.TestCase
TestRepository.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
