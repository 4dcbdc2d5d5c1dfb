"""HandleReloadConfigRequest over gRPC: what reaches the sources, what is refused, and the counters it reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from gateway.config import Settings, Tfserving
from gateway.core.policy import Versions
from gateway.errors import DeadlineExceeded, GatewayError, LabelUnavailable, ModelExists, ModelNotReady
from gateway.protocols.pool import message
from gateway.serving.control import Wanted
from tests.protocols.double import Running, running
from tests.protocols.test_tfs_rest import ask

METHOD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
Request = message("tensorflow.serving.ReloadConfigRequest")
Response = message("tensorflow.serving.ReloadConfigResponse")
C = grpc.StatusCode


@pytest.fixture(scope="module")
def servers() -> Iterator[Running]:
    with running() as live:
        yield live


@pytest.fixture(scope="module")
def channel(servers: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(servers.addresses["grpc"]) as made:
        yield made


def reload(channel: grpc.Channel, request: Any) -> Any:
    return Response.FromString(channel.unary_unary(METHOD)(request.SerializeToString(), timeout=10))


def listing(*rows: tuple[str, str]) -> Any:
    made = Request()
    made.config.model_config_list.SetInParent()
    for name, path in rows:
        made.config.model_config_list.config.add(name=name, base_path=path, model_platform="tensorflow")
    return made


def test_the_list_reaches_the_sources(servers: Running, channel: grpc.Channel) -> None:
    given = listing(("a", "/models/a"), ("b", "/models/b"))
    given.config.model_config_list.config[0].model_version_policy.all.SetInParent()
    given.config.model_config_list.config[0].version_labels["stable"] = 7
    response = reload(channel, given)
    assert response.HasField("status")
    assert (response.status.error_code, response.status.error_message, len(response.metric)) == (0, "", 0)
    first = Wanted("a", "reload", "/models/a", versions=Versions(all=True), labels={"stable": 7})
    assert servers.control.calls[-1] == ("reload", [first, Wanted("b", "reload", "/models/b")])
    reload(channel, listing())
    assert servers.control.calls[-1] == ("reload", []), "an empty list unloads all"


def test_counters_that_were_asked_for(servers: Running, channel: grpc.Channel) -> None:
    name = "/tensorflow/serving/request_count"
    given = listing()
    given.metric_names.extend([name, "/unknown", name])
    assert [(m.name, m.int64_value_increase) for m in reload(channel, given).metric] == [(name, 0), ("/unknown", 0)]


def without_config() -> Any:
    return Request()


def custom() -> Any:
    made = Request()
    made.config.custom_model_config.type_url = "x"
    return made


ONLY = "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported"
REFUSED: dict[str, tuple[Callable[[], Any], GatewayError | None, grpc.StatusCode, str]] = {
    "no config": (without_config, None, C.INVALID_ARGUMENT, ONLY),
    "a custom config": (custom, None, C.INVALID_ARGUMENT, ONLY),
    "a name twice": (
        lambda: listing(("a", "/a"), ("a", "/b")),
        None,
        C.INVALID_ARGUMENT,
        "Illegal to list model a multiple times in config list",
    ),
    "a relative base path": (
        lambda: listing(("a", "a")),
        None,
        C.INVALID_ARGUMENT,
        "Expected model a to have an absolute path or URI; got base_path()=a",
    ),
    "a name of another source": (listing, ModelExists("'a' is served already."), C.ALREADY_EXISTS, "'a' is served"),
    "a label for what does not serve": (
        listing,
        LabelUnavailable("Request to assign label to version 2 of model a, which is not currently"),
        C.FAILED_PRECONDITION,
        "Request to assign label to version 2",
    ),
    "a new model that fails": (
        listing,
        ModelNotReady("1 servable(s) did not become available: {{a due to error: x}}"),
        C.UNAVAILABLE,
        "1 servable(s) did not become available: {{a due to error: x}}",
    ),
    "not within the deadline": (listing, DeadlineExceeded("late"), C.DEADLINE_EXCEEDED, "late"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(servers: Running, channel: grpc.Channel, case: tuple[Any, Any, Any, str]) -> None:
    make, error, code, text = case
    before = len(servers.control.calls)
    servers.control.error = error
    with pytest.raises(grpc.RpcError) as caught:
        reload(channel, make())
    assert (caught.value.code(), caught.value.details()[: len(text)]) == (code, text)
    assert len(servers.control.calls) == before + (error is not None), "what is malformed reaches nobody"


# -- the metrics under the original's names ------------------------------------------------------


def test_metrics_have_the_originals_names_and_count_its_calls() -> None:
    with running() as servers:
        predict = message("tensorflow.serving.PredictRequest")()
        predict.model_spec.name = "id_float32"
        predict.inputs["x"].dtype = 1
        predict.inputs["x"].tensor_shape.SetInParent()
        predict.inputs["x"].float_val.append(1.0)
        with grpc.insecure_channel(servers.addresses["grpc"]) as channel:
            for _ in range(2):
                channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(predict.SerializeToString())
        ask(servers, "POST", "/v1/models/regressor:regress", b'{"examples": [{"x": [1, 2]}, {"x": [1, 2]}]}')
        ask(servers, "POST", "/v1/models/regressor:regress", b"{}")
        ask(servers, "POST", '/v1/models/made"up:predict', b'{"instances": [1]}')
        answer = ask(servers, "GET", "/monitoring/prometheus/metrics")
    lines = answer.body.decode().splitlines()
    assert answer.headers["content-type"] == "text/plain"
    for line in (
        "# TYPE :tensorflow:serving:request_count counter",
        ':tensorflow:serving:request_count{model_name="id_float32",status="OK"} 2',
        ':tensorflow:serving:request_count{model_name="regressor",status="OK"} 1',
        ':tensorflow:serving:request_count{model_name="",status="INVALID_ARGUMENT"} 1',
        ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"} 1',
        "# TYPE :tensorflow:serving:request_latency histogram",
        ':tensorflow:serving:request_latency_count{model_name="id_float32",API="Predict",entrypoint="GRPC"} 2',
        ':tensorflow:serving:request_latency_count{model_name="regressor",API="regress",entrypoint="REST"} 1',
        ':tensorflow:serving:runtime_latency_count{model_name="id_float32",API="Predict",runtime="gateway"} 2',
        ':tensorflow:serving:request_example_count_total{model="regressor"} 2',
        ':tensorflow:serving:request_example_counts_bucket{model="regressor",le="1"} 0',
        ':tensorflow:serving:request_example_counts_bucket{model="regressor",le="2"} 1',
    ):
        assert line in lines
    start = ':tensorflow:serving:request_latency_bucket{model_name="id_float32",API="Predict",entrypoint="GRPC",le='
    limits = [line.removeprefix(start).split('"')[1] for line in lines if line.startswith(start)]
    assert limits[:4] + limits[-1:] == ["10", "18", "32.4", "58.32", "+Inf"]
    assert len(limits) == 34
    assert not [line for line in lines if "made" in line], "a stranger's text is no label"
    slow = [line for line in lines if 'model_name=""' in line and "request_count" not in line]
    assert slow == [], "calls that failed have no latency"


# -- CORS ----------------------------------------------------------------------------------------


def test_cors_headers_are_there_when_they_are_asked_for() -> None:
    origin = {"Origin": "https://example.com"}
    with running(Settings(tfserving=Tfserving(cors=True))) as servers:
        for method, path, status in (
            ("OPTIONS", "/v1/models/flat:predict", 200),
            ("GET", "/v1/models/flat", 200),
            ("GET", "/v1/models/nobody", 404),
        ):
            answer = ask(servers, method, path, None, origin)
            assert answer.status == status
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["access-control-allow-methods"] == "POST, GET"
            assert answer.headers["access-control-allow-headers"] == "Content-Type"
    with running() as servers:
        assert "access-control-allow-origin" not in ask(servers, "GET", "/v1/models/flat", None, origin).headers


def test_tensor_content_instead_of_typed_values() -> None:
    with (
        running(Settings(tfserving=Tfserving(tensor_content=True))) as servers,
        grpc.insecure_channel(servers.addresses["grpc"]) as ch,
    ):
        predict = message("tensorflow.serving.PredictRequest")()
        predict.model_spec.name = "id_float32"
        predict.inputs["x"].dtype = 1
        predict.inputs["x"].float_val.append(1.0)
        answer = ch.unary_unary("/tensorflow.serving.PredictionService/Predict")(predict.SerializeToString())
    output = message("tensorflow.serving.PredictResponse").FromString(answer).outputs["y"]
    assert (output.tensor_content, list(output.float_val)) == (b"\x00\x00\x80\x3f", [])
