"""Models to order, made by MXNet in its child: the nets of its model zoo with seeded weights, and heads by hand.

Weights and statistics are seeded, and no batch norm is the identity. Gammas are made smaller where a deep net's signal
would grow without end. A model whose answers do not vary with its input proves nothing and is refused.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from tests.formats.mxnet.child import PARAMS, SYMBOL, fill

VARIES = 0.01  # of the largest answer, between two inputs
GAINS = (1.0, 0.7, 0.5, 0.35)  # of gammas, the first that keeps answers below LARGEST
LARGEST = 1e4


def make(job: Any) -> dict[str, Any]:
    """`folder`, `what`: "gluon NAME" or "graph MODULE:FUNCTION"; `inputs`: shapes of two rows, by name.

    `integers` bounds inputs of whole numbers, by name; `scale` is the deviation of the others. A drop (symbol,
    params, model.toml) in `folder`. Errors: AssertionError when the answers to the two rows do not vary.
    """
    os.environ |= {"MXNET_SUBGRAPH_BACKEND": "NONE", "MXNET_STORAGE_FALLBACK_LOG_VERBOSE": "0"}
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    told = job.arguments
    folder, shapes = Path(told["folder"]), {name: tuple(shape) for name, shape in told["inputs"].items()}
    symbol = _symbol(told["what"])
    labels = [name for name in symbol.list_arguments() if name.endswith("label")]
    given = _inputs(shapes, told["integers"], told["scale"])
    for gain in GAINS:
        args, aux = fill(symbol, shapes, labels=labels)
        args |= {name: array * gain for name, array in args.items() if name.endswith("gamma")}
        answers = _run(symbol, args, aux, given)
        if all(float(np.abs(array).max()) < LARGEST for array in answers):
            break
    varied = min(map(_variation, answers))
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


def _inputs(shapes: dict[str, tuple[int, ...]], integers: dict[str, int], scale: float) -> dict[str, np.ndarray]:
    """Seeded; of two pictures the second is of large patches: two of white noise look alike to a deep net."""
    random = np.random.default_rng(5)
    found = {}
    for name, shape in shapes.items():
        array = random.integers(0, integers[name], shape) if name in integers else scale * random.standard_normal(shape)
        if len(shape) == 4:
            patches = 2.0 * scale * random.standard_normal((shape[1], 4, 4))
            sides = [np.arange(size) * 4 // size for size in shape[2:]]
            array[1] = patches[:, sides[0]][:, :, sides[1]] + 0.1 * array[1]
        found[name] = array.astype(np.float32)
    return found


def _run(symbol: Any, args: dict[str, Any], aux: dict[str, Any], given: dict[str, np.ndarray]) -> list[np.ndarray]:
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    every = args | {name: mx.nd.array(array) for name, array in given.items()}
    executor = symbol.bind(mx.cpu(), every, grad_req="null", aux_states=aux)
    return [array.asnumpy() for array in executor.forward(is_train=False)]


def _variation(answers: np.ndarray) -> float:
    assert np.isfinite(answers).all(), "an answer is not finite"
    return float(np.abs(answers[0] - answers[1]).max() / max(float(np.abs(answers).max()), 1e-30))


def _toml(name: str, shape: tuple[int, ...], integers: dict[str, int]) -> str:
    sizes = ", ".join(['"?"', *map(str, shape[1:])]) if name not in integers else ", ".join(map(str, shape))
    return f'[[inputs]]\nname = "{name}"\ndtype = "float32"\nshape = [{sizes}]\n\n'
