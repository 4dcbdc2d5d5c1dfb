"""What a Python user imports.

>>> from gateway.api import convert, load, verify
>>> artifact = convert("model_repo/digits/1", out)
>>> artifact.verification.verdict.value
'passed'
>>> with load(out) as model:
...     answer = model.run({"image": pixels})
>>> int(answer["probabilities"].argmax())
7
>>> verify("model_repo/digits/1", out).verdict.value
'passed'

All functions block; conversions run in child processes of a pinned Environment, never here.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from gateway import config
from gateway.convert import code as code_of
from gateway.convert.code import Written
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.artifact import FILE as ARTIFACT_FILE
from gateway.core.artifact import NATIVE, ONNX, Artifact, Verdict, Verification
from gateway.core.dtypes import Array, Tensors
from gateway.core.flags import NOTHING, Flags, with_flags
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.errors import UsageError, VerificationFailed
from gateway.formats.base import Match, all_formats
from gateway.formats.code import ENVIRONMENTS
from gateway.formats.tensorboard import READERS as GRAPHS
from gateway.process.environments import Environments
from gateway.recognise import recognise as recognise_files
from gateway.repository.detect import detect, detect_path, takers
from gateway.repository.drop import LooseDrop, read_loose
from gateway.runtimes.base import Runtime
from gateway.runtimes.isolated import IsolatedRuntime, Worker
from gateway.runtimes.ort import OrtRuntime
from gateway.runtimes.rows import filled

Progress = Callable[[str, float | None], None]


def convert(
    source: str | Path,
    out: str | Path,
    *,
    to: str = "",
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    signatures: Sequence[str] = (),
    tags: Sequence[str] = (),
    method: str = "",
    trainable: bool = False,
    frozen: bool = False,
    pictures: str = "",
    classify: str = "",
    regress: str = "",
    scores: str = "",
    verify: bool = True,
    progress: Progress | None = None,
) -> Artifact:
    """Convert a model file or folder into the folder `out`, and prove it.

    to       onnx, savedmodel, frozen, native, or auto: the quicker of ONNX and SavedModel; "" is model.toml's
    inputs   `[ALIAS=]NAME:DTYPE[SHAPE]` for what the format does not say, e.g. "data:float32[?,3,112,112]"
    outputs  `[ALIAS=]NAME` of tensors to cut the model at; any internal tensor may be named
    signatures, tags, method, trainable, frozen, pictures, classify, regress, scores   of a SavedModel: the keys of
             model.toml's [savedmodel]
    A verification that fails is in the Artifact's verdict, not raised.
    Errors: UsageError, DropError, ConversionError, JobError, EnvironmentMissing.
    """
    target = Path(out)
    _check_out(target)
    flags = Flags(to, inputs, outputs, signatures, tags, method, trainable, frozen, pictures, classify, regress, scores)
    loose, match, options = _read(source, flags)
    with tempfile.TemporaryDirectory(prefix="model-gateway-") as scratch:
        folder = Path(scratch) / "out"
        folder.mkdir()
        artifact = _converter(Path(scratch)).convert(
            ConvertRequest(
                source=loose.source,
                match=match,
                options=options,
                labels=loose.labels,
                vectors=loose.vectors,
                digest=loose.digest,
                source_digest=loose.digest,
                verify=verify and options.verify != "off",
            ),
            folder,
            progress=progress,
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        shutil.move(folder, target)
    return artifact


def code(
    source: str | Path,
    out: str | Path,
    *,
    to: str = "tensorflow",
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    progress: Progress | None = None,
) -> Written:
    """Write the model as Python code into the folder `out`: model.py, and weights.npz beside it.

    to   tensorflow or pytorch
    The code has been run: its answers to an input are those of the proven model, or VerificationFailed is raised.
    Errors: UsageError, VerificationFailed, ConversionError (what cannot be written, by name), and as `convert`.
    """
    folder = Path(out)
    if to not in ENVIRONMENTS:
        raise UsageError(f"--to {to!r}: expected one of {', '.join(ENVIRONMENTS)}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--out {folder} exists; expected a new or empty folder.", hint="Nothing was written.")
    with tempfile.TemporaryDirectory(prefix="model-gateway-") as scratch:
        made = Path(scratch) / "onnx"
        artifact = convert(source, made, to=ONNX, inputs=inputs, outputs=outputs, progress=progress)
        if artifact.verification.verdict is Verdict.FAILED:
            raise VerificationFailed(f"the model was not converted rightly: {artifact.verification.reason}")
        given = code_of.inputs_of(made)
        with load(made) as model:
            answers = model.run(given)
        return code_of.write(
            artifact,
            made,
            (given, answers),
            folder,
            to=to,
            name=f"{_title(Path(source))} ({artifact.provenance.format})",
            scratch=Path(scratch) / "jobs",
            progress=progress,
        )


def _title(path: Path) -> str:
    """What people call it: of a version's folder the folder above."""
    whole = path.absolute()
    name = whole.parent.name if whole.name.isdigit() else whole.stem
    return re.sub(r"[^\w .+-]", "_", name)  # it stands in a comment of the code


