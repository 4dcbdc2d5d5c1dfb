"""The table of models, states and verdicts that a person at a terminal sees."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.logs import escape
from gateway.serving.predict import ModelStatus

HEAD = ("MODEL", "VERSION", "STATE", "VERDICT", "REASON")
REASON_WIDTH = 90


def table(models: Sequence[ModelStatus]) -> str:
    """One line a version, newest first under each model."""
    rows = [
        (model.name, str(v.version), v.state.value, v.verdict or "-", escape(v.reason)[:REASON_WIDTH])
        for model in models
        for v in model.versions
    ]
    if not rows:
        return "no models yet: drop one into the repository"
    widths = [max(len(row[i]) for row in (HEAD, *rows)) for i in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in (HEAD, *rows))
