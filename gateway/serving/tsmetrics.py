"""TorchServe's names for what is counted, so that dashboards made for it go on working.

Rule 1: only what is true here: no GPU and disk gauges, no QueueTime or HandlerTime of the last request.
Rule 2: the text is written by hand: prometheus_client ends every counter's name in `_total`, and
        two of these have no such end.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

from gateway.serving.statistics import Statistics

FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""gRPC codes that leave multi-model-server's dialect as 5xx; RESOURCE_EXHAUSTED is 503 there too."""


def page(statistics: Mapping[tuple[str, int], Statistics], codes: Mapping[str, float]) -> bytes:
    """ts_* of every version that has served; `codes` are requests of the dialect by canonical code."""
    host = socket.gethostname()
    found = sorted(statistics.items())

    def labels(model: str, version: int) -> str:
        return f'model_name="{model}",model_version="{version}",hostname="{host}"'

    lines = _family(
        "ts_inference_requests_total",
        "Inference requests that went well or failed in the model, all protocols",
        ((labels(*key), one.success.count + one.fail.count) for key, one in found),
    )
    lines += _family(
        "ts_inference_latency_microseconds",
        "Cumulative duration of requests, microseconds",
        ((labels(*key), one.success.ns // 1000) for key, one in found),
    )
    lines += _family(
        "ts_queue_latency_microseconds",
        "Cumulative time of requests in the queue, microseconds",
        ((labels(*key), one.queue.ns // 1000) for key, one in found),
    )
    faults = FAULTS | {"RESOURCE_EXHAUSTED"}
    classes = {
        "2XX": codes.get("OK", 0.0),
        "4XX": sum(count for code, count in codes.items() if code not in faults and code not in ("OK", "CANCELLED")),
        "5XX": sum(count for code, count in codes.items() if code in faults),
    }
    for name, count in classes.items():
        text = f"Answers of multi-model-server's dialect with a status of {name.lower()}"
        lines += _family(f"Requests{name}", text, [(f'Level="Host",Hostname="{host}"', int(count))])
    return "".join(line + "\n" for line in lines).encode()


def _family(name: str, text: str, samples: Iterable[tuple[str, int]]) -> list[str]:
    rows = [f"{name}{{{labels}}} {value}" for labels, value in samples]
    return [f"# HELP {name} {text}", f"# TYPE {name} counter", *rows] if rows else []


def only(text: bytes, names: frozenset[str]) -> bytes:
    """The families called `names`: what TorchServe's `?name[]=` asks for."""
    kept: list[bytes] = []
    keep = False
    for line in text.splitlines(keepends=True):
        if line.startswith(b"# HELP "):
            keep = line.split(b" ", 3)[2].decode() in names
        if keep:
            kept.append(line)
    return b"".join(kept)
