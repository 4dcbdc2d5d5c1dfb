"""The table of test_leaves.py in two children: one makes the models and lets their library judge, one runs the ONNX.

Every output that there is, margins and leaves too, is asked for.
"""

from __future__ import annotations

import importlib
import shutil
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.probes import Sizing, probes
from gateway.errors import GatewayError
from gateway.formats.base import Source, all_formats
from gateway.process import wire


def judge(job: Any) -> dict[str, Any]:
    """`rows`: name -> {"make", "arguments", "file", "outputs", "format"}. -> name -> what was found; files in out/N."""
    answers = {}
    for number, (name, row) in enumerate(job.arguments["rows"].items()):
        folder = job.out / str(number)
        (folder / "source").mkdir(parents=True)
        (folder / "made").mkdir()
        started = time.monotonic()
        try:
            answers[name] = _judged(row, folder) | {"folder": str(folder)}
        except GatewayError as error:
            answers[name] = error.to_json()
        except Exception as error:
            answers[name] = {"error": type(error).__name__, "message": traceback.format_exc()}
        answers[name]["seconds"] = time.monotonic() - started
    return answers


def write(job: Any) -> dict[str, Any]:
    """`rows`: name -> {"make", "arguments", "file", "folder"}: the model's files in that folder, and nothing else."""
    for row in job.arguments["rows"].values():
        folder = Path(row["folder"])
        folder.mkdir()
        _made(row, folder)
    return {}


def _made(row: dict[str, Any], folder: Path) -> None:
    if row["file"]:
        shutil.copyfile(row["file"], folder / Path(row["file"]).name)
    else:
        module, _, function = row["make"].partition(":")
        getattr(importlib.import_module(module), function)(folder, **row["arguments"])


def _judged(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    _made(row, folder / "source")
    names = tuple(sorted(p.relative_to(folder / "source").as_posix() for p in (folder / "source").rglob("*")))
    source = Source(folder / "source", names)
    fmt = all_formats()[row["format"]]
    match = fmt.match(source)
    assert match is not None, f"{fmt.name} does not know {names}"
    options = ModelOptions(
        inputs=tuple(TensorOption(*each) for each in row["inputs"]),
        outputs=tuple(TensorOption(*output.split("=")) for output in row["outputs"]),
    )
    conversion = fmt.convert(source, match, options, "onnx", folder / "made")
    signature = conversion.signatures[0]
    inspection = fmt.inspect(source, match, options)
    assert [(s.name, s.dtype) for s in inspection.outputs] == [(s.name, s.dtype) for s in signature.outputs]
    oracle = fmt.oracle(source, match, options, signature)
    assert oracle is not None
    more = fmt.further(source, match, signature, 0)
    calls = [*probes(signature, Sizing(), fmt.hints(source, match, signature), 0, kinds=("normal", "zeros"),
                     batches=True), *more.probes]  # fmt: skip
    cases, refused = [], []
    for place, probe in enumerate(calls):
        try:
            with np.errstate(all="ignore"):
                outputs = oracle.run(probe.inputs)
        except Exception as error:
            refused.append([probe.kind, f"{type(error).__name__}: {error}"[:300]])
            continue
        rows = len(next(iter(probe.inputs.values())))
        assert {o: (a.dtype, a.shape) for o, a in outputs.items()} == {
            s.name: (np.dtype(object if s.dtype == "string" else s.dtype), (rows, *(s.shape or ())[1:]))
            for s in signature.outputs
        }
        wire.save(folder / f"{place}.inputs", probe.inputs)
        wire.save(folder / f"{place}.outputs", outputs)
        cases.append([probe.name, str(place)])
    return {
        "cases": cases,
        "refused": refused,
        "said": more.said,
        "judge": oracle.name,
        "warnings": list(conversion.warnings),
        "labels": list(signature.labels),
        "facts": [fact.to_json() for fact in conversion.facts],
    }


def _as_text(array: Any) -> Any:
    """Strings as onnxruntime takes them."""
    if array.dtype != object:
        return array
    texts = [item.decode() if isinstance(item, bytes) else item for item in array.reshape(-1).tolist()]
    return np.array(texts, object).reshape(array.shape)


def run(job: Any) -> dict[str, Any]:
    """`folders`: name -> {"folder", "cases"} -> name -> {"failed"}, or answers beside the judge's, as N.served."""
    answers = {}
    for number, (name, row) in enumerate(job.arguments["folders"].items()):
        served = job.out / str(number)
        try:
            answers[name] = {"served": str(served), "seconds": _ran(row, served)}
        except Exception:
            answers[name] = {"failed": traceback.format_exc()}
    return answers


def _ran(row: dict[str, Any], served: Path) -> float:
    import onnx
    import onnxruntime

    folder = Path(row["folder"])
    model = onnx.load(str(folder / "made" / "model.onnx"))
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    started = time.monotonic()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    for _, place in row["cases"]:
        given = wire.load(folder / f"{place}.inputs")
        found = session.run(names, {name: _as_text(array) for name, array in given.items()})
        wire.save(served.with_name(f"{served.name}.{place}"), dict(zip(names, map(np.asarray, found), strict=True)))
    return time.monotonic() - started
