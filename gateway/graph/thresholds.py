"""Calls that ask every threshold of an ensemble of trees: at it, just below and just above.

A tree hides its faults: a condition that is off by one rounding, or that sends NaN or an unseen category the other
way, answers rightly nearly everywhere. So each question is asked at its own threshold, by a row that gets there.

Rule 1: a row is made to reach its node: along the path each feature is put on its side.
Rule 2: deterministic in the seed. No more than MOST_ROWS rows and MOST_WALKS walks: of a larger ensemble nodes are
        taken evenly, and what is said names how many of how many.
Rule 3: what a library may refuse (NaN, infinities, odd categories) is a call of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from gateway.core.dtypes import Array
from gateway.core.probes import Further, Probe
from gateway.graph.ensemble import CATEGORY, KNOWN, MEMBER, ZERO, ZERO_MISSING, Ensemble, Tree

MOST_ROWS = 48_000
MOST_ELEMENTS = 1 << 24
MOST_WALKS = 20_000_000  # rows times trees: what a judge walks in seconds
ROWS_A_CALL = 8192
MEMBERS = 24  # categories of one node that are asked, beside those in no set
UNSEEN = 7  # added to the largest known category
SPREAD = np.array([0.3, 1.0, 5.0])


@dataclass
class _Side:
    """Where a feature has to be for a node to be reached: low < x <= high, in `inside`, not in `outside`."""

    low: float = -np.inf
    high: float = np.inf
    inside: tuple[float, ...] | None = None
    outside: tuple[float, ...] = ()


@dataclass
class _Asked:
    rows: list[Array] = field(default_factory=list)

    def add(self, row: Array, feature: int, *values: float) -> None:
        for value in values:
            made = row.copy()
            made[feature] = value
            self.rows.append(made)


def further(ensemble: Ensemble, name: str, kind: str, seed: int, *, missing: bool, infinite: bool) -> Further:
    """Calls of input `name` with dtype `kind` ("float32", "float64"). `missing`: NaN is asked too."""
    random = np.random.default_rng(seed)
    maker = _Maker(ensemble, np.dtype(kind), random)
    inner = sum(int((tree.column >= 0).sum()) for tree in ensemble.trees)
    walks = MOST_WALKS // max(1, len(ensemble.trees))
    most = max(16, min(MOST_ROWS, walks, MOST_ELEMENTS // max(1, ensemble.features)) // 5)
    step = max(1, -(-inner // most))
    asked = maker.ask(step)
    probes: list[Probe] = []
    for what, lot in asked.items():
        if not lot.rows or (what == "missing" and not missing) or (what == "infinite" and not infinite):
            continue
        rows = np.stack(lot.rows).astype(kind)
        count = -(-len(rows) // ROWS_A_CALL)
        for number, part in enumerate(np.array_split(rows, count)):
            of = f" {number + 1} of {count}" if count > 1 else ""
            probes.append(Probe(f"{what}{of}", what, None, {name: np.ascontiguousarray(part)}))
    total = sum(len(probe.inputs[name]) for probe in probes)
    said = f"{total} rows at, below and above {maker.asked} of {inner} thresholds" if inner else "no thresholds"
    return Further(tuple(probes), said)


class _Maker:
    def __init__(self, ensemble: Ensemble, kind: np.dtype[np.floating], random: np.random.Generator) -> None:
        self.ensemble, self.kind, self.random = ensemble, kind, random
        self.asked = 0
        pools: dict[int, list[float]] = {}
        for tree in ensemble.trees:
            for node in np.flatnonzero(tree.column >= 0).tolist():
                column = ensemble.column(int(tree.column[node]))
                pool = pools.setdefault(column.feature, [])
                if tree.mode[node] == MEMBER:
                    pool.extend(column.value(member) for member in tree.members[node][:MEMBERS])
                elif abs(float(tree.threshold[node])) < 1e30:
                    pool.append(float(tree.threshold[node]))
        self.pools = {feature: np.unique(np.array(pool or [0.0, 1.0])) for feature, pool in pools.items()}
        self.numbers = np.array(sorted(self.pools), np.int64)
        categories = {column.feature for column in ensemble.extra if column.kind in (CATEGORY, KNOWN)}
        self.category = np.array([number in categories for number in self.numbers.tolist()], bool)

    def ask(self, step: int) -> dict[str, _Asked]:
        found = {
            what: _Asked()
            for what in ("thresholds", "categories", "odd categories", "nearly zero", "missing", "infinite")
        }
        count = 0
        for tree in self.ensemble.trees:
            for node, sides in _paths(tree, self.ensemble):
                count += 1
                if (count - 1) % step == 0:
                    self.asked += 1
                    self._ask(found, tree, node, self._row(sides))
        for share in (1.0, 0.5, 0.5, 0.5):
            row = self._base()
            row[self.random.random(len(row)) < share] = np.nan
            found["missing"].rows.append(row)
        return found

    def _ask(self, found: dict[str, _Asked], tree: Tree, node: int, row: Array) -> None:
        column = self.ensemble.column(int(tree.column[node]))
        feature = column.feature
        if tree.mode[node] == MEMBER:
            members = tuple(map(column.value, tree.members[node]))
            unseen = max(self.pools[feature].max(initial=0.0), max(members, default=0.0)) + UNSEEN
            others = self.random.choice(self.pools[feature], min(4, len(self.pools[feature])), replace=False)
            picked = members if len(members) <= MEMBERS else self.random.choice(members, MEMBERS, replace=False)
            found["categories"].add(row, feature, *picked, *others, unseen)
            some = float(picked[0]) if len(picked) else 0.0
            found["odd categories"].add(row, feature, -1.0, -0.5, unseen + 0.5, some + 0.75, 2.0**24, 3e9)
        else:
            at = self.kind.type(tree.threshold[node])
            low, high = np.nextafter(at, self.kind.type(-np.inf)), np.nextafter(at, self.kind.type(np.inf))
            near = [float(value) for value in (low, at, high) if np.isfinite(value)]
            found["thresholds"].add(row, feature, *near)  # of an infinite threshold: the largest number there is
            if column.kind == ZERO_MISSING:
                tiny = [float(np.nextafter(np.float32(ZERO), np.float32(side))) for side in (0, 1)]
                values = [0.0, -0.0, 1e-36, float(np.float32(ZERO)), *tiny]
                found["nearly zero"].add(row, feature, *values, *(-value for value in values))
            elif abs(at) < 1e-30:
                found["nearly zero"].add(row, feature, 0.0, -0.0)
            found["infinite"].add(row, feature, np.inf, -np.inf)
        found["missing"].add(row, feature, np.nan)

    def _base(self) -> Array:
        """A row near thresholds of every feature."""
        row = self.random.standard_normal(self.ensemble.features)
        picked = np.array([self.random.choice(self.pools[number]) for number in self.numbers.tolist()])
        width = np.maximum(np.abs(picked), 1e-3) * self.random.choice(SPREAD, len(picked))
        moved = picked + self.random.standard_normal(len(picked)) * width
        row[self.numbers] = np.where(self.category, picked, moved)
        return row

    def _row(self, sides: dict[int, _Side]) -> Array:
        row = self._base()
        for feature, side in sides.items():
            row[feature] = self._value(side, float(row[feature]), feature)
        return row.astype(self.kind).astype(np.float64)

    def _value(self, side: _Side, now: float, feature: int) -> float:
        if side.inside is not None:
            left = [member for member in side.inside if member not in side.outside]
            return float(self.random.choice(left or side.inside))
        if side.outside and now in side.outside:
            free = [value for value in self.pools[feature].tolist() if value not in side.outside]
            return float(self.random.choice(free)) if free else float(self.pools[feature].max()) + UNSEEN
        if side.low < now <= side.high:
            return now
        low, high = side.low, side.high
        if np.isfinite(low) and np.isfinite(high):
            middle = float(self.kind.type(low + (high - low) / 2))
            return middle if low < middle <= high else float(self.kind.type(high))
        if np.isfinite(low):
            return low + max(abs(low), 1e-3) * float(self.random.uniform(0.1, 1.0))
        return high - max(abs(high), 1e-3) * float(self.random.uniform(0.1, 1.0)) if np.isfinite(high) else now


def _paths(tree: Tree, ensemble: Ensemble) -> Iterator[tuple[int, dict[int, _Side]]]:
    """Every inner node with what its path asks of the features."""
    waiting: list[tuple[int, dict[int, _Side]]] = [(0, {})]
    while waiting:
        node, sides = waiting.pop()
        column = int(tree.column[node])
        if column < 0:
            continue
        yield node, sides
        asked = ensemble.column(column)
        feature = asked.feature
        before = sides.get(feature, _Side())
        if tree.mode[node] == MEMBER:
            members = tuple(map(asked.value, tree.members[node]))
            both = members if before.inside is None else tuple(m for m in before.inside if m in set(members))
            true = _Side(before.low, before.high, both or members, before.outside)
            false = _Side(before.low, before.high, before.inside, before.outside + members)
        else:
            threshold = float(tree.threshold[node])
            true = _Side(before.low, min(before.high, threshold), before.inside, before.outside)
            false = _Side(max(before.low, threshold), before.high, before.inside, before.outside)
        waiting.append((int(tree.true[node]), sides | {feature: true}))
        waiting.append((int(tree.false[node]), sides | {feature: false}))
