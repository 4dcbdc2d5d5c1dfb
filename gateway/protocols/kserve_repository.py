"""Triton's model repository extension over a Control: index, load, unload.

    load parameters   config           a ModelConfig as JSON; stands for config.pbtxt
                      file:1/model.x   the bytes of a file (REST: base64); needs `config`, replaces all files

Rule 1: a configuration that contradicts the model fails the call, and what served before serves on.
Rule 2: what is not understood is refused: an unknown parameter, a repository's name.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, text_format

from gateway.core import tritonconfig
from gateway.core.version import State
from gateway.errors import ControlForbids, GatewayError, InvalidRequest, ModelNotFound, UnsupportedType
from gateway.protocols.pool import message
from gateway.serving.control import CONFIG_PBTXT, Control, IndexRow
from gateway.serving.predict import Predictor

STATES = {
    State.FOUND: "LOADING",
    State.CONVERTING: "LOADING",
    State.CONVERTED: "LOADING",
    State.LOADING: "LOADING",
    State.AVAILABLE: "READY",
    State.DRAINING: "UNLOADING",
    State.RETIRED: "UNAVAILABLE",
    State.FAILED: "UNAVAILABLE",
}
FILE = "file:"
_ModelConfig = message("inference.ModelConfig")


class ModelRepository:
    """The three calls, with Triton's words."""

    def __init__(self, predictor: Predictor, control: Control) -> None:
        self._predictor = predictor
        self._control = control

    def index(self, repository: str, *, ready: bool) -> list[dict[str, str]]:
        """Every version known; of a model that was never tried only its name."""
        _check_repository(repository)
        return [_row(row) for row in self._control.index(ready=ready)]

    async def load(self, repository: str, name: str, parameters: Mapping[str, Any], deadline: float | None) -> None:
        """Returns once it serves. Errors: ControlForbids, ModelNotFound, InvalidRequest, the model's own."""
        _check_repository(repository)
        files, config = _files(parameters), parameters.get("config")
        self._check_mode("load", name)
        text = "" if config is None else config_text(config, name)
        if files and not text:
            raise InvalidRequest(
                f"load of '{name}': the parameter config is missing, which {FILE}PATH parameters need."
            )
        before = self._control.wanted(name)
        try:
            if files:
                files[tritonconfig.FILE] = text.encode()
                await self._control.load(name, files=files, deadline=deadline)
            else:
                await self._control.load(name, extra={CONFIG_PBTXT: text} if text else {}, deadline=deadline)
        except ModelNotFound as error:
            raise ModelNotFound(
                f"failed to load '{name[:256]}', failed to poll from model repository", hint=error.hint
            ) from None
        if text and not files:
            await self._check_taken(name, dict(before.extra) if before else {}, deadline)

    async def _check_taken(self, name: str, before: Mapping[str, Any], deadline: float | None) -> None:
        """A configuration for what already serves is tried there; one that contradicts it is taken back."""
        problem = ""
        for version in self._predictor.status(name).versions:
            if version.state is State.AVAILABLE:
                problem = problem or str(self._predictor.describe(name, version.version).get("config_problem") or "")
        if problem:
            await self._control.load(name, extra=before, deadline=deadline)
            raise InvalidRequest(f"failed to load '{name}': {problem}", hint="It serves as it did before.")

    async def unload(self, repository: str, name: str, parameters: Mapping[str, Any], deadline: float | None) -> None:
        """Returns once no new request gets it; an absent model is no error, as in Triton."""
        _check_repository(repository)
        unknown = [key for key in parameters if key != "unload_dependents"]
        if unknown:
            raise InvalidRequest(f"unload of '{name}': unrecognized parameter '{unknown[0][:64]}'.")
        self._check_mode("unload", name)
        await self._control.unload(name, deadline=deadline)

    def _check_mode(self, what: str, name: str) -> None:
        if self._control.mode != "explicit":
            raise ControlForbids(
                f"explicit model load / unload is not allowed, for model_control is {self._control.mode}: "
                f"{what} of '{name[:256]}'",
                hint='Start the gateway with model_control = "explicit".',
            )


def _check_repository(name: str) -> None:
    if name:
        raise UnsupportedType("'repository_name' specification is not supported", hint="There is one repository.")


def _row(row: IndexRow) -> dict[str, str]:
    found = {"name": row.name}
    if row.version is not None:
        found["version"] = str(row.version)
    if row.state is not None:
        found["state"] = STATES[row.state]
        if row.state is State.RETIRED:
            found["reason"] = "unloaded"
    if row.reason:
        found["reason"] = row.reason
    return found


def _files(parameters: Mapping[str, Any]) -> dict[str, bytes]:
    """Errors: InvalidRequest for what is no file, not base64, or no parameter of load."""
    found: dict[str, bytes] = {}
    for key, value in parameters.items():
        if key == "config":
            continue
        if not key.startswith(FILE):
            raise InvalidRequest(f"unrecognized parameter '{key[:64]}', expected config or {FILE}VERSION/NAME.")
        if isinstance(value, str):
            try:
                value = base64.b64decode(value.encode("ascii"), validate=True)
            except (binascii.Error, UnicodeEncodeError):
                raise InvalidRequest(f"the parameter '{key[:200]}' is not base64.") from None
        if not isinstance(value, bytes):
            raise InvalidRequest(f"the parameter '{key[:200]}' is no file: expected bytes (REST: base64).")
        found[key[len(FILE) :]] = value
    return found


def config_text(config: Any, name: str) -> str:
    """A ModelConfig as JSON -> the text of a config.pbtxt. Errors: InvalidRequest, TritonConfigError."""
    if not isinstance(config, str):
        raise InvalidRequest(f"load of '{name}': the parameter config is not text: expected a ModelConfig as JSON.")
    try:
        proto = json_format.Parse(config, _ModelConfig(), max_recursion_depth=32)
    except json_format.ParseError as error:
        raise InvalidRequest(f"load of '{name}': the parameter config is no ModelConfig as JSON: {error}") from None
    proto.ClearField("name")  # it is the model's: the call names it
    text = text_format.MessageToString(proto)
    try:
        tritonconfig.parse(text, where="config")
    except GatewayError as error:
        raise InvalidRequest(f"failed to load '{name}': {error.message}", hint=error.hint) from None
    return text or "max_batch_size: 0\n"
