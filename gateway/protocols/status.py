"""The one table from our errors to the codes of gRPC and HTTP.

An error class has the row of the nearest class along its MRO. HTTP follows from gRPC's code as
TensorFlow Serving maps it, unless the row says otherwise.

Rule 1: an unexpected exception leaves as INTERNAL / 500 with the request's id and nothing of
        the inside; the log has the traceback.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import grpc

from gateway import errors

log = logging.getLogger("gateway.protocols")

Code = grpc.StatusCode

HTTP_OF = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


@dataclass(frozen=True)
class Status:
    """What goes on the wire. `retry_after_s` is 0 unless the same request may succeed soon."""

    code: grpc.StatusCode
    http: int
    text: str
    retry_after_s: int = 0

    @property
    def name(self) -> str:
        return str(self.code.name)


@dataclass(frozen=True)
class Row:
    code: grpc.StatusCode
    http: int = 0  # 0: as HTTP_OF says
    retry_after_s: int = 0


TABLE: dict[type[errors.GatewayError], Row] = {
    errors.UsageError: Row(Code.INVALID_ARGUMENT),
    errors.RequestError: Row(Code.INVALID_ARGUMENT),
    # Not RESOURCE_EXHAUSTED, which clients retry: the same request will fail again.
    errors.TooLarge: Row(Code.INVALID_ARGUMENT, http=413),
    errors.UnsupportedType: Row(Code.UNIMPLEMENTED),
    errors.ModelNotFound: Row(Code.NOT_FOUND),
    errors.RegionExists: Row(Code.ALREADY_EXISTS),
    errors.UnknownSignature: Row(Code.FAILED_PRECONDITION),
    errors.Unauthenticated: Row(Code.UNAUTHENTICATED),
    errors.DownloadFailed: Row(Code.INVALID_ARGUMENT),
    errors.Forbidden: Row(Code.PERMISSION_DENIED),
    errors.ModelExists: Row(Code.ALREADY_EXISTS),
    errors.LabelUnavailable: Row(Code.FAILED_PRECONDITION),
    errors.Unavailable: Row(Code.UNAVAILABLE, retry_after_s=1),
    errors.ControlForbids: Row(Code.UNAVAILABLE),  # no retry helps until a setting changes
    errors.Overloaded: Row(Code.RESOURCE_EXHAUSTED, retry_after_s=1),
    errors.DeadlineExceeded: Row(Code.DEADLINE_EXCEEDED),
    # The rest belongs to drops and Jobs; a request meets them only as the reason of something else.
    errors.DropError: Row(Code.FAILED_PRECONDITION),
    errors.ConversionError: Row(Code.FAILED_PRECONDITION),
    errors.VerificationFailed: Row(Code.FAILED_PRECONDITION),
    errors.ModelRunError: Row(Code.INTERNAL),
    errors.WorkerDied: Row(Code.UNAVAILABLE, retry_after_s=1),
    errors.JobError: Row(Code.INTERNAL),
    errors.EnvironmentMissing: Row(Code.FAILED_PRECONDITION),
    errors.EnvironmentBroken: Row(Code.INTERNAL),
    errors.EnvironmentInUse: Row(Code.FAILED_PRECONDITION),
    errors.StoreError: Row(Code.INTERNAL),
    errors.RepositoryUnreadable: Row(Code.UNAVAILABLE, retry_after_s=1),
    errors.IllegalTransition: Row(Code.INTERNAL),
}


def row_of(kind: type[BaseException]) -> Row | None:
    """The row of the nearest class along the MRO; None for what is not an error of ours."""
    return next((TABLE[cls] for cls in kind.__mro__ if cls in TABLE), None)


def status_of(error: BaseException, request_id: str) -> Status:
    """Code, HTTP status and text of any exception; logs those that nobody expected (rule 1)."""
    row = row_of(type(error))
    if row is None or not isinstance(error, errors.GatewayError):
        log.error("request %s failed", request_id, exc_info=error)
        return Status(Code.INTERNAL, 500, f"Internal error; the gateway's log has it under request id {request_id}.")
    return Status(row.code, row.http or HTTP_OF[row.code], _text(error), row.retry_after_s)


def _text(error: errors.GatewayError) -> str:
    """Message and hint as two sentences; without a hint the message stays letter for letter."""
    if not error.hint:
        return error.message
    return f"{error.message}{'' if error.message.endswith(('.', '?', '!')) else '.'} {error.hint}"
