"""config.properties of multi-model-server and TorchServe -> settings.

Every key of the originals is in MAPPED or IGNORED or REFUSED; others are said to be unknown.

Rule 1: a key that would change who may do what is never silently dropped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.core.names import did_you_mean
from gateway.errors import SettingsError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PATTERN = re.compile(r"(https?)://([A-Za-z0-9.-]+(?::[0-9]+)?)(/[^*\\()\[\]|?+]*)?(?:\.\*)?")
_DEFAULT_URLS = "file://.*|http(s)?://.*"

IGNORED = {
    "async_logging": "logging is set by the setting log",
    "blacklist_env_vars": "models have no environment",
    "cpu_launcher_args": "there are no worker launchers",
    "cpu_launcher_enable": "there are no worker launchers",
    "decode_input_request": "what a body becomes follows from the model's signature",
    "default_service_handler": "there are no handlers",
    "default_startup_timeout": "loading is bounded by runtime.load_s",
    "default_workers_per_model": "each model has one worker that batches and uses all cores",
    "disable_system_metrics": "system metrics are not shown",
    "disable_token_authorization": "authentication is the setting auth.file",
    "enable_envvars_config": "MODEL_GATEWAY_* are always read",
    "enable_metrics_api": "metrics are always there",
    "enable_model_api": "the management port is always there, for this machine",
    "enable_grpc_ssl": "tls.cert and tls.key are for gRPC too",
    "grpc_inference_port": "TorchServe's gRPC API is not served",
    "grpc_management_port": "TorchServe's gRPC API is not served",
    "initial_worker_port": "workers need no ports",
    "install_py_dep_per_model": "models bring no code",
    "max_response_size": "answers are not bounded",
    "metrics_config": "metrics are not configurable",
    "metrics_format": "metrics are Prometheus'",
    "metrics_mode": "metrics are Prometheus'",
    "model_config": "use the settings batch.*",
    "model_snapshot": "registered models are kept beside the store",
    "model_state_file": "registered models are kept beside the store",
    "netty_client_threads": "one event loop serves all",
    "number_of_gpu": "runtime.providers says what runs where",
    "number_of_netty_threads": "one event loop serves all",
    "ping_timeout": "there is nothing to wait for",
    "prefer_direct_buffer": "there is no JVM",
    "preload_model": "every model is loaded before it is asked",
    "unregister_model_timeout": "a model leaves when its last request is answered",
    "use_env_allowed_urls": "management.allowed_urls has the list",
    "use_native_io": "there is no JVM",
    "vmargs": "there is no JVM",
    "workflow_store": "workflows are not served",
}
REFUSED = {
    "cors_allowed_headers": "CORS is not answered on these routes; put a proxy before it",
    "cors_allowed_methods": "CORS is not answered on these routes; put a proxy before it",
    "cors_allowed_origin": "CORS is not answered on these routes; put a proxy before it",
    "keystore": "Java key stores are not read; give private_key_file and certificate_file",
    "keystore_pass": "Java key stores are not read; give private_key_file and certificate_file",
    "keystore_type": "Java key stores are not read; give private_key_file and certificate_file",
    "plugins_path": "plug-ins are Java code",
}


def read(file: Path) -> tuple[dict[str, Any], list[str]]:
    """(settings by dotted name, what to say). `load_models` comes back as it is. Errors: SettingsError."""
    problems: list[str] = []
    try:
        pairs = parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{file}: cannot be read: {getattr(error, 'strerror', error)}"]) from None
    flags: dict[str, Any] = {}
    notes: list[str] = []
    hosts: dict[str, str] = {}
    for key, value in pairs.items():
        if key.endswith("_address"):
            _address(key, value, flags, hosts, problems)
        elif key in MAPPED:
            setting, convert = MAPPED[key]
            try:
                flags[setting] = convert(value)
            except ValueError:
                problems.append(f"{key}: {value!r} is not what is expected here")
        elif key == "allowed_urls":
            flags["management.allowed_urls"] = _urls(value, problems, notes)
        elif key in IGNORED:
            notes.append(f"{key}: without effect: {IGNORED[key]}")
        elif key in REFUSED:
            problems.append(f"{key}: {REFUSED[key]}")
        elif key == "models":
            notes.append("models: without effect: models are registered by --models, or kept beside the store")
        else:
            notes.append(f"{key}: not known.{did_you_mean(key, [*MAPPED, *IGNORED, *REFUSED])}")
    if len({hosts[key] for key in hosts if key != "management_address"}) > 1:
        problems.append("inference_address and metrics_address: have different hosts, which is not possible here")
    if problems:
        raise SettingsError([f"{file.name}: {problem}" for problem in problems])
    return flags, notes


def parse(text: str) -> dict[str, str]:
    """Java's properties: comments, `=` `:` or a blank between key and value, lines that go on, ${VARIABLES}."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        line = line.lstrip()
        while _goes_on(line):
            line = line[:-1] + next(lines, "").lstrip()
        if not line or line[0] in "#!":
            continue
        match = re.match(r"((?:\\.|[^\\=:\s])+)\s*[=:]?\s*(.*)", line)
        if match:
            value = re.sub(r"\\(.)", r"\1", match[2].rstrip())
            found[match[1]] = _VARIABLE.sub(lambda m: os.environ.get(m[1], m[0]), value)
    return found


def _goes_on(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1 and line[:1] not in ("#", "!")


def _address(key: str, value: str, flags: dict[str, Any], hosts: dict[str, str], problems: list[str]) -> None:
    names = {
        "inference_address": ("host", "http_port", 8080),
        "management_address": ("management_host", "admin_port", 8081),
        "metrics_address": ("host", "metrics_port", 8082),
    }
    if key not in names:
        problems.append(f"{key}: not known.{did_you_mean(key, names)}")
        return
    host, port, usual = names[key]
    try:
        url = urlsplit(value)
        number = url.port
    except ValueError:
        url, number = urlsplit(""), None
    if url.scheme not in ("http", "https") or not url.hostname:
        problems.append(f"{key}: {value!r} is not an address such as http://127.0.0.1:{usual}")
        return
    flags[host] = hosts[key] = url.hostname
    flags[port] = usual if number is None else number


def _urls(value: str, problems: list[str], notes: list[str]) -> str:
    """Their patterns are regular expressions; ours are beginnings. What is not plainly one is refused."""
    if value == _DEFAULT_URLS:
        notes.append("allowed_urls: any URL, the original's default, is not taken: name the ones you trust")
        return ""
    found = []
    for pattern in (part.strip() for part in value.split(",")):
        match = _PATTERN.fullmatch(pattern.replace("\\.", "."))
        if match is None:
            problems.append(
                f"allowed_urls: {pattern!r} is not the beginning of an address, such as https://host/path/.*"
            )
        else:
            found.append(f"{match[1]}://{match[2]}{match[3] or '/'}")
    return ",".join(found)


MAPPED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "model_store": ("management.model_store", str),
    "load_models": ("load_models", str.lower),
    "max_request_size": ("limits.max_body_bytes", int),
    "default_response_timeout": ("limits.request_s", float),
    "job_queue_size": ("batch.max_queue", int),
    "private_key_file": ("tls.key", str),
    "certificate_file": ("tls.cert", str),
}
