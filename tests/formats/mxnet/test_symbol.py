"""Reading symbols: every age, every upgrade, MXNet's names, and everything that makes a graph no graph."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from gateway.errors import ConversionError, CorruptModel
from gateway.formats.mxnet.symbol import Symbol, parse
from tests.formats.mxnet.write import Graph


def load(graph: dict[str, Any]) -> Symbol:
    return parse(json.dumps(graph).encode(), "m-symbol.json")


def small(**options: Any) -> dict[str, Any]:
    graph = Graph(**options)
    x = graph.variable("data")
    bn = graph.node("BatchNorm", "bn", [x, *(graph.variable(f"bn_{n}") for n in ("gamma", "beta"))], eps="1e-05")
    return graph.json(graph.node("argmax", "top", [bn], axis="-1"))


@pytest.mark.parametrize("key", ["attrs", "attr", "param"])
def test_parameters_under_every_name(key: str) -> None:
    found = load(small(attrs_key=key))
    assert found.nodes[3].attrs == {"eps": "1e-05"}


def test_parameters_of_all_names_are_merged() -> None:
    graph = small()
    graph["nodes"][3] |= {"param": {"eps": "1", "momentum": "0.9"}, "attr": {"ctx_group": "a", "__lr_mult__": "0"}}
    found = load(graph).nodes[3]
    assert found.attrs == {"eps": "1e-05", "momentum": "0.9"}
    assert found.hidden == {"ctx_group": "a", "__lr_mult__": "0"}


HIDDEN = [
    "ctx_group",
    "lr_mult",
    "weight_lr_mult",
    "wd_mult",
    "force_mirroring",
    "mirror_stage",
    "bias_wd_mult",
    "__x__",
]


@pytest.mark.parametrize("key", HIDDEN)
def test_hidden_keys_are_no_parameters(key: str) -> None:
    graph = small()
    graph["nodes"][3]["attrs"][key] = "2"
    assert set(load(graph).nodes[3].attrs) == {"eps"}


VERSIONS = {  # version -> moving statistics are appended, argmax keeps its axis
    0: (True, False), 800: (True, False), 900: (False, False), 904: (False, False), 905: (False, True),
    10901: (False, True),
}  # fmt: skip


@pytest.mark.parametrize(("version", "expected"), VERSIONS.items(), ids=[f"version {v}" for v in VERSIONS])
def test_upgrades(version: int, expected: tuple[bool, bool]) -> None:
    appended, axis = expected
    found = load(small(version=version))
    bn = next(node for node in found.nodes if node.op == "BatchNorm")
    names = [found.nodes[index].name for index, _ in bn.inputs]
    assert names == ["data", "bn_gamma", "bn_beta"] + ["bn_moving_mean", "bn_moving_var"] * appended
    assert next(node for node in found.nodes if node.op == "argmax").attrs == ({"axis": "-1"} if axis else {})


OLD_INPUTS = {
    "Convolution": ({}, ["weight", "bias"]),
    "Convolution without bias": ({"no_bias": "True"}, ["weight"]),
    "Deconvolution": ({}, ["weight"]),
    "FullyConnected": ({}, ["weight", "bias"]),
    "SoftmaxOutput": ({}, ["label"]),
    "LeakyReLU": ({"act_type": "prelu"}, ["gamma"]),
    "LeakyReLU leaky": ({"act_type": "leaky"}, []),
}


@pytest.mark.parametrize("row", OLD_INPUTS)
def test_old_files_leave_inputs_out(row: str) -> None:
    attrs, names = OLD_INPUTS[row]
    graph = Graph(version=0, attrs_key="param")
    found = load(graph.json(graph.node(row.split()[0], "n", [graph.variable("data")], **attrs)))
    assert [found.nodes[i].name for i, _ in found.nodes[-1].inputs] == ["data", *(f"n_{name}" for name in names)]


def test_nodes_in_any_order_are_sorted() -> None:
    graph = small()
    count = len(graph["nodes"])
    turned = copy.deepcopy(graph)
    turned["nodes"] = graph["nodes"][::-1]
    for node in turned["nodes"]:
        node["inputs"] = [[count - 1 - index, output, 0] for index, output, _ in node["inputs"]]
    turned["heads"] = [[count - 1 - index, output, 0] for index, output, _ in graph["heads"]]
    found = load(turned)
    assert all(index < place for place, node in enumerate(found.nodes) for index, _ in node.inputs)
    assert found.outputs == ("top_output",)


def test_a_file_in_order_keeps_its_order() -> None:
    assert [node.name for node in load(small()).nodes] == ["data", "bn_gamma", "bn_beta", "bn", "top"]


OUTPUTS = {
    "one": ("relu", {}, 0, "n_output"),
    "batch norm": ("BatchNorm", {}, 2, "n_var"),
    "layer norm": ("LayerNorm", {}, 1, "n_mean"),
    "split": ("SliceChannel", {"num_outputs": "3"}, 2, "n_output2"),
    "split into one": ("SliceChannel", {"num_outputs": "1"}, 0, "n_output0"),
    "topk value": ("topk", {"ret_typ": "value"}, 0, "n_output0"),
    "topk indices": ("topk", {}, 0, "n_output"),
    "sort": ("sort", {}, 0, "n_output0"),
    "a loss": ("make_loss", {}, 0, "n_loss"),
    "topk both": ("topk", {"ret_typ": "both"}, 1, "n_output1"),
    "recurrent": ("RNN", {"mode": "lstm", "state_outputs": "True"}, 2, "n_statecell_output"),
}


@pytest.mark.parametrize(("op", "attrs", "output", "name"), OUTPUTS.values(), ids=OUTPUTS)
def test_output_names(op: str, attrs: dict[str, str], output: int, name: str) -> None:
    graph = Graph()
    node, _ = graph.node(op, "n", [graph.variable("data")], **attrs)
    found = load(graph.json((node, output)))
    assert found.outputs == (name,)
    assert found.find(name) == (node, output)


def test_find() -> None:
    found = load(small())
    assert found.find("bn") == found.find("bn_output") == (3, 0)
    assert found.find("data") == (0, 0)
    with pytest.raises(ConversionError, match=r"no tensor is called 'tip_output'\. Did you mean 'top_output'"):
        found.find("tip_output")


def test_two_nodes_of_one_name_cannot_be_chosen() -> None:
    graph = Graph()
    x = graph.variable("data")
    found = load(graph.json(graph.node("relu", "a", [x]), graph.node("tanh", "a", [x])))
    assert found.outputs == ("a_output", "a_output")
    with pytest.raises(ConversionError, match="2 tensors are called 'a_output'"):
        found.find("a_output")


def test_walking_back_leaves_labels_out() -> None:
    graph = Graph()
    x, label = graph.variable("data"), graph.variable("label")
    found = load(graph.json(graph.node("SoftmaxOutput", "softmax", [x, label])))
    assert found.reachable(found.heads) == {0, 1, 2}
    assert found.reachable(found.heads, {"SoftmaxOutput": (1,)}) == {0, 2}


def changed(**changes: Any) -> bytes:
    return json.dumps(small() | changes).encode()


def with_node(number: int, **changes: Any) -> bytes:
    graph = small()
    graph["nodes"][number] |= changes
    return json.dumps(graph).encode()


BROKEN = {
    "0 bytes": (b"", "not whole JSON"),
    "cut short": (json.dumps(small()).encode()[:-20], "not whole JSON"),
    "not UTF-8": (b'{"nodes": "\xff"}', "not UTF-8 at byte 11"),
    "a list": (b"[1, 2]", "holds list"),
    "a key twice": (b'{"nodes": [], "nodes": []}', "the key 'nodes' twice"),
    "depth": (b"[" * 100_000, "no symbol file"),
    "no nodes": (b'{"heads": []}', "has no list nodes"),
    "nodes are a number": (changed(nodes=7), "has no list nodes"),
    "no nodes at all": (changed(nodes=[], heads=[]), "0 nodes and 0 heads"),
    "heads out of range": (changed(heads=[[99, 0, 0]]), "[99, 0, 0] is no tensor"),
    "heads of text": (changed(heads=["top"]), "is no tensor"),
    "heads of booleans": (changed(heads=[[True, False]]), "is no tensor"),
    "an output of 10^9": (changed(heads=[[4, 10**9, 0]]), "is no tensor"),
    "second output of a variable": (changed(heads=[[0, 1, 0]]), "output 1 of the variable 'data'"),
    "input out of range": (with_node(4, inputs=[[77, 0, 0]]), "reads node 77, and there are 5"),
    "negative input": (with_node(4, inputs=[[-1, 0, 0]]), "is no tensor"),
    "an input that is no list": (with_node(4, inputs=[3]), "is no tensor"),
    "no list of inputs": (json.dumps(small()).replace('"inputs"', '"inpuTs"', 1).encode(), "a list of inputs"),
    "inputs are an object": (with_node(4, inputs={}), "a list of inputs"),
    "a cycle": (with_node(3, inputs=[[4, 0, 0]]), "is part of a cycle"),
    "a node that reads itself": (with_node(4, inputs=[[4, 0, 0]]), "is part of a cycle"),
    "a node that is text": (changed(nodes=["data"]), "node 0 is str"),
    "no operator": (with_node(3, op=None), "has op None"),
    "a number as name": (with_node(3, name=5), "name 5"),
    "a variable without name": (with_node(0, name=""), "a variable without a name"),
    "attributes are a list": (with_node(3, attrs=[1]), "attrs is list"),
    "an attribute that is a number": (with_node(3, attrs={"eps": 1e-5}), "'eps' is 1e-05, expected text"),
    "two variables of one name": (with_node(1, name="data"), "the first is 'data'"),
    "a version that is text": (changed(attrs={"mxnet_version": ["int", "new"]}), "has the version"),
    "a version of 10^9": (changed(attrs={"mxnet_version": ["int", 10**9]}), "has the version"),
}


@pytest.mark.parametrize(("data", "words"), BROKEN.values(), ids=BROKEN)
def test_broken(data: bytes, words: str) -> None:
    with pytest.raises(CorruptModel) as caught:
        parse(data, "m-symbol.json")
    assert "m-symbol.json" in caught.value.message
    assert words in caught.value.message


def test_graphs_of_tvm_are_refused() -> None:
    with pytest.raises(ConversionError, match="graph of TVM"):
        parse(with_node(3, op="tvm_op"), "m.json")


def test_a_chain_of_100000_nodes_needs_no_stack() -> None:
    graph = Graph()
    last = graph.variable("data")
    for number in range(100_000):
        last = graph.node("relu", f"r{number}", [last])
    assert len(load(graph.json(last)).nodes) == 100_001


def test_a_byte_order_mark_is_no_harm() -> None:
    assert parse(b"\xef\xbb\xbf" + json.dumps(small()).encode()).outputs == ("top_output",)
