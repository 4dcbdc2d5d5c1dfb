# ruff: noqa: E501  a row of a table reads better on one line
"""Classify, Regress and MultiInference of TensorFlow Serving, over gRPC and REST: every answer and every refusal is a row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from gateway.core.signature import Signature, TensorSpec
from gateway.errors import GatewayError
from gateway.protocols.examples import Feature, tensors_of
from gateway.protocols.pool import message
from tests.protocols.double import Running, running
from tests.protocols.test_tfs_rest import ask

SERVICE = "/tensorflow.serving.PredictionService/"
KINDS = {
    "Classify": ("ClassificationRequest", "ClassificationResponse"),
    "Regress": ("RegressionRequest", "RegressionResponse"),
    "MultiInference": ("MultiInferenceRequest", "MultiInferenceResponse"),
}
C = grpc.StatusCode


@pytest.fixture(scope="module")
def servers() -> Iterator[Running]:
    with running(max_elements=1000) as live:
        yield live


@pytest.fixture(scope="module")
def channel(servers: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(servers.addresses["grpc"]) as made:
        yield made


def call(channel: grpc.Channel, method: str, request: Any) -> Any:
    kind = message(f"tensorflow.serving.{KINDS[method][1]}")
    return kind.FromString(channel.unary_unary(SERVICE + method)(request.SerializeToString(), timeout=10))


def fill(target: Any, **features: Any) -> None:
    """Python floats, ints and bytes become the three kinds of features; None a feature without values."""
    for name, values in features.items():
        feature = target.features.feature[name]
        if values is None:
            continue
        values = values if isinstance(values, list) else [values]
        kind = {float: "float_list", int: "int64_list", bytes: "bytes_list"}[type(values[0])]
        getattr(feature, kind).value.extend(values)


def request(
    method: str, model: str, *examples: dict[str, Any], context: dict[str, Any] | None = None, **spec: Any
) -> Any:
    made = message(f"tensorflow.serving.{KINDS[method][0]}")()
    made.model_spec.name = model
    for key, value in spec.items():
        if key == "version":
            made.model_spec.version.value = value
        else:
            setattr(made.model_spec, key, value)
    give(made.input, examples, context)
    return made


def give(target: Any, examples: Any, context: dict[str, Any] | None = None) -> None:
    kind = target.example_list if context is None else target.example_list_with_context
    if context is not None:
        fill(kind.context, **context)
    for features in examples:
        fill(kind.examples.add(), **features)


def classes(found: Any) -> list[list[tuple[str, float]]]:
    return [[(one.label, one.score) for one in row.classes] for row in found.classifications]


def values(found: Any) -> list[float]:
    return [one.value for one in found.regressions]


# -- gRPC ----------------------------------------------------------------------------------------

CLASSIFIED: dict[str, tuple[Any, list[list[tuple[str, float]]]]] = {
    "labels of the signature, the first output, two inputs": (
        request("Classify", "classifier", {"a": 1.0, "b": [2.0, 0.5]}, {"a": 0.0, "b": [1.0, 0.0]}),
        [[("cat", 3.5), ("dog", 5.5), ("café", 7.5)], [("cat", 1.0), ("dog", 2.0), ("café", 3.0)]],
    ),
    "the context is in every example, unless it has its own": (
        request("Classify", "classifier", {"b": [1.0, 0.0]}, {"a": 5.0, "b": [1.0, 0.0]}, context={"a": 1.0}),
        [[("cat", 2.0), ("dog", 3.0), ("café", 4.0)], [("cat", 6.0), ("dog", 7.0), ("café", 8.0)]],
    ),
    "classes and scores by their names": (request("Classify", "named", {"x": 0.25}), [[("low", 0.75), ("high", 0.25)]]),
    "classes alone have a score of 0": (request("Classify", "only_classes", {"x": 0.25}), [[("low", 0.0), ("high", 0.0)]]),
    "whole numbers as int64 for a float input": (request("Classify", "named", {"x": 1}), [[("low", 0.0), ("high", 1.0)]]),
    "features that no input has are ignored": (request("Classify", "named", {"x": 1.0, "z": b"?"}), [[("low", 0.0), ("high", 1.0)]]),
    "labels are the first output's, and scores is another": (request("Classify", "second", {"x": [1.0, 2.0]}), [[("", 1.0), ("", 2.0)]]),
    "scores without labels": (request("Classify", "both", {"x": 1.0}), [[("", 1.0), ("", 2.0)]]),
}  # fmt: skip


@pytest.mark.parametrize("row", CLASSIFIED.values(), ids=CLASSIFIED.keys())
def test_classify(channel: grpc.Channel, row: tuple[Any, Any]) -> None:
    given, expected = row
    response = call(channel, "Classify", given)
    assert classes(response.result) == expected
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (given.model_spec.name, 1, "serving_default")


REGRESSED: dict[str, tuple[Any, list[float]]] = {
    "the only output, [n,1]": (request("Regress", "regressor", {"x": [1.0, 2.0]}, {"x": [3.0, 4.0]}), [3.0, 7.0]),
    "an output called outputs among others": (request("Regress", "outputs", {"x": 4.0}), [8.0]),
    "by the name of the signature": (request("Regress", "both", {"x": 4.0}, signature_name="regress"), [8.0]),
    "int8 at its ends": (request("Regress", "ints", {"x": -128}, {"x": 127}), [-128.0, 127.0]),
    "bool from 0 and 1": (request("Regress", "flags", {"x": 0}, {"x": 1}), [0.0, 1.0]),
    "a free dimension takes what there is": (request("Regress", "lists", {"x": [1.0, 2.0, 3.0]}), [6.0]),
    "two fixed dimensions are filled row by row": (request("Regress", "square", {"x": [1.0, 2.0, 3.0, 4.0]}), [10.0]),
    "bytes": (request("Regress", "texts", {"x": b"abc"}), [3.0]),
    "one string input takes the serialised example": (request("Regress", "serialised", {"x": 1.0}), [17.0]),
}


@pytest.mark.parametrize("row", REGRESSED.values(), ids=REGRESSED.keys())
def test_regress(channel: grpc.Channel, row: tuple[Any, Any]) -> None:
    given, expected = row
    assert values(call(channel, "Regress", given).result) == expected


def test_the_serialised_example_is_one(servers: Running, channel: grpc.Channel) -> None:
    given = request("Regress", "serialised", {"x": [1.5], "n": 7}, context={"s": b"\xff"})
    call(channel, "Regress", given)
    (text,) = servers.predictor.calls[-1].inputs["examples"]
    example = message("tensorflow.Example").FromString(text)
    found = {name: list(getattr(f, f.WhichOneof("kind")).value) for name, f in example.features.feature.items()}
    assert found == {"x": [1.5], "n": [7], "s": [b"\xff"]}


def without(field: str, method: str = "Classify") -> Any:
    made = request(method, "named", {"x": 1.0})
    made.ClearField(field)
    return made


ERRORS: dict[str, tuple[str, Any, grpc.StatusCode, str]] = {
    "no model_spec": ("Classify", without("model_spec"), C.INVALID_ARGUMENT, "Missing ModelSpec"),
    "no model_spec (regress)": ("Regress", without("model_spec", "Regress"), C.INVALID_ARGUMENT, "Missing ModelSpec"),
    "no name": ("Classify", request("Classify", "", {"x": 1.0}), C.INVALID_ARGUMENT, "ModelSpec has no name specified."),
    "no such model": ("Classify", request("Classify", "nobody", {"x": 1.0}), C.NOT_FOUND, "Servable not found for request: Latest(nobody)"),
    "no such version": ("Regress", request("Regress", "regressor", {"x": 1.0}, version=7), C.NOT_FOUND, "Servable not found for request: Specific(regressor, 7)"),
    "unknown label": ("Regress", request("Regress", "regressor", {"x": 1.0}, version_label="l"), C.INVALID_ARGUMENT, "Unrecognized servable version label: l"),
    "no such signature": ("Classify", request("Classify", "named", {"x": 1.0}, signature_name="z"), C.INVALID_ARGUMENT, "No signature was found with the name: z"),
    "no input": ("Classify", without("input"), C.INVALID_ARGUMENT, "Input is empty."),
    "no examples": ("Classify", request("Classify", "named", context={"x": 1.0}), C.INVALID_ARGUMENT, "Input is empty."),
    "outputs before the input": ("Classify", request("Classify", "double_out"), C.INVALID_ARGUMENT, 'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: y:float64[?]'),
    "two outputs to regress": ("Regress", request("Regress", "two", {"a": 1.0}), C.INVALID_ARGUMENT, "Expected one output Tensor. The model has sum, difference, and none called 'outputs'."),
    "regress a matrix": ("Regress", request("Regress", "id_float32", {"x": [1.0, 2.0]}), C.INVALID_ARGUMENT, "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,2]"),
    "regress a double": ("Regress", request("Regress", "double_out", {"x": 1.0}), C.INVALID_ARGUMENT, "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
    "a scalar for all": ("Regress", request("Regress", "scalar", {"x": 1.0}), C.INVALID_ARGUMENT, "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got []"),
    "classify a vector": ("Classify", request("Classify", "id_float32", {"x": 1.0}), C.OK, ""),
    "a feature is missing": ("Regress", request("Regress", "regressor", {"y": [1.0, 2.0]}), C.INVALID_ARGUMENT, "Example 0: Feature: x (data type: float32) is required but could not be found. The example has: y."),
    "a feature is missing in the second": ("Regress", request("Regress", "regressor", {"x": [1.0, 2.0]}, {}), C.INVALID_ARGUMENT, "Example 1: Feature: x"),
    "bytes for a float": ("Regress", request("Regress", "regressor", {"x": b"1"}), C.INVALID_ARGUMENT, "Example 0: Key: x. Data types don't match. Data type: string but expected type: float or int64"),
    "float for an int": ("Regress", request("Regress", "ints", {"x": 1.0}), C.INVALID_ARGUMENT, "Example 0: Key: x. Data types don't match. Data type: float but expected type: int64"),
    "300 for an int8": ("Regress", request("Regress", "ints", {"x": 300}), C.INVALID_ARGUMENT, "Key: x. 300 does not fit int8 (-128 to 127)."),
    "2 for a bool": ("Regress", request("Regress", "flags", {"x": 2}), C.INVALID_ARGUMENT, "Key: x. 2 does not fit bool (0 to 1)."),
    "2**24+1 for a float32": ("Regress", request("Regress", "lists", {"x": (1 << 24) + 1}), C.INVALID_ARGUMENT, "Key: x. 16777217 cannot be held by float32."),
    "too few values": ("Regress", request("Regress", "regressor", {"x": 1.0}), C.INVALID_ARGUMENT, "Key: x. Number of float32 values != expected. Values size: 1 in each of 1 examples, but the input is [?,2]."),
    "no values": ("Regress", request("Regress", "regressor", {"x": None}), C.INVALID_ARGUMENT, "Key: x. Number of float32 values != expected. Values size: 0"),
    "examples of two lengths": ("Regress", request("Regress", "lists", {"x": [1.0]}, {"x": [1.0, 2.0]}), C.INVALID_ARGUMENT, "Example 1: Key: x. Number of float32 values != expected. Values size: 2, but the first example has 1."),
    "too many elements": ("Regress", request("Regress", "lists", {"x": [1.0] * 600}, {"x": [1.0] * 600}), C.INVALID_ARGUMENT, "input x has over 1000 elements. The limit is limits.max_elements."),
    "queue full": ("Regress", request("Regress", "full", {"x": 1.0}), C.RESOURCE_EXHAUSTED, "the queue of full has 1024 requests."),
}  # fmt: skip


@pytest.mark.parametrize("row", ERRORS.values(), ids=ERRORS.keys())
def test_errors(servers: Running, channel: grpc.Channel, row: tuple[str, Any, grpc.StatusCode, str]) -> None:
    method, given, code, text = row
    if code is C.OK:
        call(channel, method, given)
        return
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, method, given)
    assert (caught.value.code(), caught.value.details()[: len(text)]) == (code, text)
    assert servers.predictor.leases == 0


def multi(*tasks: tuple[str, str, str], examples: Any = ({"x": 1.0},)) -> Any:
    """Tasks are (model, signature, classify | regress | anything)."""
    made = message("tensorflow.serving.MultiInferenceRequest")()
    for model, signature, method in tasks:
        task = made.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = model, signature
    give(made.input, examples)
    return made


def test_multi_inference(servers: Running, channel: grpc.Channel) -> None:
    given = multi(("both", "", "classify"), ("both", "regress", "regress"), examples=({"x": 1.0}, {"x": 2.0}))
    first, second = call(channel, "MultiInference", given).results
    assert classes(first.classification_result) == [[("", 1.0), ("", 2.0)], [("", 2.0), ("", 3.0)]]
    assert values(second.regression_result) == [2.0, 4.0]
    assert (first.model_spec.signature_name, second.model_spec.signature_name) == ("serving_default", "regress")
    assert first.model_spec.version.value == second.model_spec.version.value == 1
    assert servers.predictor.leases == 0


MULTI_ERRORS: dict[str, tuple[Any, grpc.StatusCode, str]] = {
    "no tasks": (multi(), C.INVALID_ARGUMENT, "ModelSpec has no name specified."),
    "a name is empty": (multi(("both", "", "classify"), ("", "regress", "regress")), C.INVALID_ARGUMENT, "Found ModelSpec with an empty model name."),
    "two models": (multi(("both", "", "classify"), ("named", "", "classify")), C.INVALID_ARGUMENT, "All ModelSpecs in a MultiInferenceRequest must access the same model name."),
    "a signature twice": (multi(("both", "", "classify"), ("both", "serving_default", "classify")), C.INVALID_ARGUMENT, "Duplicate evaluation of signature: serving_default"),
    "no such signature": (multi(("both", "z", "classify")), C.INVALID_ARGUMENT, "Requested signature not found in model graph: z"),
    "another method": (multi(("both", "", "predict")), C.UNIMPLEMENTED, "Unsupported signature method_name: tensorflow/serving/predict"),
    "nothing runs when the second is wrong": (multi(("both", "", "classify"), ("both", "regress", "predict")), C.UNIMPLEMENTED, "Unsupported signature method_name"),
    "no such model": (multi(("nobody", "", "classify")), C.NOT_FOUND, "Servable not found for request: Latest(nobody)"),
    "no examples": (multi(("both", "", "classify"), examples=()), C.INVALID_ARGUMENT, "Input is empty."),
}  # fmt: skip


@pytest.mark.parametrize("row", MULTI_ERRORS.values(), ids=MULTI_ERRORS.keys())
def test_multi_inference_errors(servers: Running, channel: grpc.Channel, row: tuple[Any, grpc.StatusCode, str]) -> None:
    given, code, text = row
    before = len(servers.predictor.calls)
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "MultiInference", given)
    assert (caught.value.code(), caught.value.details()[: len(text)]) == (code, text)
    assert servers.predictor.leases == 0
    assert len(servers.predictor.calls) == before


# -- REST ----------------------------------------------------------------------------------------


def text(error: str) -> str:
    return '{"error": ' + json.dumps(error, ensure_ascii=False) + "}"


REST: dict[str, tuple[str, str, int, str]] = {
    "classify": ("classifier:classify", '{"examples": [{"a": 1, "b": [2, 0.5e0]}]}', 400, text("Unexpected element type in feature: b expecting type: int64")),
    "classify, labels": ("classifier:classify", '{"examples": [{"a": 1, "b": [2.0, 0.5]}, {"a": 0, "b": [1, 0]}]}', 200, '{"results": [[["cat", 3.5], ["dog", 5.5], ["café", 7.5]], [["cat", 1.0], ["dog", 2.0], ["café", 3.0]]]}'),
    "classify, a context": ("named:classify", '{"context": {"x": 0.25}, "examples": [{}]}', 200, '{"results": [[["low", 0.75], ["high", 0.25]]]}'),
    "regress": ("regressor:regress", '{"examples": [{"x": [1, 2]}, {"x": [0.5, 0.25]}]}', 200, '{"results": [3.0,0.75]}'),
    "regress, another signature": ("both:regress", '{"signature_name": "regress", "examples": [{"x": 4}]}', 200, '{"results": [8.0]}'),
    "regress, NaN": ("outputs:regress", '{"examples": [{"x": NaN}, {"x": -Infinity}]}', 200, '{"results": [NaN,-Infinity]}'),
    "true is 1": ("flags:regress", '{"examples": [{"x": true}, {"x": false}]}', 200, '{"results": [1.0,0.0]}'),
    "a string": ("texts:regress", '{"examples": [{"x": "é"}]}', 200, '{"results": [2.0]}'),
    "b64": ("texts:regress", '{"examples": [{"x": {"b64": "/wA="}}]}', 200, '{"results": [2.0]}'),
    "a version": ("regressor/versions/1:regress", '{"examples": [{"x": [1, 2]}]}', 200, '{"results": [3.0]}'),
    "a label": ("regressor/labels/l:regress", '{"examples": [{"x": [1, 2]}]}', 400, text("Unrecognized servable version label: l")),
    "not JSON": ("named:classify", "{", 400, "JSON Parse error: "),
    "not an object": ("named:classify", "[]", 400, text("JSON Value: [] Is not object")),
    "signature_name is no string": ("named:classify", '{"signature_name": 1, "examples": [{}]}', 400, "'signature_name' key must be a string value."),
    "no examples": ("named:classify", "{}", 400, text("JSON Value: {} When method is classify, key 'examples' is expected and was not found")),
    "examples is no list": ("named:classify", '{"examples": 1}', 400, text("JSON Value: {\"examples\":1} Expecting 'examples' value to be an list/array")),
    "examples is empty": ("named:classify", '{"examples": []}', 400, text("JSON Value: {\"examples\":[]} 'examples' value is an empty array")),
    "an example is no object": ("named:classify", '{"examples": [[1]]}', 400, text("Example must be JSON object but got JSON Array")),
    "the context is no object": ("named:classify", '{"context": "x", "examples": [{}]}', 400, text("Example must be JSON object but got JSON String")),
    "null": ("named:classify", '{"examples": [{"x": null}]}', 400, text("Feature: x has element with unexpected JSON type: Null")),
    "a list in a list": ("named:classify", '{"examples": [{"x": [[1.0]]}]}', 400, text("Feature: x has element with unexpected JSON type: Array")),
    "an object": ("named:classify", '{"examples": [{"x": {"y": 1}}]}', 400, text("Feature: x has element with unexpected JSON type: Object")),
    "two kinds": ("named:classify", '{"examples": [{"x": ["a", 1]}]}', 400, text("Unexpected element type in feature: x expecting type: bytes")),
    "broken base64": ("texts:regress", '{"examples": [{"x": {"b64": "Y"}}]}', 400, text("Unable to base64 decode")),
    "uint64": ("ints:regress", '{"examples": [{"x": 9223372036854775808}]}', 400, text("Feature: x has uint64_t element. Only int64_t is supported.")),
    "1e40 for a float32": ("outputs:regress", '{"examples": [{"x": 1e40}]}', 400, text("Key: x. 1e+40 cannot be held by float32.")),
    "examples before the model": ("nobody:classify", '{"examples": 1}', 400, "Expecting 'examples' value to be an list/array"),
    "no such model": ("nobody:classify", '{"examples": [{}]}', 404, text("Servable not found for request: Latest(nobody)")),
    "no such signature": ("named:classify", '{"signature_name": "z", "examples": [{}]}', 400, text("No signature was found with the name: z. The model has: serving_default.")),
    "two outputs to regress": ("two:regress", '{"examples": [{"a": 1.0}]}', 400, "Expected one output Tensor."),
}  # fmt: skip


@pytest.mark.parametrize("row", REST.values(), ids=REST.keys())
def test_rest(servers: Running, row: tuple[str, str, int, str]) -> None:
    path, body, status, expected = row
    answer = ask(servers, "POST", f"/v1/models/{path}", body.encode())
    found = answer.body.decode()
    assert (answer.status, expected in found if status != 200 and not expected.startswith("{") else found) == (
        status,
        True if status != 200 and not expected.startswith("{") else expected,
    )
    assert servers.predictor.leases == 0


# -- the parser alone ----------------------------------------------------------------------------

SHAPES: dict[str, tuple[str, tuple[int | None, ...] | None, int, int, tuple[int, ...] | str]] = {
    # input dtype and shape, number of examples, values of each; the tensor's shape, or the refusal
    "a vector of examples": ("float32", (None,), 3, 1, (3,)),
    "a matrix": ("float32", (None, 4), 2, 4, (2, 4)),
    "one free dimension": ("float32", (None, None, 2), 2, 6, (2, 3, 2)),
    "a fixed batch": ("float32", (2, 2), 2, 2, (2, 2)),
    "unknown rank": ("float32", None, 2, 3, (2, 3)),
    "a scalar, one example": ("float32", (), 1, 1, ()),
    "a scalar, two examples": ("float32", (), 2, 1, "the input is []"),
    "two free dimensions": ("float32", (None, None, None), 1, 4, "at most one dimension beside the first may be free"),
    "does not divide": ("float32", (None, None, 2), 1, 3, "Values size: 3"),
    "empty where a free dimension is": ("float32", (None, None), 2, 0, (2, 0)),
    "complex has no feature": ("complex64", (None,), 1, 1, "expected type: none, for it is complex64"),
    "nor an empty one": ("complex64", (None, None), 1, 0, "expected type: none, for it is complex64"),
}


@pytest.mark.parametrize("row", SHAPES.values(), ids=SHAPES.keys())
def test_shapes(row: tuple[str, Any, int, int, Any]) -> None:
    dtype, shape, examples, count, expected = row
    signature = Signature((TensorSpec("x", dtype, shape),), (TensorSpec("y", "float32", None),))
    given = [{"x": Feature("float", [1.0] * count)} for _ in range(examples)]
    if isinstance(expected, tuple):
        assert tensors_of(given, signature, 100)["x"].shape == expected
        return
    with pytest.raises(GatewayError) as caught:
        tensors_of(given, signature, 100)
    assert expected in caught.value.explain()


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_decimals_are_the_nearest(name: str) -> None:
    from gateway.core.dtypes import numpy_dtype

    signature = Signature((TensorSpec("x", name, (None,)),), (TensorSpec("y", "float32", None),))
    (found,) = tensors_of([{"x": Feature("float", [0.1])}], signature, 10).values()
    np.testing.assert_array_equal(found, np.array([0.1]).astype(numpy_dtype(name)), strict=True)
