"""The inputs of a grown corpus that reach what no smaller one reaches: `python -m tests.fuzz.small TARGET FOLDER ZIP`.

Reaching is measured in steps from one line of ours to the next; the smallest inputs are asked first.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz import seeds
from tests.fuzz.targets import TARGETS

MAX_INPUT = 8192  # bytes; larger ones teach no more
Step = tuple[str, int, int]


def reached(target: str, data: bytes) -> set[Step]:
    """Steps (file, from line, to line) within gateway/ that one input makes."""
    found: set[Step] = set()

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if "/gateway/" not in name:
            return None
        last = frame.f_lineno

        def line(inner: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            if event == "line":
                found.add((name, last, inner.f_lineno))
                last = inner.f_lineno
            return line

        return line

    sys.settrace(watch)
    try:
        TARGETS[target](data)
    finally:
        sys.settrace(None)
    return found


def main(target: str, folder: Path, out: Path) -> None:
    made = list(seeds.MADE[target]())
    seen: set[Step] = set()
    for data in made:
        seen |= reached(target, data)
    kept: dict[str, bytes] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_size):
        data = path.read_bytes()
        if len(data) <= MAX_INPUT and (new := reached(target, data) - seen):
            seen |= new
            kept[hashlib.sha256(data).hexdigest()[:12]] = data
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(kept):
            archive.writestr(zipfile.ZipInfo(name), kept[name], zipfile.ZIP_DEFLATED, 9)
    print(f"{target}: {len(kept)} inputs beside {len(made)} seeds, {len(seen)} steps")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
