"""The OpenAPI document is true: each of its operations is answered, each route is in it, and the file is current."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.protocols import openapi
from gateway.protocols.access import Scope
from gateway.protocols.http import Request
from tests.protocols.double import Running, running
from tests.protocols.test_tfs_rest import ask

ROOT = Path(__file__).parent.parent.parent
GIVEN = {"model": "flat", "version": "1", "label": "stable", "region": "r"}
ROWS = openapi.operations()


@pytest.fixture(scope="module")
def servers() -> Iterator[Running]:
    with running() as live:
        yield live


def path_of(row: openapi.Operation) -> str:
    return re.sub(r"{(\w+)}", lambda match: GIVEN[match[1]], row.path)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_each_operation_is_answered_as_it_says(servers: Running, row: openapi.Operation) -> None:
    body = b"{}" if row.method in ("POST", "PUT") else None
    answer = ask(servers, row.method, path_of(row), body, {"Content-Type": "application/json"}, row.port)
    assert answer.status in (*row.ok, *row.answers), answer.body
    assert b"Nothing is served at" not in answer.body
    assert answer.headers["content-type"].startswith(row.result_type if answer.status in row.ok else openapi.JSON)


def test_each_route_is_in_it(servers: Running) -> None:
    """Every route of the HTTP port has an operation whose path and method it would take, with the scope it says."""
    found = 0
    for listener in servers.servers.listeners():
        if listener.app is None:
            continue
        port = listener.name
        for route in listener.app.routes:
            mine = [
                row
                for row in ROWS
                if (row.port == port or port in ("http", "admin"))
                and route.path.fullmatch(path_of(row))
                and (not route.methods or row.method in route.methods)
            ]
            assert mine, f"{port}: no operation for {route.path.pattern} {route.methods}"
            for row in mine:
                first = next(r for r in listener.app.routes if r.path.fullmatch(path_of(row)) and takes(r, row.method))
                request = Request(row.method, path_of(row), b"", {}, b"", "")
                assert first.scope_of(request) is row.scope, row.id
            found += 1
    assert found > 40


def takes(route: object, method: str) -> bool:
    methods = getattr(route, "methods")  # noqa: B009
    return not methods or method in methods


def test_ids_are_unique() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)


def test_nothing_that_changes_something_is_open() -> None:
    assert [row.id for row in ROWS if row.method in ("PUT", "DELETE", "PATCH") and row.scope is not Scope.MANAGE] == []
    assert [row.id for row in ROWS if row.scope is Scope.OPEN and row.method != "GET"] == []


def test_the_file_is_what_is_served(servers: Running) -> None:
    spec = importlib.util.spec_from_file_location("openapi_page", ROOT / "tools" / "openapi_page.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.PAGE.read_bytes() == page.render(), "run .venv/bin/python tools/openapi_page.py"
    assert json.loads(ask(servers, "GET", "/openapi.json").body) == json.loads(page.render())


def test_the_index(servers: Running) -> None:
    found = json.loads(ask(servers, "GET", "/").body)
    assert found["product"] == "Model Gateway"
    assert "POST /predictions/{model}" in found["routes"]
    page = ask(servers, "GET", "/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert b"<a href=/api/v1/models/half_plus_two>half_plus_two</a>" in page.body
    assert b"<script" not in page.body
    assert ask(servers, "GET", "/", headers={"Accept": "application/json, text/html;q=0.5"}).body[:1] == b"{"
