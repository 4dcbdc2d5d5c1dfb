"""TensorFlow's formats, one table: what becomes ONNX, what stays and why, what is refused in which words."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.errors import GatewayError
from gateway.formats.tensorflow import names
from gateway.formats.tflite import file
from gateway.formats.tflite.signatures import bound
from tests.formats.tensorflow.harness import Case, check, run_table


def net(name: str, keras: int, form: str) -> dict[str, Any]:
    """What nets.make is told."""
    return {"net": name, "keras": keras, "form": form}


TFLITE = {
    "a free batch; names cleaned": Case("tflites:dense", shown="img:float32[?,4] -> Identity:float32[?,3]"),
    "a batch of one takes any number of rows": Case(
        "tflites:one", rows=1, shown="x:float32[?,9,7,2] -> Identity:float32[?,5,4,4], Identity_1:float32[?,4]"),
    "a batch of two is filled up": Case("tflites:pairs", rows=2, shown="x:float32[?,4] -> Identity:float32[?,3]"),
    "a batch of two whose rows depend on each other stays one call": Case(
        "tflites:mixed", shown="x:float32[2,4] -> Identity:float32[2,4]"),
    "names and order of model.toml": Case(
        "tflites:one", rows=1, shown="picture:float32[?,9,7,2] -> mean:float32[?,4]",
        options=ModelOptions(inputs=(TensorOption("picture", "x"),), outputs=(TensorOption("mean", "Identity_1"),))),
    "names of model.toml that are not there": Case(
        "tflites:one", "ConversionError", says="the model has no output 'c'; it has Identity, Identity_1",
        options=ModelOptions(outputs=(TensorOption("c"),))),
    "integers, a scale a channel": Case("tflites:int8", rows=1, shown="x:int8[?,6,6,2] -> Identity:int8[?,3]"),
    "a fully connected operator that flattens keeps its bias": Case("tflites:flattened", rows=1),
    "a loop and a branch": Case("tflites:branches", rows=1),
    "an LSTM that is a loop": Case("tflites:lstm", rows=1),
    "a fused LSTM has variables": Case("tflites:fused_lstm", "native", says="it has variables"),
    "two signatures": Case("tflites:two_signatures", "native", rows=1, shown="x:float32[?,3] -> y:float32[?,3]",
                           says="it has 2 signatures (double, negate)"),
    "asked to be ONNX it does not stay TFLite": Case("tflites:two_signatures", "ConversionError", says="2 signatures",
                                                     options=ModelOptions(target="onnx")),
    "graphs that run each other in a circle": Case("tflites:circle", "ConversionError", says="graphs [0] of the"),
    "an operator that is no interpreter's": Case("tflites:custom", "UnsupportedOps", says="custom MatrixInverse (x1)"),
    "an operator of TensorFlow's own": Case("tflites:flex", "UnsupportedOps",
                                                    says="drop the SavedModel that the file was made from"),
    "one that writes files": Case("tflites:writes", "UnsupportedOps", says="custom FlexWriteFile (x1)"),
}  # fmt: skip


KERAS = {
    "Keras 2, .h5": Case("nets:make", told=net("multi", 2, "h5"),
                         shown="left:float32[?,6], right:float32[?,4,3] -> scores:float32[?,3], value:float32[?,1]"),
    "Keras 3, .keras": Case("nets:make", told=net("cnn", 3, "keras"),
        shown="picture:float32[?,24,20,3] -> scores:float32[?,5]"),
    "Keras 3, .h5, recurrent, free length": Case("nets:make", told=net("gru", 3, "h5"),
        shown="x:float32[?,?,4] -> gru_1:float32[?,5]"),
    "Keras 2's LSTM and Conv2DTranspose, which Keras 3 does not read": Case("nets:make", told=net("lstm", 2, "h5")),
    "texts": Case("nets:make", "native", told=net("words", 3, "keras"), says="it works on texts (word)"),
    "one of the outputs, under another name": Case(
        "nets:make", told=net("multi", 3, "keras"),
        shown="left:float32[?,6], right:float32[?,4,3] -> worth:float32[?,1]",
        options=ModelOptions(outputs=(TensorOption("worth", "value"),))),
    "weights alone": Case("hdf5s:weights_only", "Unknown"),
    "a Lambda of Keras 3": Case("hdf5s:with_lambda", "ConversionError", says="Lambda ('twice') carries Python code"),
    "a Lambda of Keras 2": Case("hdf5s:with_lambda_of_keras_2", "ConversionError", says="`trusted = true`"),
    "a Lambda, trusted": Case("hdf5s:with_lambda", options=ModelOptions(trusted=True),
                              shown="x:float32[?,3] -> twice:float32[?,3]"),
    "a custom layer": Case("hdf5s:with_own_layer", "ConversionError", says="model.export(FOLDER)"),
    "a registered object": Case("hdf5s:registered", "ConversionError", says="shop>Scale"),
    "half of a file": Case("hdf5s:half", "CorruptModel", says="is no whole HDF5 file"),
}  # fmt: skip
SAVED = {
    "Keras' export: two signatures that are one": Case("nets:make", told=net("dilated", 3, "savedmodel"),
                                                       shown="x:float32[?,?,?,2] -> output_0:float32[?,?,?,4]"),
    "of Keras 2": Case("nets:make", told=net("shared", 2, "savedmodel"),
        shown="one:float32[?,6], two:float32[?,6] -> cosine:float32[?,1]"),
    "of TensorFlow 1": Case("graphs:saved_tf1", shown="x:float32[?,6] -> score:float32[?,2]"),
}  # fmt: skip
GRAPHS = {
    "frozen, training placeholders fixed, stale attributes dropped": Case(
        "graphs:frozen", shown="picture:float32[?,12,12,3] -> probabilities:float32[?,4]"),
    "frozen, a loop of v1": Case("graphs:frozen", told={"net": "rolled"},
                                 shown="x:float32[?,4] -> answer:float32[?,?]"),
    "frozen, two outputs": Case("graphs:frozen", told={"net": "two"},
                                shown="x:float32[?,6] -> embeddings:float32[?,3], score:float32[?,2]"),
    "outputs that the owner names": Case("graphs:frozen",
                                         shown="picture:float32[?,12,12,3] -> raw:float32[?,4]",
                                         options=ModelOptions(outputs=(TensorOption("raw", "logits"),))),
    "outputs that are not there": Case("graphs:frozen", "ConversionError", told={"net": "two"},
                                       says="Did you mean 'score'?",
                                       options=ModelOptions(outputs=(TensorOption("scores"),))),
    "a checkpoint of version 2; a dead path; optimiser slots": Case(
        "graphs:checkpoint", shown="picture:float32[?,12,12,3] -> probabilities:float32[?,4]"),
    "a checkpoint of version 1": Case("graphs:checkpoint", told={"version": 1}),
    "a checkpoint whose name is empty": Case("graphs:checkpoint_without_prefix"),
    "a checkpoint, a resource variable": Case("graphs:checkpoint", told={"net": "embedded"},
                                              shown="ids:int32[?,5] -> embedding:float32[?,6]"),
    "a partial checkpoint": Case("graphs:checkpoint", "ConversionError", told={"partial": True},
                                 says="lacks 1 of the 6 variables that the outputs need: conv/w"),
    "a .meta alone": Case("graphs:meta_alone", "ConversionError", says="no .index and .data files lie beside it"),
    "a graph with variables": Case("graphs:with_variables", "ConversionError", says="1 variables (w) and no values"),
    "a graph that is cut short": Case("graphs:cut_short", "CorruptModel", says="is no whole TensorFlow graph"),
    "a graph that writes files": Case("graphs:writes_files", "ConversionError", says="WriteFile"),
}  # fmt: skip
TFJS = {
    "a graph model of tf.js: fused operators, quantised weights, three shards": Case(
        "jsons:copy", told={"of": "graph_fused"},
        shown="x:float32[?,8,7,3] -> picture:float32[?,4,4,5], scores:float32[?,3]"),
    "a layers model of tf.js": Case("jsons:copy", told={"of": "layers_picture"},
                                    shown="conv2d_Conv2D1_input:float32[?,9,8,2] -> scores:float32[?,3]"),
    "a layers model of tf.js: two inputs, a GRU of tf.js' own kind": Case("jsons:copy", told={"of": "layers_sequence"}),
    "tf.js: a shard that is not there": Case(
        "jsons:copy", "ConversionError", told={"of": "graph_fused", "spoilt": "lost"},
        says="'group1-shard2of3.bin' does not lie beside model.json"),
    "tf.js: a shard that is too short": Case(
        "jsons:copy", "ConversionError", told={"of": "graph_fused", "spoilt": "short"}, says="and its files have"),
    "tf.js: a shard elsewhere": Case(
        "jsons:copy", "ConversionError", told={"of": "graph_fused", "spoilt": "elsewhere"},
        says="'../../../etc/passwd' does not lie beside"),
    "tf.js: an operator that is none": Case(
        "jsons:copy", "ConversionError", told={"of": "graph_fused", "spoilt": "unknown"}, says="no operators MyOwnOp"),
    "tf.js: fused with what tf.js does not fuse": Case(
        "jsons:copy", "UnsupportedOps", told={"of": "graph_fused", "spoilt": "fused"}, says="BiasAdd and Gelu"),
    "tf.js: an operator that writes files": Case(
        "jsons:copy", "ConversionError", told={"of": "graph_fused", "spoilt": "writes"}, says="WriteFile ('w')"),
    "tf.js: a constant without weights": Case(
        "jsons:copy", "ConversionError", told={"of": "graph_fused", "spoilt": "constant"},
        says="the constant 'axes' has no weights"),
    "tf.js: a layer of the author's": Case(
        "jsons:copy", "ConversionError", told={"of": "layers_picture", "spoilt": "own"}, says="is no class of Keras'"),
    "tf.js: weights of another model": Case(
        "jsons:copy", "ConversionError", told={"of": "layers_picture", "spoilt": "renamed"},
        says="no layer has elsewhere/kernel"),
}  # fmt: skip
CASES = TFLITE | KERAS | SAVED | GRAPHS | TFJS
ALWAYS = (
    "a free batch; names cleaned", "a batch of two is filled up", "a fused LSTM has variables",
    "a fully connected operator that flattens keeps its bias", "graphs that run each other in a circle",
    "an operator that is no interpreter's", "Keras 3, .keras", "weights alone", "a Lambda of Keras 3",
    "a custom layer", "half of a file", "of TensorFlow 1", "frozen, two outputs", "a partial checkpoint",
    "a graph that writes files", "a graph that is cut short", *TFJS,
)  # fmt: skip
"""Rows of `make test`, one of each kind; all others are slow."""
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in CASES if name not in ALWAYS]


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return run_table({name: CASES[name] for name in ALWAYS})


@pytest.fixture(scope="module")
def slow_results() -> dict[str, Any]:
    return run_table({name: case for name, case in CASES.items() if name not in ALWAYS})


@pytest.mark.environment("tensorflow")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [*ALWAYS, *SLOW])
def test_what_becomes_of_it(request: pytest.FixtureRequest, name: str) -> None:
    found = request.getfixturevalue("results" if name in ALWAYS else "slow_results")
    check(CASES[name], found[name])


NAMES = {
    "serving_default is no part of a name": (["serving_default_img:0"], ["img"]),
    "what is called as a call": (["StatefulPartitionedCall:1", "PartitionedCall"], ["output_0", "output_1"]),
    "two of one name": (["x:0", "serving_default_x:0"], ["x", "x_1"]),
    "a port that is not the first says something": (["split:1"], ["split:1"]),
    "no name": ([""], ["output_0"]),
    "folders stay": (["rnet/prob1:0"], ["rnet/prob1"]),
}


@pytest.mark.parametrize("name", NAMES)
def test_public_names(name: str) -> None:
    own, expected = NAMES[name]
    assert names.public(own, "output") == expected


@pytest.mark.environment("tensorflow")
def test_cut_or_damaged_it_is_an_error_of_ours(results: dict[str, Any], tmp_path: Path) -> None:
    whole = (Path(results["a batch of two is filled up"]["folder"]) / "drop" / "model.tflite").read_bytes()
    dice = random.Random(5)
    damaged = [whole[:size] for size in range(0, len(whole), 97)]
    for _ in range(300):
        at = dice.randrange(len(whole))
        damaged.append(whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1 :])
    refused = 0
    for data in damaged:
        (tmp_path / "x.tflite").write_bytes(data)
        try:
            bound(file.read(tmp_path / "x.tflite"))
        except GatewayError:
            refused += 1
    assert refused > len(whole) // 97 // 2
