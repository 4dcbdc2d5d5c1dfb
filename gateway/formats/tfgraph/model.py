"""A graph of TensorFlow 1: converted by tf2onnx, and answering in a session of TensorFlow.

Rule 1: the judge reads the file anew and runs it as TensorFlow does; what it shares with the conversion is where the
        graph begins and ends, which is in the report with its evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import NATIVE, ONNX, Fact
from gateway.core.dtypes import BY_TENSORFLOW, Tensors, dtype
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.signature import Shape, Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.formats.base import Conversion, Inspection, Match, Oracle, Source
from gateway.formats.savedmodel.native import framework, line
from gateway.formats.tensorflow import hub, names
from gateway.formats.tensorflow.hub import Port
from gateway.formats.tfgraph import ends, load, plain
from gateway.formats.tfgraph.ends import Ends
from gateway.formats.tfgraph.plain import Written

RANK_MS = 20_000  # of one run that shows how many dimensions an output has
Restore = Callable[[Any, list[str]], tuple[Any, list[str]]]  # (graph, outputs) -> (frozen, names of variables)


@dataclass(frozen=True)
class Ready:
    """A frozen graph between its ends, with the specs of these under public names."""

    graph: Any
    ends: Ends
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    facts: tuple[Fact, ...]


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    """Errors: ConversionError."""
    ready = prepare(source, match, options)
    counts = Counter(node.op for node in plain.parse(load.file(source, match)).node)
    return Inspection(ready.inputs, ready.outputs, dict(sorted(counts.items())), ready.facts)


def prepare(source: Source, match: Match, options: ModelOptions) -> Ready:
    """The match's graph, ready, its variables restored. Errors: ConversionError."""
    written = load.file(source, match)
    return ready(written, options, partial(load.restored, source, match) if written.meta else None)


def ready(written: Written, options: ModelOptions, restore: Restore | None = None) -> Ready:
    """Screened, then read by TensorFlow, cut between its ends, frozen. Errors: ConversionError."""
    shown = plain.parse(written)
    try:
        found = ends.find(shown, options, shown.hinted)
    except ConversionError:
        plain.screen(shown, [node.name for node in shown.node])  # what it would do is the better reason
        raise
    nodes = {node.name: node for node in shown.node}
    needed = ends.walk(nodes, found.outputs, [name.partition(":")[0] for name in found.inputs])
    plain.screen(shown, needed)
    graph = load.read(written)
    load.check(graph, needed)
    facts = list(found.facts)
    graph = load.pruned(graph, found)
    variables = [node for node in graph.node if node.op in load.VARIABLES]
    if variables and restore is None:
        some = ", ".join(node.name for node in variables[:5])
        raise ConversionError(
            f"the graph has {len(variables)} variables ({some}) and no values of them.",
            hint="Freeze it, or drop the checkpoint: NAME.meta with NAME.index and NAME.data-00000-of-00001.",
        )
    if restore is not None:
        graph, restored = restore(graph, found.outputs)
        facts.append(Fact("variables", f"{len(restored)} restored", "checkpoint"))
    sides = _specs(graph, found, options, facts)
    return Ready(graph, found, sides[0], sides[1], tuple(facts))


def convert(ready: Ready, options: ModelOptions, target: str, out: Path) -> Conversion:
    """ONNX, or the signature of what TensorFlow itself will run. Errors: ConversionError."""
    preprocess = options.preprocess.to_json() if options.preprocess else None
    signature = Signature(ready.inputs, ready.outputs, preprocess=preprocess)
    facts = list(ready.facts)
    if target == NATIVE:
        return Conversion(NATIVE, (signature,), tuple(facts), versions=hub.versions())
    try:
        return _onnx(ready, signature, facts, out)
    except ConversionError as error:
        if options.target:
            raise
        for made in out.iterdir():
            made.unlink()
        because = error.message.rstrip(".")
        facts.append(Fact("kept as a TensorFlow graph", because, "conversion to ONNX"))
        said = f"it stays a graph that TensorFlow runs: {because}"
        return Conversion(NATIVE, (signature,), tuple(facts), (said,), versions=hub.versions())


class Judge(Oracle):
    """The graph in a session, prepared anew. Errors of the constructor: ConversionError."""

    def __init__(self, prepare: Callable[[ModelOptions], Ready], signature: Signature) -> None:
        tf = framework()
        self.name = f"TensorFlow {tf.__version__}"
        self._signature = signature
        sides = (signature.inputs, signature.outputs)
        asked = [[TensorOption(_tensor(spec.tensor), _tensor(spec.tensor)) for spec in side] for side in sides]
        ready = prepare(ModelOptions(inputs=tuple(asked[0]), outputs=tuple(asked[1])))
        v1 = tf.compat.v1
        self._session = v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            try:
                tf.import_graph_def(ready.graph, name="")
            except Exception as error:  # whatever TensorFlow raises
                raise ConversionError(f"{self.name} does not import the graph: {line(error)}") from error
        feeds = [_tensor(spec.tensor) for spec in signature.inputs]
        self._run = self._session.make_callable([_tensor(spec.tensor) for spec in signature.outputs], feeds)

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: InvalidArgumentError and its like, in TensorFlow's words."""
        found = self._run(*[inputs[spec.name] for spec in self._signature.inputs])
        return {
            spec.name: np.asarray(value, object) if dtype(spec.dtype).kind == "s" else np.asarray(value)
            for spec, value in zip(self._signature.outputs, found)
        }


