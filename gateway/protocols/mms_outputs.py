"""Tensors -> answers of multi-model-server's dialect.

    labels on the first output   the likeliest classes, as MMS's own vision service gives them:
                                 [{"probability": 0.98, "class": "seven"}, ...]
    one output                   its nested list
    several                      {"name": nested list, ...}

Rule 1: a batch dimension is in the answer exactly if it was in the request.
Rule 2: the key is "probability" only where the row is a distribution; else it is "score".
Rule 3: a row with NaN or infinities has no ranking: the numbers themselves are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from gateway.core.dtypes import Array, Tensors
from gateway.core.signature import Signature
from gateway.protocols.json_outputs import value_text

TOP = 5


def encode(outputs: Tensors, signature: Signature, *, batch: bool, top: int) -> bytes:
    """`top`: how many classes of each row; 0 gives numbers though there are labels."""
    if not batch:
        outputs = _without_batch(outputs)
    first = next(iter(outputs.values()))
    if top and _labelled(first, signature, rank=2 if batch else 1):
        rows = first if first.ndim == 2 else first[None]
        ranked = [_ranking(signature.labels, row, top) for row in rows]
        value: Any = ranked if first.ndim == 2 else ranked[0]
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
    return value_text(outputs)


def _without_batch(outputs: Tensors) -> Tensors:
    if all(array.ndim and array.shape[0] == 1 for array in outputs.values()):
        return {name: array[0] for name, array in outputs.items()}
    return outputs


def _labelled(array: Array, signature: Signature, rank: int) -> bool:
    return bool(
        signature.labels
        and array.ndim == rank
        and array.shape[-1] == len(signature.labels)
        and array.dtype.kind in "fiu"
        and np.isfinite(array.astype(np.float64)).all()
    )


def _ranking(labels: Sequence[str], row: Array, top: int) -> list[dict[str, Any]]:
    values = row.astype(np.float64)
    best = np.argsort(-values, kind="stable")[:top]  # of equals the first label first
    is_distribution = bool((values >= 0).all() and abs(values.sum() - 1) < 1e-3)
    key = "probability" if is_distribution else "score"
    return [{key: row[at], "class": labels[at]} for at in best.tolist()]
