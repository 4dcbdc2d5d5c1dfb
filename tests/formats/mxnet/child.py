"""What the harness runs in children: MXNet makes symbols and answers, our side converts or interprets them.

`make` runs in Environment mxnet, `convert` and `interpret` in Environment base; nothing here imports the other
side's packages at its top.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import traceback
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.modeltoml import ModelOptions
from gateway.errors import GatewayError
from gateway.formats.base import Source, all_formats
from gateway.process import wire

SYMBOL, PARAMS = "model-symbol.json", "model-0000.params"


def make(job: Any) -> dict[str, Any]:
    """`rows`: [{"folder", "op", "graph", "attrs"}]: symbol, params and outputs into each folder, one after the other.

    A row's folder holds inputs.wire and weights.wire, and gets mxnet.json last: a row that kills the process is the
    first without one. `plain`: without oneDNN, whose deconvolution refuses target_shape; with it otherwise, because
    MXNet's own RNN is broken without.
    """
    os.environ |= {"MXNET_MKLDNN_ENABLED": str(int(not job.arguments["plain"])), "MXNET_SUBGRAPH_BACKEND": "NONE"}
    os.environ |= {"MXNET_STORAGE_FALLBACK_LOG_VERBOSE": "0", "OMP_WAIT_POLICY": "PASSIVE"}
    for row in job.arguments["rows"]:
        folder = Path(row["folder"])
        try:
            answer = _make(folder, row)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": str(error).strip()[:2000] or type(error).__name__}
        (folder / "mxnet.json").write_text(json.dumps(answer))
    return {}


def _make(folder: Path, row: dict[str, Any]) -> dict[str, Any]:
    import mxnet as mx  # noqa: TID251  this is MXNet's own Environment

    inputs, weights = wire.load(folder / "inputs.wire"), wire.load(folder / "weights.wire")
    known = row.get("known_as") or row["op"]
    if row["graph"]:
        module, _, function = row["graph"].partition(":")
        symbol = getattr(importlib.import_module(module), function)(**row["attrs"])
    else:
        symbol = single(known, row["attrs"], row["order"])
    (folder / SYMBOL).write_text(symbol.tojson() if row["graph"] else _respelled(symbol.tojson(), known))
    symbol = mx.sym.load(str(folder / SYMBOL))
    args, aux = fill(symbol, {name: array.shape for name, array in inputs.items()}, inputs, weights, row["labels"])
    saved = {f"arg:{name}": array for name, array in args.items() if name not in inputs and name not in row["labels"]}
    mx.nd.save(str(folder / PARAMS), saved | {f"aux:{name}": array for name, array in aux.items()})
    outputs = answers(symbol, args, aux)
    wire.save(folder / "outputs.wire", outputs)
    if known != row["op"]:
        (folder / SYMBOL).write_text(_respelled((folder / SYMBOL).read_text(), row["op"]))
    return {"outputs": list(outputs), "operators": sorted({n["op"] for n in json.loads(symbol.tojson())["nodes"]})}


def single(op: str, attrs: dict[str, Any], names: list[str]) -> Any:
    """The symbol of one node called "op" over variables `names` in order; missing inputs become variables op_NAME."""
    import mxnet as mx  # noqa: TID251  this is MXNet's own Environment
    from mxnet.base import _LIB, c_str, check_call, mx_uint  # noqa: TID251
    from mxnet.symbol._internal import _symbol_creator  # noqa: TID251

    handle = ctypes.c_void_p()
    if _LIB.NNGetOpHandle(c_str(op), ctypes.byref(handle)) or not handle.value:
        raise ValueError(f"MXNet has no operator {op!r}")
    text, count, many = ctypes.c_char_p, mx_uint(), ctypes.POINTER(ctypes.c_char_p)
    name, about, variadic, returns = text(), text(), text(), text()
    names_of, types, abouts = many(), many(), many()
    check_call(
        _LIB.MXSymbolGetAtomicSymbolInfo(
            handle, *map(ctypes.byref, (name, about, count, names_of, types, abouts, variadic, returns))
        )
    )
    attrs = dict(attrs)
    if variadic.value:
        attrs.setdefault(variadic.value.decode(), len(names))
    variables = [mx.sym.Variable(each) for each in names]
    return _symbol_creator(handle.value, variables, None, list(attrs), list(attrs.values()), "op", False)


def _respelled(text: str, op: str) -> str:
    """MXNet writes an alias as its operator's first name; the row's own spelling goes back in."""
    data = json.loads(text)
    for node in data["nodes"]:
        if node["name"] == "op":
            node["op"] = op
    return json.dumps(data, indent=1)


def fill(
    symbol: Any, shapes: dict[str, Any], inputs: Any = None, weights: Any = None, labels: Any = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(arguments, auxiliary states) by name: what is given, and seeded numbers for the rest, told apart by name.

    No value is one that hides a mistake: gammas are not 1, means not 0, variances not 1, slopes differ by channel.
    """
    import mxnet as mx  # noqa: TID251  this is MXNet's own Environment

    given = {**(inputs or {}), **(weights or {})}
    known = {**shapes, **{name: array.shape for name, array in given.items()}}
    every = {*symbol.list_arguments(), *symbol.list_auxiliary_states()}
    arg_shapes, _, aux_shapes = symbol.infer_shape(**{name: shape for name, shape in known.items() if name in every})
    if arg_shapes is None:
        raise ValueError("MXNet cannot infer every shape from the inputs given")

    def made(names: list[str], found: list[Any]) -> dict[str, Any]:
        out = {}
        for name, shape in zip(names, found):
            array = given.get(name)
            if array is None:
                array = np.zeros(shape, np.float32) if name in labels else seeded(name, shape)
            out[name] = mx.nd.array(array, dtype=array.dtype)
        return out

    return made(symbol.list_arguments(), arg_shapes), made(symbol.list_auxiliary_states(), aux_shapes)


