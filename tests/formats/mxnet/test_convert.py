"""From the files to the artifact: outputs, names, weights, refusals; and files cut short or with a bit flipped."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions, TensorOption
from tests.formats.mxnet.write import Graph, params
from tests.jobs import in_base

X = TensorOption("data", "", "float32", (None, 4))
W = np.arange(12, dtype=np.float32).reshape(3, 4) / 10
B = np.array([1, -2, 3], np.float32)
GAMMA, MEAN = np.array([7, 8, 9], np.float32), np.array([0.5, 0, -0.5], np.float32)


@dataclass(frozen=True)
class Case:
    graph: tuple[Graph, tuple[tuple[int, int], ...]]
    weights: dict[str, np.ndarray] | None = field(default_factory=dict)
    options: ModelOptions = field(default_factory=ModelOptions)
    version: str = "V2"
    files: dict[str, bytes] = field(default_factory=dict)


def classifier(*extra: str, label: bool = True, **kind: Any) -> tuple[Graph, tuple[tuple[int, int], ...]]:
    """fc1 -> bn (gamma fixed) -> softmax with a label; heads: softmax, and the nodes named in `extra`."""
    graph = Graph(**kind)
    fc = graph.node(
        "FullyConnected", "fc1", [graph.variable(n) for n in ("data", "fc1_weight", "fc1_bias")], num_hidden=3
    )
    four = [graph.variable(f"bn_{n}") for n in ("gamma", "beta", "moving_mean", "moving_var")]
    made = {"fc1": fc, "bn": graph.node("BatchNorm", "bn", [fc, *four], eps="1e-3")}
    drop = graph.node("Dropout", "drop", [made["bn"]], p="0.5")
    made["drop"] = drop
    inputs = [drop, graph.variable("softmax_label")] if label else [drop]
    return graph, (graph.node("SoftmaxOutput", "softmax", inputs), *(made[name] for name in extra))


WEIGHTS = {
    "arg:fc1_weight": W, "arg:fc1_bias": B, "arg:bn_gamma": GAMMA, "arg:bn_beta": B, "aux:bn_moving_mean": MEAN,
    "aux:bn_moving_var": np.array([1, 2, 3], np.float32),
}  # fmt: skip


def chain(*ops: str, **attrs: Any) -> tuple[Graph, tuple[tuple[int, int], ...]]:
    graph = Graph()
    last = graph.variable("data", shape="(1, 4)")
    for number, op in enumerate(ops):
        last = graph.node(op, f"n{number}", [last], **attrs)
    return graph, (last,)


def same_names() -> tuple[Graph, tuple[tuple[int, int], ...]]:
    graph = Graph()
    x = graph.variable("data", shape="(1, 4)")
    return graph, (graph.node("tanh", "a", [x]), graph.node("exp", "a", [x]))


def prelu() -> tuple[Graph, tuple[tuple[int, int], ...]]:
    graph = Graph()
    x, slopes = graph.variable("data", shape="(1, 4)"), graph.variable("p_gamma")
    return graph, (graph.node("LeakyReLU", "p", [x, slopes], act_type="prelu"),)


def embedding() -> tuple[Graph, tuple[tuple[int, int], ...]]:
    graph = Graph()
    ids = graph.node("Reshape", "flat", [graph.variable("data", shape="(0, 2)")], shape="(-1,)")
    return graph, (graph.node("Embedding", "e", [ids, graph.variable("e_weight")], input_dim="3", output_dim="4"),)


def picture(**pooling: Any) -> tuple[Graph, tuple[tuple[int, int], ...]]:
    graph = Graph()
    made = graph.node("Convolution", "c", [graph.variable("data"), graph.variable("c_weight")],
                      kernel="(3, 3)", pad="(1, 1)", num_filter=2, no_bias="True")  # fmt: skip
    made = graph.node("Pooling", "p", [made], kernel="(3, 3)", stride="(2, 2)", **pooling)
    made = graph.node("UpSampling", "u", [made], scale="2", sample_type="nearest")
    made = graph.node("SoftmaxOutput", "s", [made, graph.variable("s_label")])
    return graph, (made,)


def broken_link() -> tuple[Graph, tuple[tuple[int, int], ...]]:
    graph, (last,) = chain("tanh")
    return graph, (graph.node("exp", "z", [(last[0], 3)]),)


KERNEL = {"arg:c_weight": np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3) / 50}
FREE = ModelOptions(inputs=(TensorOption("data", "", "", (None, 3, None, None)),))


def outputs(*options: TensorOption) -> ModelOptions:
    return ModelOptions(inputs=(), outputs=options)


CASES = {
    "classifier": Case(classifier(), WEIGHTS),
    "classifier, V1": Case(classifier(), WEIGHTS, version="V1"),
    "classifier, V0 and an old symbol": Case(classifier(version=800, attrs_key="param"), WEIGHTS, version="V0"),
    "classifier, V3": Case(classifier(), WEIGHTS, version="V3"),
    "classifier, its label left out of an old symbol": Case(classifier(version=0, label=False), WEIGHTS),
    "several heads": Case(classifier("fc1", "drop"), WEIGHTS),
    "a head twice": Case(classifier("fc1", "fc1"), WEIGHTS),
    "an inner tensor by its name": Case(classifier(), WEIGHTS, outputs(TensorOption("fc1_output"))),
    "an inner tensor by its node": Case(classifier(), WEIGHTS, outputs(TensorOption("fc1"))),
    "under another name": Case(classifier(), WEIGHTS, outputs(TensorOption("embedding", "fc1"))),
    "one tensor under two names": Case(
        classifier(), WEIGHTS, outputs(TensorOption("a", "fc1"), TensorOption("b", "fc1_output"))
    ),
    "no such output": Case(classifier(), WEIGHTS, outputs(TensorOption("fc2_output"))),
    "an input under another name": Case(
        classifier(), WEIGHTS, ModelOptions(inputs=(TensorOption("image", "data", "", (None, 4)),))
    ),
    "two heads of one name": Case(same_names()),
    "an input and a weight as heads": Case((lambda g: (g[0], ((0, 0), (1, 0), *g[1])))(classifier()), WEIGHTS),
    "a picture that no memory holds": Case(
        picture(pooling_convention="full", pool_type="avg"), KERNEL,
        ModelOptions(inputs=(TensorOption("data", "", "", (1, 3, 26000, 26000)),)),
    ),
    "unused weights": Case(classifier(), WEIGHTS | {"arg:fc9_weight": W}),
    "bare names": Case(classifier(), {name.partition(":")[2]: array for name, array in WEIGHTS.items()}),
    "NaN": Case(classifier(), WEIGHTS | {"arg:fc1_bias": np.array([1, np.nan, 2], np.float32)}),
    "weights missing": Case(classifier(), {"arg:fc1_weight": W}),
    "slopes missing": Case(prelu(), {"arg:other": W}),
    "no file of weights": Case(classifier(), None),
    "no weights needed": Case(chain("tanh"), None),
    "names of save_parameters": Case(classifier(), {"features.0.weight": W, "features.0.bias": B}),
    "weights that do not fit": Case(
        classifier(), WEIGHTS | {"arg:fc1_weight": W[:2]}, ModelOptions(inputs=(X,))
    ),
    "a weight of the wrong type": Case(classifier(), WEIGHTS | {"arg:fc1_bias": B.astype(np.int32)}),
    "half precision": Case(
        classifier(), {name: a.astype(np.float16) if "fc1" in name else a for name, a in WEIGHTS.items()}
    ),
    "unknown operators": Case(chain("tanh", "_strange", "_strange", "_odd")),
    "code of the author": Case(chain("Custom", op_type="proposal_target")),
    "control flow": Case(chain("tanh", "_while_loop", "_foreach")),
    "dropout that stays random": Case(chain("Dropout", mode="always", p="0.3")),
    "an output that is not there": Case(broken_link()),
    "height and width free": Case(picture(pool_type="avg"), KERNEL, FREE),
    "height and width free where a rule needs them": Case(
        picture(pool_type="avg", pooling_convention="full"), KERNEL, FREE
    ),
    "too few inputs": Case(chain("BatchNorm")),
    "no shape": Case((lambda g: (g, (g.node("tanh", "t", [g.variable("data")]),)))(Graph())),
    "an attribute that cannot be read": Case(chain("Activation", act_type="relu6")),
    "indices": Case(embedding(), {"arg:e_weight": W}),
    "activations that MXNet 1.9 lacks": Case(chain("Activation", act_type="mish")),
    "log sigmoid": Case(chain("Activation", act_type="log_sigmoid")),
    "signature.json": Case(
        chain("tanh"), None, files={"signature.json": json.dumps({"inputs": []}).encode()}
    ),
}  # fmt: skip


def write(folder: Path, case: Case) -> Path:
    folder.mkdir()
    graph, heads = case.graph
    graph.save(folder / "m-symbol.json", *heads)
    if case.weights is not None:
        params(folder / "m-0000.params", case.weights, case.version)
    for name, data in case.files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("mxnet")
    rows = {
        name: {"folder": str(write(root / str(number), case)), "options": case.options.to_json()}
        for number, (name, case) in enumerate(CASES.items())
    }
    lone = root / "lone"
    lone.mkdir()
    params(lone / "net-0003.params", WEIGHTS)
    rows["weights alone"] = {"folder": str(lone), "options": ModelOptions().to_json()}
    answers: dict[str, Any] = in_base("tests.formats.mxnet.in_base:convert_all", {"rows": rows}, root / "job").value
    assert not [name for name, answer in answers.items() if answer.get("crash")]
    return answers


def specs(answer: dict[str, Any], kind: str) -> list[str]:
    assert "error" not in answer, answer
    found = answer["signatures"][0][kind]
    return [f"{s['name']}({s.get('tensor', s['name'])}):{s['dtype']}{s['shape']}" for s in found]


def expected() -> tuple[np.ndarray, np.ndarray]:
    """fc1 and softmax of CASES' inputs, in numpy."""
    x = np.arange(8).reshape(2, 4) / 10
    fc = x @ W.T.astype(np.float64) + B
    bn = (fc - MEAN) / np.sqrt(np.array([1, 2, 3]) + 1e-3) + B
    exps = np.exp(bn)
    return fc, exps / exps.sum(axis=1, keepdims=True)


