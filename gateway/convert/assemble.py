"""A pipeline into the store: its file and its vectors, read and copied in this process, for they are data of our own.

Rule 1: what pipeline.toml says wrong is an error here, before anything waits for members.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from gateway.convert import report
from gateway.core import pipeline
from gateway.core.artifact import Artifact, Verdict, Verification
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import DropError
from gateway.formats.base import Conversion, Match, Source

UNTIL_LOADED = "a pipeline is checked and proven when its members serve."
MAX_BYTES = 1 << 20


def assemble(
    source: Source, match: Match, vectors: Path | None, out: Path, *, digest: str, source_digest: str
) -> Artifact:
    """Write the artifact's files and gateway.json into `out`. Errors: PipelineTomlError, DropError, StoreError."""
    file = source.path(match.main)
    if file.stat().st_size > MAX_BYTES:
        raise DropError(f"{match.main} has {file.stat().st_size} bytes, expected at most {MAX_BYTES}.")
    try:
        found = pipeline.parse(file.read_bytes().decode())
    except UnicodeDecodeError as error:
        raise DropError(f"{match.main} is no UTF-8: {error.reason} at byte {error.start}.") from None
    shutil.copyfile(file, out / pipeline.FILE)
    golden = [source.path(name) for name in match.used if name.startswith("test/")]
    _copy([*golden, *(sorted(vectors.glob("*.npy")) if vectors is not None else ())], out / "test")
    inputs = [TensorSpec(n, "string", (None,)) if spec is None else spec for n, spec in found.inputs.items()]
    signature = Signature(tuple(inputs), (), missing=found.missing)
    made = Artifact(
        digest=digest,
        kind=pipeline.KIND,
        signatures=(signature,),
        provenance=report.provenance(
            match,
            Conversion(pipeline.KIND, (signature,)),
            source_digest=source_digest,
            converter="none",
            environment="none",
            sandbox="none",
            seconds={},
        ),
        verification=Verification(Verdict.UNVERIFIED, reason=UNTIL_LOADED),
        files=report.file_sizes(out),
    )
    report.write(made, out)
    return made


def _copy(files: Iterable[Path], folder: Path) -> None:
    for file in files:
        folder.mkdir(exist_ok=True)
        shutil.copyfile(file, folder / file.name)
