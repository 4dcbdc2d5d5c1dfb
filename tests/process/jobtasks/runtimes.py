"""A runtime that does what its input's name says: the ways in which a worker can end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from gateway.core.artifact import Artifact
from gateway.core.dtypes import Tensors
from gateway.errors import InvalidTensor, ModelRunError
from gateway.runtimes.base import Runtime


class Obedient(Runtime):
    name: ClassVar[str] = "obedient"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def accepts(cls, artifact: Artifact) -> bool:
        return True

    @classmethod
    def load(cls, artifact: Artifact, folder: Path, *, threads: int = 0, providers: Sequence[str] = ()) -> Obedient:
        wish = folder.name
        if wish == "refuses":
            raise ModelRunError("the artifact is odd.", hint="Convert it again.")
        if wish == "hangs":
            time.sleep(600)
        if wish == "dies":
            os.abort()
        return cls(folder)

    def run(self, signature: str, inputs: Tensors, outputs: Sequence[str] = ()) -> Tensors:
        wish = next(iter(inputs))
        if wish == "exit":
            print("leaving in the middle", file=sys.stderr, flush=True)
            os._exit(7)
        if wish in ("sleep", "sleep with a grandchild"):
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) if "with" in wish else None
            note = Path("asleep.part")  # in the worker's own folder
            note.write_text(f"{os.getpid()} {child.pid if child else 0}")
            note.rename("asleep")
            time.sleep(600)
        if wish == "raise ours":
            raise InvalidTensor("input 'x' is odd.")
        if wish == "raise foreign":
            raise LookupError("no\nkernel")
        if wish == "foreign dtype":
            return {"y": np.zeros(2, "datetime64[s]")}
        if wish == "nonsense":
            for descriptor in range(3, 20):
                try:
                    os.write(descriptor, b"HTTP/1.1 200 OK\r\n" * 4)
                except OSError:
                    continue
        return {name: inputs[name] for name in (outputs or inputs)}

    def placement(self) -> dict[str, str]:
        return {"runtime": "obedient 1", "device": "cpu", "pid": str(os.getpid())}

    def close(self) -> None:
        """Nothing is held."""