SAME = ["classifier", "classifier, V1", "classifier, V0 and an old symbol", "classifier, V3", "bare names",
        "classifier, its label left out of an old symbol", "unused weights"]  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_classifier(name: str, found: dict[str, Any]) -> None:
    answer = found[name]
    assert specs(answer, "inputs") == ["data(data):float32['?', 4]"]
    assert specs(answer, "outputs") == ["softmax_output(softmax_output):float32['?', 3]"]
    np.testing.assert_allclose(answer["answers"]["softmax_output"], expected()[1], rtol=1e-5)
    assert answer["files"] == ["model.onnx"]
    assert answer["unused"] == (["fc9_weight"] if name == "unused weights" else [])


def test_gamma_that_is_fixed_is_not_written(found: dict[str, Any]) -> None:
    assert "bn_gamma" not in found["classifier"]["weights"]


def test_tensors_keep_their_names(found: dict[str, Any]) -> None:
    assert {"fc1_output", "bn_output", "softmax_output"} <= set(found["classifier"]["tensors"])


OUTPUTS = {
    "several heads": ["softmax_output(softmax_output)", "fc1_output(fc1_output)", "drop_output(drop_output)"],
    "a head twice": ["softmax_output(softmax_output)", "fc1_output(fc1_output)"],
    "an inner tensor by its name": ["fc1_output(fc1_output)"],
    "an inner tensor by its node": ["fc1(fc1_output)"],
    "under another name": ["embedding(fc1_output)"],
    "one tensor under two names": ["a(fc1_output)", "b(fc1_output)"],
}


