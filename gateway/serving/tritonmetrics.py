"""Triton's names for what is counted, so that dashboards and autoscalers made for it go on working.

Rule 1: only what is true here: no nv_gpu_*, no cache, no pinned memory. Durations are whole
        microseconds, as there.
Rule 2: the text is written by hand: prometheus_client ends every counter's name in `_total`,
        and these have no such end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from gateway.serving.statistics import Statistics

_COUNTERS: tuple[tuple[str, str, Callable[[Statistics], int]], ...] = (
    ("request_success", "Successful inference requests, all batch sizes", lambda s: s.success.count),
    ("count", "Inferences performed: a batch of n counts n", lambda s: s.rows),
    ("exec_count", "Executions of the model", lambda s: s.runs),
    ("request_duration_us", "Cumulative duration of requests", lambda s: s.success.ns // 1000),
    ("queue_duration_us", "Cumulative time of requests in the queue", lambda s: s.queue.ns // 1000),
    ("compute_input_duration_us", "Cumulative time of joining inputs", lambda s: s.input.ns // 1000),
    ("compute_infer_duration_us", "Cumulative time in the model", lambda s: s.infer.ns // 1000),
    ("compute_output_duration_us", "Cumulative time of cutting outputs apart", lambda s: s.output.ns // 1000),
)


def page(statistics: Mapping[tuple[str, int], Statistics], pending: Mapping[str, int]) -> bytes:
    """nv_inference_* of every version that has served; `pending` are waiting requests by model."""
    lines: list[str] = []
    found = sorted(statistics.items())
    for name, text, value in _COUNTERS:
        lines += _family(name, text, "counter", ((_labels(*key), value(one)) for key, one in found))
    lines += _family(
        "request_failure",
        "Failed inference requests, all batch sizes",
        "counter",
        ((_labels(*key, reason=reason), failed.count) for key, one in found for reason, failed in one.failures.items()),
    )
    newest = dict(sorted(statistics))
    lines += _family(
        "pending_request_count",
        "Requests waiting for an execution now, all versions of the model together",
        "gauge",
        ((_labels(model, version), pending.get(model, 0)) for model, version in newest.items()),
    )
    return "".join(line + "\n" for line in lines).encode()


def _family(name: str, text: str, kind: str, samples: Iterable[tuple[str, int]]) -> list[str]:
    full = f"nv_inference_{name}"
    rows = [f"{full}{{{labels}}} {value}" for labels, value in samples]
    return [f"# HELP {full} {text}", f"# TYPE {full} {kind}", *rows] if rows else []


def _labels(model: str, version: int, reason: str = "") -> str:
    """Names of models are letters, digits, '.', '_' and '-': nothing needs escaping."""
    return f'model="{model}",' + (f'reason="{reason}",' if reason else "") + f'version="{version}"'
