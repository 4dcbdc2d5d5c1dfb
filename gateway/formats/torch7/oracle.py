"""The judges of Torch7's networks: OpenCV's dnn in Environment `opencv`, else our float64 interpreter in `base`.

Rule 1: OpenCV reads the file by its own road. What it does not know, or computes otherwise than Torch7, is named, and
        the interpreter judges: ConversionError here sends the question to the next Environment.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.core.hints import Hint
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.base import Match, Oracle, Source
from gateway.formats.torch7 import convert
from gateway.formats.torch7.interpret import interpret, missing, walk
from gateway.formats.torch7.module import Module
from gateway.formats.torch7.opencv import why_not
from gateway.formats.torch7.walk import leaves


def oracle(source: Source, match: Match, signature: Signature) -> Oracle:
    """The best judge that this process can be. Errors: ConversionError."""
    if importlib.util.find_spec("cv2") is None:
        return InterpreterOracle(source, match, signature)
    root = convert.read(source, match)
    if why := why_not(root, signature):
        raise ConversionError(f"OpenCV does not judge it: {why}.")
    return OpencvOracle(source, match, signature)


class InterpreterOracle(Oracle):
    """Our own interpreter, in float64; its answers are rounded once, to float32, or not. Errors: ConversionError."""

    name = "own interpreter (float64)"

    def __init__(self, source: Source, match: Match, signature: Signature, *, rounded: bool = True) -> None:
        self._root = convert.read(source, match)
        self._signature, self._rounds = signature, rounded
        if unknown := missing(self._root):
            raise ConversionError(f"{self.name} does not know {', '.join(sorted(unknown))}.")

    def _given(self, inputs: Tensors) -> Any:
        given = [inputs[spec.name].astype(np.float64) for spec in self._signature.inputs]
        return given[0] if len(given) == 1 else given

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: whatever numpy raises for inputs that do not fit."""
        with np.errstate(all="ignore"):
            arrays = _arrays(interpret(self._root, self._given(inputs)))
        named = {convert.OUTPUT if len(arrays) == 1 else f"{convert.OUTPUT}_{k}": a for k, a in enumerate(arrays, 1)}
        answer = {}
        for spec in self._signature.outputs:
            array = named[_own(spec.tensor, named)]
            answer[spec.name] = _rounded(array) if self._rounds else array
        return answer

    def nodes(self, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
        with np.errstate(all="ignore"):
            for name, kind, arrays in walk(self._root, self._given(inputs)):
                yield name, kind, {tensor: _rounded(array) for tensor, array in arrays.items()}


class OpencvOracle(Oracle):
    """OpenCV's own layers, float32, row after row. Errors of the constructor: ConversionError in OpenCV's words."""

    def __init__(self, source: Source, match: Match, signature: Signature) -> None:
        cv2 = importlib.import_module("cv2")  # in OpenCV's own Environment
        self.name = f"OpenCV {cv2.__version__}"
        self._signature = signature
        binary = source.head(match.main, 2)[1:] != b"\n"
        try:
            self._net = cv2.dnn.readNetFromTorch(str(source.path(match.main)), binary, True)
        except cv2.error as error:
            words = " ".join(str(error).split())[:200]
            raise ConversionError(f"{self.name} does not read the source: {words}.") from error
        self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self._net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        self._net.enableWinograd(False)
        self._net.enableFusion(False)

    def run(self, inputs: Tensors) -> Tensors:
        data = inputs[self._signature.inputs[0].name]
        spec = self._signature.outputs[0]
        rows = []
        for row in data:
            self._net.setInput(np.ascontiguousarray(row[None], np.float32))
            rows.append(np.array(self._net.forward(), np.float32))
        made = np.concatenate([row.reshape(1, *(size or 0 for size in (spec.shape or ())[1:])) for row in rows])
        return {spec.name: made}


def _arrays(value: Any) -> list[Array]:
    return [value] if isinstance(value, np.ndarray) else [array for each in value for array in _arrays(each)]


def _own(tensor: str, named: dict[str, Array]) -> str:
    """The output that a tensor shows; its name may have had to be made unlike an input's."""
    return tensor if tensor in named else next(name for name in named if tensor.startswith(f"{name}_"))


def _rounded(array: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(array).astype(np.float32) if array.dtype.kind == "f" else array


def hints(source: Source, match: Match, signature: Signature) -> dict[str, Hint]:
    """An index of a LookupTable counts from 1: `length` gives such numbers."""
    root: Module = convert.read(source, match)
    first = next(leaves(root), None)
    if first is not None and first.kind == "LookupTable" and len(signature.inputs) == 1 and first.stored("weight"):
        return {signature.inputs[0].name: Hint(int(first.tensor("weight").shape[0]), "length")}
    return {}
