"""MXNet's symbol files, of every age, as one graph in topological order.

    {"nodes": [{"op", "name", "attrs" | "attr" | "param", "inputs": [[node, output, version?]]}],
     "arg_nodes": [...], "heads": [[node, output, version?]], "attrs": {"mxnet_version": ["int", 10901]}}

Rule 1: what MXNet does to older files when it loads them is done here: parameters under every
        spelling, hidden keys taken out, inputs appended that files before 0.9 leave out (the
        moving statistics), axis -1 of argmax before 0.9.5 is none at all.
Rule 2: indices, names and cycles are checked; errors name file and node.
Rule 3: names are MXNet's: output 0 of node "fc1" is "fc1_output" (list_outputs).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.core.names import did_you_mean
from gateway.errors import ConversionError, CorruptModel

VARIABLE = "null"
MAX_BYTES = 256 << 20
HIDDEN = ("ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage")
"""Keys of MXNet before 0.9 that are not parameters, alone or after an input's name (weight_lr_mult)."""
TVM = ("tvm_op",)
PARAMETERS = ("param", "attr", "attrs")

OUTPUTS = {
    "BatchNorm": ("output", "mean", "var"), "BatchNorm_v1": ("output", "mean", "var"),
    "CuDNNBatchNorm": ("output", "mean", "var"), "_contrib_SyncBatchNorm": ("output", "mean", "var"),
    "LayerNorm": ("output", "mean", "std"), "GroupNorm": ("output", "mean", "std"),
    "InstanceNorm": ("output", "mean", "var"), "L2Normalization": ("output", "norm"), "LRN": ("output", "tmp_norm"),
    "Dropout": ("output", "mask"), "LeakyReLU": ("output", "mask"),
    **dict.fromkeys(("RNN", "_npx_rnn"), ("output", "state_output", "statecell_output")),
    "_contrib_BatchNormWithReLU": ("output", "mean", "var"), "make_loss": ("loss",),
    "_contrib_Proposal": ("output", "score"), "_contrib_MultiProposal": ("output", "score"),
    "_npi_concatenate": ("out",), "_npi_matmul": ("out",), "_sparse_make_loss": ("loss",),
    "_npi_std": ("std", "mean"), "_npi_var": ("var", "mean"),
    **dict.fromkeys(("sort", "_npi_sort", "_linalg_det", "linalg_det", "_contrib_box_nms",
                     "_contrib_box_non_maximum_suppression", "CTCLoss", "ctc_loss", "_contrib_CTCLoss",
                     "_contrib_ctc_loss"), ("output0",)),
    "_contrib_MultiBoxTarget": ("loc_target", "loc_mask", "cls_target"),
    **dict.fromkeys(("moments", "_histogram", "_contrib_box_encode", "_linalg_gelqf", "linalg_gelqf",
                     "_linalg_slogdet", "linalg_slogdet"), ("output0", "output1")),
    **dict.fromkeys(("_contrib_quantize", "_contrib_quantize_v2"), ("output0", "output1", "output2")),
    **dict.fromkeys(("_contrib_quantized_act", "_contrib_quantized_concat", "_contrib_quantized_flatten",
                     "_contrib_quantized_pooling"), ("output", "min_output", "max_output")),
}  # fmt: skip
"""Names of outputs where MXNet gives them; elsewhere a single one is "output", several are "output0", "output1"."""


@dataclass(frozen=True)
class SymbolNode:
    """`op` is "null" for a variable. `attrs` are parameters; `hidden` are the author's notes: `__shape__` and such."""

    op: str
    name: str
    attrs: dict[str, str]
    inputs: tuple[tuple[int, int], ...]
    hidden: dict[str, str] = field(default_factory=dict)
    subgraphs: int = 0

    @property
    def is_variable(self) -> bool:
        return self.op == VARIABLE


