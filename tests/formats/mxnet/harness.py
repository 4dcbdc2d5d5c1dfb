"""Tables of small MXNet models, each judged by MXNet: one child makes and answers them, one child of ours does.

    CASES = {"slope is 0.25 by default": Case("LeakyReLU", {}, {"data": (2, 3)})}

    @pytest.fixture(scope="module")
    def results(): return run_table(CASES)

    @pytest.mark.parametrize("name", CASES)
    def test_operators(results, name): assert_passed(results[name])

Rule 1: outputs are compared by name, unsorted, with shape and dtype, at the limits of core/compare.
Rule 2: a row whose reference is one value everywhere proves nothing and does not pass, unless it is `flat`.
Rule 3: MXNet answers a row once in a session, whoever asks: `by` converter or interpreter.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

import tests
from gateway.core.compare import Comparison, compare
from gateway.core.dtypes import Tensors
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.errors import JobError
from gateway.formats.base import all_formats
from gateway.process import wire
from gateway.process.environments import Environments
from gateway.process.job import JobResult, JobSpec, run_job
from tests.environments import environment

Shaped = np.ndarray | tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One node over `inputs` then `weights` (or in `order`, by name); what is left out is made as op_NAME.

    A tuple is a shape: float32, seeded by the name. `graph` ("tests.formats.mxnet.heads:ssd") makes a whole symbol
    instead, called with `attrs`. `known_as`: MXNet's name for a spelling that it does not load. `labels` are
    arguments that are neither input nor weight. `refused`: the converter (and interpreter) must raise an error of
    ours with these words. `free` inputs are declared with a free batch.
    """

    op: str
    attrs: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Shaped] = field(default_factory=dict)
    weights: Mapping[str, Shaped] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    why: str = ""
    graph: str = ""
    labels: tuple[str, ...] = ("op_label",)
    refused: str = ""
    flat: bool = False
    free: bool = False
    known_as: str = ""


def array(name: str, given: Shaped, scale: float = 1.0) -> np.ndarray:
    """The array itself, or N(0, 1) of that shape, seeded by the name."""
    if isinstance(given, tuple):
        random = np.random.default_rng(zlib.crc32(name.encode()))
        return (scale * random.standard_normal(given)).astype(np.float32)
    return np.ascontiguousarray(given) if given.ndim else given


def run_table(
    cases: Mapping[str, Case], by: Literal["converter", "interpreter"] = "converter"
) -> dict[str, list[Comparison]]:
    """Every row's comparisons by name. Skips visibly where Environment mxnet or base is not built."""
    folders = {name: _folder(case) for name, case in cases.items()}
    _answer([(folders[name], case) for name, case in cases.items()])
    made = {name: json.loads((folder / "mxnet.json").read_text()) for name, folder in folders.items()}
    rows = [
        {"name": name, "folder": str(folders[name]), "options": _options(case).to_json()}
        for name, case in cases.items()
        if "error" not in made[name]
    ]
    found, out = _ours(rows, "convert" if by == "converter" else "interpret")
    return {name: _compared(case, folders[name], made[name], found.get(name), out) for name, case in cases.items()}


def assert_passed(comparisons: Sequence[Comparison]) -> None:
    failed = [c for c in comparisons if not c.passed]
    assert comparisons, "nothing was compared"
    assert not failed, "\n".join(
        f"{c.output}: {c.problem}"
        + (f" at {list(c.worst_index)}: {c.candidate}, MXNet {c.reference}" if c.reference else "")
        for c in failed
    )


def _compared(
    case: Case, folder: Path, made: dict[str, Any], found: dict[str, Any] | None, out: Path
) -> list[Comparison]:
    if found is None:
        return [_broken("", f"MXNet refuses the row: {made['error']}")]
    if case.refused:
        said = found.get("message", "")
        fits = case.refused in said and not found.get("crash")
        return [_broken("", "" if fits else f"expected a refusal with {case.refused!r}, got {said or 'an answer'}")]
    if "error" in found:
        return [_broken("", f"{found['error']}: {found['message']}")]
    theirs, ours = wire.load(folder / "outputs.wire"), wire.load(out / found["outputs"])
    answer = []
    for name in dict.fromkeys([*theirs, *ours]):
        if name not in ours or name not in theirs:
            answer.append(_broken(name, f"outputs are {list(ours)}, MXNet's {list(theirs)}"))
            continue
        one = compare(theirs[name], ours[name], case=case.op, output=name)
        answer.append(one if one.problem or case.flat else replace(one, problem=_proves_nothing(theirs[name])))
    return answer


