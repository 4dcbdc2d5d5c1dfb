"""Settings: typed, with default and unit, read once, every problem reported together.

Order: defaults, then the TOML file, then MODEL_GATEWAY_* variables, then flags. A variable
names a nested setting with two underscores: MODEL_GATEWAY_BATCH__MAX_ROWS=64. (The short
prefix GATEWAY_ is not safe: Kubernetes injects GATEWAY_PORT=tcp://... for a Service of that
name.)

Rule 1: standard library only.
Rule 2: no setting is read anywhere else; what needs one is handed it.
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

PREFIX = "MODEL_GATEWAY_"
MIB = 1 << 20
GIB = 1 << 30


def cache_folder() -> Path:
    """Where Environments and the store live unless a setting says otherwise: ~/.cache/model-gateway."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "model-gateway"


@dataclass(frozen=True, kw_only=True)
class Watch:
    poll_s: float = 0.5  # between two scans of the repository
    settle_s: float = 2.0  # files must hold this long before they are taken
    max_drop_bytes: int = 8 * GIB  # a larger drop is refused before anything is copied
    max_drop_files: int = 10_000


@dataclass(frozen=True, kw_only=True)
class Jobs:
    concurrency: int = 2  # conversions at the same time
    timeout_s: float = 1800.0  # wall clock of one Job
    memory_bytes: int = 0  # of one Job; 0 means: from the size of the drop, at most 3/4 of the machine
    sandbox_min_level: int = 0  # 0..3; raises what the format needs: 1 for data, 2 for what can carry code
    sandbox_max_level: int = 3  # 1..3; a higher level is not used (a machine on which bubblewrap misbehaves)
    retry_s: float = 30.0  # before a failure whose cause may pass (disk full) is tried again


@dataclass(frozen=True, kw_only=True)
class Verify:
    seed: int = 20190726
    reference_s: float = 120.0  # longest for onnx's ReferenceEvaluator before the second judge takes over
    build_judges: bool = False  # build the best judge's Environment where the next judge could sit at once


@dataclass(frozen=True, kw_only=True)
class Batch:
    max_rows: int = 32  # rows of one run
    max_queue: int = 1024  # waiting requests of one model; beyond: RESOURCE_EXHAUSTED, 429
    inline_us: float = 100.0  # a model faster than this runs in the event loop, slower in its session thread


@dataclass(frozen=True, kw_only=True)
class Limits:
    max_body_bytes: int = 64 * MIB  # HTTP body, also after decompression
    max_message_bytes: int = 64 * MIB  # one gRPC message
    max_json_depth: int = 64
    max_elements: int = 1 << 28  # of one tensor of a request
    header_s: float = 10.0  # longest until a request's headers are complete
    body_s: float = 60.0  # longest until a request's body is complete
    max_connections: int = 1024
    request_s: float = 60.0  # deadline of a request that brings none


@dataclass(frozen=True, kw_only=True)
class Runtime:
    threads: int = 0  # of one onnxruntime session; 0 means: cores - 1, at least 1
    providers: str = "cuda,cpu"  # in order of preference; what is absent is passed over and said
    load_s: float = 300.0  # longest load of a model in a worker process; then the worker is ended
    run_s: float = 60.0  # longest run of a model in a worker process; then the worker is ended
    worker_restart_s: float = 0.5  # first back-off after a worker died; doubles
    worker_deaths: int = 3  # in ten minutes; then the version is FAILED


@dataclass(frozen=True, kw_only=True)
class Tls:
    cert: str = (
        ""  # PEM file of the certificate and its chain (or the PEM text itself); with it every listener speaks TLS
    )
    key: str = ""  # PEM file of its key
    client_ca: str = ""  # PEM file; clients must then show a certificate that it vouches for


@dataclass(frozen=True, kw_only=True)
class Auth:
    file: str = ""  # TOML file of tokens and subjects with their scopes; without it nobody is asked
    manage_on_data: bool = False  # management calls on the data ports from other machines too; needs auth.file


