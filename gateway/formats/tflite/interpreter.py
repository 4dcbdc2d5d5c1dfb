"""The TFLite interpreter: judge of what was converted, and runtime of what was not.

Rule 1: a judge runs TFLite's own kernels, no delegate; a runtime takes XNNPACK, which TFLite takes by default.
Rule 2: every call starts from the file's initial state: what a fused recurrent operator remembers is reset.
Rule 3: only dimensions that the file shows as free are resized; a fixed number of rows is filled up here too, with
        other company than runtimes/rows.py gives a row.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.base import Oracle
from gateway.formats.savedmodel.native import framework
from gateway.formats.tflite.signatures import Bound


class Interpreter(Oracle):
    """One signature of a file, under `signature`'s names. Errors of the constructor: ConversionError."""

    def __init__(self, path: Path, bound: Bound, signature: Signature, *, delegates: bool, threads: int = 1) -> None:
        tf = framework()
        self.name = f"TFLite interpreter {tf.__version__}"
        self._path, self._bound, self._signature = path, bound, signature
        self._options: dict[str, Any] = {"num_threads": threads}
        if not delegates:
            kinds = tf.lite.experimental.OpResolverType
            self._options["experimental_op_resolver_type"] = kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._tf = tf
        self._whole = self._opened()
        self._runner = self._whole.get_signature_runner(bound.signature.name) if bound.graph else None
        self._shapes: dict[str, tuple[int, ...]] = {}

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: ValueError, RuntimeError in the interpreter's words."""
        rows = self._signature.rows
        given = {spec.tensor: inputs[spec.name] for spec in self._signature.inputs}
        total = next(iter(given.values())).shape[0] if rows else 0
        if total == rows:
            answers = self._once(given)
        else:
            parts = [self._once(_filled(given, start, rows)) for start in range(0, total, rows)]
            answers = {name: np.concatenate([part[name] for part in parts])[:total] for name in parts[0]}
        return {spec.name: answers[spec.tensor] for spec in self._signature.outputs}

    def nodes(self, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
        """Every tensor of a first graph, for one call; empty where the rows need several."""
        given = {spec.tensor: inputs[spec.name] for spec in self._signature.inputs}
        if self._signature.rows:
            if next(iter(given.values())).shape[0] > self._signature.rows:
                return
            given = _filled(given, 0, self._signature.rows)
        if self._runner is not None:
            return
        whole = self._opened(experimental_preserve_all_tensors=True)
        self._feed(whole, given, fresh=True)
        whole.invoke()
        names = {detail["index"]: detail["name"] for detail in whole.get_tensor_details()}
        for operator in whole._get_ops_details():  # there is no public list of operators
            found = {names[int(at)]: _got(whole.get_tensor(int(at))) for at in operator["outputs"] if at >= 0}
            if found:
                yield next(iter(found)), str(operator["op_name"]), found

    def _opened(self, **more: Any) -> Any:
        def opened() -> Any:
            return self._tf.lite.Interpreter(str(self._path), **self._options, **more)

        try:
            return _quiet(opened)
        except Exception as error:  # whatever the interpreter raises
            raise ConversionError(f"{self.name} does not load the file: {line(error)}") from error

    def _once(self, given: Mapping[str, Array]) -> Tensors:
        if self._runner is not None:
            answers = self._runner(**{self._bound.alias[name]: array for name, array in given.items()})
            return {name: _got(answers[self._bound.alias[name]]) for name in self._bound.outputs}
        shapes = {name: array.shape for name, array in given.items()}
        self._feed(self._whole, given, fresh=shapes != self._shapes)
        self._shapes = shapes
        self._whole.invoke()
        return {name: _got(self._whole.get_tensor(place)) for name, place in self._bound.outputs.items()}

    def _feed(self, whole: Any, given: Mapping[str, Array], *, fresh: bool) -> None:
        if fresh:
            self._shapes = {}
            for name, place in self._bound.inputs.items():
                if list(given[name].shape) != [int(size) for size in whole._get_tensor_details(place, 0)["shape"]]:
                    whole.resize_tensor_input(place, list(given[name].shape), strict=True)
            whole.allocate_tensors()
        whole.reset_all_variables()
        for name, place in self._bound.inputs.items():
            whole.set_tensor(place, np.ascontiguousarray(given[name]))


def _filled(given: Mapping[str, Array], start: int, rows: int) -> Tensors:
    """`rows` rows from `start` on; zeros where there are no more."""
    made = {}
    for name, array in given.items():
        part = array[start : start + rows]
        lacking = (rows - part.shape[0], *part.shape[1:])
        blank = np.full(lacking, b"", object) if part.dtype == object else np.zeros(lacking, part.dtype)
        made[name] = np.ascontiguousarray(np.concatenate([part, blank]))
    return made


def _got(found: Any) -> Array:
    array = np.asarray(found)
    return array.astype(object) if array.dtype.kind in "SU" else array.copy()


def _quiet(make: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the interpreter says in which package it will live one day
        return make()


def threads() -> int:
    """What a worker's environment says, else one less than there are cores."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() and int(said) > 0 else max(1, (os.cpu_count() or 2) - 1)


def line(error: BaseException) -> str:
    lines = [text.strip() for text in str(error).splitlines() if text.strip()]
    return " ".join(lines[:2])[:400] if lines else type(error).__name__
