"""Every error class has its row, and nothing of the inside leaks."""

from __future__ import annotations

import logging

import pytest

from gateway import errors
from gateway.protocols.status import HTTP_OF, TABLE, Code, row_of, status_of


def every_class() -> list[type[errors.GatewayError]]:
    found, waiting = [], list(errors.GatewayError.__subclasses__())
    while waiting:
        cls = waiting.pop()
        if cls.__module__ == "gateway.errors" and not cls.__name__.startswith("_"):
            found.append(cls)
        waiting += cls.__subclasses__()
    return found


@pytest.mark.parametrize("kind", every_class(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_row(kind: type[errors.GatewayError]) -> None:
    assert row_of(kind) is not None, f"add {kind.__name__} to TABLE"


def test_the_root_has_none_so_that_a_new_branch_is_noticed() -> None:
    assert errors.GatewayError not in TABLE


ROWS = {  # error; gRPC code, HTTP status, text, Retry-After
    "malformed": (errors.InvalidRequest("no"), Code.INVALID_ARGUMENT, 400, "no", 0),
    "wrong tensor, with its hint": (errors.InvalidTensor("no", hint="Do."), Code.INVALID_ARGUMENT, 400, "no. Do.", 0),
    "a message that ends in a point": (
        errors.InvalidTensor("No.", hint="Do."),
        Code.INVALID_ARGUMENT,
        400,
        "No. Do.",
        0,
    ),
    "unknown label": (errors.UnknownLabel("no"), Code.INVALID_ARGUMENT, 400, "no", 0),
    "too large is not retried": (errors.TooLarge("no"), Code.INVALID_ARGUMENT, 413, "no", 0),
    "type not carried": (errors.UnsupportedType("no"), Code.UNIMPLEMENTED, 501, "no", 0),
    "no model": (errors.ModelNotFound("no"), Code.NOT_FOUND, 404, "no", 0),
    "no signature": (errors.UnknownSignature("no"), Code.FAILED_PRECONDITION, 400, "no", 0),
    "the name is taken": (errors.ModelExists("no"), Code.ALREADY_EXISTS, 409, "no", 0),
    "a label for what does not serve": (errors.LabelUnavailable("no"), Code.FAILED_PRECONDITION, 400, "no", 0),
    "not in this mode, and no retry helps": (errors.ControlForbids("no"), Code.UNAVAILABLE, 503, "no", 0),
    "not now": (errors.ModelNotReady("no"), Code.UNAVAILABLE, 503, "no", 1),
    "queue full": (errors.Overloaded("no"), Code.RESOURCE_EXHAUSTED, 429, "no", 1),
    "drains": (errors.ShuttingDown("no"), Code.UNAVAILABLE, 503, "no", 1),
    "too late": (errors.DeadlineExceeded("no"), Code.DEADLINE_EXCEEDED, 504, "no", 0),
    "the model broke": (errors.ModelRunError("no"), Code.INTERNAL, 500, "no", 0),
    "its worker died": (errors.WorkerDied("no"), Code.UNAVAILABLE, 503, "no", 1),
    "store": (errors.StoreError("no"), Code.INTERNAL, 500, "no", 0),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_rows(row: tuple[errors.GatewayError, Code, int, str, int]) -> None:
    error, code, http, text, retry = row
    status = status_of(error, "id")
    assert (status.code, status.http, status.text, status.retry_after_s) == (code, http, text, retry)


def test_an_unexpected_exception_is_logged_and_says_only_its_id(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise KeyError("/home/somebody/secret")
    except KeyError as error:
        with caplog.at_level(logging.ERROR):
            status = status_of(error, "abc123")
    assert (status.code, status.http) == (Code.INTERNAL, 500)
    assert "secret" not in status.text
    assert "abc123" in status.text
    assert "KeyError: '/home/somebody/secret'" in caplog.text
    assert "abc123" in caplog.text


def test_every_grpc_code_has_an_http_status() -> None:
    assert set(HTTP_OF) == set(Code)