@dataclass(frozen=True, kw_only=True)
class Management:
    allowed_urls: str = ""  # comma list of addresses below which POST /models may fetch models; none unless said
    model_store: str = ""  # folder below which POST /models may name files; empty means: none
    models: str = ""  # comma list NAME=PLACE of models that are registered at the start, as POST /models does
    torchserve: bool = False  # POST /models and its like answer as TorchServe does, not as multi-model-server
    fetch_s: float = 600.0  # longest download of a model


@dataclass(frozen=True, kw_only=True)
class Compat:
    on: bool = False  # listen on each server's usual ports as that server alone; --compat-ports
    tfs_grpc_port: int = 8500  # a port that one of the four listeners already has stays with that listener
    tfs_http_port: int = 8501
    triton_http_port: int = 8000
    triton_grpc_port: int = 8001
    triton_metrics_port: int = 8002
    mms_http_port: int = 8080
    mms_management_port: int = 8081
    mms_metrics_port: int = 8082


@dataclass(frozen=True, kw_only=True)
class Tfserving:
    models_config: str = ""  # a model_config_file of TensorFlow Serving; its models are served too
    models_config_poll_s: float = 0.0  # between two looks at that file; 0 looks once, at the start
    base_path: str = ""  # one model by its base path, as --model_base_path; its name is base_name
    base_name: str = "default"
    labels_for_unavailable: bool = False  # a new label may point to a version that does not serve yet
    tensor_content: bool = False  # answers carry tensor_content instead of typed values
    cors: bool = False  # answers carry the CORS headers of TensorFlow Serving
    metrics_path: str = "/monitoring/prometheus/metrics"  # its metrics, on the HTTP port; "" nowhere


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings. Ports: 0 picks a free one."""

    repository: Path = Path("model_repo")  # the watched folder; - watches none
    model_control: str = "poll"  # poll: what lies there is served; none: as at the start; explicit: what is loaded
    load_models: str = ""  # explicit: names to load at the start, with commas; * is all
    store: Path = field(default_factory=lambda: cache_folder() / "store")
    store_max_bytes: int = 64 * GIB  # least recently used artifacts go first; what is served stays
    host: str = "127.0.0.1"  # of the data ports and of the metrics port
    management_host: str = "127.0.0.1"  # of the admin port; an address that others reach needs auth.file
    grpc_port: int = 8500
    http_port: int = 8501
    admin_port: int = 8081
    metrics_port: int = 8002
    drain_s: float = 20.0  # SIGTERM: longest that running requests may take
    log: str = "auto"  # json | text | auto (text at a terminal)
    shared_memory: bool = False  # clients on this machine may leave tensors in POSIX shared memory (KServe v2)
    grpc_compression: str = "none"  # of gRPC answers: none | gzip | deflate; requests may come compressed anyway
    watch: Watch = field(default_factory=Watch)
    jobs: Jobs = field(default_factory=Jobs)
    verify: Verify = field(default_factory=Verify)
    batch: Batch = field(default_factory=Batch)
    limits: Limits = field(default_factory=Limits)
    runtime: Runtime = field(default_factory=Runtime)
    tls: Tls = field(default_factory=Tls)
    auth: Auth = field(default_factory=Auth)
    management: Management = field(default_factory=Management)
    compat: Compat = field(default_factory=Compat)
    tfserving: Tfserving = field(default_factory=Tfserving)


class BadSettings(ValueError):
    """Every problem of the settings. `config` imports nothing of ours; cli turns this into SettingsError."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings from file, environment and flags (dotted names). Errors: BadSettings with all problems."""
    problems: list[str] = []
    values: dict[str, Any] = {}
    if file is not None:
        values.update(_from_file(file, problems))
    for key, text in (os.environ if environ is None else environ).items():
        if key.startswith(PREFIX) and key not in _NOT_SETTINGS:
            values[key[len(PREFIX) :].lower().replace("__", ".")] = text
    values.update({key: value for key, value in (flags or {}).items() if value is not None})
    settings: Settings = _build(Settings, values, problems)
    problems += _check(settings)
    if problems:
        raise BadSettings(problems)
    return settings