@dataclass(frozen=True)
class Symbol:
    """Nodes in topological order, heads as (node, output). `version` is MXNet's, (0, 8, 0) where none is said."""

    nodes: tuple[SymbolNode, ...]
    heads: tuple[tuple[int, int], ...]
    version: tuple[int, int, int] = (0, 8, 0)
    file: str = "symbol.json"

    def output_name(self, entry: tuple[int, int]) -> str:
        """What MXNet calls this tensor: a variable's own name, else NAME_output, NAME_mean, NAME_output1."""
        node = self.nodes[entry[0]]
        if node.is_variable:
            return node.name
        named = OUTPUTS.get(node.op)
        if named is not None and entry[1] < len(named):
            return f"{node.name}_{named[entry[1]]}"
        # SliceChannel counts one too; of topk's two one may be hidden.
        counted = node.op in ("SliceChannel", "split") or (
            node.op in ("topk", "_npx_topk") and node.attrs.get("ret_typ") == "value"
        )
        return f"{node.name}_output{entry[1]}" if counted or outputs_of(node) > 1 else f"{node.name}_output"

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(self.output_name(head) for head in self.heads)

    def find(self, name: str) -> tuple[int, int]:
        """The tensor called `name`; a node's own name stands for its first output. Errors: ConversionError."""
        found = [entry for entry in self._tensors() if self.output_name(entry) == name]
        found = found or [(index, 0) for index, node in enumerate(self.nodes) if node.name == name]
        if len(found) == 1:
            return found[0]
        if not found:
            known = [self.output_name(entry) for entry in self._tensors() if not self.nodes[entry[0]].is_variable]
            raise ConversionError(
                f"{self.file}: no tensor is called {name!r}.{did_you_mean(name, known)}",
                hint=f"The last ones are: {', '.join(known[-8:])}.",
            )
        raise ConversionError(
            f"{self.file}: {len(found)} tensors are called {name!r}; one of them cannot be chosen by name."
        )

    def _tensors(self) -> Iterator[tuple[int, int]]:
        read: dict[int, int] = {}
        for node in self.nodes:
            for index, output in node.inputs:
                read[index] = max(read.get(index, 0), output)
        for index, node in enumerate(self.nodes):
            count = max(outputs_of(node), read.get(index, 0) + 1, len(OUTPUTS.get(node.op, ())))
            yield from ((index, output) for output in range(1 if node.is_variable else count))

    def reachable(
        self, heads: Iterable[tuple[int, int]], skip: Mapping[str, tuple[int, ...]] | None = None
    ) -> set[int]:
        """Indices of the nodes that `heads` need. `skip`: inputs, by operator, that are not walked."""
        seen: set[int] = set()
        waiting = [index for index, _ in heads]
        while waiting:
            index = waiting.pop()
            if index in seen:
                continue
            seen.add(index)
            node = self.nodes[index]
            left_out = (skip or {}).get(node.op, ())
            waiting.extend(entry[0] for place, entry in enumerate(node.inputs) if place not in left_out)
        return seen


def outputs_of(node: SymbolNode) -> int:
    """How many outputs a user of MXNet sees, where the parameters alone say it; else 1."""

    def number(key: str, default: int) -> int:
        text = node.attrs.get(key, "")
        return int(text) if text.isascii() and text.isdigit() else default

    def true(key: str) -> bool:
        return node.attrs.get(key) in ("True", "true", "1")

    if node.op in ("SliceChannel", "split", "amp_multicast"):
        return number("num_outputs", 1)
    if node.op in ("_split_v2", "split_v2", "_npi_split"):
        sections = number("sections", 0)
        return sections or len(
            [part for part in node.attrs.get("indices", "").strip("()[]").split(",") if part.strip()]
        )
    if node.op in ("RNN", "_npx_rnn"):
        return (3 if node.attrs.get("mode") == "lstm" else 2) if true("state_outputs") else 1
    if node.op in ("topk", "_npx_topk"):
        return 2 if node.attrs.get("ret_typ") == "both" else 1
    if node.op in ("_contrib_Proposal", "_contrib_MultiProposal"):
        return 2 if true("output_score") else 1
    if node.op in ("LayerNorm", "GroupNorm", "InstanceNorm", "BatchNorm"):
        return 3 if true("output_mean_var") else 1
    return {"_contrib_MultiBoxTarget": 3, "moments": 2, "_contrib_bipartite_matching": 2, "_linalg_gelqf": 2,
            "_linalg_syevd": 2, "_linalg_slogdet": 2}.get(node.op, 1)  # fmt: skip