@pytest.mark.parametrize(("name", "names"), OUTPUTS.items(), ids=OUTPUTS)
def test_outputs(name: str, names: list[str], found: dict[str, Any]) -> None:
    assert specs(found[name], "outputs") == [f"{each}:float32['?', 3]" for each in names]
    first = found[name]["signatures"][0]["outputs"][-1]["name"]
    if name != "several heads":
        np.testing.assert_allclose(found[name]["answers"][first], expected()[0], rtol=1e-5)


def test_what_an_inner_output_does_not_need_is_unused(found: dict[str, Any]) -> None:
    assert set(found["an inner tensor by its name"]["unused"]) == {
        "bn_gamma", "bn_beta", "bn_moving_mean", "bn_moving_var",
    }  # fmt: skip


def test_an_input_and_a_weight_as_heads(found: dict[str, Any]) -> None:
    answers = found["an input and a weight as heads"]["answers"]
    np.testing.assert_allclose(answers["data"], np.arange(8).reshape(2, 4) / 10, rtol=1e-6)
    np.testing.assert_allclose(answers["fc1_weight"], W)
    np.testing.assert_allclose(answers["softmax_output"], expected()[1], rtol=1e-5)


def test_two_heads_of_one_name(found: dict[str, Any]) -> None:
    answers = found["two heads of one name"]["answers"]
    assert list(answers) == ["a_output", "a_output_2"]
    x = np.arange(8).reshape(2, 4) / 10
    np.testing.assert_allclose(answers["a_output"], np.tanh(x), rtol=1e-5)
    np.testing.assert_allclose(answers["a_output_2"], np.exp(x), rtol=1e-5)


