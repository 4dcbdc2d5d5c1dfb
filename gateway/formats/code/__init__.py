"""A model as a Python file that people can read, run and change, and its weights beside it.

    __init__.py     the task: write, run, compare
    tensorflow.py   from the graph that the SavedModel is made of, operation by operation
    pytorch.py      from the ONNX graph, node by node

Rule 1: what was written is run before it counts: its answers are compared with those that the proven artifact gave.
Rule 2: what cannot be written is refused by name, all at once.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gateway.core.compare import compare
from gateway.core.signature import Signature
from gateway.process import wire

CODE, WEIGHTS = "model.py", "weights.npz"
ENVIRONMENTS = {"tensorflow": "tensorflow", "pytorch": "torch"}
"""What is written, and the Environment that it runs in."""


class Job(Protocol):
    arguments: dict[str, Any]
    out: Path


def write(job: Job) -> dict[str, Any]:
    """`folder` (of an ONNX artifact), `to`, `name`, `signature`, `inputs`, `expected` (files) -> files in `out`.

    {"comparisons": [...], "versions": {...}}. Errors: ConversionError, UnsupportedOps.
    """
    signature = Signature.from_json(job.arguments["signature"])
    source, name = Path(job.arguments["folder"]) / "model.onnx", str(job.arguments["name"])
    if job.arguments["to"] == "tensorflow":
        from gateway.formats.code.tensorflow import written
    else:
        from gateway.formats.code.pytorch import written
    text, weights, versions = written(source, signature, name)
    (job.out / CODE).write_text(text, "utf-8")
    with (job.out / WEIGHTS).open("wb") as stream:
        np.savez(stream, **weights)  # type: ignore[arg-type]  # numpy's own keyword is a bool
    answers = _run(job.out / CODE, wire.load(Path(job.arguments["inputs"])))
    expected = wire.load(Path(job.arguments["expected"]))
    found = [
        compare(expected[spec.name], np.asarray(answers[spec.name]), case="warm-up", output=spec.name)
        for spec in signature.outputs
    ]
    return {"comparisons": [comparison.to_json() for comparison in found], "versions": versions}


def _run(path: Path, inputs: Any) -> Any:
    """As `python model.py` does it: the file is imported, and its `predict` called."""
    spec = importlib.util.spec_from_file_location("written_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["written_model"] = module
    spec.loader.exec_module(module)
    return module.predict(**{argument: inputs[name] for name, argument in module.INPUTS.items()})


def identifier(name: str, taken: set[str]) -> str:
    """A Python name like `name`, which no other has; it is added to `taken`."""
    import keyword
    import re

    clean = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "t"
    clean = clean if not clean[0].isdigit() else f"t{clean}"
    clean = f"{clean}_" if keyword.iskeyword(clean) else clean
    wish, number = clean, 2
    while wish in taken:
        wish, number = f"{clean}_{number}", number + 1
    taken.add(wish)
    return wish


MAIN = """

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: python {sys.argv[0]} inputs.npz outputs.npz   (inputs: {', '.join(INPUTS)})")
    with np.load(sys.argv[1]) as given:
        found = predict(**{argument: given[name] for name, argument in INPUTS.items()})
    np.savez(sys.argv[2], **{name: np.asarray(value) for name, value in found.items()})
"""
"""The end of every file."""
