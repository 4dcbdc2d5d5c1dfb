"""Trace and log settings of Triton, over what the gateway has: its log.

A traced request is a line in the gateway's log with its start, end and duration; nothing is
written to a file that a client names. Log settings turn the gateway's own levels.

Rule 1: what would not be done is refused, not remembered: another trace mode, tensors in a
        trace, a log file, a log format.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.names import did_you_mean
from gateway.errors import InvalidRequest, UnsupportedType
from gateway.serving.predict import Lease

log = logging.getLogger("gateway.trace")

Value = str | Sequence[str] | None

DEFAULTS = {"trace_level": "OFF", "trace_rate": 1000, "trace_count": -1, "log_frequency": 0}
_LEVELS = ("OFF", "TIMESTAMPS")
_FIXED = {"trace_file": "", "trace_mode": "triton"}
_FLAGS = ("log_info", "log_warning", "log_error")


class Tracer:
    """Trace settings: global ones, and those of single models, which inherit what they do not say."""

    def __init__(self) -> None:
        self._global: dict[str, Any] = dict(DEFAULTS)
        self._of: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, int] = {}
        self._on = False

    def settings(self, model: str = "") -> dict[str, Any]:
        """In Triton's form: numbers are text."""
        found = {**self._global, **self._of.get(model, {})}
        return {
            "trace_level": [found["trace_level"]],
            "trace_rate": str(found["trace_rate"]),
            "trace_count": str(found["trace_count"]),
            "log_frequency": str(found["log_frequency"]),
            **_FIXED,
        }

    def update(self, given: Mapping[str, Value], model: str = "") -> None:
        """None returns a setting to the global one (or its default). Errors: InvalidRequest, UnsupportedType."""
        changes = {key: self._read(key, value) for key, value in given.items()}
        target = self._of.setdefault(model, {}) if model else self._global
        for key, value in changes.items():
            if key in _FIXED:
                continue
            if value is not None:
                target[key] = value
            elif model:
                target.pop(key, None)
            else:
                target[key] = DEFAULTS[key]
        self._on = any(one.get("trace_level") == "TIMESTAMPS" for one in (self._global, *self._of.values()))
        self._seen.clear()

    def _read(self, key: str, value: Value) -> Any:
        known = (*DEFAULTS, *_FIXED)
        if key not in known:
            raise InvalidRequest(f"unknown trace setting '{key[:64]}'.{did_you_mean(key, known)}")
        if value is None:
            return None
        texts = [value] if isinstance(value, str) else list(value)
        if key == "trace_file" and texts != [""]:
            raise UnsupportedType(
                "trace file location can not be updated through network protocol",
                hint="Traces go to the gateway's log.",
            )
        if key == "trace_mode" and texts != ["triton"]:
            raise UnsupportedType(f"trace mode '{texts[0][:64]}' is not served, only 'triton'.")
        if key in _FIXED:
            return None
        if key == "trace_level":
            return self._level(texts)
        low = -1 if key == "trace_count" else 0
        try:
            number = int(texts[0]) if len(texts) == 1 else low - 1
        except ValueError:
            number = low - 1
        if number < low or number >= 1 << 31:
            raise InvalidRequest(f"Unable to parse '{key}', got: {', '.join(texts)[:64]}")
        return max(number, 1) if key == "trace_rate" else number

    def _level(self, texts: Sequence[str]) -> str:
        if "TENSORS" in texts:
            raise UnsupportedType("trace level TENSORS is not served.", hint="TIMESTAMPS is.")
        unknown = [text for text in texts if text not in (*_LEVELS, "MIN", "MAX")]
        if unknown or not texts:
            raise InvalidRequest(f"unknown trace level '{', '.join(unknown)[:64]}', expected {' or '.join(_LEVELS)}.")
        return "OFF" if "OFF" in texts else "TIMESTAMPS"

    def traced(self, lease: Lease, request: str, started_ns: int, ended_ns: int) -> None:
        """A request was answered: a line in the log, if its turn has come."""
        if not self._on:
            return
        found = {**self._global, **self._of.get(lease.model, {})}
        if found["trace_level"] == "OFF" or found["trace_count"] == 0:
            return
        seen = self._seen[lease.model] = self._seen.get(lease.model, 0) + 1
        if seen % found["trace_rate"]:
            return
        if found["trace_count"] > 0:
            self._of.setdefault(lease.model, {})["trace_count"] = found["trace_count"] - 1
        log.warning(  # at a level that is on by default: who asks for traces means to see them
            "trace: %s version %d, request %r: %d to %d ns, %.1f us",
            lease.model,
            lease.version,
            request,
            started_ns,
            ended_ns,
            (ended_ns - started_ns) / 1e3,
            extra={"model": lease.model, "version": lease.version, "seconds": (ended_ns - started_ns) / 1e9},
        )


class LogSettings:
    """Triton's log switches over the level of the logger `gateway`."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("gateway")
        self._flags = {"log_info": True, "log_warning": True, "log_error": True}
        self._verbose = 0

    def settings(self) -> dict[str, Any]:
        return {"log_file": "", **self._flags, "log_verbose_level": self._verbose, "log_format": "default"}

    def update(self, given: Mapping[str, Any]) -> None:
        """Errors: InvalidRequest, UnsupportedType; then nothing has changed."""
        flags, verbose = dict(self._flags), self._verbose
        known = ("log_file", *_FLAGS, "log_verbose_level", "log_format")
        for key, value in given.items():
            if key not in known:
                raise InvalidRequest(f"unknown log setting '{key[:64]}'.{did_you_mean(key, known)}")
            if key in _FLAGS:
                if not isinstance(value, bool):
                    raise InvalidRequest(f"{key} is {value!r:.64}, expected true or false.")
                flags[key] = value
            elif key == "log_verbose_level":
                if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                    raise InvalidRequest(f"{key} is {value!r:.64}, expected a whole number of 0 or more.")
                verbose = value
            elif key == "log_file" and value != "":
                raise UnsupportedType("log file location can not be updated through network protocol")
            elif key == "log_format" and value != "default":
                raise UnsupportedType(
                    f"invalid argument for log_format, got: {value!r:.64}",
                    hint="The form of the log is the setting `log` (json or text), read at start.",
                )
        wanted = (flags["log_info"], flags["log_warning"], flags["log_error"])
        if wanted not in _LEVEL_OF:
            raise UnsupportedType(
                "a level cannot be off while a lesser one is on.",
                hint="Turn off log_info, then log_warning, then log_error.",
            )
        self._flags, self._verbose = flags, verbose
        self._logger.setLevel(logging.DEBUG if verbose else _LEVEL_OF[wanted])


_LEVEL_OF = {
    (True, True, True): logging.INFO,
    (False, True, True): logging.WARNING,
    (False, False, True): logging.ERROR,
    (False, False, False): logging.CRITICAL,
}
