"""One model of every format dropped into one repository: what TensorFlow Serving's REST and gRPC and KServe's REST
answer is what the model gives when it is converted and run without any server.

A format without a certified row fails here: nobody has seen it served.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gateway import api
from gateway.core.dtypes import Array, Tensors, name_of, numpy_dtype
from gateway.core.signature import Signature
from gateway.formats.base import all_formats
from gateway.protocols.pool import message
from gateway.protocols.tensors import decode, encode
from tests import zoo
from tests.e2e.running import Running, gateway, place
from tests.environments import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
WAIT_S = 900.0
NO_MODEL = {"pipeline": "a pipeline joins models, tests/e2e/test_cli.py calls one"}
QUICK = {  # the first row of a format that passed would do; these are smaller
    "caffe": "SqueezeNet 1.1 (Caffe)",
    "darknet": "darknet yolov3-tiny",
    "mxnet": "gluon squeezenet1.0",
    "sklearn": "scikit-learn: RandomForestClassifier",
    "torch7": "Torch7 LeNet as text",
    "torchscript": "TorchScript, digits",
}
NATIVE = ("catboost: categories", "Paddle PIR, operators that paddle2onnx lacks", "scikit-learn: texts by characters")


def chosen() -> dict[str, zoo.Row]:
    """By the name that it is served as."""
    rows = {row.name: row for row in zoo.rows()}
    found = {}
    for kind in all_formats():
        if kind in NO_MODEL:
            continue
        passed = [row for row in rows.values() if row.format == kind and row.verdict == "passed"]
        if passed:
            found[kind] = rows.get(QUICK.get(kind, ""), passed[0])
    return found | {f"native-{n}": rows[name] for n, name in enumerate(NATIVE) if name in rows}


CHOSEN = chosen()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """All of them dropped at once."""
    root = tmp_path_factory.mktemp("every")
    with gateway(root) as live:
        for name, row in CHOSEN.items():
            source = row.fetch()
            place(source, live.repository / name / "1" / ("" if source.is_dir() else source.name))
        yield live


def asked(signature: Signature) -> Tensors:
    """Numbers of every input: normal ones, zeros for whole numbers (an index that every table has), one word."""
    random, made = np.random.default_rng(11), Tensors()
    for spec in signature.required:
        assert spec.shape is not None, spec
        shape = [2 if at == 0 and size is None else size or 16 for at, size in enumerate(spec.shape)]
        kind = numpy_dtype(spec.dtype)
        if kind.kind == "f":
            made[spec.name] = random.standard_normal(shape).astype(kind)
        else:
            made[spec.name] = np.full(shape, b"good day", object) if spec.dtype == "string" else np.zeros(shape, kind)
    return made


def over_rest(live: Running, model: str, inputs: Tensors, signature: Signature) -> Tensors:
    told = {n: np.vectorize(lambda b: b.decode())(a) if a.dtype == object else a for n, a in inputs.items()}
    status, answer = live.predict(model, {name: array.tolist() for name, array in told.items()})
    assert status == 200, answer
    outputs = (
        answer["outputs"] if isinstance(answer["outputs"], dict) else {signature.outputs[0].name: answer["outputs"]}
    )
    return {spec.name: _array(outputs[spec.name], spec.dtype) for spec in signature.outputs}


def over_kserve(live: Running, model: str, inputs: Tensors, signature: Signature) -> Tensors:
    told = [
        {
            "name": name,
            "shape": list(array.shape),
            "datatype": _KSERVE[name_of(array)],
            "data": [b.decode() for b in array.ravel()] if array.dtype == object else array.ravel().tolist(),
        }
        for name, array in inputs.items()
    ]
    status, answer = live.call(f"/v2/models/{model}/infer", {"inputs": told}, timeout_s=120)
    assert status == 200, answer
    found = {one["name"]: one for one in answer["outputs"]}
    return {s.name: _array(found[s.name]["data"], s.dtype).reshape(found[s.name]["shape"]) for s in signature.outputs}


def over_grpc(live: Running, model: str, inputs: Tensors, signature: Signature) -> Tensors:
    request = message("tensorflow.serving.PredictRequest")()
    request.model_spec.name = model
    for name, array in inputs.items():
        request.inputs[name].MergeFromString(encode(array))
    response = message("tensorflow.serving.PredictResponse")()
    with grpc.insecure_channel(live.addresses["grpc"], [("grpc.max_receive_message_length", 1 << 30)]) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        response.MergeFromString(call(request.SerializeToString(), timeout=120))
    return {spec.name: decode(response.outputs[spec.name], 1 << 30) for spec in signature.outputs}


_KSERVE = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "int32": "INT32", "uint8": "UINT8", "int8": "INT8",
           "bool": "BOOL", "string": "BYTES"}  # fmt: skip


def _array(value: Any, kind: str) -> Array:
    if kind == "string":
        words: Array = np.vectorize(lambda text: str(text).encode(), otypes=[object])(np.asarray(value))
        return words
    return np.asarray(value, numpy_dtype(kind))


def same(found: Tensors, expected: Tensors, how: str) -> None:
    """A worker or a batch may add numbers in another order: 1e-5 of the largest. Words and classes are equal."""
    assert list(found) == list(expected), how
    for name, array in expected.items():
        if array.dtype.kind == "f":
            atol = 1e-5 * max(1.0, float(np.abs(array[np.isfinite(array)]).max(initial=0)))
            np.testing.assert_allclose(found[name], array, rtol=0, atol=atol, err_msg=f"{how}: {name}", strict=True)
        else:
            np.testing.assert_array_equal(found[name], array, err_msg=f"{how}: {name}", strict=True)


def test_every_format_is_here() -> None:
    assert set(all_formats()) - set(CHOSEN) - set(NO_MODEL) == set(), "no row with the verdict passed in a zoo.toml"
    known = {row.name for row in zoo.rows()}
    assert {*QUICK.values(), *NATIVE} - known == set()


@pytest.mark.parametrize("name", CHOSEN)
def test_what_is_served_is_what_the_model_gives(name: str, running: Running, tmp_path: Path) -> None:
    row = CHOSEN[name]
    form = all_formats()[row.format]
    for needed in {form.environment, form.native if row.verdict == "native" else "", *form.judges} - {"", "base"}:
        environment(needed)
    version = running.wait(name, 1, "AVAILABLE", WAIT_S)
    assert version["verdict"] == row.verdict
    api.convert(
        running.repository / name / "1", tmp_path / "made", verify=False, to="native" if row.verdict == "native" else ""
    )
    with api.load(tmp_path / "made") as model:
        signature, inputs = model.signature, asked(model.signature)
        expected = model.run(inputs)
    expected = {spec.name: expected[spec.name] for spec in signature.outputs}
    for ask in (over_rest, over_grpc, over_kserve):
        same(ask(running, name, inputs, signature), expected, ask.__name__)