def recognise(source: str | Path) -> dict[str, Any]:
    """What a file or folder is, of every kind that is known by name, converted here or not. Reads, runs nothing.

    `findings` are the best first, each with format, title, version, confidence, evidence, safety, next and
    `converted_to`, empty when no Format takes it. Errors: UsageError, DropError.
    """
    path = Path(source)
    if not path.exists():
        raise UsageError(f"{source} does not exist; expected a model's file or folder.")
    files = detect_path(path)
    answer = recognise_files(files.root, files.files)
    rows = []
    for finding in answer.findings:
        targets = [target for fmt in takers(finding.kind) for target in fmt.targets]
        rows.append({**finding.to_json(), "converted_to": targets})
    return {"source": str(source), "findings": rows, "looked_at": answer.looked_at, "left_out": answer.left_out}


def tensorboard(source: str | Path, out: str | Path) -> tuple[Path, int]:
    """Write the model's graph into the folder `out` for TensorBoard: (event file, nodes).

    Of SavedModels, frozen graphs, `.meta` files, symbol.json and ONNX, converted here or not.
    Errors: ConversionError for other kinds, by name; UsageError, DropError.
    """
    path = Path(source)
    if not path.exists():
        raise UsageError(f"{source} does not exist; expected a model's file or folder.")
    files = detect_path(path)
    found = recognise_files(files.root, files.files).findings
    best = next((finding for finding in found if finding.kind in GRAPHS), None) or next(iter(found), None)
    if best is None:
        raise UsageError(f"{source} is of no kind that is known: no graph can be written of it.")
    with tempfile.TemporaryDirectory(prefix="model-gateway-") as scratch:
        return _converter(Path(scratch)).graph(best.kind, files.path(best.main), Path(out))


def inspect(source: str | Path) -> dict[str, Any]:
    """What a model says of itself: format, version, confidence, evidence, inputs, outputs, operators.

    An artifact's folder also shows its signatures, provenance and verification.
    Errors: UnsupportedFormat for what is known by name and not converted (`recognise` says more), and as `convert`.
    """
    path = Path(source)
    loose, match, options = _read(source)
    with tempfile.TemporaryDirectory(prefix="model-gateway-") as scratch:
        found = _converter(Path(scratch)).inspect(loose.source, match, options)
    answer = {
        "source": str(source),
        **match.to_json(),
        "next": _next(match),
        **found,
        "digest": loose.digest,
        "files": [{"name": name, "bytes": loose.source.path(name).stat().st_size} for name in loose.source.files],
    }
    if (path / ARTIFACT_FILE).is_file():
        artifact = _artifact(path)
        answer["artifact"] = artifact.to_json()
    return answer


