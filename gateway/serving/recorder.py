"""What is kept of each request: its metrics, and a log line when it did not go well."""

from __future__ import annotations

import logging

from gateway.serving.metrics import Metrics

log = logging.getLogger("gateway.requests")

OURS = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS"})
"""Codes that are a fault of the gateway or of a model, not of the caller: they are warnings."""


class Recorder:
    """Implements serving.observe.Observe."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def request(
        self, *, protocol: str, model: str, version: int | None, code: str, seconds: float, request_id: str
    ) -> None:
        self._metrics.request(protocol=protocol, model=model, version=version, code=code, seconds=seconds)
        level = logging.DEBUG if code == "OK" else logging.WARNING if code in OURS else logging.INFO
        if log.isEnabledFor(level):
            log.log(
                level,
                "%s request: %s",
                protocol,
                code,
                extra={
                    "model": model or None,
                    "version": version,
                    "protocol": protocol,
                    "code": code,
                    "seconds": round(seconds, 6),
                    "request_id": request_id,
                },
            )
