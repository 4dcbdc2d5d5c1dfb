"""From format to target: the hops, each one a Job in an Environment of its own.

Rule 1: what has no road is said before anything runs, with the roads there are.
Rule 2: ONNX is the hub: what a format does not write itself is made from the ONNX file it writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gateway.core.artifact import FROZEN, ONNX, SAVEDMODEL
from gateway.formats.base import Format, all_formats

REVISION = 1
"""Part of the store's key: raise it when conversion or verification in general gives other answers."""
TENSORFLOW = "tensorflow"
TASKS = {SAVEDMODEL: "gateway.formats.savedmodel.hop:convert", FROZEN: "gateway.formats.savedmodel.hop:convert"}
"""From ONNX to what else: the task of the second hop."""
BUILDER = Path(__file__).parents[1] / "formats" / "savedmodel"
WRITERS = dict.fromkeys(TASKS.values(), (BUILDER / "build", BUILDER / "hop.py", BUILDER / "further.py"))
"""Where the code of a further hop lies: its digest is part of the store's key, so no change there is forgotten."""
RUNS_IN = {ONNX: "base", SAVEDMODEL: TENSORFLOW, FROZEN: TENSORFLOW}
"""Environment in which an artifact of a kind is run; a native one runs in its format's own."""


@dataclass(frozen=True)
class Hop:
    """One conversion: `format` becomes `target` in `environment`, by `task`."""

    format: str
    target: str
    environment: str
    task: str = "gateway.formats.tasks:convert"


def plan(format_name: str, target: str, formats: Mapping[str, Format] | None = None) -> tuple[Hop, ...]:
    """The hops from a format to `target` ("" is the format's own first choice). Errors: MissingHop."""
    source = (all_formats() if formats is None else formats)[format_name]
    chosen = source.check_target(target)
    if chosen in source.targets:
        return (Hop(source.name, chosen, source.environment_of(chosen)),)
    first = Hop(source.name, ONNX, source.environment_of(ONNX))
    return (first, Hop(source.name, chosen, TENSORFLOW, TASKS[chosen]))


def environments(source: Format, target: str) -> tuple[str, ...]:
    """Every Environment that converting to `target` needs, and running what comes out. Errors: MissingHop."""
    hops = plan(source.name, target, {source.name: source})
    return tuple(dict.fromkeys([hop.environment for hop in hops]))


def converter_name(source: Format, target: str = ONNX) -> str:
    """Which code converts: part of the store's key and of the provenance. Errors: MissingHop."""
    hops = plan(source.name, target, {source.name: source})
    further = [f", {hop.target} {code_digest(WRITERS[hop.task])[:16]}" for hop in hops[1:]]
    return f"gateway {REVISION}, {source.name} {source.revision}{''.join(further)}"


@cache
def code_digest(places: tuple[Path, ...]) -> str:
    """sha256 over names and bytes of Python files: `places`, and all below those that are folders.

    Errors: FileNotFoundError where a place has none.
    """
    seen = hashlib.sha256()
    for place in places:
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        if not files:
            raise FileNotFoundError(f"{place} holds no Python file: what is made there cannot be told apart")
        for file in files:
            data = file.read_bytes()
            seen.update(f"{file.relative_to(place.parent).as_posix()}\0{len(data)}\0".encode())
            seen.update(data)
    return seen.hexdigest()
