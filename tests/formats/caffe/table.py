"""Tables of one Caffe layer each: converted and run, and judged by OpenCV and by the float64 interpreter.

    CASES = {"slope is 0 by default": Case("ReLU", inputs=[(2, 3)])}

Rule 1: outputs are compared by name, unsorted, with shape and dtype, at the limits of core/compare.
Rule 2: a row whose reference is one value everywhere proves nothing and does not pass, unless it is `flat`.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import tests
from gateway.core.compare import Comparison, compare
from gateway.core.dtypes import Tensors
from gateway.process import wire
from gateway.process.environments import Environments
from gateway.process.job import JobResult, JobSpec, run_job
from tests.environments import environment
from tests.formats.caffe.writer import Writer

Shaped = np.ndarray | tuple[int, ...]
NAMES = "abcdefgh"


@dataclass(frozen=True)
class Case:
    """One layer over `inputs` (named a, b, ...) with `blobs`; its tops are y0, y1, ... A tuple is a shape: N(0, 1).

    `opencv`: OpenCV is asked too. `refused`: the converter must raise an error of ours with these words. `before`
    are layers in front, as (type, name, bottoms, tops, parameters). `free`: the batch stays free.
    """

    kind: str
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[Shaped] = ((2, 4, 6, 5),)
    blobs: Sequence[Shaped] = ()
    tops: int = 1
    opencv: bool = True
    refused: str = ""
    flat: bool = False
    before: Sequence[tuple[Any, ...]] = ()
    bottoms: Sequence[str] = ()
    weights: Mapping[str, Sequence[Shaped]] = field(default_factory=dict)

    def writer(self) -> Writer:
        writer = Writer("row")
        for name, given in zip(NAMES, self.inputs, strict=False):
            writer.input(name, array(name, given).shape)
        for kind, name, bottoms, tops, params in self.before:
            blobs = [array(f"{name} {at}", each, 0.5) for at, each in enumerate(self.weights.get(name, ()))]
            writer.layer(kind, name, bottoms, tops, blobs=blobs, **params)
        bottoms = self.bottoms or list(NAMES[: len(self.inputs)])
        blobs = [array(f"blob {at}", each, 0.5) for at, each in enumerate(self.blobs)]
        tops = [f"y{at}" for at in range(self.tops)]
        return writer.layer(self.kind, "op", list(bottoms), tops, blobs=blobs, **self.params)

    def feeds(self) -> Tensors:
        return {name: array(name, given) for name, given in zip(NAMES, self.inputs, strict=False)}


def array(name: str, given: Shaped, scale: float = 1.0) -> np.ndarray:
    """The array itself, or N(0, 1) of that shape, seeded by the name."""
    if isinstance(given, tuple):
        random = np.random.default_rng(zlib.crc32(name.encode()))
        return np.asarray(scale * random.standard_normal(given), np.float32)
    return np.asarray(given, np.float32)


@cache
def _root() -> Path:
    return Path(tempfile.mkdtemp(prefix="caffe-rows-"))


def run_child(task: str, arguments: dict[str, Any], name: str) -> JobResult:
    """One child of Environment `name`, the package `tests` in it; its files stay for the session."""
    environment(name)
    folder = Path(tempfile.mkdtemp(prefix="job-", dir=_root()))
    spec = JobSpec(f"tests.formats.caffe.child:{task}", arguments, name, 300.0, 0, "test")
    packages = {"tests": Path(str(tests.__file__)).parent}
    # L1: these tasks are the tests' own, and read and write in folders that the tests name.
    return run_job(spec, environments=Environments(), folder=folder / "job", packages=packages, max_level=1)


def run_table(cases: Mapping[str, Case]) -> dict[str, dict[str, Any]]:
    """name -> {"error": ...} or {"ours", "interpreter", "opencv": Tensors or an error's words}."""
    root = Path(tempfile.mkdtemp(prefix="rows-", dir=_root()))
    rows = []
    for number, (name, case) in enumerate(cases.items()):
        folder = root / f"{number:04}"
        case.writer().save(folder / "drop")
        wire.save(folder / "inputs.wire", case.feeds())
        rows.append({"name": name, "folder": str(folder)})
    ours = run_child("convert", {"rows": rows}, "base")
    asked = [row for row in rows if cases[row["name"]].opencv and "error" not in ours.value[row["name"]]]
    theirs = run_child("judge", {"rows": asked}, "opencv")
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = row["name"]
        answer = dict(ours.value[name])
        if "error" not in answer:
            answer = {
                "ours": _loaded(ours, answer, "ours"), "interpreter": _loaded(ours, answer, "interpreter"),
                "opencv": _loaded(theirs, theirs.value.get(name, {}), "opencv"), "shapes": answer["shapes"],
            }  # fmt: skip
        found[name] = answer
    return found


def _loaded(result: JobResult, answer: Mapping[str, Any], key: str) -> Tensors | str:
    said = str(answer.get(key, "not asked"))
    return wire.load(result.out / said) if said.endswith(".wire") else said


def problems(case: Case, found: Mapping[str, Any]) -> list[str]:
    """What is wrong with a row; empty when it is right."""
    if case.refused:
        words = str(found.get("message", "an answer"))
        right = case.refused in words and not found.get("crash")
        return [] if right else [f"expected a refusal with {case.refused!r}, got {words}"]
    if "error" in found:
        return [f"{found['error']}: {found['message']}"]
    said: list[str] = []
    for judge in ("interpreter", "opencv") if case.opencv else ("interpreter",):
        said += [f"{judge}: {each}" for each in _against(case, found[judge], found["ours"])]
    return said


def _against(case: Case, theirs: Tensors | str, ours: Tensors) -> list[str]:
    if isinstance(theirs, str):
        return [theirs]
    out = []
    for name in dict.fromkeys([*theirs, *ours]):
        if name not in ours or name not in theirs:
            out.append(f"outputs are {list(ours)}, the judge's {list(theirs)}")
            continue
        one: Comparison = compare(theirs[name], ours[name], case=case.kind, output=name)
        one = one if one.problem or case.flat else replace(one, problem=_proves_nothing(theirs[name]))
        if not one.passed:
            out.append(f"{name}: {one.problem} at {one.worst_index}: {one.candidate}, expected {one.reference}")
    return out


def _proves_nothing(reference: np.ndarray) -> str:
    if reference.size == 0:
        return "the reference is empty: the row proves nothing"
    if reference.size > 1 and bool((reference == reference.reshape(-1)[0]).all()):
        return "the reference is one value everywhere: the row proves nothing (or is flat=True)"
    return ""
