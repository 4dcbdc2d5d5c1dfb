"""The command `tensorflow_model_server`: TensorFlow Serving's flags, served by the gateway.

    tensorflow_model_server --port=8500 --rest_api_port=8501 --model_name=m --model_base_path=/models/m

Every flag of the original is in FLAGS: mapped to a setting, accepted without effect (said at the
start when it is given), or refused with its reason. Settings that no flag has come from
MODEL_GATEWAY_* as always.

Rule 1: all that is wrong with the flags is said at once, and nothing starts; exit 2.
Rule 2: it listens on all addresses, as the original does; management stays with this machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import __version__, config
from gateway.core.names import did_you_mean
from gateway.errors import GatewayError, SettingsError

ONCE_S = 1e9  # "poll once": the next look is never


@dataclass(frozen=True)
class Flag:
    """`kind` is str, int, float or bool. `setting` is what it maps to; `why` says why it has no effect, or why it is
    `refused` when it is given another value than `default`."""

    kind: type
    setting: str = ""
    why: str = ""
    refused: bool = False
    default: str = ""
    convert: Callable[[Any], Any] = lambda value: value


def _no_effect(kind: type, why: str) -> Flag:
    return Flag(kind, why=why)


def _refused(kind: type, why: str, default: str = "") -> Flag:
    return Flag(kind, why=why, refused=True, default=default)


_CONTENT = "models are recognised by their content"
_THREADS = "the gateway has one event loop and the threads of runtime.threads"
FLAGS: dict[str, Flag] = {
    "port": Flag(int, "grpc_port"),
    "rest_api_port": Flag(int, "http_port"),
    "rest_api_timeout_in_ms": Flag(int, "limits.request_s", convert=lambda ms: ms / 1000),
    "rest_api_enable_cors_support": Flag(bool, "tfserving.cors"),
    "model_name": Flag(str, "tfserving.base_name"),
    "model_base_path": Flag(str, "tfserving.base_path"),
    "model_config_file": Flag(str, "tfserving.models_config"),
    "model_config_file_poll_wait_seconds": Flag(int, "tfserving.models_config_poll_s"),
    "file_system_poll_wait_seconds": Flag(float, "watch.poll_s", convert=lambda seconds: seconds or ONCE_S),
    "load_retry_interval_micros": Flag(int, "jobs.retry_s", convert=lambda us: max(0, us) / 1e6),
    "allow_version_labels_for_unavailable_models": Flag(bool, "tfserving.labels_for_unavailable"),
    "enable_serialization_as_tensor_content": Flag(bool, "tfserving.tensor_content"),
    "tensorflow_session_parallelism": Flag(int, "runtime.threads"),
    "tensorflow_intra_op_parallelism": Flag(int, "runtime.threads"),
    # read below, for they name files or depend on one another
    "enable_batching": Flag(bool),
    "batching_parameters_file": Flag(str),
    "monitoring_config_file": Flag(str),
    "ssl_config_file": Flag(str),
    "version": Flag(bool),
    "help": Flag(bool),
    # accepted
    "rest_api_num_threads": _no_effect(int, _THREADS),
    "grpc_max_threads": _no_effect(int, _THREADS),
    "tensorflow_inter_op_parallelism": _no_effect(int, _THREADS),
    "num_load_threads": _no_effect(int, "conversions are bounded by jobs.concurrency"),
    "num_unload_threads": _no_effect(int, "unloading never waits"),
    "max_num_load_retries": _no_effect(int, "what may pass is tried again with back-off, what cannot pass is not"),
    "flush_filesystem_caches": _no_effect(bool, "the kernel is left to itself"),
    "tensorflow_session_config_file": _no_effect(str, "no TensorFlow session runs in this process"),
    "per_process_gpu_memory_fraction": _no_effect(float, "GPU memory is taken as it is needed"),
    "saved_model_tags": _no_effect(str, _CONTENT),
    "prefer_tflite_model": _no_effect(bool, _CONTENT),
    "num_tflite_pools": _no_effect(int, _CONTENT),
    "num_tflite_interpreters_per_pool": _no_effect(int, _CONTENT),
    "remove_unused_fields_from_bundle_metagraph": _no_effect(bool, _CONTENT),
    "grpc_channel_arguments": _no_effect(str, "the limits are the settings limits.*"),
    "enable_model_warmup": _no_effect(
        bool, "it is always: with the requests of a SavedModel, or inputs of its verification"
    ),
    "num_request_iterations_for_warmup": _no_effect(int, "every version is warmed up twice"),
    "enable_grpc_healthcheck_service": _no_effect(bool, "grpc.health.v1 is always there"),
    "enable_signature_method_name_check": _no_effect(bool, "classify and regress look at the outputs"),
    "enable_per_model_batching_parameters": _no_effect(bool, "batching is proven for each model, and set for all"),
    "xla_cpu_compilation_enabled": _no_effect(bool, "there is no XLA"),
    "xla_gpu_compilation_enabled": _no_effect(bool, "there is no XLA"),
    "skip_initialize_tpu": _no_effect(bool, "there is no TPU"),
    # refused
    "grpc_socket_path": _refused(str, "Unix sockets are not served; use --port"),
    "use_alts_credentials": _refused(bool, "ALTS is not spoken; use --ssl_config_file", "false"),
    "platform_config_file": _refused(str, "platforms are not configurable"),
    "enable_profiler": _refused(bool, "the profiler service is not served", "false"),
    "thread_pool_factory_config_file": _refused(str, "thread pools are not configurable"),
    "mixed_precision": _refused(str, "it would change the numbers, which are proven as they are"),
}


def main(argv: Sequence[str] | None = None) -> int:
    try:
        given, problems = parse(sys.argv[1:] if argv is None else argv)
        if given.get("version"):
            sys.stdout.write(f"Model Gateway {__version__}, as tensorflow_model_server\n")
            return 0
        if given.get("help"):
            sys.stdout.write(usage())
            return 0
        flags, notes = settings_of(given, problems)
        settings = _load(flags, problems)
        for note in notes:
            sys.stderr.write(f"tensorflow_model_server: {note}\n")
        from gateway import app  # the whole server: --help does not pay for it

        return app.serve(settings, lambda: None)
    except GatewayError as error:
        sys.stderr.write(f"tensorflow_model_server: {error.message}\n" + (f"  {error.hint}\n" if error.hint else ""))
        return 2


def parse(argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """(flag -> value, problems). `--name=value`, `--name value`, and for switches `--name`."""
    given: dict[str, Any] = {}
    problems: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        name, equals, text = word.removeprefix("--").partition("=")
        flag = FLAGS.get(name) if word.startswith("--") else None
        if flag is None:
            problems.append(f"{word}: no such flag.{did_you_mean(name, FLAGS)}")
            continue
        if not equals:
            if flag.kind is bool:
                text = "true"
            elif words and not words[0].startswith("--"):
                text = words.pop(0)
            else:
                problems.append(f"--{name}: its value is missing")
                continue
        try:
            given[name] = _read(flag.kind, text)
        except ValueError:
            problems.append(f"--{name}: {text!r} is not a valid {flag.kind.__name__}")
    return given, problems


def _read(kind: type, text: str) -> Any:
    if kind is bool:
        values = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in values:
            raise ValueError(text)
        return values[text.lower()]
    return kind(text)


def settings_of(given: Mapping[str, Any], problems: list[str]) -> tuple[dict[str, Any], list[str]]:
    """(settings by dotted name, what has no effect). Adds to `problems`."""
    flags: dict[str, Any] = {
        "repository": Path("-"),
        "host": os.environ.get("MODEL_GATEWAY_HOST", "0.0.0.0"),  # noqa: S104  rule 2
        "grpc_port": 8500,
        "http_port": 0,
        "admin_port": 0,
        "metrics_port": 0,
        "watch.poll_s": 1.0,
    }
    notes: list[str] = []
    for name, value in given.items():
        flag = FLAGS[name]
        if flag.setting:
            flags[flag.setting] = flag.convert(value)
        elif flag.refused:
            if str(value).lower() != flag.default:
                problems.append(f"--{name} is not supported: {flag.why}")
        elif flag.why:
            notes.append(f"--{name} has no effect: {flag.why}.")
    problems += _together(given)
    _read_files(given, flags, notes, problems)
    return flags, notes


def _together(given: Mapping[str, Any]) -> list[str]:
    """What the original checks of flags together, and what a value may not be here."""
    problems = []
    if not given.get("model_base_path") and not given.get("model_config_file"):
        problems.append("Both --model_base_path and --model_config_file are empty!")
    if given.get("batching_parameters_file") and not given.get("enable_batching"):
        problems.append("--batching_parameters_file is set without setting --enable_batching to true.")
    if given.get("port", 8500) and given.get("port", 8500) == given.get("rest_api_port"):
        problems.append("--rest_api_port must be different from --port")
    if given.get("port") == 0:
        problems.append("--port is 0, and Unix sockets are not served; gRPC needs a port")
    for name in ("file_system_poll_wait_seconds", "model_config_file_poll_wait_seconds"):
        if given.get(name, 0) < 0:
            problems.append(f"--{name} is negative, which the original reserves for its tests")
    return problems


def _read_files(given: Mapping[str, Any], flags: dict[str, Any], notes: list[str], problems: list[str]) -> None:
    from gateway.protocols import tfs_config  # protobuf: --help does not pay for it

    def read(name: str, reader: Callable[[Path], Any]) -> Any:
        if not given.get(name):
            return None
        try:
            return reader(Path(given[name]))
        except SettingsError as error:
            problems.append(f"--{name}: {error.explain()}")
            return None

    flags["tfserving.metrics_path"] = read("monitoring_config_file", tfs_config.read_monitoring) or ""
    read("model_config_file", tfs_config.read_models)
    batching = read("batching_parameters_file", tfs_config.read_batching)
    if batching is not None:
        flags["batch.max_rows"], flags["batch.max_queue"] = batching.max_rows, batching.max_queue
        notes += [f"{given['batching_parameters_file']}: {note}" for note in batching.notes]
    ssl = read("ssl_config_file", tfs_config.read_ssl)
    if ssl is not None:
        flags.update({"tls.cert": ssl.cert, "tls.key": ssl.key, "tls.client_ca": ssl.client_ca or None})


def _load(flags: Mapping[str, Any], problems: list[str]) -> config.Settings:
    """Errors: SettingsError with the problems of the flags and those of the settings."""
    try:
        settings = config.load(flags={name: value for name, value in flags.items() if value is not None})
    except config.BadSettings as error:
        problems = [*problems, *error.problems]
    if problems:
        raise SettingsError(problems, where="flags", hint="--help lists them all.")
    return settings


def usage() -> str:
    rows = []
    for name, flag in FLAGS.items():
        what = f"setting {flag.setting}" if flag.setting else ""
        if flag.refused:
            what = f"refused: {flag.why}"
        elif flag.why:
            what = f"no effect: {flag.why}"
        rows.append(f"  --{name}={flag.kind.__name__}".ljust(58) + what)
    return "usage: tensorflow_model_server [flags]\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
