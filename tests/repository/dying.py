"""Run by the tests in a process of its own: drop, convert and publish, and be killed at a named step.

    python -m tests.repository.dying REPO STORE STEP

A conversion is a line in STORE/../converted. Prints the artifact's text when it lives to the end.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from gateway import config
from gateway.repository.source import Repository
from gateway.repository.store import Store
from tests.repository.trees import artifact


class Dying(Store):
    def __init__(self, root: Path, step: str) -> None:
        super().__init__(root)
        self.last = step
        self.passed: list[str] = []

    def step(self, name: str) -> None:
        super().step(name)
        self.passed.append(name)
        if f"{name} {self.passed.count(name)}" == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def main(repo: Path, root: Path, step: str) -> None:
    store = Dying(root, step)
    store.open()
    repository = Repository(repo, config.Watch(settle_s=0.0), store.index, suffixes=(".onnx",))
    (seen,) = repository.scan().entries
    known = repository.known(seen)
    key = store.key(known.digest, "{}", "onnx", "test 1") if known else ""
    stored = store.find(key) if key else None
    if stored is None:
        drop = repository.ingest(seen, store)
        key = store.key(drop.digest, "{}", "onnx", "test 1")
        with store.lock(key):
            stored = store.find(key)
            if stored is None:
                with store.stage() as folder, (root.parent / "converted").open("ab", buffering=0) as log:
                    (folder / "model.onnx").write_bytes(drop.source.path("net.onnx").read_bytes() * 2)
                    log.write(b"once\n")
                    stored = store.publish(key, folder, artifact(source=drop.digest))
        store.release_drop(drop.digest)
    print((stored.folder / "model.onnx").read_text(), ", ".join(store.passed), sep="|")
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
