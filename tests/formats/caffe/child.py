"""What the tests run in children: conversion and interpreter in Environment base, OpenCV in its own."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.errors import GatewayError
from gateway.formats.base import Source
from gateway.formats.caffe import FORMAT
from gateway.process import wire


def source_of(folder: Path) -> Source:
    return Source(folder, tuple(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())))


def convert(job: Any) -> dict[str, Any]:
    """`rows`: [{"name", "folder"}] -> name -> {"ours", "interpreter": file or words} or {"error", "message"}."""
    found: dict[str, Any] = {}
    for number, row in enumerate(job.arguments["rows"]):
        out = job.out / f"{number:04}"
        out.mkdir()
        try:
            found[row["name"]] = _convert(Path(row["folder"]), out, job.out)
        except GatewayError as error:
            found[row["name"]] = {"error": type(error).__name__, "message": error.message}
        except Exception as error:
            said = "".join(traceback.format_exception(error)[-3:])
            found[row["name"]] = {"error": type(error).__name__, "message": said, "crash": True}
    return found


def _convert(folder: Path, out: Path, root: Path) -> dict[str, Any]:
    import onnxruntime

    source, options = source_of(folder / "drop"), ModelOptions()
    match = FORMAT.match(source)
    assert match is not None, "the format does not recognise the files"
    signature = FORMAT.convert(source, match, options, "onnx", out).signatures[0]
    (folder / "signature.json").write_text(wire_json(signature))
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), settings, providers=["CPUExecutionProvider"])
    inputs = wire.load(folder / "inputs.wire")
    names = [spec.tensor for spec in signature.outputs]
    answers = session.run(names, {spec.tensor: inputs[spec.name] for spec in signature.inputs})
    ours = {spec.name: np.asarray(a) for spec, a in zip(signature.outputs, answers, strict=True)}
    wire.save(root / f"{out.name}-ours.wire", ours)
    said = {"ours": f"{out.name}-ours.wire", "shapes": {s.name: list(s.shape or ()) for s in signature.outputs}}
    try:
        judge = FORMAT.oracle(source, match, options, signature)
        assert judge is not None
        with np.errstate(all="ignore"):
            wire.save(root / f"{out.name}-interpreter.wire", judge.run(inputs))
        return said | {"interpreter": f"{out.name}-interpreter.wire"}
    except Exception as error:
        return said | {"interpreter": "".join(traceback.format_exception(error)[-3:])}


def wire_json(signature: Signature) -> str:
    import json

    return json.dumps(signature.to_json())


def judge(job: Any) -> dict[str, Any]:
    """`rows`, converted -> name -> {"opencv": file or OpenCV's words}."""
    import json

    from gateway.formats.caffe import files_of
    from gateway.formats.caffe.oracle import OpenCvOracle

    found: dict[str, Any] = {}
    for number, row in enumerate(job.arguments["rows"]):
        folder = Path(row["folder"])
        source = source_of(folder / "drop")
        match = FORMAT.match(source)
        assert match is not None
        files = files_of(match)
        signature = Signature.from_json(json.loads((folder / "signature.json").read_text()))
        try:
            weights = source.path(files.weights) if files.weights else None
            oracle = OpenCvOracle(source.path(files.structure), weights, signature)
            wire.save(job.out / f"{number:04}.wire", oracle.run(wire.load(folder / "inputs.wire")))
            found[row["name"]] = {"opencv": f"{number:04}.wire"}
        except Exception as error:
            found[row["name"]] = {"opencv": f"{type(error).__name__}: {str(error).strip()[-300:]}"}
    return found
