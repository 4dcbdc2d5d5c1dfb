"""Models to order, made by MXNet in its child: the nets of its model zoo with seeded weights, and heads by hand.

A net with random weights is not a trained one, and can be made a good fixture all the same: batch norms get the
statistics that the data really has at their place, then are moved off them; a model whose answers do not vary with
its input proves nothing and is refused.
"""

from __future__ import annotations

import importlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from tests.formats.mxnet.child import PARAMS, SYMBOL, fill, seeded

VARIES = 0.01  # of the largest answer, between two inputs


def make(job: Any) -> dict[str, Any]:
    """`folder`, `what`: "gluon NAME" or "graph MODULE:FUNCTION", `inputs`: name -> shape, `integers`: name -> bound.

    A drop (symbol, params, model.toml) in `folder`. Errors: AssertionError when the answers do not vary.
    """
    os.environ |= {"MXNET_SUBGRAPH_BACKEND": "NONE", "MXNET_STORAGE_FALLBACK_LOG_VERBOSE": "0"}
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    told = job.arguments
    folder, shapes = Path(told["folder"]), {name: tuple(shape) for name, shape in told["inputs"].items()}
    symbol = _symbol(told["what"])
    args, aux = fill(symbol, shapes, labels=[name for name in symbol.list_arguments() if name.endswith("label")])
    given = [_inputs(shapes, told["integers"], seed) for seed in range(2)]
    if aux:
        aux = _statistics(symbol, args | {name: mx.nd.array(array) for name, array in given[0].items()}, aux)
    answers = [_run(symbol, args, aux, each) for each in given]
    varied = min(_variation(a, b) for a, b in zip(*answers))
    assert varied >= VARIES, f"the answers vary by {varied:.2%} between two inputs, expected {VARIES:.0%}"
    left_out = [*shapes, *(name for name in args if name.endswith("label"))]
    saved = {f"arg:{name}": array for name, array in args.items() if name not in left_out}
    symbol.save(str(folder / SYMBOL))
    mx.nd.save(str(folder / PARAMS), saved | {f"aux:{name}": array for name, array in aux.items()})
    (folder / "model.toml").write_text("".join(_toml(name, shape, told["integers"]) for name, shape in shapes.items()))
    return {"varied": varied}


def _symbol(what: str) -> Any:
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    kind, _, name = what.partition(" ")
    if kind == "gluon":
        from mxnet.gluon.model_zoo import vision  # noqa: TID251

        return vision.get_model(name)(mx.sym.Variable("data"))
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)()


def _inputs(shapes: dict[str, tuple[int, ...]], integers: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        name: (random.integers(0, integers[name], shape) if name in integers else random.standard_normal(shape)).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }


def _statistics(symbol: Any, args: dict[str, Any], aux: dict[str, Any]) -> dict[str, Any]:
    """Those of one batch in training mode (momentum 0 takes them over), moved off by seeded noise."""
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    graph = json.loads(symbol.tojson())
    for node in graph["nodes"]:
        if node["op"] == "BatchNorm":
            node.setdefault("attrs", {})["momentum"] = "0.0"
    training = mx.sym.load_json(json.dumps(graph))
    executor = training.bind(mx.cpu(), args, grad_req="null", aux_states=aux)
    for output in executor.forward(is_train=True):
        output.wait_to_read()
    found = {}
    for name, array in executor.aux_dict.items():
        noise, seen = seeded(name, array.shape, 1), array.asnumpy()
        if re.search("var$", name):
            found[name] = mx.nd.array(np.maximum(seen, 1e-3) * (0.7 + 0.3 * noise))
        else:
            found[name] = mx.nd.array(seen + noise * 0.5 * (np.abs(seen).mean() + 0.05))
    return found


def _run(symbol: Any, args: dict[str, Any], aux: dict[str, Any], given: dict[str, np.ndarray]) -> list[np.ndarray]:
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    every = args | {name: mx.nd.array(array) for name, array in given.items()}
    executor = symbol.bind(mx.cpu(), every, grad_req="null", aux_states=aux)
    return [array.asnumpy() for array in executor.forward(is_train=False)]


def _variation(a: np.ndarray, b: np.ndarray) -> float:
    assert np.isfinite(a).all(), "an answer is not finite"
    return float(np.abs(a - b).max() / max(float(np.abs(a).max()), 1e-30))


def _toml(name: str, shape: tuple[int, ...], integers: dict[str, int]) -> str:
    sizes = ", ".join(['"?"', *map(str, shape[1:])]) if name not in integers else ", ".join(map(str, shape))
    return f'[[inputs]]\nname = "{name}"\ndtype = "float32"\nshape = [{sizes}]\n\n'
