"""A framework's own runtime: the source itself, opened by its format. Runs in a worker of the format's Environment.

Rule 1: nothing of a framework is imported here; Format.open_native does it, in the worker.
Rule 2: an answer that is not what the signature says is an error, not an answer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from gateway.core.artifact import NATIVE, SOURCE_FOLDER, Artifact
from gateway.core.dtypes import Array, Tensors, name_of
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError, ModelRunError
from gateway.formats.base import Oracle, Source, all_formats
from gateway.runtimes.base import Runtime


class NativeRuntime(Runtime):
    name: ClassVar[str] = "native"

    def __init__(self, models: Mapping[str, Oracle], signatures: Mapping[str, Signature]) -> None:
        self._models = dict(models)
        self._signatures = dict(signatures)
        self._runtime = next((model.name for model in models.values()), "")

    @classmethod
    def accepts(cls, artifact: Artifact) -> bool:
        return artifact.kind == NATIVE

    @classmethod
    def load(
        cls, artifact: Artifact, folder: Path, *, threads: int = 0, providers: Sequence[str] = ()
    ) -> NativeRuntime:
        """`threads` is what the worker's environment variables say; `providers` are not asked: it is the CPU."""
        root = folder / SOURCE_FOLDER
        files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        source = Source(root, tuple(files))
        chosen = all_formats()[artifact.provenance.format]
        match = chosen.match(source)
        if match is None:
            raise ModelRunError(f"the artifact's {SOURCE_FOLDER}/ holds no model of {chosen.title}.")
        signatures = {signature.name: signature for signature in artifact.signatures}
        try:
            models = {name: chosen.open_native(source, match, signature) for name, signature in signatures.items()}
            chosen.warm(source, match, models)
        except ConversionError as error:
            said = f"{chosen.title} cannot load the artifact: {error.message}"
            raise ModelRunError(said, hint=error.hint) from error
        return cls(models, signatures)

    def run(self, signature: str, inputs: Tensors, outputs: Sequence[str] = ()) -> Tensors:
        bound = self._signatures[signature]
        if signature not in self._models:
            raise ModelRunError("the model has been unloaded.")
        try:
            answers = self._models[signature].run(inputs)
        except Exception as error:  # whatever a framework raises
            raise ModelRunError(f"{self._runtime} could not run the model: {_last_line(error)}") from error
        specs = bound.select(outputs) if outputs else bound.outputs
        return {spec.name: _checked(spec, answers[spec.name]) for spec in specs}

    def placement(self) -> dict[str, str]:
        return {"runtime": self._runtime, "device": "cpu", "pid": str(os.getpid())}

    def close(self) -> None:
        self._models.clear()


def _checked(spec: TensorSpec, answer: Array) -> Array:
    if name_of(answer) != spec.dtype or not spec.accepts(answer.shape):
        found = f"{name_of(answer)}{list(answer.shape)}"
        raise ModelRunError(f"output {spec.name!r} came as {found}, expected {spec} as the signature says.")
    return answer


def _last_line(error: BaseException) -> str:
    """A framework's sentence: its stack trace stands above it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:500]
