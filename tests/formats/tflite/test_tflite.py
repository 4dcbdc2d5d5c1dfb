"""TFLite: what becomes ONNX, what TFLite itself runs, what is refused; and files that are cut or damaged."""

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

CASES = {
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
    "a loop and a branch": Case("tflites:branches", rows=1),
    "an LSTM that is a loop": Case("tflites:lstm", rows=1),
    "a fused LSTM has variables": Case("tflites:fused_lstm", "native", says="it has variables"),
    "two signatures": Case("tflites:two_signatures", "native", rows=1, shown="x:float32[?,3] -> y:float32[?,3]",
                           says="it has 2 signatures (double, negate)"),
    "asked to be ONNX it does not stay TFLite": Case("tflites:two_signatures", "ConversionError", says="2 signatures",
                                                     options=ModelOptions(target="onnx")),
    "an operator that is no interpreter's": Case("tflites:custom", "UnsupportedOps", says="custom MatrixInverse (x1)"),
    "an operator of TensorFlow's own": Case("tflites:flex", "UnsupportedOps",
                                                    says="drop the SavedModel that the file was made from"),
    "one that writes files": Case("tflites:writes", "UnsupportedOps", says="custom FlexWriteFile (x1)"),
}  # fmt: skip


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return run_table(CASES)


@pytest.mark.environment("tensorflow")
@pytest.mark.parametrize("name", CASES)
def test_what_becomes_of_it(results: dict[str, Any], name: str) -> None:
    check(CASES[name], results[name])


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
    whole = (Path(results["a batch of one takes any number of rows"]["folder"]) / "drop" / "model.tflite").read_bytes()
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
