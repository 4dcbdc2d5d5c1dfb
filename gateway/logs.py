"""Logging: one JSON object a line, or readable lines at a terminal. Always on stderr.

Rule 1: what a client or a model file wrote is escaped: a log line is one line.
Rule 2: the fields model, version and request_id are there wherever they are known.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import orjson

FIELDS = ("model", "version", "state", "stage", "verdict", "protocol", "code", "request_id", "seconds")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        data: dict[str, Any] = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        data.update({name: value for name in FIELDS if (value := getattr(record, name, None)) is not None})
        if record.exc_info:
            data["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(data, default=str).decode()


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{stamp} {record.levelname.lower():7} {escape(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def escape(text: str) -> str:
    """Control characters as \\xNN, so that a file's or a client's text cannot forge lines or move the cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"


def configure(style: str, level: int = logging.INFO) -> None:
    """`style` is json, text, or auto: text at a terminal."""
    as_text = style == "text" or (style == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("asyncio", "uvicorn.error", "uvicorn.access", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
