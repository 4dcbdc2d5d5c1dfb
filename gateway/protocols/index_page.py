"""GET /: what is here, as JSON or, for browsers, as one small page without scripts.

Rule 1: every name is escaped; nothing is loaded from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from gateway import __version__
from gateway.protocols.http import Headers
from gateway.protocols.openapi import Operation
from gateway.serving.predict import ModelStatus

HTML = b"text/html; charset=utf-8"
SAFE: Headers = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"vary", b"accept"),
)
_QUALITY = re.compile(r";\s*q=([0-9.]+)")
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}
code{font-size:.9em}h2{margin-top:2rem}.AVAILABLE{color:#161}.FAILED{color:#a11}"""


def wants_html(accept: bytes) -> bool:
    """Whether text/html is named and not liked less than JSON."""
    likes = {"text/html": 0.0, "application/json": 0.0}
    for item in accept.decode("latin-1").lower().split(","):
        name = item.partition(";")[0].strip()
        if name in likes:
            match = _QUALITY.search(item)
            likes[name] = float(match[1]) if match and re.fullmatch(r"[0-9](\.[0-9]{0,3})?", match[1]) else 1.0
    return likes["text/html"] > 0 and likes["text/html"] >= likes["application/json"]


def as_json(rows: Sequence[Operation]) -> dict[str, Any]:
    routes = {f"{row.method} {row.path}": row.summary for row in rows}
    return {"product": "Model Gateway", "version": __version__, "openapi": "/openapi.json", "routes": routes}


def as_html(rows: Sequence[Operation], models: Sequence[ModelStatus]) -> bytes:
    lines = "".join(
        f"<tr><td><code>{row.method} {escape(row.path)}</code></td><td>{escape(row.summary)}</td></tr>" for row in rows
    )
    served = "".join(_model(model) for model in models) or "<tr><td>none yet: drop one into the repository</td></tr>"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Model Gateway</title>"
        f"<style>{_STYLE}</style><h1>Model Gateway {escape(__version__)}</h1>"
        f"<h2>Models</h2><table>{served}</table>"
        f"<h2>HTTP on this port</h2><p>As data: <a href=/openapi.json>openapi.json</a>.</p><table>{lines}</table>"
    ).encode()


def _model(model: ModelStatus) -> str:
    versions = "<br>".join(
        f"version {v.version}: <b class={v.state.value}>{v.state.value}</b> {escape(v.verdict)} {escape(v.reason)}"
        for v in model.versions
    )
    return f"<tr><td><a href=/api/v1/models/{escape(model.name)}>{escape(model.name)}</a></td><td>{versions}</td></tr>"
