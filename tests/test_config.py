"""Settings: precedence, types, and every problem reported together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway import config
from gateway.config import BadSettings, Settings, load


def test_defaults() -> None:
    assert load(None, {}, {}) == Settings()


def test_flags_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('host = "file"\nhttp_port = 1\ngrpc_port = 1001\n[batch]\nmax_rows = 1\nmax_queue = 7\n')
    environ = {
        "MODEL_GATEWAY_HOST": "environment",
        "MODEL_GATEWAY_HTTP_PORT": "2",
        "MODEL_GATEWAY_BATCH__MAX_ROWS": "2",
    }
    found = load(file, environ, {"http_port": 3, "host": None})
    assert found.http_port == 3, "flag"
    assert found.host == "environment", "a flag that was not given is no value"
    assert found.batch.max_rows == 2, "environment, nested"
    assert found.batch.max_queue == 7, "file, nested"
    assert found.grpc_port == 1001, "file"
    assert found.metrics_port == 8002, "default"


COMPANIONS = {
    "tls.cert": ["tls.key"],
    "tls.key": ["tls.cert"],
    "tls.client_ca": ["tls.cert", "tls.key"],
    "auth.manage_on_data": ["auth.file"],
}
"""Settings that make sense only beside others."""


def test_every_setting_can_be_set_by_the_environment() -> None:
    """Each name of `names()` is found again under its variable, with its own type."""
    for name, default in config.names().items():
        text = {str: "json", Path: "/somewhere", bool: "true"}.get(type(default), "3")
        text = {"model_control": "explicit", "grpc_compression": "gzip"}.get(name, text)
        if isinstance(default, Path):
            text = "/somewhere"
        companions = dict.fromkeys(COMPANIONS.get(name, ()), "x")
        found = load(None, {config.PREFIX + name.upper().replace(".", "__"): text}, companions)
        value: Any = found
        for part in name.split("."):
            value = getattr(value, part)
        assert str(value) == {float: "3.0", bool: "True"}.get(type(default), text)
        assert isinstance(value, Path) == isinstance(default, Path)


def test_an_unknown_mode_of_control_is_refused() -> None:
    with pytest.raises(BadSettings, match="model_control: 'auto', expected none, poll or explicit"):
        load(None, {}, {"model_control": "auto"})


def test_what_kubernetes_injects_is_not_a_setting() -> None:
    assert load(None, {"GATEWAY_PORT": "tcp://10.0.0.1:80", "GATEWAY_SERVICE_HOST": "10.0.0.1"}, {}) == Settings()


BAD = {
    "an unknown one names the nearest": (
        {"MODEL_GATEWAY_GRPC_PROT": "1"},
        ["grpc_prot: no such setting; did you mean grpc_port?"],
    ),
    "an unknown nested one": (
        {"MODEL_GATEWAY_BATCH__MAX_ROW": "1"},
        ["batch.max_row: no such setting; did you mean batch.max_rows?"],
    ),
    "an unknown group": ({"MODEL_GATEWAY_ZZZ__QQQ": "1"}, ["zzz.qqq: no such setting"]),
    "a group is not a setting": ({"MODEL_GATEWAY_BATCH": "1"}, ["batch: no such setting"]),
    "a word for a number": ({"MODEL_GATEWAY_BATCH__MAX_ROWS": "x"}, ["batch.max_rows: 'x' is not a valid int"]),
    "a fraction for a whole number": ({"MODEL_GATEWAY_HTTP_PORT": "1.5"}, ["http_port: '1.5' is not a valid int"]),
    "nothing for a number": ({"MODEL_GATEWAY_HTTP_PORT": ""}, ["http_port: '' is not a valid int"]),
    "not a number at all": ({"MODEL_GATEWAY_DRAIN_S": "nan"}, ["drain_s: nan is not a finite number"]),
    "for ever": ({"MODEL_GATEWAY_DRAIN_S": "inf"}, ["drain_s: inf is not a finite number"]),
    "no port": ({"MODEL_GATEWAY_HTTP_PORT": "65536"}, ["http_port: 65536 is not a port, expected 0 to 65535"]),
    "a negative time": ({"MODEL_GATEWAY_DRAIN_S": "-1"}, ["drain_s: -1.0 is negative, expected 0 or more"]),
    "a queue of nothing": ({"MODEL_GATEWAY_BATCH__MAX_QUEUE": "0"}, ["batch.max_queue: 0 is too small"]),
    "another log": ({"MODEL_GATEWAY_LOG": "xml"}, ["log: 'xml', expected auto, json or text"]),
    "one port twice": ({"MODEL_GATEWAY_HTTP_PORT": "8500"}, ["two listeners have the same port"]),
    "a certificate without its key": (
        {"MODEL_GATEWAY_TLS__CERT": "x"},
        ["tls.cert and tls.key: one is set without the other"],
    ),
    "a client CA without TLS": ({"MODEL_GATEWAY_TLS__CLIENT_CA": "x"}, ["tls.client_ca: is set without tls.cert"]),
    "management for everybody": ({"MODEL_GATEWAY_AUTH__MANAGE_ON_DATA": "1"}, ["auth.manage_on_data: needs auth.file"]),
    "all problems together": (
        {"MODEL_GATEWAY_REST_PROT": "1", "MODEL_GATEWAY_BATCH__MAX_ROWS": "x", "MODEL_GATEWAY_LOG": "xml"},
        ["rest_prot: no such setting", "batch.max_rows: 'x' is not a valid int", "log: 'xml'"],
    ),
}


@pytest.mark.parametrize(("environ", "says"), BAD.values(), ids=BAD.keys())
def test_bad(environ: dict[str, str], says: list[str]) -> None:
    with pytest.raises(BadSettings) as caught:
        load(None, environ, {})
    assert len(caught.value.problems) == len(says), caught.value.problems
    for part in says:
        assert any(part in problem for problem in caught.value.problems), caught.value.problems


FILES = {
    "no TOML": (b"host = ", "not valid TOML"),
    "not UTF-8": (b'host = "\xff"', "not valid TOML"),
    "a boolean for a number": (b"http_port = true", "http_port: True is not a valid int"),
    "a list for a text": (b'host = ["a"]', "host: ['a'] is not a valid str"),
    "a fraction for a whole number": (b"http_port = 1.0", "http_port: 1.0 is not a valid int"),
    "an unknown table": (b"[btach]\nmax_rows = 1", "btach.max_rows: no such setting; did you mean batch.max_rows?"),
    "a group as a value": (b"batch = 3", "batch: no such setting"),
    "a number for a text": (b"host = 3", "host: 3 is not a valid str"),
}


@pytest.mark.parametrize(("content", "says"), FILES.values(), ids=FILES.keys())
def test_bad_file(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_bytes(content)
    with pytest.raises(BadSettings) as caught:
        load(file, {}, {})
    assert any(says in problem for problem in caught.value.problems), caught.value.problems


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadSettings) as caught:
        load(tmp_path / "no.toml", {}, {})
    assert caught.value.problems == [f"{tmp_path / 'no.toml'}: cannot be read: No such file or directory"]


def test_cache_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert config.cache_folder() == tmp_path / "model-gateway"
    assert Settings().store == tmp_path / "model-gateway" / "store"
