"""Values that a graph is made for: each role keeps what it promises, for every kind of probe."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from gateway.core.dtypes import Array
from gateway.core.hints import Hint
from gateway.core.probes import KINDS, Sizing, probes
from gateway.core.signature import Signature, TensorSpec

DATA = TensorSpec("data", "float32", (4, 3, 10, 12))


@dataclass(frozen=True)
class Case:
    """`keeps` holds for every kind; `shows` for at least one."""

    spec: TensorSpec
    hint: Hint
    keeps: Callable[[Array], object]
    shows: Callable[[Array], object]


def overlap(rows: Array) -> float:
    """Largest overlap over union of two different rows of corners."""
    low = np.maximum(rows[:, None, :2], rows[None, :, :2])
    both = np.prod(np.maximum(np.minimum(rows[:, None, 2:], rows[None, :, 2:]) - low, 0), -1)
    area = np.prod(rows[:, 2:] - rows[:, :2], -1)
    whole = area[:, None] + area[None] - both
    return float(
        np.max(np.where((whole > 0) & ~np.eye(len(rows), dtype=bool), both / np.where(whole > 0, whole, 1), 0))
    )


def columns_differ(x: Array) -> bool:
    return len({tuple(column) for column in x.reshape(x.shape[0], -1).T.tolist()}) == x[0].size


REGIONS = Hint(("data", 0), role="regions", sizes=(("data", 2), ("data", 3)), scale=0.5)
CASES = {
    "lengths are from 1 to the axis they measure": Case(
        TensorSpec("x", "float32", (40,)), Hint(("data", 2), role="length"),
        lambda x: x.min() >= 1 and x.max() <= 10 and (x == np.floor(x)).all(), lambda x: {1.0, 10.0} <= set(x.tolist()),
    ),
    "indices follow the size of an axis": Case(
        TensorSpec("x", "int64", (40,)), Hint(("data", 1)), lambda x: x.min() >= 0 and x.max() <= 2,
        lambda x: x.max() == 2
    ),
    "indices beyond a table, where there is a rule for them": Case(
        TensorSpec("x", "float32", (40,)),
        Hint(5, beyond=True),
        lambda x: x.min() >= -2 and x.max() <= 6,
        lambda x: x.min() == -2 and x.max() == 6,
    ),
    "points are inside of a shape": Case(
        TensorSpec("x", "float32", (2, 30)), Hint(role="points", sizes=(("data", 0), 5)),
        lambda x: x.min() >= 0 and x[0].max() <= 3 and x[1].max() <= 4, lambda x: x[1].max() == 4,
    ),
    "unique points are no place twice": Case(
        TensorSpec("x", "int32", (2, 5)), Hint(role="points", sizes=(3, 4), unique=True),
        columns_differ, lambda x: x.any()
    ),
    "unique points along one axis": Case(
        TensorSpec("x", "int64", (3,)), Hint(role="points", sizes=(5,), unique=True),
        lambda x: len(set(x.tolist())) == 3 and x.max() < 5, lambda x: x.max() == 4,
    ),
    "points of another number of axes are inside of the least": Case(
        TensorSpec("x", "int64", (3, 6)), Hint(role="points", sizes=(9, 2)), lambda x: x.min() >= 0 and x.max() < 2,
        lambda x: x.max() == 1,
    ),
    "regions are inside of the picture, of a picture that is there": Case(
        TensorSpec("x", "float32", (8, 5)), REGIONS,
        lambda x: set(x[:, 0].tolist()) <= {0, 1, 2, 3} and (x[:, 3:] > x[:, 1:3]).all(),
        lambda x: (x[:, 1:] >= 0).all() and (x[:, 3] <= 24).all() and (x[:, 4] <= 20).all() and x[:, 3].max() > 10,
    ),
    "regions reach beyond the picture too": Case(
        TensorSpec("x", "float32", (8, 5)), REGIONS, lambda x: np.isfinite(x).all(), lambda x: x[:, 1:].min() < 0
    ),
    "boxes overlap": Case(
        TensorSpec("x", "float32", (20, 4)), Hint(role="boxes"), lambda x: np.isfinite(x).all(),
        lambda x: 0.3 < overlap(x) < 1.0,
    ),
    "boxes have twins": Case(
        TensorSpec("x", "float32", (20, 4)), Hint(role="boxes"), lambda x: x.shape == (20, 4),
        lambda x: (x[::2] == x[1::2]).all() and x.any(),
    ),
    "boxes may be exchanged or empty": Case(
        TensorSpec("x", "float32", (20, 4)), Hint(role="boxes"), lambda x: np.isfinite(x).all(),
        lambda x: (x[:, 2] < x[:, 0]).any() and (x[:, 2] == x[:, 0]).any(),
    ),
    "boxes of middles and sides": Case(
        TensorSpec("x", "float32", (20, 4)), Hint(role="boxes", centre=True), lambda x: np.isfinite(x).all(),
        lambda x: (x[:, 2:] > 0).all() and (x[:, 2:] < 0.8).all() and (np.abs(x[:, 2] / 2 - x[:, 0]) > 1e-3).any(),
    ),
    "rows have a class and a score": Case(
        TensorSpec("x", "float32", (2, 20, 6)), Hint(role="boxes", columns=(2, 1, 0)),
        lambda x: (x[..., 0] == np.floor(x[..., 0])).all() and (np.abs(x[..., 1]) <= 1).all(),
        lambda x: len(set(x[..., 0].reshape(-1).tolist())) > 2,
    ),
    "scores are sorted, worst first": Case(
        TensorSpec("x", "float32", (20, 6)), Hint(role="boxes", columns=(2, 1, 0)), lambda x: x.shape == (20, 6),
        lambda x: (np.diff(x[:, 1]) > 0).all(),
    ),
    "scores are equal here and there": Case(
        TensorSpec("x", "float32", (20, 6)), Hint(role="boxes", columns=(2, 1, 0)), lambda x: x.shape == (20, 6),
        lambda x: 1 < len(set(x[:, 1].tolist())) < 15,
    ),
    "what a picture is": Case(
        TensorSpec("x", "float32", (2, 3)), Hint(role="picture", sizes=(("data", 2), ("data", 3)), scale=16),
        lambda x: (x[:, 0] <= 160).all() and (x[:, 1] <= 192).all() and (x > 0).all(),
        lambda x: (x[:, 0] < x[:, 1]).all(),
    ),
    "shares are between 0 and 1": Case(
        TensorSpec("x", "float32", (2, 9)), Hint(role="share"), lambda x: x.min() >= 0 and x.max() <= 1,
        lambda x: x.max() > 0.5
    ),
    "pixels are between 0 and 1": Case(
        TensorSpec("x", "float32", (2, 3, 4, 5)), Hint(role="pixels"), lambda x: x.min() >= 0 and x.max() <= 1,
        lambda x: x.max() > 0.5
    ),
    "pixels are in the range that their preprocessing makes": Case(
        TensorSpec("x", "float32", (2, 3, 4, 5)), Hint(role="pixels", low=-1, high=2),
        lambda x: x.min() >= -1 and x.max() <= 2, lambda x: x.max() > 1.5 and x.min() < -0.5
    ),
    "large pixels are what pictures may be as well": Case(
        TensorSpec("x", "float32", (2, 3, 4, 5)), Hint(role="pixels", low=-1, high=1, wide=(-128, 152)),
        lambda x: x.min() >= -128 and x.max() <= 152, lambda x: x.max() > 70 and x.min() < -70
    ),
    "divisors are not 0, of both signs": Case(
        TensorSpec("x", "int32", (40,)), Hint(role="divisor"), lambda x: (x != 0).all(), lambda x: x.min() < 0 < x.max()
    ),
    "divisors of a type without sign": Case(
        TensorSpec("x", "uint8", (40,)), Hint(role="divisor"), lambda x: (x != 0).all(), lambda x: x.max() == 255
    ),
    "no value twice": Case(
        TensorSpec("x", "float32", (4, 9)), Hint(role="distinct"), lambda x: np.unique(x).size == 36,
        lambda x: x.max() > 100
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_role(name: str) -> None:
    case = CASES[name]
    signature = Signature((DATA, case.spec), ())
    hint = Hint.from_json(json.loads(json.dumps(case.hint.to_json())))
    assert hint == case.hint
    found = {probe.kind: probe.inputs["x"] for probe in probes(signature, Sizing(), {"x": hint}, 1)}
    assert list(found) == list(KINDS)
    for kind, array in found.items():
        signature.check({"data": np.zeros((4, 3, 10, 12), np.float32), "x": array})
        assert case.keeps(array), f"{kind}: {array}"
    assert any(bool(case.shows(array)) for array in found.values())


def test_a_row_that_is_asked_alone_reads_the_one_picture_there_is() -> None:
    """The batch is of three, but its rows are asked alone too: what counts along it stays at 0."""
    spec = (
        TensorSpec("data", "float32", (None, 2, 8, 8), symbols=("n", "", "", "")),
        TensorSpec("x", "float32", (None, 5), symbols=("n", "")),
    )
    for probe in probes(Signature(spec, ()), Sizing(), {"x": REGIONS}, 1):
        assert (probe.inputs["x"][:, 0] == 0).all()
