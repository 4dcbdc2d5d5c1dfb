"""Damage to a model's files, tried one by one where its framework lives: cut short, and bits flipped.

Each try is a process of its own (a fork): a framework may end its process over a broken file, as a Job would.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.core.modeltoml import ModelOptions
from gateway.errors import GatewayError
from gateway.formats.base import Source, all_formats

CUTS, FLIPS = 64, 200
TAKEN, TOLD, UNNAMED, OTHER, ENDED = "taken", "told", "told without the file", "another error", "ended"
CODES = (TAKEN, TOLD, UNNAMED, OTHER)


def tried(job: Any) -> dict[str, Any]:
    """`maker`, `arguments`, `damage` (a file of the drop): how often each of TAKEN ... ENDED, and sentences of OTHER.

    What is tried is `inspect` of the format, which opens the file with its framework.
    """
    whole = job.out / "whole"
    made_apart(whole, job.arguments["maker"], job.arguments["arguments"])
    _opened(whole, job.out / "said")  # the framework is imported once, before the forks
    file = job.arguments["damage"]
    data = (whole / file).read_bytes()
    counts, sentences = Counter[str](), list[str]()
    for number, damaged in enumerate(damages(data, job.arguments.get("cuts", CUTS), job.arguments.get("flips", FLIPS))):
        drop, said = job.out / "drop", job.out / f"said-{number}"
        shutil.copytree(whole, drop)
        (drop / file).write_bytes(damaged)
        child = os.fork()
        if child == 0:
            os._exit(CODES.index(_opened(drop, said)))
        _, status = os.waitpid(child, 0)
        outcome = CODES[os.WEXITSTATUS(status)] if os.WIFEXITED(status) and os.WEXITSTATUS(status) < 4 else ENDED
        counts[outcome] += 1
        if outcome in (UNNAMED, OTHER) and said.exists():
            sentences.append(said.read_text())
        said.unlink(missing_ok=True)
        shutil.rmtree(drop)
    return {"counts": dict(counts), "sentences": sorted(set(sentences))[:20]}


def made_apart(folder: Path, maker: str, arguments: Mapping[str, Any]) -> None:
    """A drop of a maker of the tests, in a process of its own: some want one that has not imported the framework."""
    module, _, function = maker.partition(":")
    folder.mkdir()
    child = os.fork()
    if child == 0:
        try:
            getattr(__import__(module, fromlist=[function]), function)(folder, **arguments)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def damages(data: bytes, cuts: int, flips: int) -> Iterator[bytes]:
    dice = random.Random(8)
    yield from (data[: len(data) * n // cuts] for n in range(cuts))
    for _ in range(flips):
        copy = bytearray(data)
        copy[dice.randrange(len(copy))] ^= 1 << dice.randrange(8)
        yield bytes(copy)


def _opened(drop: Path, said: Path) -> str:
    names = tuple(sorted(path.relative_to(drop).as_posix() for path in drop.rglob("*") if path.is_file()))
    source = Source(drop, names)
    try:
        found = [(fmt, match) for fmt in all_formats().values() if (match := fmt.match(source)) is not None]
        if not found:
            return TOLD  # no format takes it: the gateway says so, naming the files
        chosen, match = max(found, key=lambda pair: pair[1].confidence)
        chosen.inspect(source, match, ModelOptions())
    except GatewayError as error:
        said.write_text(error.message)
        return TOLD if any(name.rpartition("/")[2] in error.message for name in names) else UNNAMED
    except BaseException as error:
        said.write_text(f"{type(error).__name__}: {error}"[:400])
        return OTHER
    return TAKEN