def _next(match: Match) -> str:
    chosen = all_formats()[match.format]
    if chosen.targets[0] == NATIVE:
        return (
            f"Drop it into the repository: it is served as it is, by Environment '{chosen.native}' in a sandbox; "
            "nothing is converted, and its verdict is native."
        )
    if chosen.screens:
        return (
            f"With what is refused above put right, it becomes {chosen.targets[0]} in Environment "
            f"'{chosen.environment}', is proven and served."
        )
    return (
        f"Drop it into the repository: it becomes {chosen.targets[0]} in Environment '{chosen.environment}', is proven "
        "and served. `gateway convert` does the same without serving."
    )


def verify(
    source: str | Path,
    artifact: str | Path,
    *,
    inputs: Mapping[str, Array] | None = None,
    expected: Mapping[str, Array] | None = None,
) -> Verification:
    """Compare an artifact with the model it was made from, or with `expected` outputs of `inputs`."""
    loose, match, options = _read(source)
    with tempfile.TemporaryDirectory(prefix="model-gateway-") as scratch:
        return _converter(Path(scratch)).verify(
            loose.source,
            match,
            options,
            Path(artifact),
            inputs=dict(inputs) if inputs is not None else None,
            expected=dict(expected) if expected is not None else None,
            vectors=loose.vectors,
        )


class Model:
    """A loaded artifact. Use it as a context manager, or `close` it."""

    def __init__(self, artifact: Artifact, runtime: Runtime, scratch: tempfile.TemporaryDirectory[str] | None) -> None:
        self.artifact = artifact
        self._runtime = runtime
        self._scratch = scratch

    @property
    def signature(self) -> Signature:
        return self.artifact.signatures[0]

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str] = ()) -> Tensors:
        """Outputs by name. Errors: InvalidTensor (names, dtypes, shapes), ModelRunError."""
        tensors = dict(inputs)
        self.signature.check(tensors)
        return self._runtime.run(self.signature.name, tensors, tuple(outputs))

    def close(self) -> None:
        self._runtime.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load(path: str | Path, *, threads: int = 0) -> Model:
    """Load an artifact's folder; any other model is converted into a temporary one first."""
    folder = Path(path)
    if (folder / ARTIFACT_FILE).is_file():
        artifact = _artifact(folder)
        return Model(artifact, _start(artifact, folder, threads), None)
    scratch = tempfile.TemporaryDirectory(prefix="model-gateway-")
    try:
        out = Path(scratch.name) / "artifact"
        artifact = convert(path, out)
        return Model(artifact, _start(artifact, out, threads), scratch)
    except BaseException:
        scratch.cleanup()
        raise


def _start(artifact: Artifact, folder: Path, threads: int) -> Runtime:
    """onnxruntime here; a framework in a worker."""
    if artifact.kind != ONNX:
        worker = Worker().for_artifact(artifact)
        return filled(IsolatedRuntime.load(artifact, folder, threads=threads, worker=worker), artifact)
    return filled(OrtRuntime.load(artifact, folder, threads=threads), artifact)


def _artifact(folder: Path) -> Artifact:
    try:
        return Artifact.from_json(orjson.loads((folder / ARTIFACT_FILE).read_bytes()))
    except (OSError, orjson.JSONDecodeError) as error:
        raise UsageError(f"{folder / ARTIFACT_FILE} cannot be read: {error}") from None


def _read(source: str | Path, flags: Flags = NOTHING) -> tuple[LooseDrop, Match, ModelOptions]:
    path = Path(source)
    if not path.exists():
        raise UsageError(f"{source} does not exist; expected a model's file or folder.")
    loose = read_loose(path)
    options = with_flags(loose.options, flags)
    return loose, detect(loose.source), options


def _check_out(out: Path) -> None:
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / ARTIFACT_FILE).exists())):
        raise UsageError(
            f"--out {out} exists and is not an artifact of the gateway; expected a new or empty folder.",
            hint="Nothing was written.",
        )


def _converter(scratch: Path) -> Converter:
    return Converter(Environments(), config.Settings(), scratch / "jobs")
