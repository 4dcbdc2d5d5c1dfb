"""What a runtime is: loads an Artifact and runs Tensors -> Tensors. Five methods, no more.

A Runtime object is one loaded artifact. All methods may block and are called from a thread of
the caller's choice, never two at a time on one object.

Rule 1: names at this border are public names; the runtime maps them to the model's own
        (TensorSpec.tensor).
Rule 2: inputs have been checked against the Signature; a runtime never casts.
Rule 3: the contract test in tests/runtimes/ runs over every runtime.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from gateway.core.artifact import Artifact
from gateway.core.dtypes import Tensors


class Runtime(ABC):
    name: ClassVar[str]
    in_process: bool = True
    """False when `run` waits for another process: such a call never runs in the event loop."""

    @classmethod
    @abstractmethod
    def accepts(cls, artifact: Artifact) -> bool:
        """Can this runtime load that kind of artifact?"""

    @classmethod
    @abstractmethod
    def load(cls, artifact: Artifact, folder: Path, *, threads: int = 0, providers: Sequence[str] = ()) -> Runtime:
        """Load from the folder that holds the artifact's files.

        `threads` 0 means cores - 1, at least 1. `providers` are devices in order of preference
        ("cuda", "cpu"); () is the runtime's own choice. Errors: ModelRunError.
        """

    @abstractmethod
    def run(self, signature: str, inputs: Tensors, outputs: Sequence[str] = ()) -> Tensors:
        """Outputs by public name, in signature order or in the order asked for. Errors: ModelRunError, WorkerDied."""

    @abstractmethod
    def placement(self) -> dict[str, str]:
        """Where it runs: {"runtime": "onnxruntime 1.32.0", "device": "cpu", "providers": "...", "pid": ...}."""

    @abstractmethod
    def close(self) -> None:
        """Give back memory and processes. Safe to call twice."""
