"""TensorFlow Serving's configuration files, in protobuf's text form: models, batching, monitoring, TLS.

Rule 1: all problems of a file are reported together, each with the model it is about; where the
        text itself is wrong, protobuf's line and column.
Rule 2: what the gateway does not do is refused by name, or read and said to be without effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from gateway.core.names import is_model_name
from gateway.core.policy import NEWEST, Versions
from gateway.errors import InvalidRequest, SettingsError
from gateway.protocols.pool import message, pool
from gateway.protocols.tfs_metrics import DEFAULT_PATH
from gateway.serving.control import CONFIG, Wanted

_ModelServerConfig = message("tensorflow.serving.ModelServerConfig")
_BatchingParameters = message("tensorflow.serving.BatchingParameters")
_MonitoringConfig = message("tensorflow.serving.MonitoringConfig")
_SSLConfig = message("tensorflow.serving.SSLConfig")
MAX_FILE_BYTES = 16 << 20


@dataclass(frozen=True)
class Models:
    """A model_config_file. `digest` is of its bytes; `notes` are what is read and has no effect."""

    rows: tuple[Wanted, ...]
    digest: str
    notes: tuple[str, ...] = ()


def read_models(path: Path) -> Models:
    """Errors: SettingsError with every problem."""
    data = _bytes(path)
    proto = _parse(path, data, _ModelServerConfig)
    try:
        rows, notes = models_of(proto)
    except InvalidRequest as error:
        raise SettingsError([error.message], where=str(path), hint=error.hint) from None
    return Models(rows, hashlib.sha256(data).hexdigest(), notes)


def models_of(proto: Any, source: str = CONFIG) -> tuple[tuple[Wanted, ...], tuple[str, ...]]:
    """(rows, notes) of a ModelServerConfig. Errors: InvalidRequest with every problem, in the original's words."""
    if proto.WhichOneof("config") == "custom_model_config":
        raise InvalidRequest("custom_model_config is not supported; list the models in model_config_list.")
    problems: list[str] = []
    notes: list[str] = []
    rows: dict[str, Wanted] = {}
    for config in proto.model_config_list.config:
        if config.name in rows:
            problems.append(f"Illegal to list model {config.name} multiple times in config list")
            continue
        rows[config.name] = Wanted(
            config.name,
            source,
            config.base_path,
            versions=_versions(config, problems),
            labels=dict(config.version_labels),
        )
        problems += _problems(config)
        if config.HasField("logging_config"):
            notes.append(f"model {config.name}: logging_config has no effect: requests are not logged to files.")
    if problems:
        raise InvalidRequest("; ".join(problems))
    return tuple(rows.values()), tuple(notes)


def _problems(config: Any) -> Iterable[str]:
    if not is_model_name(config.name):
        yield (
            f"{config.name[:140]!r} is not a model name; expected 1 to 128 letters, digits, '.', '_' or '-', "
            "the first a letter or digit"
        )
    if "://" in config.base_path:
        yield f"model {config.name}: base_path {config.base_path} is a URI; only paths of this machine are served"
    elif not Path(config.base_path).is_absolute():
        yield f"Expected model {config.name} to have an absolute path or URI; got base_path()={config.base_path}"


def _versions(config: Any, problems: list[str]) -> Versions:
    policy = config.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return Versions(all=True)
    if choice == "specific":
        numbers = tuple(policy.specific.versions)
        if not numbers:
            problems.append(f"model {config.name}: model_version_policy specific lists no versions")
        return Versions(specific=numbers)
    return Versions(max(1, policy.latest.num_versions)) if choice == "latest" else NEWEST


@dataclass(frozen=True)
class Batching:
    """Of a batching_parameters_file, what the gateway has a setting for; None is not said there."""

    max_rows: int | None
    max_queue: int | None
    notes: tuple[str, ...]


_NO_BATCH_EFFECT = {
    "batch_timeout_micros": "requests are joined while a run is under way and never wait for more",
    "num_batch_threads": "a model has one session; see runtime.threads",
    "thread_pool_name": "there is no shared pool",
    "enable_large_batch_splitting": "a request is never split",
    "max_execution_batch_size": "a request is never split",
    "allowed_batch_sizes": "batches are not padded",
    "pad_variable_length_inputs": "batches are not padded",
}


def read_batching(path: Path) -> Batching:
    """Errors: SettingsError."""
    proto = _parse(path, _bytes(path), _BatchingParameters)
    rows = proto.max_batch_size.value if proto.HasField("max_batch_size") else None
    batches = proto.max_enqueued_batches.value if proto.HasField("max_enqueued_batches") else None
    problems = [
        f"{name} is {value}, expected 1 or more"
        for name, value in (("max_batch_size", rows), ("max_enqueued_batches", batches))
        if value is not None and value < 1
    ]
    if problems:
        raise SettingsError(problems, where=str(path))
    said = [field.name for field, _ in proto.ListFields()]
    notes = tuple(f"{name} has no effect: {why}." for name, why in _NO_BATCH_EFFECT.items() if name in said)
    # There the queue is counted in batches, here in requests; a request is at least one row.
    return Batching(rows, None if batches is None else batches * (rows or 1), notes)


def read_monitoring(path: Path) -> str:
    """Where TensorFlow Serving's metrics are to stand, "" when they are off. Errors: SettingsError."""
    proto = _parse(path, _bytes(path), _MonitoringConfig).prometheus_config
    if not proto.enable:
        return ""
    where = proto.path or DEFAULT_PATH
    if not where.startswith("/"):
        raise SettingsError([f"prometheus_config.path is {where!r}, expected one that begins with /"], where=str(path))
    return str(where)


@dataclass(frozen=True)
class Ssl:
    """PEM texts. `client_ca` is "" unless clients have to show a certificate."""

    key: str
    cert: str
    client_ca: str


def read_ssl(path: Path) -> Ssl:
    """Errors: SettingsError."""
    proto = _parse(path, _bytes(path), _SSLConfig)
    problems = [f"{name} is empty" for name in ("server_key", "server_cert") if not getattr(proto, name)]
    if proto.client_verify and not proto.custom_ca:
        problems.append("client_verify is set and custom_ca is empty")
    if problems:
        raise SettingsError(problems, where=str(path), hint="The file holds PEM texts, not paths.")
    return Ssl(proto.server_key, proto.server_cert, proto.custom_ca if proto.client_verify else "")


def _bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise SettingsError([f"{size} bytes, expected at most {MAX_FILE_BYTES}"], where=str(path))
        return path.read_bytes()
    except OSError as error:
        raise SettingsError([f"cannot be read: {error.strerror}"], where=str(path)) from None


def _parse(path: Path, data: bytes, kind: Any) -> Any:
    proto = kind()
    try:
        text_format.Parse(data.decode(), proto, descriptor_pool=pool())
    except UnicodeDecodeError as error:
        raise SettingsError([f"not UTF-8 text: byte {error.start}"], where=str(path)) from None
    except text_format.ParseError as error:
        raise SettingsError([f"not a text of {kind.DESCRIPTOR.full_name}: {error}"], where=str(path)) from None
    return proto
