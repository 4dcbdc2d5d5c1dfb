"""The nets of Darknet: every row of the table of layers, judged by OpenCV where that computes it, else by our own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gateway.core.modeltoml import ModelOptions
from tests.formats.darknet.harness import folder_of
from tests.formats.darknet.rows import CASES
from tests.mutants.nets import Net, Target


def make(folder: Path, tables: Sequence[str] = ()) -> Sequence[Net]:
    """A net for each row; `tables` are beginnings of their names."""
    nets = []
    for number, (name, case) in enumerate(CASES.items()):
        if tables and not name.startswith(tuple(tables)):
            continue
        here = folder_of(case, folder / f"{number:04}")
        nets.append(Net(name, here, ModelOptions(), bool(case.refused), "" if case.opencv else "base"))
    return nets


TARGET = Target("darknet", "gateway.formats.darknet.ops", make, judge="opencv")