def _proves_nothing(reference: np.ndarray) -> str:
    if reference.size == 0:
        return "the reference is empty: the row proves nothing"
    if reference.dtype.kind == "f" and not np.isfinite(reference).any():
        return "the reference has no finite number: the row proves nothing"
    if reference.size > 1 and bool((reference == reference.reshape(-1)[0]).all()):
        return "the reference is one value everywhere: the row proves nothing (or is flat=True)"
    return ""


def _broken(output: str, problem: str) -> Comparison:
    return Comparison("", output, "", (), float("nan"), float("nan"), problem=problem)


def _options(case: Case) -> ModelOptions:
    options = []
    for name, given in case.inputs.items():
        found = array(name, given)
        shape: tuple[int | None, ...] = found.shape
        options.append(TensorOption(name, "", found.dtype.name, (None, *shape[1:]) if case.free and shape else shape))
    return ModelOptions(inputs=tuple(options))


_ROOT: list[Path] = []


def _root() -> Path:
    if not _ROOT:
        _ROOT.append(Path(tempfile.mkdtemp(prefix="mxnet-rows-")))
        atexit.register(shutil.rmtree, _ROOT[0], ignore_errors=True)
    return _ROOT[0]


def _folder(case: Case) -> Path:
    """Where the row's files are; made with its inputs and weights when it is new."""
    inputs: Tensors = {name: array(name, given) for name, given in case.inputs.items()}
    weights: Tensors = {name: array(name, given, 0.3) for name, given in case.weights.items()}
    digest = hashlib.sha256(
        repr((case.op, case.known_as, case.graph, sorted(case.attrs.items()), case.labels, case.order)).encode()
    )
    for kind in (inputs, weights):
        for name, value in kind.items():
            digest.update(f"{name} {value.dtype} {value.shape}".encode() + value.tobytes())
        digest.update(b"|")
    folder = _root() / digest.hexdigest()[:24]
    if not folder.exists():
        folder.mkdir()
        wire.save(folder / "inputs.wire", inputs)
        wire.save(folder / "weights.wire", weights)
    return folder


def _answer(rows: Sequence[tuple[Path, Case]]) -> None:
    """MXNet's side of every row that has none yet. A row over which MXNet's process dies is answered with that."""
    environment("mxnet")
    while True:
        left = {str(folder): case for folder, case in rows if not (folder / "mxnet.json").exists()}
        if not left:
            return
        plain = "target_shape" in next(iter(left.values())).attrs
        left = {folder: case for folder, case in left.items() if ("target_shape" in case.attrs) == plain}
        arguments = [
            {
                "folder": folder,
                "op": case.op,
                "known_as": case.known_as,
                "graph": case.graph,
                "attrs": {key: value if case.graph else str(value) for key, value in case.attrs.items()},
                "labels": list(case.labels),
                "order": list(case.order or (*case.inputs, *case.weights)),
            }
            for folder, case in left.items()
        ]
        try:
            run_child("tests.formats.mxnet.child:make", {"rows": arguments, "plain": plain}, "mxnet")
        except JobError as error:
            guilty = next(folder for folder in left if not (Path(folder) / "mxnet.json").exists())
            (Path(guilty) / "mxnet.json").write_text(json.dumps({"error": f"its process died: {error.message}"}))


def _ours(rows: list[dict[str, Any]], task: str) -> tuple[dict[str, Any], Path]:
    environment("base")
    assert "mxnet" in all_formats(), "there is no format called mxnet"
    result = run_child(f"tests.formats.mxnet.child:{task}", {"rows": rows}, "base")
    return result.value, result.out


def run_child(task: str, arguments: dict[str, Any], name: str, timeout_s: float = 600.0) -> JobResult:
    """One child of Environment `name`, the package `tests` in it; its files stay for the session."""
    folder = Path(tempfile.mkdtemp(prefix="job-", dir=_root()))
    spec = JobSpec(task, arguments, name, timeout_s, 0, "test")
    packages = {"tests": Path(str(tests.__file__)).parent}
    # L1: these tasks are the tests' own, and write into folders that the tests name.
    return run_job(spec, environments=Environments(), folder=folder / "job", packages=packages, max_level=1)


def mxnet_answers(cases: Mapping[str, Case]) -> dict[str, Tensors | str]:
    """What MXNet says to each row: its outputs, or why it refuses the row."""
    folders = {name: _folder(case) for name, case in cases.items()}
    _answer([(folders[name], case) for name, case in cases.items()])
    errors = {name: json.loads((folder / "mxnet.json").read_text()).get("error") for name, folder in folders.items()}
    return {name: errors[name] or wire.load(folder / "outputs.wire") for name, folder in folders.items()}