def seeded(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Weights by the end of their name; float32. Layers keep their signal: He's deviation for weights."""
    random = np.random.default_rng(zlib.crc32(f"{seed} {name}".encode()))
    if name.endswith("weight") and len(shape) > 1:
        values = random.standard_normal(shape) * np.sqrt(2.0 / max(1, int(np.prod(shape[1:]))))
    elif name.endswith(("var", "gamma")):
        values = random.uniform(0.5, 1.5, shape)
    elif name.endswith(("mean", "bias", "beta")):
        values = random.standard_normal(shape) * 0.2
    elif name.endswith("alpha"):
        values = random.uniform(0.1, 0.4, shape)
    else:
        values = random.standard_normal(shape) * 0.3
    return np.asarray(values, np.float32)


def answers(symbol: Any, args: dict[str, Any], aux: dict[str, Any]) -> dict[str, np.ndarray]:
    """Outputs by MXNet's name, inference mode, CPU."""
    import mxnet as mx  # noqa: TID251  this is MXNet's own Environment

    executor = symbol.bind(mx.cpu(), args, grad_req="null", aux_states=aux)
    return {name: array.asnumpy() for name, array in zip(symbol.list_outputs(), executor.forward(is_train=False))}


def source_of(folder: Path) -> Source:
    return Source(folder, tuple(name for name in sorted((PARAMS, SYMBOL)) if (folder / name).exists()))


def convert(job: Any) -> dict[str, Any]:
    """`rows`: [{"name", "folder", "options"}] -> name -> {"outputs": file} or {"error", "message"}."""
    return _each(job, _convert)


def _convert(folder: Path, row: dict[str, Any], out: Path) -> dict[str, np.ndarray]:
    import onnxruntime

    chosen, source = all_formats()["mxnet"], source_of(folder)
    match = chosen.match(source)
    assert match is not None, "the format does not recognise the pair of files"
    out.mkdir()
    signature = chosen.convert(source, match, ModelOptions.from_json(row["options"]), "onnx", out).signatures[0]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), options, providers=["CPUExecutionProvider"])
    given = wire.load(folder / "inputs.wire")
    feeds = {spec.tensor: given[spec.name] for spec in signature.inputs}
    found = session.run([spec.tensor for spec in signature.outputs], feeds)
    return {spec.name: np.asarray(value) for spec, value in zip(signature.outputs, found)}


def interpret(job: Any) -> dict[str, Any]:
    """As `convert`, by the own interpreter. Its float64 answers are rounded once, to MXNet's own float type."""
    return _each(job, _interpret)


def _interpret(folder: Path, row: dict[str, Any], out: Path) -> dict[str, np.ndarray]:
    from gateway.formats.mxnet import params, symbol
    from gateway.formats.mxnet.interpreter import interpret as run

    with np.errstate(all="ignore"):
        found = run(symbol.read(folder / SYMBOL), params.read(folder / PARAMS), wire.load(folder / "inputs.wire"))
    theirs = wire.load(folder / "outputs.wire")

    def rounded(name: str, array: np.ndarray) -> np.ndarray:
        wide = array.dtype == np.float64 and name in theirs and theirs[name].dtype.kind == "f"
        return array.astype(theirs[name].dtype) if wide else array

    with np.errstate(all="ignore"):
        return {name: rounded(name, np.asarray(array)) for name, array in found.items()}


def _each(job: Any, answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, row in enumerate(job.arguments["rows"]):
        try:
            outputs = answer(Path(row["folder"]), row, job.out / str(number))
            wire.save(job.out / f"{number}.wire", outputs)
            found[row["name"]] = {"outputs": f"{number}.wire"}
        except GatewayError as error:
            found[row["name"]] = {"error": type(error).__name__, "message": error.message}
        except Exception as error:
            said = "".join(traceback.format_exception(error)[-3:])
            found[row["name"]] = {"error": type(error).__name__, "message": said, "crash": True}
    return found