def read(path: Path) -> Symbol:
    """Errors: CorruptModel; ConversionError for the graph of another tool."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise CorruptModel(f"{path.name} has {size} bytes, expected a symbol file of at most {MAX_BYTES}.")
    return parse(path.read_bytes(), path.name)


def parse(data: bytes, file: str = "symbol.json") -> Symbol:
    """The same, from bytes."""
    try:
        graph = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise CorruptModel(f"{file} is not UTF-8 at byte {error.start} of {len(data)}.") from None
    except json.JSONDecodeError as error:
        raise CorruptModel(
            f"{file} is not whole JSON: {error.msg} at byte {error.pos} of {len(data)}.",
            hint="Copy the file again; it may have been cut short.",
        ) from None
    except (ValueError, RecursionError) as error:
        raise CorruptModel(f"{file} is no symbol file: {error}.") from None
    return _Loader(file).load(graph)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found


class _Loader:
    def __init__(self, file: str) -> None:
        self.file = file

    def load(self, graph: Any) -> Symbol:
        if not isinstance(graph, dict):
            raise self.error(f"holds {type(graph).__name__}, expected an object with nodes and heads")
        missing = [key for key in ("nodes", "heads") if not isinstance(graph.get(key), list)]
        if missing:
            raise self.error(f"has no list {' and no list '.join(missing)}")
        version = self.version(graph.get("attrs"))
        nodes = [self.node(number, item) for number, item in enumerate(graph["nodes"])]
        if any(node.op in TVM for node in nodes):
            raise ConversionError(f"{self.file} is a graph of TVM, compiled for one machine; no MXNet symbol.")
        heads = [self.entry(item, len(nodes), "heads") for item in graph["heads"]]
        if not nodes or not heads:
            raise self.error(f"has {len(nodes)} nodes and {len(heads)} heads, expected some of both")
        if version < (0, 9, 0):
            nodes = _append_missing_inputs(nodes)
        if version < (0, 9, 5):
            nodes = [_forget_axis(node) for node in nodes]
        order = self.order(nodes)
        place = {old: new for new, old in enumerate(order)}
        ordered = tuple(
            SymbolNode(n.op, n.name, n.attrs, tuple((place[i], o) for i, o in n.inputs), n.hidden, n.subgraphs)
            for n in (nodes[old] for old in order)
        )
        symbol = Symbol(ordered, tuple((place[index], output) for index, output in heads), version, self.file)
        self.check_names(symbol)
        return symbol

    def version(self, attrs: Any) -> tuple[int, int, int]:
        if attrs is None or (isinstance(attrs, dict) and "mxnet_version" not in attrs):
            return 0, 8, 0
        said = attrs.get("mxnet_version") if isinstance(attrs, dict) else attrs
        number = said[1] if isinstance(said, list) and len(said) == 2 else said
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 1_000_000:
            raise self.error(f"has the version {said!r}, expected a number such as 10901")
        return number // 10000, number // 100 % 100, number % 100

    def node(self, number: int, item: Any) -> SymbolNode:
        where = f"node {number}"
        if not isinstance(item, dict):
            raise self.error(f"{where} is {type(item).__name__}, expected an object")
        op, name, inputs = item.get("op"), item.get("name"), item.get("inputs")
        if not isinstance(op, str) or not op or not isinstance(name, str) or not isinstance(inputs, list):
            raise self.error(f"{where} has op {op!r}, name {name!r}; expected both as text, and a list of inputs")
        if not name and op == VARIABLE:
            raise self.error(f"{where} is a variable without a name")
        attrs: dict[str, str] = {}
        hidden: dict[str, str] = {}
        for table in PARAMETERS:
            given = item.get(table, {})
            if not isinstance(given, dict):
                raise self.error(f"{where} ({name!r}): {table} is {type(given).__name__}, expected an object")
            for key, value in given.items():
                if not isinstance(value, str):
                    raise self.error(f"{where} ({name!r}): {table} {key!r} is {value!r}, expected text")
                (hidden if _is_hidden(key) else attrs)[key] = value
        subgraphs = item.get("subgraphs", [])
        count = len(subgraphs) if isinstance(subgraphs, list) else 1
        entries = tuple(self.entry(entry, None, f"{where} ({name!r})") for entry in inputs)
        return SymbolNode(op, name or f"{op.lower()}_{number}", attrs, entries, hidden, count)

    def entry(self, item: Any, count: int | None, where: str) -> tuple[int, int]:
        """[node, output, version?]; the oldest heads are [node, output] too."""
        whole = isinstance(item, list) and len(item) in (2, 3) and all(type(part) is int for part in item)
        if not whole or item[0] < 0 or not 0 <= item[1] < 10_000 or (count is not None and item[0] >= count):
            raise self.error(f"{where}: {str(item)[:60]} is no tensor, expected [node, output]")
        return item[0], item[1]

    def order(self, nodes: list[SymbolNode]) -> list[int]:
        """Indices, inputs first; the file's own order where it is one. Errors: CorruptModel for cycles."""
        for number, node in enumerate(nodes):
            beyond = [index for index, _ in node.inputs if index >= len(nodes)]
            if beyond:
                raise self.error(f"node {number} ({node.name!r}) reads node {beyond[0]}, and there are {len(nodes)}")
        order: list[int] = []
        state = [0] * len(nodes)  # 1: its inputs are being walked, 2: placed
        for first in range(len(nodes)):
            waiting = [first]
            while waiting:
                index = waiting[-1]
                if state[index] == 0:
                    state[index] = 1
                    for source, _ in reversed(nodes[index].inputs):
                        if state[source] == 1:
                            raise self.error(f"node {index} ({nodes[index].name!r}) is part of a cycle")
                        if state[source] == 0:
                            waiting.append(source)
                else:
                    waiting.pop()
                    if state[index] == 1:
                        state[index] = 2
                        order.append(index)
        return order

    def check_names(self, symbol: Symbol) -> None:
        """Two variables of one name are one tensor to nobody: MXNet refuses them when it binds."""
        counts = Counter(node.name for node in symbol.nodes if node.is_variable)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise self.error(f"has {len(twice)} names of variables twice, the first is {twice[0]!r}")
        for node in symbol.nodes:
            for index, output in node.inputs:
                self.check_output(symbol, node.name, index, output)
        for index, output in symbol.heads:
            self.check_output(symbol, "heads", index, output)

    def check_output(self, symbol: Symbol, reader: str, index: int, output: int) -> None:
        source = symbol.nodes[index]
        if source.is_variable and output:
            raise self.error(f"{reader!r} reads output {output} of the variable {source.name!r}, which has one")

    def error(self, what: str) -> CorruptModel:
        return CorruptModel(f"{self.file} {what}.")


