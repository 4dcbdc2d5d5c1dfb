"""Golden vectors of a pipeline: pictures and tensors beside pipeline.toml, in test/.

    input_NAME.jpg, .jpeg, .png, .webp, .bmp     a picture file, as a client sends it
    input_NAME.npy, output_NAME.npy              tensors by name

Rule 1: what is compared, and how closely, is core/compare.py's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.core.artifact import Verdict, Verification
from gateway.core.compare import compare
from gateway.core.dtypes import Array, Tensors
from gateway.core.names import did_you_mean
from gateway.core.signature import Signature
from gateway.errors import DropError

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
ORACLE = "vectors of the owner"
NONE = Verification(
    Verdict.UNVERIFIED,
    reason="a pipeline is proven by vectors beside it, and there are none: "
    "test/input_NAME.jpg or .npy, test/output_NAME.npy.",
)


@dataclass(frozen=True)
class Given:
    inputs: Tensors
    outputs: Tensors


def read(folder: Path, signature: Signature) -> Given | None:
    """None when there are none. Errors: DropError, InvalidTensor."""
    if not folder.is_dir():
        return None
    problems: list[str] = []
    inputs = _side(folder, "input", [spec.name for spec in signature.inputs], problems)
    outputs = _side(folder, "output", [spec.name for spec in signature.outputs], problems)
    if not problems and bool(inputs) != bool(outputs):
        problems.append(f"there are {len(inputs)} inputs and {len(outputs)} outputs, expected some of both")
    if problems:
        raise DropError(f"the owner's vectors in test/: {'; '.join(problems)}.")
    if not inputs:
        return None
    signature.check(inputs)
    return Given(inputs, outputs)


def _side(folder: Path, side: str, names: list[str], problems: list[str]) -> Tensors:
    found: Tensors = {}
    for path in sorted(folder.glob(f"{side}_*")):
        name = path.stem.removeprefix(f"{side}_")
        if name not in names:
            problems.append(f"{path.name} belongs to no {side} ({', '.join(names)}){did_you_mean(name, names)}")
        elif path.suffix.lower() in PICTURES:
            found[name] = _file(path)
        elif path.suffix == ".npy":
            try:
                found[name] = np.load(path, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                problems.append(f"{path.name} is no array: {error}")
    return found


def _file(path: Path) -> Array:
    made = np.empty(1, object)
    made[0] = path.read_bytes()
    return made


def judge(given: Given, outputs: Tensors) -> Verification:
    comparisons = tuple(
        compare(expected, outputs[name], case="vectors", output=name) for name, expected in given.outputs.items()
    )
    failed = [one for one in comparisons if not one.passed]
    if failed:
        return Verification(
            Verdict.FAILED, ORACLE, "; ".join(f"{one.output}: {one.problem}" for one in failed), comparisons
        )
    return Verification(Verdict.PASSED, ORACLE, "", comparisons)
