"""The owner's vectors: input_*.npy and output_*.npy beside a model, numbered or by name.

    input_0.npy, input_1.npy ...    in the signature's order
    input_NAME.npy                  by public name; outputs likewise, and some may be left out

Rule 1: no pickle: a file that needs it is an error. All problems are reported together.
"""

from __future__ import annotations

from pathlib import Path

from gateway.convert import npy
from gateway.core.compare import as_bytes
from gateway.core.dtypes import Tensors
from gateway.core.names import did_you_mean
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import DropError


def read(folder: Path, signature: Signature) -> tuple[Tensors, Tensors] | None:
    """(inputs, expected outputs), or None when there are none. Errors: DropError, InvalidTensor."""
    problems: list[str] = []
    inputs = _side(folder, "input", signature.inputs, problems)
    outputs = _side(folder, "output", signature.outputs, problems)
    if not problems and bool(inputs) != bool(outputs):
        problems.append(f"there are {len(inputs)} inputs and {len(outputs)} outputs, expected some of both")
    if problems:
        raise DropError(
            f"the owner's vectors in {folder.name}/: {'; '.join(problems)}.",
            hint="Save them with numpy.save as input_0.npy ... and output_0.npy ..., or by name: input_NAME.npy.",
        )
    if not inputs:
        return None
    signature.check(inputs)
    return inputs, outputs


def _side(folder: Path, side: str, specs: tuple[TensorSpec, ...], problems: list[str]) -> Tensors:
    found: Tensors = {}
    names = {spec.name: spec for spec in specs}
    for path in sorted(folder.glob(f"{side}_*.npy")):
        key = path.stem.removeprefix(f"{side}_")
        if key in names:
            spec = names[key]
        elif key.isdigit() and int(key) < len(specs):
            spec = specs[int(key)]
        else:
            problems.append(
                f"{path.name} belongs to no {side} of the model ({', '.join(names)}){did_you_mean(key, names)}"
            )
            continue
        try:
            array = npy.load(path)
        except (OSError, ValueError) as error:
            problems.append(f"{path.name} is no array: {error}")
            continue
        found[spec.name] = as_bytes(array) if array.dtype.kind in "SU" else array
    return {spec.name: found[spec.name] for spec in specs if spec.name in found}
