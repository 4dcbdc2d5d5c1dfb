"""Call a maker of a zoo row: it runs in the Environment whose exporter writes the model."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any


def make(job: Any) -> dict[str, Any]:
    """`make` ("module:function") is called with `folder` and `arguments`; it must write something."""
    module, _, function = job.arguments["make"].partition(":")
    folder = Path(job.arguments["folder"])
    getattr(importlib.import_module(module), function)(folder, **job.arguments["arguments"])
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert written, f"{job.arguments['make']} wrote nothing"
    return {"written": written}


def write_text(folder: Path, *, text: str) -> None:
    """A maker: what it writes is the drop."""
    (folder / "below").mkdir()
    (folder / "below" / "a.txt").write_text(text)


def write_nothing(folder: Path) -> None:
    """A maker that forgot to."""
