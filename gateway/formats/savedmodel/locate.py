"""Which operator of a SavedModel is wrong: every tensor of its graph beside the judge's, then one operator alone.

Runs in a child of Environment `tensorflow`, over the ONNX file that the SavedModel was made from: the graph is built
as it was for the artifact, batch norms folded and all, with every tensor shown.

Rule 1: tensors are matched by name; the first past its limit is the suspect.
Rule 2: the suspect is run alone on the judge's own inputs. Within its limit there, the one before it that is worst
        alone is named instead: errors add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gateway.core.compare import Comparison, compare
from gateway.core.dtypes import Array, Tensors
from gateway.core.signature import Signature
from gateway.formats.base import all_formats
from gateway.process import wire

MAX_NODES = 4000  # a larger graph is not looked into
ALONE = 200  # operators that are run alone, at most, when the suspect is innocent


class Job(Protocol):
    arguments: dict[str, Any]
    out: Path


def locate(job: Job) -> dict[str, Any]:
    """`artifact` (the ONNX file), `signature`, `inputs` (file), `quantised`, `seen` (of formats/tasks:nodes).

    -> {"node", "operator", "tensor", "comparison", "alone", "traps"} or {"why": ...} when there is none to be named.
    """
    from gateway.formats.savedmodel.build.save import Model, Wish

    model = Model(Path(job.arguments["artifact"]), Wish())
    if len(model.proto.graph.node) > MAX_NODES:
        return {"why": f"the graph has {len(model.proto.graph.node)} nodes; over {MAX_NODES} are not looked into"}
    signature = Signature.from_json(job.arguments["signature"])
    given = wire.load(Path(job.arguments["inputs"]))
    rows = job.arguments["seen"]["nodes"]
    owners, theirs = {}, dict[str, Array]()
    for row in rows:
        for name, array in wire.load(Path(row["file"])).items():
            owners[name], theirs[name] = (str(row["node"]), str(row["operator"])), array
    bench = _Bench(model, {spec.tensor: given[spec.name] for spec in signature.inputs}, theirs)
    found = bench.search(quantised=bool(job.arguments["quantised"]))
    if isinstance(found, str):
        return {"why": found}
    name, comparison, alone = found
    node, operator = owners[name]
    return {
        "node": node,
        "operator": operator,
        "tensor": name,
        "comparison": comparison.to_json(),
        "alone": None if alone is None else alone.to_json(),
        "traps": list(all_formats()[job.arguments["match"]["format"]].traps(operator)),
    }


class _Bench:
    """The graph of one model, all of its tensors, and what the judge has for them."""

    def __init__(self, model: Any, feeds: Tensors, theirs: Mapping[str, Array]) -> None:
        from gateway.formats.savedmodel.build.graph import Builder

        self.model, self.feeds, self.theirs = model, feeds, theirs
        self.builder = Builder(model.proto, model.weights, model.arrays)  # folds
        self.makers = {name: proto for proto in model.proto.graph.node for name in proto.output if name}
        self.shared = [name for name in self.makers if name in theirs]

    def ours(self) -> dict[str, Array]:
        """Every tensor that the judge shows too, as the SavedModel computes it."""
        import tensorflow as tf  # noqa: TID251  this runs in a child of Environment tensorflow

        from gateway.formats.savedmodel.build.values import Value

        graph = self.builder.model.graph
        there = {output.name for output in graph.output}
        for name in self.shared:
            if name not in there:
                graph.output.add().name = name

        def call(**feeds: Any) -> dict[str, Any]:
            found = self.builder.run({port.tensor: Value(feeds[port.name]) for port in self.model.inputs})
            return {name: item.tensor for name in self.shared if isinstance(item := found[name], Value)}

        specs = {port.name: self.model._spec(port) for port in self.model.inputs}
        function = tf.function(call, autograph=False).get_concrete_function(**specs)
        answers = function(**{port.name: tf.constant(self.feeds[port.tensor]) for port in self.model.inputs})
        return {name: tensor.numpy() for name, tensor in answers.items()}

    def alone(self, name: str, quantised: bool) -> Comparison | None:
        """The operator that makes `name`, fed with the judge's inputs. None where it cannot be run so."""
        import tensorflow as tf  # noqa: TID251

        from gateway.formats.savedmodel.build import node as nodes
        from gateway.formats.savedmodel.build.values import Value

        proto = self.makers[name]
        scope: dict[str, Any] = {"": None}
        for each in proto.input:
            if each in self.model.arrays:
                scope[each] = self.builder.constant(self.model.arrays[each], each)
            elif each in self.theirs or each in self.feeds:
                scope[each] = Value(tf.constant(self.theirs[each] if each in self.theirs else self.feeds[each]))
            elif each:
                return None
        try:
            made = self.builder._call(nodes.read(proto, self.builder.opsets), scope)
            item = made[list(proto.output).index(name)]
            value = item.array if item.array is not None else item.tensor.numpy()
        except Exception:  # noqa: BLE001  whatever TensorFlow raises for one operator
            return None
        return compare(self.theirs[name], np.asarray(value), output=name, quantised=quantised)

    def search(self, *, quantised: bool) -> tuple[str, Comparison, Comparison | None] | str:
        """(tensor, how it differs, how it differs alone), or why there is none."""
        ours = self.ours()
        names = [name for name in self.shared if name in ours]
        if not names:
            return "no tensor of the judge is one of the SavedModel's graph too"
        for at, name in enumerate(names):
            comparison = compare(self.theirs[name], ours[name], output=name, quantised=quantised)
            if comparison.passed:
                continue
            alone = self.alone(name, quantised)
            if alone is not None and alone.passed:
                every = [found for each in names[: at + 1][-ALONE:] if (found := self.alone(each, quantised))]
                worst = min(every, key=lambda found: found.snr_db, default=alone)
                if worst.snr_db < alone.snr_db:
                    name, alone = worst.output, worst
                    comparison = compare(self.theirs[name], ours[name], output=name, quantised=quantised)
            return name, comparison, alone
        return (
            f"none of {len(names)} tensors differs where all are shown: the difference comes with what was saved, or "
            "from a part inside a subgraph"
        )