def _onnx(ready: Ready, signature: Signature, facts: list[Fact], out: Path) -> Conversion:
    texts = [spec.name for spec in (*signature.inputs, *signature.outputs) if dtype(spec.dtype).kind == "s"]
    if texts:
        raise ConversionError(f"it works on texts ({', '.join(texts)}), for which ONNX has hardly an operator")
    every = [*ready.graph.node, *(node for f in ready.graph.library.function for node in f.node_def)]
    hub.refuse_stateful([node.op for node in every])
    if any(ends.KEEPS.search(name) or ends.DROPS.search(name) for name in ready.ends.fixed):
        drawn = load.without_dropout(ready.graph)
        facts += (
            [Fact("dropout", f"{drawn} draws of random numbers left out: everything is kept", "graph")] if drawn else []
        )
    sides = [[Port(_tensor(s.tensor), s.tensor, s.dtype) for s in side] for side in (ready.inputs, ready.outputs)]
    model = hub.from_graph(ready.graph, sides[0], sides[1])
    hub.declare(model, signature.inputs, signature.outputs)
    quantised = hub.is_quantised(model)
    facts += [Fact("quantised by", ", ".join(quantised), "graph")] if quantised else []
    facts += hub.write(model, out)
    return Conversion(ONNX, (signature,), tuple(facts), quantised=bool(quantised), versions=hub.versions())


def _specs(
    graph: Any, found: Ends, options: ModelOptions, facts: list[Fact]
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Public names, shapes as TensorFlow infers them. Errors: ConversionError in TensorFlow's words."""
    tf = framework()
    sides = []
    try:
        with tf.Graph().as_default() as whole:
            tf.import_graph_def(graph, name="")
            tensors = [[whole.get_tensor_by_name(name) for name in side] for side in (found.inputs, found.outputs)]
            shown = [[(t.name, t.dtype.base_dtype.as_datatype_enum, _shape(t)) for t in side] for side in tensors]
            if any(shape is None for _, _, shape in shown[1]):
                shown[1] = _ranked(tf, whole, tensors, shown[1], facts)
    except Exception as error:  # whatever TensorFlow raises
        raise ConversionError(f"TensorFlow {tf.__version__} does not import the graph: {line(error)}") from error
    for side, kind, asked in zip(shown, ("input", "output"), (options.inputs, options.outputs)):
        told = {_tensor(option.own_name): option for option in asked}
        public = names.public([name for name, _, _ in side], kind)
        specs = []
        for (tensor, number, shape), name in zip(side, public):
            row, option = BY_TENSORFLOW.get(number), told.get(tensor)
            if row is None:
                raise ConversionError(f"{kind} {tensor!r} is of type {number}, which no protocol carries.")
            given = name if option is None or option.name in (option.own_name, tensor) else option.name
            sizes = option.shape if option is not None and option.shape is not None else shape
            specs.append(TensorSpec(given, row.name, sizes, _name(tensor)))
        sides.append(specs)
    inputs, outputs = hub.with_batch(sides[0], sides[1])
    return tuple(inputs), tuple(outputs)


def _ranked(
    tf: Any, whole: Any, tensors: list[list[Any]], outputs: list[tuple[str, int, Shape | None]], facts: list[Fact]
) -> list[tuple[str, int, Shape | None]]:
    """Outputs of loops have no shape that TensorFlow infers, and ONNX wants one: a run on zeros shows how many
    dimensions there are. Where that does not run, they stay as they are.
    """
    v1 = tf.compat.v1
    try:
        zeros = [np.zeros([size or 1 for size in t.shape.as_list()], t.dtype.as_numpy_dtype) for t in tensors[0]]
        with v1.Session(graph=whole) as session:
            told = v1.RunOptions(timeout_in_ms=RANK_MS)
            seen = [np.ndim(each) for each in session.run(tensors[1], dict(zip(tensors[0], zeros)), options=told)]
    except Exception:  # noqa: BLE001  whatever TensorFlow raises
        return outputs
    facts += [
        Fact("dimensions", f"{name} has {rank}", "one run on zeros")
        for (name, _, shape), rank in zip(outputs, seen)
        if shape is None
    ]
    return [
        (name, kind, (None,) * rank if shape is None else shape) for (name, kind, shape), rank in zip(outputs, seen)
    ]


def _tensor(name: str) -> str:
    """The graph's tensor of a TensorSpec: `x` is x:0, `split|1` is split:1."""
    return name if ":" in name else (name.replace("|", ":") if "|" in name else f"{name}:0")


def _name(tensor: str) -> str:
    """What ONNX and the TensorSpec call it: no name of the graph's own has no colon, so that none is taken."""
    return tensor.removesuffix(":0").replace(":", "|")


def _shape(tensor: Any) -> Shape | None:
    return None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
