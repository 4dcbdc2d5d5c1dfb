"""What a converter wrote, read again by a second held process before anybody relies on it.

The converter's process may have been taken over by the model it has read. This one has never seen that model: it
sees the artifact alone.

Rule 1: nothing is run here. onnx parses, our own rules look at places and sizes, no data is loaded.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from gateway.core.artifact import ONNX
from gateway.errors import CorruptModel, UnsafeDrop
from gateway.formats.tasks import Job

MODEL = "model.onnx"
MAX_FILES = 10_000


def artifact(job: Job) -> dict[str, Any]:
    """`folder`, `kind`, `tensors` (names that the signature relies on) -> {"complaint": of onnx's checker, or ""}.

    Errors: UnsafeDrop, CorruptModel, UnsupportedOps.
    """
    folder = Path(job.arguments["folder"])
    _plain(folder)
    if job.arguments["kind"] != ONNX:
        return {"complaint": ""}
    import onnx
    from google.protobuf.message import DecodeError

    from gateway.formats.onnx import weights
    from gateway.formats.onnx.convert import refuse_unknown

    try:
        model = onnx.load(str(folder / MODEL), load_external_data=False)
    except (OSError, DecodeError, ValueError) as error:
        raise CorruptModel(f"{MODEL} cannot be read as ONNX: {_first_line(error)}.") from None
    weights.check(model, folder)
    refuse_unknown(model)
    known = {value.name for value in (*model.graph.input, *model.graph.output)}
    missing = sorted(set(job.arguments["tensors"]) - known)
    if missing:
        raise CorruptModel(
            f"{MODEL} has no input or output {', '.join(map(repr, missing))}, which its signature names."
        )
    try:
        onnx.checker.check_model(str(folder / MODEL))
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        return {"complaint": _first_line(error)}
    return {"complaint": ""}


def _plain(folder: Path) -> None:
    """Errors: UnsafeDrop for anything but folders and files of one name."""
    for number, path in enumerate(folder.rglob("*")):
        status = path.lstat()
        if number >= MAX_FILES:
            raise UnsafeDrop(f"the artifact has more than {MAX_FILES} files.")
        if stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1):
            continue
        raise UnsafeDrop(f"{path.name} is a link, has two names or is no file.")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
