"""Models that hold programs: made by MXNet in its Environment, answered there too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from gateway.process import wire

WIDTH = 3


def foreach(mx: Any) -> Any:
    """A recurrent cell over the first axis of `data`, by control flow."""
    weight, bias = mx.sym.Variable("w_weight"), mx.sym.Variable("w_bias")

    def step(item: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        made = mx.sym.FullyConnected(item, weight=weight, bias=bias, num_hidden=WIDTH, name="cell") + states[0]
        made = mx.sym.tanh(made)
        return made, [made]

    outputs, states = mx.sym.contrib.foreach(step, mx.sym.Variable("data"), [mx.sym.Variable("state")])
    return mx.sym.Group([outputs, states[0]])


def cond(mx: Any) -> Any:
    """By a size of the answer, one branch or the other."""
    data = mx.sym.Variable("data")
    return mx.sym.contrib.cond(mx.sym.sum(data) > 0, lambda: data * 2, lambda: data - 1)


def while_loop(mx: Any) -> Any:
    """Doubles `data` four times over, at most six."""

    def step(i: Any, x: Any) -> tuple[list[Any], list[Any]]:
        return [x], [i + 1, x * 2]

    start = [mx.sym.zeros((1,)), mx.sym.Variable("data")]
    _, states = mx.sym.contrib.while_loop(lambda i, x: i < 4, step, start, max_iterations=6)
    return mx.sym.Group([states[1]])


def plain(mx: Any) -> Any:
    weight, bias = mx.sym.Variable("w_weight"), mx.sym.Variable("w_bias")
    return mx.sym.FullyConnected(mx.sym.Variable("data"), weight=weight, bias=bias, num_hidden=WIDTH, name="fc")


def save(job: Any) -> dict[str, Any]:
    """`rows`: {name: {"folder", "inputs"}}: model and, in answers.wire beside the folder, MXNet's outputs by name."""
    import mxnet as mx  # noqa: TID251  this is MXNet's own Environment

    rng = np.random.default_rng(3)
    for name, row in job.arguments["rows"].items():
        folder, inputs = Path(row["folder"]), wire.load(Path(row["inputs"]))
        symbol = globals()[name](mx)
        weights = {"w_weight": (WIDTH, 4), "w_bias": (WIDTH,)}
        args = {
            key: mx.nd.array(rng.normal(size=shape).astype(np.float32))
            for key, shape in weights.items()
            if key in symbol.list_arguments()
        }
        (folder / "model-symbol.json").write_text(symbol.tojson())
        if args:
            mx.nd.save(str(folder / "model-0000.params"), {f"arg:{key}": array for key, array in args.items()})
        feeds = {key: mx.nd.array(array, dtype=array.dtype) for key, array in inputs.items()}
        executor = symbol.bind(mx.cpu(), args | feeds, grad_req="null")
        found = [array.asnumpy() for array in executor.forward(is_train=False)]
        wire.save(Path(row["answers"]), dict(zip(symbol.list_outputs(), found, strict=True)))
    return {}


def custom(mark: Path) -> str:
    """A symbol file, as MXNet writes it, with a Custom inside the body of a _foreach."""
    body = {
        "nodes": [
            {"op": "null", "name": "x", "inputs": []},
            {"op": "Custom", "name": "mine", "attrs": {"op_type": f"touches {mark.name}"}, "inputs": [[0, 0, 0]]},
        ],
        "arg_nodes": [0],
        "heads": [[1, 0, 0]],
    }
    nodes = [
        {"op": "null", "name": "data", "inputs": []},
        {"op": "_foreach", "name": "loop", "attrs": {"num_args": "2"}, "inputs": [[0, 0, 0]], "subgraphs": [body]},
    ]
    return json.dumps(
        {"nodes": nodes, "arg_nodes": [0], "heads": [[1, 0, 0]], "attrs": {"mxnet_version": ["int", 10901]}}
    )