def test_an_input_under_another_name(found: dict[str, Any]) -> None:
    assert specs(found["an input under another name"], "inputs") == ["image(data):float32['?', 4]"]


def test_nan_is_counted(found: dict[str, Any]) -> None:
    assert found["NaN"]["warnings"] == ["weights 'fc1_bias' hold NaN (1 of 3 elements)"]


def test_half_precision_is_kept(found: dict[str, Any]) -> None:
    assert specs(found["half precision"], "inputs") == ["data(data):float16['?', 4]"]
    assert specs(found["half precision"], "outputs") == ["softmax_output(softmax_output):float16['?', 3]"]
    np.testing.assert_allclose(found["half precision"]["answers"]["softmax_output"], expected()[1], atol=2e-3)


def test_where_facts_come_from(found: dict[str, Any]) -> None:
    facts = {fact["what"]: (fact["value"], fact["source"]) for fact in found["classifier"]["facts"]}
    assert facts["shape of data"] == ("[?,4]", "the weights of fc1 have 4 inputs")
    assert facts["inputs left out"] == ("softmax_label", "no output needs them")
    assert facts["written by"] == ("MXNet 1.9.1", "m-symbol.json")


def test_inspection(found: dict[str, Any]) -> None:
    inspection = found["classifier"]["inspection"]
    assert inspection["operators"] == {"BatchNorm": 1, "Dropout": 1, "FullyConnected": 1, "SoftmaxOutput": 1}
    assert [spec["name"] for spec in inspection["outputs"]] == ["softmax_output"]


def test_indices_have_a_bound(found: dict[str, Any]) -> None:
    assert {name: Hint.from_json(hint) for name, hint in found["indices"]["hints"].items()} == {
        "data": Hint(3, beyond=True)
    }
    assert found["classifier"]["hints"] == {}


def test_weightless_graphs_need_no_weights(found: dict[str, Any]) -> None:
    assert specs(found["no weights needed"], "outputs") == ["n0_output(n0_output):float32['?', 4]"]


