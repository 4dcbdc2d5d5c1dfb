"""The flags of tensorflow_model_server: mapped, accepted, refused; every flag of the original is one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway import __version__
from gateway import tensorflow_model_server as command

# Flags of the original's main.cc (model_servers/main.cc, July 2026).
ORIGINAL = """
port grpc_socket_path rest_api_port rest_api_num_threads rest_api_timeout_in_ms rest_api_enable_cors_support
enable_batching allow_version_labels_for_unavailable_models batching_parameters_file
enable_per_model_batching_parameters model_config_file model_config_file_poll_wait_seconds model_name
model_base_path num_load_threads num_unload_threads max_num_load_retries load_retry_interval_micros
file_system_poll_wait_seconds flush_filesystem_caches tensorflow_session_parallelism
tensorflow_session_config_file tensorflow_intra_op_parallelism tensorflow_inter_op_parallelism
use_alts_credentials ssl_config_file platform_config_file per_process_gpu_memory_fraction saved_model_tags
grpc_channel_arguments grpc_max_threads enable_model_warmup num_request_iterations_for_warmup version
monitoring_config_file remove_unused_fields_from_bundle_metagraph prefer_tflite_model num_tflite_pools
num_tflite_interpreters_per_pool enable_signature_method_name_check xla_cpu_compilation_enabled
xla_gpu_compilation_enabled enable_profiler thread_pool_factory_config_file mixed_precision
skip_initialize_tpu enable_grpc_healthcheck_service enable_serialization_as_tensor_content
"""


def test_every_flag_of_the_original_is_known() -> None:
    assert set(command.FLAGS) == {*ORIGINAL.split(), "help"}


def settings_of(*argv: str) -> tuple[dict[str, Any], list[str], list[str]]:
    given, problems = command.parse(argv)
    flags, notes = command.settings_of(given, problems)
    return flags, notes, problems


BASE = "--model_base_path=/models/m"
MAPPED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "ports": (("--port=1", "--rest_api_port", "2"), {"grpc_port": 1, "http_port": 2}),
    "the original's defaults": (
        (),
        {"grpc_port": 8500, "watch.poll_s": 1.0, "repository": Path("-"), "tfserving.metrics_path": ""},
    ),
    "one model": (
        ("--model_name=half",),
        {"tfserving.base_name": "half", "tfserving.base_path": "/models/m"},
    ),
    "a timeout in milliseconds": (("--rest_api_timeout_in_ms=1500",), {"limits.request_s": 1.5}),
    "a switch without a value": (("--rest_api_enable_cors_support",), {"tfserving.cors": True}),
    "a switch with one": (("--enable_serialization_as_tensor_content=false",), {"tfserving.tensor_content": False}),
    "poll once": (("--file_system_poll_wait_seconds=0",), {"watch.poll_s": command.ONCE_S}),
    "poll now and then": (("--file_system_poll_wait_seconds=5",), {"watch.poll_s": 5.0}),
    "the file of models is polled": (
        ("--model_config_file_poll_wait_seconds=7",),
        {"tfserving.models_config_poll_s": 7},
    ),
    "labels": (("--allow_version_labels_for_unavailable_models",), {"tfserving.labels_for_unavailable": True}),
    "a minute between retries": (("--load_retry_interval_micros=60000000",), {"jobs.retry_s": 60.0}),
    "threads": (("--tensorflow_session_parallelism=3",), {"runtime.threads": 3}),
}


@pytest.mark.parametrize("case", MAPPED.values(), ids=MAPPED.keys())
def test_mapped(case: tuple[tuple[str, ...], dict[str, Any]]) -> None:
    flags, notes, problems = settings_of(BASE, *case[0])
    assert (problems, notes) == ([], [])
    assert {name: flags.get(name) for name in case[1]} == case[1]


def test_files(tmp_path: Path) -> None:
    (tmp_path / "batching").write_text("max_batch_size { value: 4 } batch_timeout_micros { value: 9 }")
    (tmp_path / "monitoring").write_text("prometheus_config { enable: true }")
    (tmp_path / "ssl").write_text('server_key: "K" server_cert: "C" custom_ca: "A" client_verify: true')
    flags, notes, problems = settings_of(
        BASE,
        "--enable_batching",
        f"--batching_parameters_file={tmp_path / 'batching'}",
        f"--monitoring_config_file={tmp_path / 'monitoring'}",
        f"--ssl_config_file={tmp_path / 'ssl'}",
    )
    assert problems == []
    assert [note.split(": ")[1].split()[0] for note in notes] == ["batch_timeout_micros"]
    assert flags["batch.max_rows"] == 4
    assert flags["tfserving.metrics_path"] == "/monitoring/prometheus/metrics"
    assert (flags["tls.key"], flags["tls.cert"], flags["tls.client_ca"]) == ("K", "C", "A")


def test_what_has_no_effect_is_said() -> None:
    _, notes, problems = settings_of(BASE, "--num_load_threads=4", "--saved_model_tags=serve", "--enable_batching")
    assert problems == []
    assert [note.split()[0] for note in notes] == ["--num_load_threads", "--saved_model_tags"]


REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no model": ((), ("Both --model_base_path and --model_config_file are empty!",)),
    "a flag that is none": ((BASE, "--prot=1"), ("--prot=1: no such flag. Did you mean 'port'?",)),
    "a word": ((BASE, "serve"), ("serve: no such flag.",)),
    "no value": ((BASE, "--port"), ("--port: its value is missing",)),
    "no number": ((BASE, "--port=x"), ("--port: 'x' is not a valid int",)),
    "no truth": ((BASE, "--enable_batching=maybe"), ("--enable_batching: 'maybe' is not a valid bool",)),
    "one port for both": ((BASE, "--port=5", "--rest_api_port=5"), ("--rest_api_port must be different",)),
    "no gRPC port": ((BASE, "--port=0"), ("--port is 0, and Unix sockets are not served",)),
    "never poll": ((BASE, "--file_system_poll_wait_seconds=-1"), ("--file_system_poll_wait_seconds is negative",)),
    "a socket": ((BASE, "--grpc_socket_path=/x"), ("--grpc_socket_path is not supported: Unix sockets",)),
    "mixed precision": ((BASE, "--mixed_precision=bfloat16"), ("--mixed_precision is not supported: it would change",)),
    "ALTS": ((BASE, "--use_alts_credentials"), ("--use_alts_credentials is not supported",)),
    "batching that is off": (
        (BASE, "--batching_parameters_file=/x"),
        ("--batching_parameters_file is set without setting --enable_batching", "/x: cannot be read"),
    ),
    "a file that is not there": (
        ("--model_config_file=/none",),
        ("--model_config_file: /none: cannot be read: No such file or directory",),
    ),
    "everything at once": (
        ("--prot=1", "--port=x", "--model_config_file=/none"),
        ("--prot=1: no such flag", "--port: 'x'", "--model_config_file: /none"),
    ),
    "a port that is none": ((BASE, "--port=70000"), ("grpc_port: 70000 is not a port",)),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_refused(case: tuple[tuple[str, ...], tuple[str, ...]], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(case[0]) == 2
    found = capsys.readouterr()
    assert found.out == ""
    for part in case[1]:
        assert part in found.err


def test_an_off_switch_is_not_refused() -> None:
    assert settings_of(BASE, "--enable_profiler=false", "--use_alts_credentials=false")[2] == []


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out
    assert command.main(["--help"]) == 0
    listing = capsys.readouterr().out
    assert all(f"--{name}=" in listing for name in command.FLAGS)
