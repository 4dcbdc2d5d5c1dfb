"""The children's side of the table: our conversion and interpreter in `base`, OpenCV in its Environment."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import first, probes, sizings
from gateway.core.signature import Signature, united
from gateway.errors import GatewayError
from gateway.formats.darknet import FORMAT, oracle
from gateway.formats.darknet.convert import read
from gateway.process import wire
from tests.formats.in_base import source_of

KINDS = ("normal", "ramp", "corners")


def convert(job: Any) -> dict[str, Any]:
    """`rows`: name -> folder. -> name -> {"signature", "out", "judged"} with files of answers, or the error."""
    return {name: _convert(Path(folder), job.out / str(number)) for number, (name, folder) in rows_of(job)}


def rows_of(job: Any) -> Any:
    return enumerate(job.arguments["rows"].items())


def _convert(folder: Path, out: Path) -> dict[str, Any]:
    import onnxruntime

    out.mkdir()
    source = source_of(folder)
    try:
        match = FORMAT.match(source)
        assert match is not None
        conversion = FORMAT.convert(source, match, ModelOptions(), "auto", out)
    except GatewayError as error:
        return error.to_json()
    except Exception as error:
        return {"error": type(error).__name__, "message": traceback.format_exc(), "crash": True}
    signature = united(conversion.signatures)
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    hints = FORMAT.hints(source, match, signature)
    sizing = next(sizings(signature, hints))
    first(signature, sizing, hints, 0)
    found: dict[str, Any] = {"signature": signature.to_json(), "out": str(out), "probes": 0, "interpreter": ""}
    judge = oracle.InterpreterOracle(read(source, match, ModelOptions()), signature)
    for number, probe in enumerate(p for p in probes(signature, sizing, hints, 0, kinds=KINDS) if p.row is None):
        feeds = {spec.tensor: probe.inputs[spec.name] for spec in signature.inputs}
        answers = session.run([spec.tensor for spec in signature.outputs], feeds)
        wire.save(out / f"{number}.inputs", probe.inputs)
        wire.save(out / f"{number}.ours", {s.name: a for s, a in zip(signature.outputs, answers, strict=True)})
        try:
            wire.save(out / f"{number}.interpreter", judge.run(probe.inputs))
        except Exception:
            found["interpreter"] = traceback.format_exc()
        found["probes"] = number + 1
    return found


def opencv(job: Any) -> dict[str, Any]:
    """`rows`: name -> {"folder", "out", "signature", "probes"}. -> name -> "" or why OpenCV does not judge."""
    said = {}
    for name, row in job.arguments["rows"].items():
        source = source_of(Path(row["folder"]))
        match = FORMAT.match(source)
        assert match is not None
        try:
            judge = FORMAT.oracle(source, match, ModelOptions(), Signature.from_json(row["signature"]))
            assert judge is not None
            for number in range(row["probes"]):
                inputs = wire.load(Path(row["out"]) / f"{number}.inputs")
                wire.save(job.out / f"{row['number']}.{number}", judge.run(inputs))
            said[name] = ""
        except GatewayError as error:
            said[name] = error.message
        except Exception:
            said[name] = traceback.format_exc()
    return said
