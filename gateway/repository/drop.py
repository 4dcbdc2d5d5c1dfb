"""Drop: what a person put down, once it has stopped changing, copied by content.

Rule 1: a Drop's files are plain files of ours: no links, no hard links shared with anybody.
Rule 2: `digest` depends on the bytes and relative names of all files (model.toml, labels and
        vectors included), and on nothing else: not on time, place or machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.core.modeltoml import ModelOptions
from gateway.formats.base import Source


@dataclass(frozen=True)
class Drop:
    """`vectors` is the folder with the owner's input_*.npy and output_*.npy, or None."""

    model: str
    version: int
    digest: str
    source: Source
    options: ModelOptions
    labels: tuple[str, ...] = ()
    vectors: Path | None = None
    bytes: int = 0
