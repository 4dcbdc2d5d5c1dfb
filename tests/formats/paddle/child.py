"""Tasks of the tests in Environment `paddle`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Source, all_formats
from gateway.formats.paddle import Predictor, Program
from gateway.formats.paddle_inside import inside
from tests.formats.damage import made_apart


def before_the_last(job: Any) -> dict[str, Any]:
    """`net`, `old` -> {"operator", "error"}: that at the output, over what the judge shows, against its answer."""
    drop = job.out / "drop"
    made_apart(drop, "tests.formats.paddle.makers:made", job.arguments)
    source = Source(drop, tuple(sorted(path.name for path in drop.iterdir())))
    chosen = all_formats()["paddle"]
    match = chosen.match(source)
    assert match is not None
    program = Program(source, match)
    signature = Signature(program.inputs, program.outputs)
    judge = chosen.oracle(source, match, ModelOptions(), signature)
    assert isinstance(judge, Predictor)
    shape = [2 if size is None else size for size in signature.inputs[0].shape or ()]
    given = {signature.inputs[0].name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    [(name, operator, found)] = judge.nodes(given)
    logits = found[inside(name)].astype(np.float64)
    e = np.exp(logits - logits.max(-1, keepdims=True))
    expected = e / e.sum(-1, keepdims=True) if operator == "Softmax" else 1 / (1 + np.exp(-logits))
    return {"operator": operator, "error": float(np.abs(expected - judge.run(given)[name]).max())}
