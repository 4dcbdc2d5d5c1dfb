"""Writes docs/openapi.json: what GET /openapi.json of the HTTP port answers.

    .venv/bin/python tools/openapi_page.py

tests/protocols/test_openapi.py compares the file with what this would write.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from gateway.protocols import openapi

PAGE = Path(__file__).parent.parent / "docs" / "openapi.json"


def render() -> bytes:
    rows = [row for row in openapi.operations() if row.port != "metrics"]
    return orjson.dumps(openapi.document(rows), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    PAGE.write_bytes(render())
