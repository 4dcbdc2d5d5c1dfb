"""What the tests run in children: conversion and interpreter in Environment base, OpenCV in its own."""

from __future__ import annotations

import random
import shutil
import time
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


def signatures(job: Any) -> dict[str, Any]:
    """`rows`: [{"name", "folder", "options"}] -> name -> what the conversion says, or the error."""
    found: dict[str, Any] = {}
    for number, row in enumerate(job.arguments["rows"]):
        out = job.out / f"{number:04}"
        out.mkdir()
        source, options = source_of(Path(row["folder"])), ModelOptions.from_json(row["options"])
        try:
            match = FORMAT.match(source)
            assert match is not None
            made = FORMAT.convert(source, match, options, "onnx", out)
            FORMAT.inspect(source, match, options)
        except GatewayError as error:
            found[row["name"]] = {"error": type(error).__name__, "message": error.message}
            continue
        signature = made.signatures[0]
        facts = "\n".join(f"{fact.what} {fact.value} {fact.source}" for fact in made.facts)
        found[row["name"]] = {
            "inputs": [f"{spec.name}{list(spec.shape or ())}" for spec in signature.inputs],
            "outputs": [f"{spec.name}{list(spec.shape or ())}" for spec in signature.outputs],
            "facts": facts + "".join(f"\nunused {name}" for name in made.unused),
            "warnings": "\n".join(made.warnings), "preprocess": signature.preprocess,
        }  # fmt: skip
    return found


def damage(job: Any) -> dict[str, Any]:
    """Cut and bit-flip each file of `folder` in turn: how each ended."""
    folder, endings, slowest = Path(job.arguments["folder"]), dict[str, str](), 0.0
    dice = random.Random(11)
    for name in sorted(path.name for path in folder.iterdir()):
        whole = (folder / name).read_bytes()
        cases = {
            f"{name} cut at {size}": whole[:size] for size in np.linspace(0, len(whole) - 1, 64, dtype=int).tolist()
        }
        while len(cases) < 264:
            at, bit = dice.randrange(len(whole)), dice.randrange(8)
            cases[f"{name} byte {at} bit {bit}"] = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
        for case, data in cases.items():
            started = time.monotonic()
            endings[case] = _one(job.out / "damaged", folder, name, data)
            slowest = max(slowest, time.monotonic() - started)
    return {"endings": endings, "slowest": slowest}


def _one(root: Path, folder: Path, name: str, data: bytes) -> str:
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(folder, root / "in")
    (root / "out").mkdir()
    (root / "in" / name).write_bytes(data)
    source = source_of(root / "in")
    match = FORMAT.match(source)
    if match is None:
        return "not recognised"
    try:
        FORMAT.convert(source, match, ModelOptions(), "auto", root / "out")
    except GatewayError as error:
        return f"a bug of ours: {error.message}" if "breaks" in error.message else type(error).__name__
    except Exception as error:
        return f"a bug of ours: {type(error).__name__}: {error}"
    return "converted"
