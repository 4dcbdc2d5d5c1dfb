"""TensorFlow Serving's configuration files: what is read, and every refusal, with all problems at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.core.policy import NEWEST, Versions
from gateway.errors import SettingsError
from gateway.protocols import tfs_config
from gateway.serving.control import Wanted

# The form of testdata/good_model_config.txt of TensorFlow Serving (Apache-2.0): colons and commas included.
TWO = """
model_config_list: {
  config: {
    name: "half_plus_two",
    base_path: "/models/two",
    model_platform: "tensorflow"
  },
  config: {
    name: "half_plus_three",
    base_path: "/models/three",
    model_platform: "tensorflow"
  }
}
"""


def config(inner: str, name: str = "m", path: str = "/m") -> str:
    return f'model_config_list {{ config {{ name: "{name}" base_path: "{path}" {inner} }} }}'


def row(**more: Any) -> Wanted:
    return Wanted("m", "models.config", "/m", **more)


MODELS: dict[str, tuple[str, tuple[Wanted, ...], tuple[str, ...]]] = {
    "two models": (
        TWO,
        (
            Wanted("half_plus_two", "models.config", "/models/two"),
            Wanted("half_plus_three", "models.config", "/models/three"),
        ),
        (),
    ),
    "nothing": ("", (), ()),
    "an empty list": ("model_config_list {}", (), ()),
    "no policy is the newest": (config(""), (row(versions=NEWEST),), ()),
    "latest": (config("model_version_policy { latest { num_versions: 3 } }"), (row(versions=Versions(3)),), ()),
    "latest without a number": (config("model_version_policy { latest {} }"), (row(versions=NEWEST),), ()),
    "all": (config("model_version_policy { all {} }"), (row(versions=Versions(all=True)),), ()),
    "specific": (
        config("model_version_policy { specific { versions: 42 versions: 43 } }"),
        (row(versions=Versions(specific=(42, 43))),),
        (),
    ),
    "labels": (
        config('version_labels { key: "stable" value: 42 } version_labels { key: "canary" value: 43 }'),
        (row(labels={"stable": 42, "canary": 43}),),
        (),
    ),
    "model_type and a comment": ("# models\n" + config("model_type: TENSORFLOW"), (row(),), ()),
    "logging is said to have no effect": (
        config("logging_config { sampling_config { sampling_rate: 0.1 } }"),
        (row(),),
        ("model m: logging_config has no effect: requests are not logged to files.",),
    ),
}


@pytest.mark.parametrize("case", MODELS.values(), ids=MODELS.keys())
def test_models(case: tuple[str, tuple[Wanted, ...], tuple[str, ...]], tmp_path: Path) -> None:
    text, rows, notes = case
    (tmp_path / "models.config").write_text(text)
    found = tfs_config.read_models(tmp_path / "models.config")
    assert (found.rows, found.notes) == (rows, notes)
    (tmp_path / "models.config").write_text(text + "\n")
    assert tfs_config.read_models(tmp_path / "models.config").digest != found.digest


BAD: dict[str, tuple[Callable[[Path], Any], str | bytes, tuple[str, ...]]] = {
    # testdata/bad_model_config.txt
    "not a text of the message": (
        tfs_config.read_models,
        "improperly formatted file",
        ("not a text of tensorflow.serving.ModelServerConfig", "1:1"),
    ),
    "an unknown field, with its place": (
        tfs_config.read_models,
        "model_config_list {\n  config { nmae: 'm' }\n}",
        ("2:12", "nmae"),
    ),
    "not UTF-8": (tfs_config.read_models, b"\xff", ("not UTF-8 text: byte 0",)),
    "a name twice": (
        tfs_config.read_models,
        TWO.replace("half_plus_three", "half_plus_two"),
        ("Illegal to list model half_plus_two multiple times in config list",),
    ),
    "a relative base path": (
        tfs_config.read_models,
        config("", path="models/m"),
        ("Expected model m to have an absolute path or URI; got base_path()=models/m",),
    ),
    "a URI": (tfs_config.read_models, config("", path="gs://b/m"), ("base_path gs://b/m is a URI",)),
    "a name that is none, and no versions: both": (
        tfs_config.read_models,
        config("model_version_policy { specific {} }", name="a/b"),
        ("'a/b' is not a model name", "model_version_policy specific lists no versions"),
    ),
    "a custom config": (
        tfs_config.read_models,
        "custom_model_config { type_url: 'x' }",
        ("custom_model_config is not supported",),
    ),
    "batching: a field that is none": (tfs_config.read_batching, "max_batch_sizes { value: 1 }", ("max_batch_sizes",)),
    "batching: nothing": (
        tfs_config.read_batching,
        "max_batch_size { value: 0 } max_enqueued_batches { value: -1 }",
        ("max_batch_size is 0, expected 1 or more", "max_enqueued_batches is -1"),
    ),
    "monitoring: a path that is none": (
        tfs_config.read_monitoring,
        'prometheus_config { enable: true path: "metrics" }',
        ("prometheus_config.path is 'metrics', expected one that begins with /",),
    ),
    "TLS: nothing": (tfs_config.read_ssl, "", ("server_key is empty", "server_cert is empty", "PEM texts, not paths")),
    "TLS: clients without an authority": (
        tfs_config.read_ssl,
        'server_key: "k" server_cert: "c" client_verify: true',
        ("client_verify is set and custom_ca is empty",),
    ),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_what_is_refused(case: tuple[Callable[[Path], Any], str | bytes, tuple[str, ...]], tmp_path: Path) -> None:
    read, text, parts = case
    file = tmp_path / "file.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as caught:
        read(file)
    assert str(file) in caught.value.message
    for part in parts:
        assert part in caught.value.explain()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        tfs_config.read_models(tmp_path / "none")


def test_batching(tmp_path: Path) -> None:
    """testdata/batching_config.txt of TensorFlow Serving, and the fields that have no effect here."""
    file = tmp_path / "batching.txt"
    file.write_text(
        "max_batch_size { value: 128 }\nbatch_timeout_micros { value: 0 }\n"
        "max_enqueued_batches { value: 1000000 }\nnum_batch_threads { value: 8 }\n"
    )
    found = tfs_config.read_batching(file)
    assert (found.max_rows, found.max_queue) == (128, 128_000_000)
    assert [note.split()[0] for note in found.notes] == ["batch_timeout_micros", "num_batch_threads"]
    file.write_text("allowed_batch_sizes: 8 allowed_batch_sizes: 16 pad_variable_length_inputs: true")
    found = tfs_config.read_batching(file)
    assert (found.max_rows, found.max_queue, len(found.notes)) == (None, None, 2)


MONITORING = {
    "on, by its path": ('prometheus_config { enable: true, path: "/x/y" }', "/x/y"),
    "on, the original's path": ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
    "off": ('prometheus_config { path: "/x" }', ""),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("case", MONITORING.values(), ids=MONITORING.keys())
def test_monitoring(case: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text(case[0])
    assert tfs_config.read_monitoring(tmp_path / "m.txt") == case[1]


def test_tls_texts(tmp_path: Path) -> None:
    file = tmp_path / "ssl.txt"
    file.write_text('server_key: "K\\nK"\nserver_cert: "C"\ncustom_ca: "A"\nclient_verify: true')
    assert tfs_config.read_ssl(file) == tfs_config.Ssl("K\nK", "C", "A")
    file.write_text('server_key: "K" server_cert: "C" custom_ca: "A"')
    assert tfs_config.read_ssl(file).client_ca == ""