_NOT_SETTINGS = {PREFIX + "TEST_DATA", PREFIX + "ENVS", PREFIX + "TEST_CACHE"}


def _from_file(file: Path, problems: list[str]) -> dict[str, Any]:
    try:
        data = tomllib.loads(file.read_text())
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file}: not valid TOML: {error}")
        return {}
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{inner}": v for inner, v in value.items()})
        else:
            flat[key] = value
    return flat


def names(settings: Settings | None = None) -> dict[str, Any]:
    """Every setting by dotted name, with its value in `settings`, its default where None."""
    return dict(_names(settings or Settings()))


def _names(settings: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for item in fields(settings):
        value = getattr(settings, item.name)
        if is_dataclass(value):
            found += _names(value, f"{item.name}.")
        else:
            found.append((prefix + item.name, value))
    return found


def _build(cls: type[Any], values: dict[str, Any], problems: list[str]) -> Any:
    known = names()
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            problems.append(f"{key}: no such setting" + (f"; did you mean {close[0]}?" if close else ""))
    return _group(cls, values, "", problems)


def _group(cls: type[Any], values: dict[str, Any], prefix: str, problems: list[str]) -> Any:
    hints = get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for item in fields(cls):
        kind, key = hints[item.name], prefix + item.name
        if is_dataclass(kind):
            assert isinstance(kind, type)
            arguments[item.name] = _group(kind, values, f"{item.name}.", problems)
        elif key in values:
            try:
                arguments[item.name] = _convert(values[key], kind)
            except (TypeError, ValueError):
                problems.append(f"{key}: {values[key]!r} is not a valid {kind.__name__}")
    return cls(**arguments)


def _convert(value: Any, kind: type[Any]) -> Any:
    if kind is bool:
        return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Path)):
        raise TypeError(value)
    if (kind is int and isinstance(value, float)) or (kind is str and not isinstance(value, str)):
        raise TypeError(value)
    return kind(value)


CHOICES = {
    "log": ("auto", "json", "text"),
    "model_control": ("none", "poll", "explicit"),
    "grpc_compression": ("none", "gzip", "deflate"),
}


def _wrong_choices(settings: Settings) -> list[str]:
    return [
        f"{name}: {getattr(settings, name)!r}, expected {', '.join(allowed[:-1])} or {allowed[-1]}"
        for name, allowed in CHOICES.items()
        if getattr(settings, name) not in allowed
    ]


def _check(settings: Settings) -> list[str]:
    problems = []
    for name, value in _names(settings):
        if name.endswith("_port") and not 0 <= value <= 65535:
            problems.append(f"{name}: {value} is not a port, expected 0 to 65535")
        elif isinstance(value, float) and not math.isfinite(value):
            problems.append(f"{name}: {value} is not a finite number")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0:
            problems.append(f"{name}: {value} is negative, expected 0 or more")
    for name in ("watch.poll_s", "batch.max_rows", "batch.max_queue", "jobs.concurrency", "jobs.timeout_s"):
        if dict(_names(settings))[name] == 0:
            problems.append(f"{name}: 0 is too small")
    problems += _wrong_choices(settings)
    ports = [p for p in (settings.grpc_port, settings.http_port, settings.admin_port, settings.metrics_port) if p]
    if len(ports) != len(set(ports)):
        problems.append(f"two listeners have the same port: {ports}")
    if bool(settings.tls.cert) != bool(settings.tls.key):
        problems.append("tls.cert and tls.key: one is set without the other")
    if settings.tls.client_ca and not settings.tls.cert:
        problems.append("tls.client_ca: is set without tls.cert and tls.key")
    if settings.auth.manage_on_data and not settings.auth.file:
        problems.append("auth.manage_on_data: needs auth.file, or anybody could manage this gateway")
    return problems
