"""What goes into the last operator of a Paddle program, where that is one whose answers are bounded.

A Sigmoid's 1e-8 cannot be compared in decibels; the number before it can (convert/bounded.py). The ONNX file and the
judge call that number alike: OUTPUT__inside.

Rule 1: nothing of the graph is changed but that name; what Paddle shows comes from its own executor and files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.formats import exported

BOUNDED = {"sigmoid": "Sigmoid", "softmax": "Softmax", "tanh": "Tanh"}


def inside(output: str) -> str:
    return f"{output}__inside"


def mark(graph: Any, outputs: Sequence[str]) -> None:
    """Give the tensors before bounded operators at the outputs of an ONNX graph the names that both sides know."""
    edge = {value.name for value in (*graph.input, *graph.output)} | {tensor.name for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    names: dict[str, str] = {}
    for output in outputs:
        maker = makers.get(output)
        if maker is not None and maker.op_type in BOUNDED.values() and maker.input[0] not in edge:
            names.setdefault(maker.input[0], inside(output))
    exported.rename(graph, names)


class Inside:
    """The program in Paddle's executor, asked for those tensors. `files` are the program and its parameters."""

    def __init__(self, paddle: Any, files: tuple[Path, Path], outputs: Sequence[str]) -> None:
        self._pir = files[0].suffix == ".json"
        self._guard = paddle.pir_utils.IrGuard if self._pir else paddle.pir_utils.OldIrGuard
        self._executor = paddle.static.Executor(paddle.CPUPlace())
        with self._guard():
            self._program, _, fetched = paddle.static.load_inference_model(
                str(files[0].with_suffix("")), self._executor
            )
            self._wanted = dict(self._before(outputs, fetched))
            if self._pir:  # its own fetches and ours cannot be in one run
                block = self._program.global_block()
                for op in [op for op in block.ops if op.name() == "pd_op.fetch"]:
                    block.remove_op(op)

    def _before(self, outputs: Sequence[str], fetched: Sequence[Any]) -> Iterator[tuple[str, tuple[str, Any]]]:
        """output -> (operator, its input)."""
        block = self._program.global_block()
        makers = {} if self._pir else {n: op for op in block.ops if op.type != "fetch" for n in op.output_arg_names}
        for output, value in zip(outputs, fetched, strict=True):
            if self._pir:
                maker = value.get_defining_op()
                kind = maker.name().removeprefix("pd_op.").rstrip("_")
                if kind in BOUNDED:
                    yield output, (kind, maker.operands()[0].source())
            elif (maker := makers.get(value.name)) is not None and maker.type in BOUNDED:
                yield output, (maker.type, block.var(maker.input("X")[0]))

    def values(self, inputs: Tensors) -> Iterator[tuple[str, str, Mapping[str, Array]]]:
        """(operator at an output, its kind, what goes into it)."""
        if not self._wanted:
            return
        with self._guard():
            found = self._executor.run(
                self._program, feed=dict(inputs), fetch_list=[value for _, value in self._wanted.values()]
            )
        for (output, (kind, _)), array in zip(self._wanted.items(), found, strict=True):
            yield output, BOUNDED[kind], {inside(output): np.asarray(array)}
