"""The judges of MXNet models: MXNet itself in Environment `mxnet`, else our float64 interpreter in `base`.

Rule 1: MXNet reads the files by its own road: nothing of the reader or the emitter is used for it.
Rule 2: MXNet runs unfused, in inference mode, on the CPU: what it is known for, node by node.
Rule 3: a variable that no file holds is filled with zeros only where it is a label, which
        inference does not read; anything else that is missing is an error.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, Tensors, dtype, numpy_dtype
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.base import Match, Oracle, Source
from gateway.formats.mxnet import files_of

LABELLED = ("SoftmaxOutput", "Softmax", "LinearRegressionOutput", "LogisticRegressionOutput", "MAERegressionOutput",
            "SVMOutput", "IdentityAttachKLSparseReg")  # fmt: skip
"""Operators whose second input is a label."""


def oracle(source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
    """The best judge that this process can be. Errors: ConversionError."""
    symbol_file, params_file, _ = files_of(match)
    weights = source.path(params_file) if params_file else None
    if importlib.util.find_spec("mxnet") is not None:
        return MxnetOracle(source.path(symbol_file), weights, signature)
    return InterpreterOracle(source.path(symbol_file), weights, signature)


def exact(source: Source, match: Match, signature: Signature) -> Oracle:
    """Our interpreter, nothing rounded at the end. Errors: ConversionError."""
    symbol_file, params_file, _ = files_of(match)
    weights = source.path(params_file) if params_file else None
    return InterpreterOracle(source.path(symbol_file), weights, signature, rounded=False)


def framework(symbol: Path) -> Any:
    """The package mxnet, set up for that symbol file; once a process."""
    # Before the import: fused nodes would have no names, and fusion is not what is to be judged.
    os.environ |= {
        "MXNET_SUBGRAPH_BACKEND": "NONE",
        "MXNET_SUBGRAPH_VERBOSE": "0",
        "MXNET_STORAGE_FALLBACK_LOG_VERBOSE": "0",
    }
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that spin cost seconds on a busy machine
    if b"target_shape" in symbol.read_bytes():  # oneDNN's deconvolution refuses it; MXNet's own does not
        os.environ["MXNET_MKLDNN_ENABLED"] = "0"
    import mxnet  # noqa: TID251  MXNet's own Environment

    return mxnet


class MxnetOracle(Oracle):
    """MXNet's own executor. Errors of the constructor: ConversionError in MXNet's words."""

    def __init__(self, symbol: Path, weights: Path | None, signature: Signature) -> None:
        self._mx = mxnet = framework(symbol)
        self.name = f"MXNet {mxnet.__version__}"
        self._signature = signature
        self._files = (symbol, weights)
        try:
            self._symbol = mxnet.sym.load(str(symbol))
            self._weights = _without_prefix(mxnet.nd.load(str(weights))) if weights is not None else {}
            every = self._symbol.get_internals()
            wanted = list(dict.fromkeys(spec.tensor for spec in signature.outputs))
            self._outputs = mxnet.sym.Group([self._tensor(every, name) for name in wanted])
        except mxnet.base.MXNetError as error:
            raise ConversionError(f"{self.name} does not read the source: {first_line(error)}") from error
        self._wanted = wanted
        self._labels = labels_of(json.loads(self._symbol.tojson()))
        self._bound: tuple[Any, Any] = (None, None)
        self._check()

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: MXNetError, in MXNet's words, for inputs it does not accept."""
        feeds = {spec.tensor: inputs[spec.name] for spec in self._signature.inputs}
        key = tuple((name, array.shape, array.dtype.str) for name, array in feeds.items())
        if self._bound[0] != key:
            self._bound = (None, None)  # its memory goes before the next one's comes
            self._bound = (key, self._bind(self._outputs, feeds))
        found = self._forward(self._bound[1], feeds)
        answers = dict(zip(self._wanted, found, strict=True))
        return {spec.name: answers[spec.tensor] for spec in self._signature.outputs}

    def nodes(self, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
        feeds = {spec.tensor: inputs[spec.name] for spec in self._signature.inputs}
        every = self._outputs.get_internals()
        variables = {*every.list_arguments(), *every.list_auxiliary_states()}
        names = every.list_outputs()
        shown = [place for place, name in enumerate(names) if name not in variables]
        group = self._mx.sym.Group([every[place] for place in shown])
        operators = {node["name"]: node["op"] for node in json.loads(every.tojson())["nodes"]}
        found = self._forward(self._bind(group, feeds), feeds)
        for place, array in zip(shown, found, strict=True):
            node = every[place].name
            yield node, operators.get(node, ""), {names[place]: array}

    def use_second(self, reason: str) -> bool:
        return False

    def _forward(self, executor: Any, feeds: Tensors) -> list[Array]:
        given = {name: self._mx.nd.array(array, dtype=array.dtype) for name, array in feeds.items()}
        return [np.asarray(array.asnumpy(), order="C") for array in executor.forward(is_train=False, **given)]

    def _bind(self, symbol: Any, feeds: Tensors) -> Any:
        """An executor for these shapes; weights are shared with every other one."""
        arguments = symbol.list_arguments()
        feeds = {name: array for name, array in feeds.items() if name in arguments}
        args = {name: self._weights[name] for name in arguments if name in self._weights}
        args |= {name: self._mx.nd.array(array, dtype=array.dtype) for name, array in feeds.items()}
        left = [name for name in arguments if name not in args]
        if left:
            shapes, _, _ = symbol.infer_shape(**{name: array.shape for name, array in args.items()})
            by_name = dict(zip(arguments, shapes or (), strict=False))
            args |= {name: self._mx.nd.zeros(by_name[name]) for name in left}
        aux = {name: self._weights[name] for name in symbol.list_auxiliary_states()}
        return symbol.bind(self._mx.cpu(), args, grad_req="null", aux_states=aux)

    def _check(self) -> None:
        """Errors: ConversionError naming all that neither file nor signature gives."""
        there = {*self._weights, *(spec.tensor for spec in self._signature.inputs)}
        wanted = [*self._outputs.list_arguments(), *self._outputs.list_auxiliary_states()]
        missing = [name for name in wanted if name not in there and name not in self._labels]
        if missing:
            raise ConversionError(f"{self.name} needs {', '.join(missing[:10])}, and no file holds them.")

    def _tensor(self, every: Any, name: str) -> Any:
        """The symbol of a tensor; MXNet's own outputs first: two nodes may have one name."""
        for among in (self._symbol, every):
            names = among.list_outputs()
            if name in names:
                return among[names.index(name)]
        raise ConversionError(f"{self.name} knows no tensor called {name!r}.")


class InterpreterOracle(Oracle):
    """Our own interpreter, in float64. Its answers are rounded once, to the type the signature declares, or not."""

    name = "own interpreter (float64)"

    def __init__(self, symbol: Path, weights: Path | None, signature: Signature, *, rounded: bool = True) -> None:
        from gateway.formats.mxnet import params
        from gateway.formats.mxnet.interpreter import missing
        from gateway.formats.mxnet.symbol import read

        graph = read(symbol)
        wanted = list(dict.fromkeys(spec.tensor for spec in signature.outputs))
        self._symbol = replace(graph, heads=tuple(graph.find(name) for name in wanted))
        self._wanted = wanted
        self._params = params.read(weights) if weights is not None else params.NOTHING
        self._signature, self._rounds = signature, rounded
        if unknown := missing(self._symbol):
            raise ConversionError(f"{self.name} does not know the operators {', '.join(unknown)}")

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: whatever numpy raises for inputs that do not fit."""
        from gateway.formats.mxnet.interpreter import interpret

        made = interpret(self._symbol, self._params, self._feeds(inputs), rounded=self._rounds)
        answers = dict(zip(self._wanted, made.values(), strict=True))
        if not self._rounds:
            return {spec.name: np.asarray(answers[spec.tensor]) for spec in self._signature.outputs}
        return {spec.name: _rounded(answers[spec.tensor], spec.dtype) for spec in self._signature.outputs}

    def nodes(self, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
        from gateway.formats.mxnet.interpreter import walk

        for node, operator, found in walk(self._symbol, self._params, self._feeds(inputs)):
            yield node, operator, {name: _rounded(array, "float32") for name, array in found.items()}

    def _feeds(self, inputs: Tensors) -> Tensors:
        return {spec.tensor: inputs[spec.name] for spec in self._signature.inputs}


def _rounded(array: Array, name: str) -> Array:
    """float64, in which the interpreter computes, as the declared type; anything else as it is."""
    array = np.asarray(array)
    if array.dtype == np.float64 and dtype(name).kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(numpy_dtype(name))
    return array


def _without_prefix(weights: Any) -> dict[str, Any]:
    """MXNet's arrays by the symbol's names. Errors: ConversionError for a file without names."""
    if not isinstance(weights, Mapping):
        raise ConversionError("the file of weights has no names.")
    return {name.removeprefix("arg:").removeprefix("aux:"): array for name, array in weights.items()}


def labels_of(graph: Mapping[str, Any]) -> set[str]:
    """Variables that only ever stand where a label does."""
    names = [node["name"] for node in graph["nodes"]]
    label: set[str] = set()
    other: set[str] = set()
    for node in graph["nodes"]:
        for place, entry in enumerate(node["inputs"]):
            (label if node["op"] in LABELLED and place == 1 else other).add(names[entry[0]])
    return label - other


def first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).strip()[:300]
