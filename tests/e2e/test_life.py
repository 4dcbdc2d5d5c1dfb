"""Drops as people make them, into a running gateway: what is served, what is refused, what survives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import affine
from tests.e2e.running import Running, gateway, until


def answer(running: Running, model: str) -> float | None:
    """k of the model that serves now, or None."""
    status, body = running.predict(model, [[0.0, 0.0]])
    return float(body["outputs"][0][0]) if status == 200 else None


# -- replacing, renaming, deleting ---------------------------------------------------------


def test_a_single_file_is_version_one_and_its_replacement_a_new_generation(shared: Running, repository: Path) -> None:
    affine.write(repository / "single.onnx", 1.0)
    shared.wait("single", 1, "AVAILABLE")
    assert answer(shared, "single") == 1.0
    affine.write(repository / "single.onnx", 2.0)
    until(lambda: answer(shared, "single") == 2.0, 30)
    assert shared.versions("single")[1]["generation"] == 2


def test_a_broken_replacement_never_costs_the_old_one(shared: Running, repository: Path) -> None:
    affine.write(repository / "kept.onnx", 3.0)
    shared.wait("kept", 1, "AVAILABLE")
    (repository / "kept.onnx").write_bytes(affine.affine(4.0)[:60])
    until(lambda: "failed" in shared.versions("kept")[1]["reason"], 30)
    assert answer(shared, "kept") == 3.0
    affine.write(repository / "kept.onnx", 5.0)
    until(lambda: answer(shared, "kept") == 5.0, 30)


def test_deleting_a_version_brings_the_older_one_back(shared: Running, repository: Path) -> None:
    affine.write(repository / "two" / "1" / "m.onnx", 1.0)
    affine.write(repository / "two" / "00000002" / "m.onnx", 2.0)
    shared.wait("two", 2, "AVAILABLE")
    shutil.rmtree(repository / "two" / "00000002")
    until(lambda: answer(shared, "two") == 1.0, 30)


def test_a_renamed_model_is_another_model(shared: Running, repository: Path) -> None:
    affine.write(repository / "before" / "1" / "m.onnx", 7.0)
    shared.wait("before", 1, "AVAILABLE")
    (repository / "before").rename(repository / "after")
    shared.wait("after", 1, "AVAILABLE")
    until(lambda: shared.versions("before") == {}, 30)
    status, body = shared.predict("before", [[0.0, 0.0]])
    assert status == 404
    assert body["error"].startswith("Servable not found for request: Latest(before)")


def test_names_and_aliases_of_model_toml_reach_the_client(shared: Running, repository: Path) -> None:
    affine.write(repository / "alias.onnx", 1.0)
    (repository / "alias.toml").write_text(
        '[[inputs]]\nfrom = "x"\nname = "data"\n[[outputs]]\nfrom = "y"\nname = "z"\n'
    )
    shared.wait("alias", 1, "AVAILABLE")
    status, body = shared.predict("alias", {"data": [[2.0, 4.0]]})
    assert (status, body) == (200, {"outputs": [[2.0, 3.0]]})
    _, metadata = shared.call("/v1/models/alias/metadata")
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["data"]["name"].startswith("x")
    assert list(signature["outputs"]) == ["z"]


# -- drops that are wrong ------------------------------------------------------------------


@dataclass
class Bad:
    files: dict[str, bytes | int]  # an int is the size of a sparse file
    says: tuple[str, ...]  # parts of the reason
    error: str  # class


WHOLE = affine.affine(1.0)
BAD = {
    "truncated": Bad({"1/model.onnx": WHOLE[:-30]}, ("model.onnx",), "CorruptModel"),
    "zero bytes": Bad({"1/model.onnx": b""}, ("model.onnx", "0 bytes"), "UnknownFormat"),
    "not a model": Bad({"1/text.onnx": b"hello, I am a text file\n"}, ("text.onnx",), "UnknownFormat"),
    "known by name but not converted": Bad({"1/m.onnx": b"GGUF" + bytes(60)}, ("m.onnx is GGUF",), "UnsupportedFormat"),
    "two models in one folder": Bad({"1/a.onnx": WHOLE, "1/b.onnx": WHOLE}, ("a.onnx", "b.onnx"), "AmbiguousFormat"),
    "unknown operator": Bad({"1/m.onnx": WHOLE.replace(b"Add", b"Adz")}, ("Adz (x1)",), "UnsupportedOps"),
    "a 10 GB sparse file": Bad({"1/model.onnx": 10 << 30}, ("max_drop_bytes",), "DropTooLarge"),
    "unknown key in model.toml": Bad(
        {"1/m.onnx": WHOLE, "1/model.toml": b"verfy = 'off'"}, ("verfy", "verify"), "ModelTomlError"
    ),
    "no road to the target yet": Bad(
        {"1/m.onnx": WHOLE, "1/model.toml": b"target = 'native'"}, ("native",), "MissingHop"
    ),
    "output that is not there": Bad(
        {"1/m.onnx": WHOLE, "1/model.toml": b"[[outputs]]\nname = 'yy'"}, ("yy",), "ConversionError"
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_drop_says_what_is_wrong_and_harms_nobody(name: str, shared: Running, repository: Path) -> None:
    case = BAD[name]
    model = "bad-" + name.replace(" ", "-").replace(".", "-")
    for path, content in case.files.items():
        target = repository / model / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            if isinstance(content, int):
                stream.truncate(content)
            else:
                stream.write(content)
    row = shared.wait(model, 1, "FAILED")
    described = shared.call(f"/api/v1/models/{model}/versions/1")[1]
    for part in case.says:
        assert part in row["reason"] + described["hint"], row
    assert described["error"]["error"] == case.error
    assert described["stage"]
    _, status = shared.call(f"/v1/models/{model}")
    entry = status["model_version_status"][0]
    assert entry["state"] == "END"
    assert entry["status"]["error_message"]
    assert shared.predict(model, [[0.0, 0.0]])[0] == 404
    assert model in shared.log
    metrics = shared.call("/metrics", port="metrics")[1]
    assert f'model_gateway_version_state{{model="{model}",state="FAILED",version="1"}} 1.0' in metrics
    shutil.rmtree(repository / model)


def test_an_empty_version_folder_waits_and_then_serves(shared: Running, repository: Path) -> None:
    affine.write(repository / "waits" / "1" / "m.onnx", 1.0)
    (repository / "waits" / "2").mkdir()
    shared.wait("waits", 1, "AVAILABLE")
    affine.write(repository / "waits" / "2" / "m.onnx", 2.0)
    until(lambda: answer(shared, "waits") == 2.0, 30)


def test_temporary_names_are_left_alone(shared: Running, repository: Path) -> None:
    affine.write(repository / "temp" / "1" / "m.onnx.part", 1.0)
    affine.write(repository / "temp" / "1" / ".m.onnx.Xy12", 1.0)
    time.sleep(1.0)
    assert shared.versions("temp") == {}
    (repository / "temp" / "1" / "m.onnx.part").rename(repository / "temp" / "1" / "m.onnx")
    shared.wait("temp", 1, "AVAILABLE")


def test_a_link_out_of_the_repository_is_refused(shared: Running, repository: Path, tmp_path: Path) -> None:
    secret = affine.write(tmp_path / "secret.onnx", 1.0)
    (repository / "linked" / "1").mkdir(parents=True)
    (repository / "linked" / "1" / "m.onnx").symlink_to(secret)
    row = shared.wait("linked", 1, "FAILED")
    assert "m.onnx" in row["reason"]
    shutil.rmtree(repository / "linked")


# -- restarts ------------------------------------------------------------------------------


def test_a_restart_converts_nothing_again_and_a_broken_replacement_costs_nothing(tmp_path: Path) -> None:
    affine.write(tmp_path / "repo" / "m.onnx", 1.0)
    with gateway(tmp_path) as running:
        running.wait("m", 1, "AVAILABLE")
        assert running.stop() == 0
    affine.write(tmp_path / "repo" / "n.onnx", 2.0)
    with gateway(tmp_path) as running:
        running.wait("m", 1, "AVAILABLE", 10)
        until(lambda: answer(running, "n") == 2.0, 30)
        metrics = running.call("/metrics", port="metrics")[1]
        assert 'model_gateway_conversion_seconds_count{format="onnx",model="n",outcome="passed"} 1.0' in metrics
        assert 'model_gateway_conversion_seconds_count{format="onnx",model="m"' not in metrics
        assert running.stop() == 0
    (tmp_path / "repo" / "m.onnx").write_bytes(b"\x08\x08 not a model")
    with gateway(tmp_path) as running:
        until(lambda: answer(running, "m") == 1.0, 30)
        until(lambda: "failed" in running.versions("m")[1]["reason"], 30)
        assert answer(running, "m") == 1.0
        affine.write(tmp_path / "repo" / "m.onnx", 3.0)
        until(lambda: answer(running, "m") == 3.0, 30)


def test_after_a_restart_nobody_waits_for_an_older_version(tmp_path: Path) -> None:
    """Both versions are in the store; only the newer one is loaded, and the gateway is ready once it is."""
    affine.write(tmp_path / "repo" / "m" / "1" / "m.onnx", 1.0)
    with gateway(tmp_path) as running:
        running.wait("m", 1, "AVAILABLE")
        affine.write(tmp_path / "repo" / "m" / "2" / "m.onnx", 2.0)
        running.wait("m", 2, "AVAILABLE")
        assert running.stop() == 0
    with gateway(tmp_path) as running:
        running.wait("m", 2, "AVAILABLE", 10)
        assert running.versions("m")[1]["state"] == "CONVERTED"
        until(lambda: running.call("/healthz/ready", port="admin")[0] == 200, 10)


def test_an_unreadable_repository_is_not_a_deletion(tmp_path: Path) -> None:
    affine.write(tmp_path / "repo" / "m.onnx", 1.0)
    with gateway(tmp_path) as running:
        running.wait("m", 1, "AVAILABLE")
        (tmp_path / "repo").rename(tmp_path / "away")
        until(lambda: "scan_failures_total 0.0" not in running.call("/metrics", port="metrics")[1], 10)
        time.sleep(1.0)
        assert answer(running, "m") == 1.0
        (tmp_path / "away").rename(tmp_path / "repo")
        affine.write(tmp_path / "repo" / "m.onnx", 2.0)
        until(lambda: answer(running, "m") == 2.0, 30)


def test_sigterm_drains_what_runs(tmp_path: Path) -> None:
    """Requests in flight when the signal comes are answered; the exit code is 0."""
    affine.write(tmp_path / "repo" / "m.onnx", 1.0)
    with gateway(tmp_path) as running:
        running.wait("m", 1, "AVAILABLE")
        failures: list[Any] = []
        stopping = threading.Event()

        def ask() -> None:
            while not stopping.is_set():
                try:
                    status, _ = running.predict("m", [[0.0, 0.0]])
                except OSError:  # refused: the listener is closed, nothing was in flight
                    return
                if status not in (200, 503):
                    failures.append(status)

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        time.sleep(0.5)
        code = running.stop()
        stopping.set()
        for client in clients:
            client.join(10)
    assert code == 0
    assert failures == []


def test_sighup_reads_the_settings_again(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("[batch]\nmax_rows = 4\n")
    (tmp_path / "repo").mkdir()
    with gateway(tmp_path, "--config", str(config)) as running:
        config.write_text("[batch]\nmax_rows = 'x'\n")
        running.process.send_signal(signal.SIGHUP)
        until(lambda: "settings unchanged" in running.log, 10, lambda: running.log)
        config.write_text("[batch]\nmax_rows = 8\n[limits]\nmax_json_depth = 9\n")
        running.process.send_signal(signal.SIGHUP)
        until(lambda: "need a restart to take effect: limits" in running.log, 10, lambda: running.log)
        assert running.stop() == 0


# -- workers -------------------------------------------------------------------------------


def test_a_worker_killed_under_load_costs_no_request(tmp_path: Path) -> None:
    affine.write(tmp_path / "repo" / "m" / "1" / "m.onnx", 1.0)
    (tmp_path / "repo" / "m" / "model.toml").write_text('isolation = "process"\n')
    with gateway(tmp_path) as running:
        running.wait("m", 1, "AVAILABLE")
        placement = running.call("/api/v1/models/m/versions/1")[1]["placement"]
        worker = int(placement["pid"])
        assert worker != running.process.pid
        answers: list[Any] = []
        ended = threading.Event()

        def ask() -> None:
            while not ended.is_set():
                answers.append(running.predict("m", [[0.0, 0.0]]))

        client = threading.Thread(target=ask)
        client.start()
        try:
            time.sleep(0.3)
            os.kill(worker, signal.SIGKILL)
            until(lambda: running.call("/api/v1/models/m/versions/1")[1]["placement"].get("pid") != str(worker), 30)
            running.wait("m", 1, "AVAILABLE", 30)
            time.sleep(0.3)
        finally:
            ended.set()
            client.join(30)
        metrics = running.call("/metrics", port="metrics")[1]
    assert len(answers) > 20
    assert [a for a in answers if a != (200, {"outputs": [[1.0, 1.0]]})] == []
    assert 'model_gateway_worker_deaths_total{model="m"} 1.0' in metrics


def test_the_report_can_be_read(shared: Running, repository: Path) -> None:
    affine.write(repository / "report.onnx", 1.0)
    shared.wait("report", 1, "AVAILABLE")
    status, report = shared.call("/api/v1/models/report/versions/1/report", port="admin")
    assert status == 200
    assert report["verdict"] == "passed"
    assert "ReferenceEvaluator" in report["oracle"]
    assert report["worst"]["output"] == "y"
    assert json.dumps(report)
