"""Which node of an artifact is wrong: its tensors beside the judge's, then one node alone, fed as the judge fed it.

Errors add up along a graph, so the first tensor past its limit is a suspect, not a finding. The
suspect is run alone on the judge's own inputs ("teacher-forced"): past its limit there too, it is
the culprit; within it, the node before it that is worst alone is named instead.

Rule 1: tensors are matched by name, and nodes are cut where the judge shows a tensor: one node of
        the source is as many ONNX nodes as its conversion needs.
Rule 2: the artifact runs without optimisation: fused nodes have no names.
Rule 3: a node that the conversion left out for nothing is named where it was not nothing.
Rule 4: an artifact that does not run to its end is searched node by node, each alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.compare import Comparison, compare
from gateway.core.dtypes import BY_NAME, Array, Tensors, name_of

ALONE_LIMIT = 600  # nodes that are run alone, at most, when the suspect is innocent


@dataclass(frozen=True)
class Shown:
    """What a judge says of one node of the source: its outputs by tensor name."""

    node: str
    operator: str
    outputs: Tensors


@dataclass(frozen=True)
class Found:
    """The node that differs. `alone` is the comparison with the judge's inputs, None where it cannot be run so."""

    node: str
    operator: str
    tensor: str
    comparison: Comparison
    alone: Comparison | None
    piece: Any = None  # ModelProto of the node alone
    inputs: Tensors | None = None
    expected: Array | None = None


def search(model: Any, folder: Path, feeds: Tensors, shown: Sequence[Shown], *, quantised: bool = False) -> Found | str:
    """The culprit, or a sentence why none can be named. `feeds` by the artifact's tensor names."""
    from gateway.formats.onnx.oracle import run_all

    owners = {name: each for each in shown for name in each.outputs}
    theirs = {name: array for each in shown for name, array in each.outputs.items()}
    bench = Alone(model, folder, {**theirs, **feeds}, quantised)
    shared = [n for node in model.graph.node for n in node.output if n in theirs]
    try:
        ours = run_all(model, folder, feeds)
    except Exception as error:  # noqa: BLE001  onnxruntime's errors have no common base but Exception
        return _broken_off(bench, owners, theirs, shared, error)
    names = [n for n in shared if n in ours]
    if not names:
        return "no tensor of the judge is one of the artifact too"
    for at, name in enumerate(names):
        comparison = compare(theirs[name], ours[name], output=name, quantised=quantised)
        if comparison.passed:
            continue
        alone = bench.compare(name)
        if alone is not None and alone.passed:
            worst = min(bench.all(names[: at + 1]), key=_snr, default=None)
            if worst is not None and _snr(worst) < _snr(alone):
                name, alone = worst.output, worst
                comparison = compare(theirs[name], ours[name], output=name, quantised=quantised)
        piece, inputs = bench.piece(name)
        owner = owners[name]
        swallowed = None if alone is not None and alone.passed else _swallowed(shown, owner, {*shared}, piece, inputs)
        if swallowed is not None:
            said = f"the artifact has no tensor of it, and {name!r} behind it differs: {comparison.problem}"
            owner, comparison = swallowed, replace(comparison, problem=said)
        return Found(owner.node, owner.operator, name, comparison, alone, piece, inputs, theirs[name])
    return (
        f"none of {len(names)} tensors differs without onnxruntime's optimisations: "
        "the difference comes with them, or from a part inside a subgraph"
    )


def _swallowed(shown: Sequence[Shown], owner: Shown, shared: set[str], piece: Any, inputs: Tensors) -> Shown | None:
    """A node of the source in front of `owner` that the artifact left out, and that is not what stands in its place.

    A reshape to the same shape, a constant: what the converter takes for nothing has no tensor to compare. The piece
    that failed reads something instead of it, an input or a weight. Where that is not what the judge has, it was no
    nothing.
    """
    from onnx import numpy_helper

    end = next(at for at, each in enumerate(shown) if each is owner)
    start = max((at + 1 for at, each in enumerate(shown[:end]) if shared & set(each.outputs)), default=0)
    held = [*inputs.values(), *(numpy_helper.to_array(t) for t in piece.graph.initializer if not t.external_data)]
    found: Shown | None = None
    for each in reversed(shown[start:end]):  # the nearest; what is further off may not lead here at all
        if found is not None:
            if not any(_same(array, other) for array in found.outputs.values() for other in each.outputs.values()):
                break
            found = each  # and the first of those that hand the same on
        elif not any(_same(array, other) for array in each.outputs.values() for other in held):
            found = each
    return found