ACTIVATIONS = {
    "activations that MXNet 1.9 lacks": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "log sigmoid": lambda x: -np.log1p(np.exp(-x)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, found: dict[str, Any]) -> None:
    x = np.arange(8).reshape(2, 4) / 10
    np.testing.assert_allclose(found[name]["answers"]["n0_output"], ACTIVATIONS[name](x), rtol=1e-5, atol=1e-7)


REFUSED = {
    "no such output": ("ConversionError", "no tensor is called 'fc2_output'. Did you mean"),
    "weights missing": (
        "ConversionError",
        "m-0000.params has not 5 weights of m-symbol.json: fc1_bias, bn_gamma, bn_beta, bn_moving_mean, bn_moving_var",
    ),
    "slopes missing": ("ConversionError", "m-0000.params has not 1 weights of m-symbol.json: p_gamma"),
    "no file of weights": ("ConversionError", "m-symbol.json needs 6 weights (fc1_weight, fc1_bias"),
    "names of save_parameters": ("ConversionError", "has not 6 weights"),
    "weights that do not fit": (
        "ConversionError",
        "MXNet node 'fc1' (FullyConnected): its weight 'fc1_weight' has shape [2,4], expected [3,?]",
    ),
    "a weight of the wrong type": ("ConversionError", "MXNet node 'fc1' (FullyConnected)"),
    "unknown operators": ("UnsupportedOps", "no converter for _odd (x1), _strange (x2)"),
    "code of the author": ("ConversionError", "1 nodes hold control flow or code: 'n0' (Custom, proposal_target)"),
    "control flow": ("ConversionError", "2 nodes hold control flow or code: 'n1' (_while_loop), 'n2' (_foreach)"),
    "dropout that stays random": ("ConversionError", "MXNet node 'n0' (Dropout): mode='always' is random"),
    "an output that is not there": ("CorruptModel", "node 'z' (exp) reads output 3 of 'n0' (tanh)"),
    "height and width free where a rule needs them": (
        "ConversionError",
        "MXNet node 'p' (Pooling): needs to know dimension 2 of 'c_output', which is [?,2,?,?]",
    ),
    "a picture that no memory holds": (
        "ConversionError",
        "MXNet node 'p' (Pooling): an average over 169000000 windows",
    ),
    "too few inputs": ("CorruptModel", "MXNet node 'n0' (BatchNorm) with 1 inputs and {} breaks its converter"),
    "no shape": ("NeedsInputShape", "does not say the shape of its input 'data'"),
    "an attribute that cannot be read": ("ConversionError", "act_type='relu6' is not supported"),
    "weights alone": ("ConversionError", "net-0003.params holds weights only"),
}
HINTS = {
    "no file of weights": "Add m-0000.params.",
    "names of save_parameters": "Block.save_parameters",
    "weights alone": "Add net-symbol.json beside it",
    "height and width free where a rule needs them": "--input",
    "code of the author": "cut the graph before these nodes",
    "control flow": 'target = "native"',
}


@pytest.mark.parametrize(("name", "kind", "words"), [(n, *r) for n, r in REFUSED.items()], ids=REFUSED)
def test_refused(name: str, kind: str, words: str, found: dict[str, Any]) -> None:
    assert found[name].get("error") == kind, found[name]
    assert words in found[name]["message"]
    assert HINTS.get(name, "") in found[name]["hint"]


def test_every_row_is_tested() -> None:
    tested = {*SAME, *OUTPUTS, *REFUSED, *ACTIVATIONS}
    left = {"two heads of one name", "an input under another name", "NaN", "half precision", "indices",
            "signature.json", "no weights needed", "height and width free",
            "an input and a weight as heads"}  # fmt: skip
    assert set(CASES) | {"weights alone"} == tested | left


def test_free_sizes_stay_free(found: dict[str, Any]) -> None:
    answer = found["height and width free"]
    (spec,) = answer["signatures"][0]["outputs"]
    assert spec["shape"] == ["?", 2, "?", "?"]
    assert answer["shapes"]["s_output"] == [2, 2, 8, 8]
    np.testing.assert_allclose(np.sum(answer["answers"]["s_output"], axis=(1, 2, 3)), [1, 1], rtol=1e-5)
    assert "oneDNN build takes the last axis" in answer["warnings"][0]


def test_a_signature_of_another_tool_is_no_harm(found: dict[str, Any]) -> None:
    assert specs(found["signature.json"], "inputs") == ["data(data):float32['?', 4]"]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("damage")
    folder = write(root / "whole", CASES["classifier"])
    arguments = {"folder": str(folder), "files": ["m-symbol.json", "m-0000.params"]}
    answer: dict[str, Any] = in_base("tests.formats.mxnet.in_base:damage", arguments, root / "job").value
    return answer


def test_every_cut_is_an_error(damaged: dict[str, Any]) -> None:
    cuts = {name: ending for name, ending in damaged["endings"].items() if " cut at " in name}
    assert len(cuts) >= 120
    taken = {name: ending for name, ending in cuts.items() if ending in ("converted", "a bug of ours")}
    assert not taken


def test_flipped_bits_end_as_a_model_or_an_error_of_ours(damaged: dict[str, Any]) -> None:
    flips = Counter(ending for name, ending in damaged["endings"].items() if " bit " in name)
    assert sum(flips.values()) >= 380
    assert flips["a bug of ours"] == 0, {n: e for n, e in damaged["endings"].items() if e == "a bug of ours"}
    assert flips["CorruptModel"] >= 100
    assert damaged["slowest"] < 5
