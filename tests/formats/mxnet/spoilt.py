"""In a child of Environment base: every operator with each of its parameters spoilt, and with inputs missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.errors import GatewayError
from gateway.formats.mxnet import emit
from gateway.graph.builder import GraphBuilder
from gateway.graph.emit import Emit
from gateway.graph.registry import operators

VALUES = ("", "x", "(1", "-999", "None", "(0,0,0,0,0,0,0)", "99999999999999999999", "1000000000", "0", "()", "1e300")


def run(job: Any) -> dict[str, Any]:
    """`rows`: [{"op", "attrs", "inputs": [[name, dtype, shape, weight]]}] -> {"tried": count, "crashes": [what]}."""
    emit.load_operators()
    crashes: list[str] = []
    tried = 0
    with np.errstate(all="ignore"):
        for row in job.arguments["rows"]:
            ways = [(row["attrs"] | {key: value}, row["inputs"]) for key in row["attrs"] for value in VALUES]
            ways += [({k: v for k, v in row["attrs"].items() if k != key}, row["inputs"]) for key in row["attrs"]]
            ways += [(row["attrs"], row["inputs"][:count]) for count in range(len(row["inputs"]))]
            for attrs, inputs in ways:
                tried += 1
                try:
                    _emit(row["op"], attrs, inputs)
                except GatewayError:
                    continue
                except Exception as error:
                    crashes.append(f"{row['op']} {attrs} {len(inputs)} inputs: {type(error).__name__}: {error}")
    return {"tried": tried, "crashes": crashes}


def _emit(op: str, attrs: dict[str, str], inputs: list[Any]) -> None:
    graph = Emit(GraphBuilder("mxnet"))
    names = [
        graph.constant(name, np.zeros(shape, dtype)) if weight else graph.input(name, dtype, tuple(shape), ())
        for name, dtype, shape, weight in inputs
    ]
    node = emit.Node(op, "op", emit.attrs_of(op, "op", attrs), tuple(names), 1)
    graph.call(node, operators("mxnet")[op], ["op_output"])