def _is_hidden(key: str) -> bool:
    return (key.startswith("__") and key.endswith("__")) or any(key.startswith(h) or key.endswith(h) for h in HIDDEN)


WEIGHTS = ("data", "weight", "bias")
INPUTS = {
    "Convolution": WEIGHTS, "Deconvolution": WEIGHTS, "FullyConnected": WEIGHTS,
    "BatchNorm": ("data", "gamma", "beta", "moving_mean", "moving_var"), "Embedding": ("data", "weight"),
    "CuDNNBatchNorm": ("data", "gamma", "beta", "moving_mean", "moving_var"),
    "InstanceNorm": ("data", "gamma", "beta"), "SoftmaxOutput": ("data", "label"), "Softmax": ("data", "label"),
    "LinearRegressionOutput": ("data", "label"), "LogisticRegressionOutput": ("data", "label"),
    "MAERegressionOutput": ("data", "label"), "SVMOutput": ("data", "label"),
    "IdentityAttachKLSparseReg": ("data", "moving_avg"),
}  # fmt: skip
"""Inputs by name of the operators that files before 0.9 may have with too few of them."""


def _append_missing_inputs(nodes: list[SymbolNode]) -> list[SymbolNode]:
    made = list(nodes)
    for number, node in enumerate(nodes):
        names = INPUTS.get(node.op, ())
        if node.op in ("Convolution", "Deconvolution", "FullyConnected"):
            no_bias = node.attrs.get("no_bias", str(node.op == "Deconvolution"))
            names = names[:2] if no_bias in ("True", "true", "1") else names
        if node.op == "LeakyReLU" and node.attrs.get("act_type") == "prelu":
            names = ("data", "gamma")
        added = []
        for name in names[len(node.inputs) :]:
            added.append((len(made), 0))
            made.append(SymbolNode(VARIABLE, f"{node.name}_{name}", {}, ()))
        if added:
            made[number] = SymbolNode(
                node.op, node.name, node.attrs, node.inputs + tuple(added), node.hidden, node.subgraphs
            )
    return made


def _forget_axis(node: SymbolNode) -> SymbolNode:
    if node.op not in ("argmax", "argmin") or node.attrs.get("axis") != "-1":
        return node
    attrs = {key: value for key, value in node.attrs.items() if key != "axis"}
    return SymbolNode(node.op, node.name, attrs, node.inputs, node.hidden, node.subgraphs)
