"""What multi-model-server and TorchServe say alike: their errors, headers, names of versions and of what is missing.

Rule 1: codes, types and texts are the originals' (RAN: tests/conformance/mms.json); where ours
        says more, it is a second sentence.
Rule 2: a client's fault is 400, where the originals run the handler and answer 503.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from gateway import errors
from gateway.core.version import State
from gateway.errors import ModelNotFound, RequestError, Unavailable
from gateway.protocols.http import Failure, Headers, Response
from gateway.serving.predict import ModelSpec, ModelStatus, Predictor

NO_CACHE: Headers = (
    (b"pragma", b"no-cache"),
    (b"cache-control", b"no-cache; no-store, must-revalidate, private"),
    (b"expires", b"Thu, 01 Jan 1970 00:00:00 UTC"),
)
NO_RESOURCE = "Requested resource is not found, please refer to API document."
NO_METHOD = "Requested method is not allowed, please refer to API document."


class NoSuchVersion(ModelNotFound):
    """The model is there, this version of it is not."""


class DefaultVersion(RequestError):
    """The default version of a model cannot be removed while others are there."""


class NoWorker(Unavailable):
    """The model is registered and nothing of it serves."""


TYPES: tuple[tuple[type[errors.GatewayError], int, str], ...] = (
    (NoSuchVersion, 404, "ModelVersionNotFoundException"),
    (errors.ModelNotFound, 404, "ModelNotFoundException"),
    (DefaultVersion, 403, "InvalidModelVersionException"),
    (errors.DownloadFailed, 400, "DownloadModelException"),
    (errors.ModelExists, 409, "ConflictStatusException"),
    (errors.Unauthenticated, 401, "InvalidKeyException"),
    (errors.Forbidden, 403, "IllegalArgumentException"),
    (errors.TooLarge, 413, "RequestEntityTooLargeException"),
    (errors.RequestError, 400, "BadRequestException"),
    (errors.Unavailable, 503, "ServiceUnavailableException"),
    (errors.DeadlineExceeded, 504, "RequestTimeoutException"),
    (errors.JobOutOfMemory, 507, "InsufficientStorageException"),
    (errors.WorkerDied, 503, "ServiceUnavailableException"),
    (errors.ModelRunError, 503, "InternalServerException"),
    (errors.DropError, 400, "InvalidModelException"),
    (errors.ConversionError, 400, "InvalidModelException"),
    (errors.VerificationFailed, 400, "InvalidModelException"),
)
"""First match wins; whatever is not here is 500 InternalServerException."""

_BY_CODE = {
    404: ("ResourceNotFoundException", NO_RESOURCE),
    405: ("MethodNotAllowedException", NO_METHOD),
    413: ("RequestEntityTooLargeException", ""),
}
_VERSION = re.compile(r"([0-9]{1,18})(?:\.0)?")


def document(value: Any, status: int = 200, headers: Headers = ()) -> Response:
    """A JSON answer as theirs: indented, a newline at its end, not to be cached."""
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    return Response(body, status, headers=(*NO_CACHE, *headers))


def mms_errors(failure: Failure) -> Response:
    """{"code", "type", "message"}."""
    code, kind, text = failure.http, "InternalServerException", failure.text
    if failure.error is None:
        if (code, failure.request.path) == (404, "/"):
            code = 405  # the root is there, for OPTIONS
        kind, original = _BY_CODE.get(code, ("BadRequestException", ""))
        text = original or text
    else:
        for error, number, name in TYPES:
            if isinstance(failure.error, error):
                code, kind = number, name
                break
    after = failure.retry_after_s
    headers: Headers = ((b"retry-after", str(after).encode()),) if after else ()
    text = text.encode("utf-8", "replace").decode()  # a client's half of a surrogate pair is no JSON
    return document({"code": code, "type": kind, "message": text}, code, headers)


def version_of(text: str | None, name: str) -> int | None:
    """3 and 3.0 are version 3: TorchServe writes the latter. Errors: NoSuchVersion."""
    if not text:
        return None
    match = _VERSION.fullmatch(text)
    if match is None:
        raise no_such_version(name, text)
    return int(match[1])


def no_such_model(name: str) -> ModelNotFound:
    return ModelNotFound(f"Model not found: {name[:256]}")


def no_such_version(name: str, version: int | str) -> NoSuchVersion:
    return NoSuchVersion(f"Model version: {str(version)[:64]} does not exist for model: {name[:256]}")


def status_of_model(predictor: Predictor, name: str) -> ModelStatus:
    """Errors: ModelNotFound in their words."""
    try:
        found = predictor.status(name)
    except ModelNotFound:
        raise no_such_model(name) from None
    if not found.versions:
        raise no_such_model(name)
    return found


def why_not(predictor: Predictor, spec: ModelSpec, error: errors.GatewayError) -> errors.GatewayError:
    """What to say when there is no answer: no such model, no such version, or nothing of it that can take the call."""
    if isinstance(error, (errors.Overloaded, errors.ModelNotReady)):
        return no_worker(spec.name, error.explain())
    if not isinstance(error, ModelNotFound):
        return error
    try:
        versions = status_of_model(predictor, spec.name).versions
    except ModelNotFound as unknown:
        return unknown
    mine = [v for v in versions if spec.version in (None, v.version)]
    if not mine:
        return no_such_version(spec.name, spec.version or 0)
    states = "; ".join(
        f"version {v.version} is {v.state.value}" + (f" ({v.reason})" if v.reason else "")
        for v in mine
        if v.state is not State.AVAILABLE
    )
    return no_worker(spec.name, states)


def no_worker(name: str, why: str = "") -> NoWorker:
    text = f"No worker is available to serve request for model: {name}. Consider increasing job queue size."
    return NoWorker(text, hint=f"{why[:1].upper()}{why[1:]}{'' if why.endswith('.') else '.'}" if why else "")
