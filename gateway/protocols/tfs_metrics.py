"""TensorFlow Serving's own metrics, under its names, in its text: what dashboards of its users ask for.

    :tensorflow:serving:request_count{model_name,status}
    :tensorflow:serving:request_latency{model_name,API,entrypoint}         microseconds, of calls that went well
    :tensorflow:serving:runtime_latency{model_name,API,runtime}            microseconds, queue and run
    :tensorflow:serving:request_example_counts{model}, request_example_count_total{model}

Rule 1: only calls of its dialect are counted: the gateway's metrics page has all.
Rule 2: `model_name` is "" for a model that does not exist, so that strangers cannot grow the page.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

PREFIX = "/tensorflow/serving/"
DEFAULT_PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = "text/plain"
LATENCY_US = tuple(10.0 * 1.8**power for power in range(33))
EXAMPLES = tuple(2.0**power for power in range(15))
RUNTIME = "gateway"

Labels = tuple[str, ...]


class _Histogram:
    def __init__(self, limits: Sequence[float]) -> None:
        self.limits = limits
        self.counts = [0] * (len(limits) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.limits, value)] += 1
        self.total += value


class TfsMetrics:
    """Counts of one gateway; lives in the event loop."""

    def __init__(self) -> None:
        self._requests: dict[Labels, int] = {}
        self._examples: dict[Labels, int] = {}
        self._latency: dict[Labels, _Histogram] = {}
        self._runtime: dict[Labels, _Histogram] = {}
        self._example_counts: dict[Labels, _Histogram] = {}

    def request(
        self, *, model: str, api: str, entrypoint: str, code: str, seconds: float, run_s: float = 0.0, examples: int = 0
    ) -> None:
        """Once a call. `api` is Predict, Classify ... over gRPC and predict, classify ... over REST."""
        self._requests[model, code] = self._requests.get((model, code), 0) + 1
        if code != "OK":
            return
        _observe(self._latency, (model, api, entrypoint), seconds * 1e6, LATENCY_US)
        if run_s:
            _observe(self._runtime, (model, api, RUNTIME), run_s * 1e6, LATENCY_US)
        if examples:
            self._examples[(model,)] = self._examples.get((model,), 0) + examples
            _observe(self._example_counts, (model,), float(examples), EXAMPLES)

    def value(self, name: str) -> int:
        """A counter by its name with slashes, its first point as the original takes it; 0 when there is none."""
        counters = {"request_count": self._requests, "request_example_count_total": self._examples}
        found = counters.get(name.removeprefix(PREFIX), {}) if name.startswith(PREFIX) else {}
        return next(iter(found.values()), 0)

    def page(self) -> tuple[str, bytes]:
        """(content type, body) of a scrape."""
        lines = [
            *_scalars("request_count", ("model_name", "status"), self._requests),
            *_histograms("request_example_counts", ("model",), self._example_counts),
            *_scalars("request_example_count_total", ("model",), self._examples),
            *_histograms("request_latency", ("model_name", "API", "entrypoint"), self._latency),
            *_histograms("runtime_latency", ("model_name", "API", "runtime"), self._runtime),
        ]
        return CONTENT_TYPE, ("\n".join(lines) + "\n").encode()


def _observe(found: dict[Labels, _Histogram], labels: Labels, value: float, limits: Sequence[float]) -> None:
    if labels not in found:
        found[labels] = _Histogram(limits)
    found[labels].add(value)


def _name(name: str) -> str:
    return PREFIX.replace("/", ":") + name


def _labels(names: Labels, values: Labels) -> str:
    def quoted(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"')

    return ",".join(f'{name}="{quoted(value)}"' for name, value in zip(names, values, strict=True))


def _scalars(name: str, names: Labels, points: dict[Labels, int]) -> Iterable[str]:
    if points:
        yield f"# TYPE {_name(name)} counter"
    for values, count in points.items():
        yield f"{_name(name)}{{{_labels(names, values)}}} {count}"


def _histograms(name: str, names: Labels, points: dict[Labels, _Histogram]) -> Iterable[str]:
    if points:
        yield f"# TYPE {_name(name)} histogram"
    for values, point in points.items():
        labels, running = _labels(names, values), 0
        for at, count in enumerate(point.counts):
            running += count
            limit = f"{point.limits[at]:g}" if at < len(point.limits) else "+Inf"
            yield f'{_name(name)}_bucket{{{labels},le="{limit}"}} {running}'
        yield f"{_name(name)}_sum{{{labels}}} {point.total:g}"
        yield f"{_name(name)}_count{{{labels}}} {running}"
