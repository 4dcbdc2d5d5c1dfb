"""TorchServe's metrics: its names and labels, only what happened, and its ?name[]= filter."""

from __future__ import annotations

import re
import socket

from gateway.serving.metrics import Metrics
from gateway.serving.statistics import Statistics, Sum
from gateway.serving.tsmetrics import only, page

HOST = socket.gethostname()


def statistics() -> dict[tuple[str, int], Statistics]:
    one = Statistics(success=Sum(5, 9_000_000), queue=Sum(5, 2_500_999))
    one.failures["BACKEND"].add(2, 10**9)
    return {("b", 2): one, ("a", 1): Statistics()}


def test_page() -> None:
    codes = {"OK": 5.0, "NOT_FOUND": 2.0, "INVALID_ARGUMENT": 1.0, "UNAVAILABLE": 3.0, "RESOURCE_EXHAUSTED": 1.0}
    text = page(statistics(), codes | {"CANCELLED": 7.0}).decode()
    labels = f'model_name="b",model_version="2",hostname="{HOST}"'
    assert f"ts_inference_requests_total{{{labels}}} 7\n" in text
    assert f"ts_inference_latency_microseconds{{{labels}}} 9000\n" in text
    assert f"ts_queue_latency_microseconds{{{labels}}} 2500\n" in text
    assert text.index('model_name="a"') < text.index('model_name="b"')
    for name, count in (("2XX", 5), ("4XX", 3), ("5XX", 4)):
        assert f'Requests{name}{{Level="Host",Hostname="{HOST}"}} {count}\n' in text
    assert len(re.findall(r"^# TYPE \S+ counter$", text, re.M)) == 6


def test_only() -> None:
    text = only(page(statistics(), {}), frozenset({"ts_queue_latency_microseconds"})).decode()
    assert re.findall(r"^# TYPE (\S+)", text, re.M) == ["ts_queue_latency_microseconds"]
    assert text.count("\n") == 4
    assert only(page(statistics(), {}), frozenset({"nothing"})) == b""


def test_only_this_dialects_requests_are_counted_by_status() -> None:
    metrics = Metrics()
    for protocol in ("mms-rest", "tfs-rest"):
        metrics.request(protocol=protocol, model="", version=None, code="NOT_FOUND", seconds=0.1)
    _, text = metrics.page()
    assert f'Requests4XX{{Level="Host",Hostname="{HOST}"}} 1\n'.encode() in text
