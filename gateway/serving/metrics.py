"""What Prometheus sees. The registry is an object, not a global: two gateways in one test have two.

Rule 1: a label's value comes from a model that exists, never from a client's text: requests for
        unknown models count under model="".
Rule 2: durations are seconds, sizes bytes, names end in their unit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from gateway.core.version import State
from gateway.serving.predict import ModelStatus
from gateway.serving.statistics import Statistics
from gateway.serving.tritonmetrics import page as triton_page
from gateway.serving.tsmetrics import page as torchserve_page

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CONVERSION_SECONDS = (0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters and histograms of one gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = Counter(
            "model_gateway_requests",
            "Requests answered, by canonical code (OK, INVALID_ARGUMENT ...).",
            ("model", "version", "protocol", "code"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "model_gateway_request_seconds",
            "From the last byte of a request to the first of its answer.",
            ("model", "version", "protocol"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._rows = Histogram(
            "model_gateway_batch_rows",
            "Rows of one run.",
            ("model", "version"),
            buckets=ROWS,
            registry=self.registry,
        )
        self._queued = Histogram(
            "model_gateway_queue_seconds",
            "Longest wait of a request in one run.",
            ("model", "version"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._steps = Histogram(
            "model_gateway_pipeline_step_seconds",
            "One step of a pipeline, with what it waits for in a member's queue.",
            ("model", "version", "step"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._conversions = Histogram(
            "model_gateway_conversion_seconds",
            "From settled files to a verdict, by outcome (a verdict, or the class of the error).",
            ("model", "format", "outcome"),
            buckets=CONVERSION_SECONDS,
            registry=self.registry,
        )
        self._scan_failures = Counter(
            "model_gateway_scan_failures",
            "Scans of the repository that could not read it.",
            registry=self.registry,
        )
        self._worker_deaths = Counter(
            "model_gateway_worker_deaths",
            "Worker processes that died under a served model.",
            ("model",),
            registry=self.registry,
        )
        self._sandbox = Gauge(
            "model_gateway_sandbox_level",
            "How tightly conversions and workers are held, 0 to 3; -1 until it has been tried.",
            registry=self.registry,
        )
        self._sandbox.set(-1)
        self.scanned_at: float | None = None
        self._statistics: dict[tuple[str, int], Statistics] = {}
        self._pending: Callable[[], dict[str, int]] = dict

    def request(self, *, protocol: str, model: str, version: int | None, code: str, seconds: float) -> None:
        """Once a request. `model` is "" when it does not exist."""
        number = "" if version is None else str(version)
        self._requests.labels(model, number, protocol, code).inc()
        self._seconds.labels(model, number, protocol).observe(seconds)

    def batch_observer(self, model: str, version: int) -> Callable[[int, float], None]:
        """Called once a run: the label lookups are done here, once a model."""
        rows = self._rows.labels(model, str(version))
        queued = self._queued.labels(model, str(version))

        def observe(count: int, waited_s: float) -> None:
            rows.observe(count)
            queued.observe(waited_s)

        return observe

    def statistics(self, model: str, version: int) -> Statistics:
        """Of a version that exists; made when first asked for, kept until `forget`."""
        return self._statistics.setdefault((model, version), Statistics())

    def step(self, model: str, version: int, step: str, seconds: float) -> None:
        """One step of a pipeline that went well."""
        self._steps.labels(model, str(version), step).observe(seconds)

    def conversion(self, *, model: str, source_format: str, outcome: str, seconds: float) -> None:
        self._conversions.labels(model, source_format, outcome).observe(seconds)

    def scanned(self, ok: bool) -> None:
        if ok:
            self.scanned_at = time.monotonic()
        else:
            self._scan_failures.inc()

    def sandbox(self, level: int) -> None:
        self._sandbox.set(level)

    def worker_died(self, model: str) -> None:
        self._worker_deaths.labels(model).inc()

    def forget(self, model: str, version: int) -> None:
        """A version is gone: its histograms go too, so that a long life does not grow without bound."""
        for metric in (self._rows, self._queued, self._steps):
            metric.remove_by_labels({"model": model, "version": str(version)})
        self._statistics.pop((model, version), None)

    def watch(self, models: Callable[[], Sequence[ModelStatus]], queued: Callable[[], dict[str, int]]) -> None:
        """Let a scrape read states and queues from their owner."""
        self._pending = queued
        self.registry.register(_Served(self, models, queued))

    def page(self) -> tuple[str, bytes]:
        """(content type, body) of a scrape."""
        aliases = triton_page(self._statistics, self._pending()) + torchserve_page(self._statistics, self._codes())
        return CONTENT_TYPE_LATEST, generate_latest(self.registry) + aliases

    def _codes(self) -> dict[str, float]:
        """Requests of multi-model-server's dialect by canonical code."""
        found: dict[str, float] = {}
        for metric in self._requests.collect():
            for sample in metric.samples:
                if sample.name.endswith("_total") and sample.labels["protocol"] == "mms-rest":
                    found[sample.labels["code"]] = found.get(sample.labels["code"], 0.0) + sample.value
        return found


class _Served(Collector):
    """Read at each scrape, so that it cannot drift from the truth."""

    def __init__(
        self, metrics: Metrics, models: Callable[[], Sequence[ModelStatus]], queued: Callable[[], dict[str, int]]
    ) -> None:
        self._metrics, self._models, self._queued = metrics, models, queued

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        states = GaugeMetricFamily(
            "model_gateway_version_state", "1 for the state a version is in.", labels=("model", "version", "state")
        )
        verdicts = GaugeMetricFamily(
            "model_gateway_version_verdict",
            "1 for the verdict of a version's verification.",
            labels=("model", "version", "verdict"),
        )
        for model in self._models():
            for version in model.versions:
                for state in State:
                    states.add_metric((model.name, str(version.version), state.value), float(state is version.state))
                if version.verdict:
                    verdicts.add_metric((model.name, str(version.version), version.verdict), 1.0)
        waiting = GaugeMetricFamily("model_gateway_queue_requests", "Requests waiting for a run.", labels=("model",))
        for name, count in self._queued().items():
            waiting.add_metric((name,), float(count))
        age = GaugeMetricFamily(
            "model_gateway_scan_age_seconds", "Since the repository was last read whole; -1 before the first time."
        )
        scanned_at = self._metrics.scanned_at
        age.add_metric((), -1.0 if scanned_at is None else time.monotonic() - scanned_at)
        return (states, verdicts, waiting, age)