def _same(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and compare(a, b).passed


def _broken_off(
    bench: Alone, owners: dict[str, Shown], theirs: Tensors, names: Sequence[str], error: Exception
) -> Found | str:
    """The artifact does not run to its end: the first node that does not run, or differs, on the judge's inputs."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    for name in names:
        alone = bench.compare(name)
        if alone is not None and alone.passed:
            continue
        shown = theirs[name]
        problem = f"onnxruntime breaks off: {said}"
        nothing = Comparison("", name, name_of(shown), shown.shape, float("nan"), float("nan"), problem=problem)
        piece, inputs = bench.piece(name)
        owner = owners[name]
        return Found(owner.node, owner.operator, name, nothing, alone, piece, inputs, shown)
    return f"the artifact breaks off, and every node alone runs: {said}"


def _snr(comparison: Comparison) -> float:
    return comparison.snr_db if not np.isnan(comparison.snr_db) else -np.inf


class Alone:
    """Runs parts of a model between tensors whose values are `known`: what is between two of them is one piece."""

    def __init__(self, model: Any, folder: Path, known: Tensors, quantised: bool) -> None:
        self._model, self._folder, self._known, self._quantised = model, folder, known, quantised
        self._producer = {name: node for node in model.graph.node for name in node.output if name}
        self._place = {id(node): number for number, node in enumerate(model.graph.node)}
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}

    def compare(self, name: str) -> Comparison | None:
        """The tensor `name` against the judge's, its node alone. None where onnxruntime does not run it so."""
        from gateway.formats.onnx.oracle import unoptimised

        piece, inputs = self.piece(name)
        try:
            (value,) = unoptimised(piece, self._folder, [name]).run([name], inputs)
        except Exception:  # noqa: BLE001  onnxruntime's errors have no common base but Exception
            return None
        return compare(self._known[name], np.asarray(value), output=name, quantised=self._quantised)

    def all(self, names: Sequence[str]) -> Iterator[Comparison]:
        for name in names[-ALONE_LIMIT:]:
            comparison = self.compare(name)
            if comparison is not None:
                yield comparison

    def piece(self, name: str) -> tuple[Any, Tensors]:
        """The smallest model that makes `name` from known tensors, and their values."""
        import onnx

        nodes: dict[int, Any] = {}
        inputs: Tensors = {}
        weights: dict[str, Any] = {}
        open_names = [name]
        while open_names:
            wanted = open_names.pop()
            if wanted != name and wanted in self._known:
                inputs[wanted] = self._known[wanted]
            elif wanted in self._weights:
                weights[wanted] = self._weights[wanted]
            elif wanted in self._producer:
                node = self._producer[wanted]
                if self._place[id(node)] not in nodes:
                    nodes[self._place[id(node)]] = node
                    open_names += reads(node)
        graph = onnx.helper.make_graph(
            [nodes[place] for place in sorted(nodes)],
            "alone",
            [_value_info(each, array) for each, array in sorted(inputs.items())],
            [_value_info(name, self._known[name])],
            list(weights.values()),
        )
        piece = onnx.helper.make_model(graph, opset_imports=list(self._model.opset_import))
        piece.ir_version = self._model.ir_version
        piece.functions.extend(self._model.functions)
        return piece, inputs


def reads(node: Any) -> list[str]:
    """Names a node reads, those inside its subgraphs too."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
            for inner in graph.node:
                names += [name for name in reads(inner) if name not in made]
                made.update(inner.output)
    return names


def _value_info(name: str, array: Array) -> Any:
    import onnx

    return onnx.helper.make_tensor_value_info(name, BY_NAME[name_of(array)].onnx, array.shape)


def write_repro(found: Found, weights: Path, folder: Path) -> None:
    """A drop of the one node: model.onnx and test/*.npy, the judge's own. `gateway convert` shows the difference.

    `weights` is where the artifact's external data lies; what the node reads of it is brought inline.
    """
    import onnx

    (folder / "test").mkdir(parents=True)
    onnx.load_external_data_for_model(found.piece, str(weights))
    (folder / "model.onnx").write_bytes(found.piece.SerializeToString())
    inputs = found.inputs or {}
    for number, value in enumerate(found.piece.graph.input):
        np.save(folder / "test" / f"input_{number}.npy", inputs[value.name])
    if found.expected is not None:
        np.save(folder / "test" / "output_0.npy", found.expected)
