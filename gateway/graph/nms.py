"""Non-maximum suppression as detectors do it: by rank, within a class or over all, rows kept in place.

ONNX NonMaxSuppression answers a list of what stays; here that becomes a mask over the rows. It is
given ranks for scores, so that equal scores are settled by the order the rows were sorted in.

Rule 1: what is suppressed at exactly the threshold differs between the operators: `at` says it.
Rule 2: a box whose corners are exchanged overlaps nothing there; ONNX would turn it round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.graph.tools import cast, counting, full, ints, part, sizes, unsqueeze, vector

if TYPE_CHECKING:
    from gateway.graph.emit import Emit


def column(graph: Emit, rows: str, place: int) -> str:
    """(B, N, W) to (B, N): one number of each row."""
    return graph.node("Gather", [rows, graph.constant("column", np.asarray(place, np.int64))], axis=2)


def columns(graph: Emit, rows: str, start: int, stop: int) -> str:
    return part(graph, rows, 2, start, stop)


def moved(graph: Emit, shift: str, grow: str, size: str, centre: str) -> tuple[str, str]:
    """Middles and sides (B, N, 2) of boxes that offsets make of anchors: shift * size + centre, exp(grow) * size."""
    middle = graph.node("Add", [graph.node("Mul", [shift, size]), centre])
    return middle, graph.node("Mul", [graph.node("Exp", [grow]), size])


def sorted_rows(graph: Emit, rows: str, key: str) -> tuple[str, str]:
    """Rows (B, N, W) in falling order of key (B, N), equals in their own order; and the key so sorted."""
    count = vector(graph, sizes(graph, key)[1:])
    values, order = graph.nodes("TopK", [key, count], 2, axis=1, largest=1, sorted=1)
    return graph.node("GatherND", [rows, unsqueeze(graph, order, [2])], batch_dims=1), values


def places(graph: Emit, rows: str) -> str:
    """0, 1, ... N-1 for (B, N, W), int64 of shape (N)."""
    return counting(graph, sizes(graph, rows)[1])


def staying(graph: Emit, boxes: str, valid: str, *, threshold: float, at: bool, classes: str = "") -> str:
    """Which rows stay, bool (B, N).

    boxes (B, N, 4) corners, best first; valid (B, N) bool: the others neither stay nor suppress; classes (B, N)
    int64 from 0 up: only equal ones suppress each other ("" is all). Suppressed is an overlap above `threshold`,
    or with `at` one that reaches it.
    """
    low, high = part(graph, boxes, 2, 0, 2), part(graph, boxes, 2, 2, 4)
    corners = graph.node("Concat", [low, graph.node("Max", [low, high])], axis=2)
    count = sizes(graph, boxes)[1]
    positions = counting(graph, count)
    ranks = graph.node("Sub", [full(graph, 2**23, "float32"), cast(graph, positions, "float32")])
    scores = unsqueeze(graph, graph.node("Where", [valid, ranks, full(graph, 0.0, "float32")]), [1])
    if classes:
        most = graph.node("ReduceMax", [classes], keepdims=0)
        zero, one = (graph.constant("value", np.asarray(n, np.int64)) for n in (0, 1))
        every = graph.node("Range", [zero, graph.node("Add", [most, one]), one])
        own = graph.node("Equal", [unsqueeze(graph, classes, [1]), unsqueeze(graph, every, [0, 2])])
        scores = graph.node("Where", [own, scores, full(graph, 0.0, "float32")])
    limit = np.float32(min(max(threshold, 0.0), 1.0))
    limit = np.nextafter(limit, np.float32(0.0)) if at and limit > 0 else limit
    chosen = graph.node(
        "NonMaxSuppression",
        [cast(graph, corners, "float32"), scores, ints(graph, [np.iinfo(np.int32).max]),
         full(graph, float(limit), "float32", [1]), full(graph, 0.5, "float32", [1])],
    )  # fmt: skip
    where = graph.node("Gather", [chosen, ints(graph, [0, 2])], axis=1)
    batch = sizes(graph, boxes)[0]
    nothing = graph.node("Expand", [full(graph, 0.0, "float32"), vector(graph, [batch, count])])
    hits = graph.node("Expand", [full(graph, 1.0, "float32"), graph.node("Shape", [where], start=0, end=1)])
    return cast(graph, graph.node("ScatterND", [nothing, where, hits]), "bool")
