"""The command line as other tools call it: exit codes, one JSON document on stdout, progress on stderr."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e import affine
from tests.e2e.running import Running

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "model_repo" / "digits" / "1"
SAMPLES = ROOT / "docs" / "samples" / "digits"


def gateway(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd, check=False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return affine.write(tmp_path / "in" / "m.onnx", 3.0)


def test_convert_writes_an_artifact_that_is_itself_a_valid_drop(model: Path, tmp_path: Path) -> None:
    done = gateway("convert", model, "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["verification"]["verdict"] == "passed"
    assert answer["signatures"][0]["batched"] is True
    assert {"model.onnx", "gateway.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
    again = gateway("convert", tmp_path / "out", "--out", tmp_path / "again", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["verification"]["verdict"] == "passed"


def test_an_internal_tensor_can_be_the_output(model: Path, tmp_path: Path) -> None:
    done = gateway("convert", model, "--out", tmp_path / "out", "--output", "xh", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [spec["name"] for spec in answer["signatures"][0]["outputs"]] == ["xh"]
    assert answer["verification"]["verdict"] == "passed"
    assert "k" in json.dumps(answer["provenance"]), "the weight that nothing reads is reported"


def test_an_input_fixes_what_was_free(model: Path, tmp_path: Path) -> None:
    done = gateway("convert", model, "--out", tmp_path / "out", "--input", "x:float32[4,2]", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["signatures"][0]["inputs"][0]["shape"] == [4, 2]


def test_clients_call_tensors_by_their_alias(model: Path, tmp_path: Path) -> None:
    flags = ("--input", "in=x:float32[?,2]", "--output", "out=y", "--json")
    done = gateway("convert", model, "--out", tmp_path / "out", *flags)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)["signatures"][0]
    assert [(spec["name"], spec["tensor"]) for spec in (*shown["inputs"], *shown["outputs"])] == [
        ("in", "x"),
        ("out", "y"),
    ]


def test_inspect_says_what_it_is(model: Path) -> None:
    done = gateway("inspect", model, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["format"] == "onnx"
    assert answer["confidence"] > 0.9
    assert {"version", "evidence", "inputs", "outputs", "operators"} <= set(answer)
    assert answer["operators"] == {"Add": 1, "Mul": 1}


def test_verify_finds_the_node_that_is_wrong(model: Path, tmp_path: Path) -> None:
    """An artifact of another constant: failed, exit 1, and the node that adds it is named."""
    assert gateway("convert", model, "--out", tmp_path / "out").returncode == 0
    good = gateway("verify", model, tmp_path / "out", "--json")
    assert (good.returncode, json.loads(good.stdout)["verdict"]) == (0, "passed")
    other = affine.write(tmp_path / "other" / "m.onnx", 3.25)
    bad = gateway("verify", other, tmp_path / "out", "--json")
    report = json.loads(bad.stdout)
    assert (bad.returncode, report["verdict"]) == (1, "failed")
    assert report["worst"]["max_abs"] == pytest.approx(0.25)
    assert report["diverges_at"].startswith("y")


def test_verify_against_expected_outputs(model: Path, tmp_path: Path) -> None:
    assert gateway("convert", model, "--out", tmp_path / "out").returncode == 0
    x = np.array([[2.0, 4.0]], np.float32)
    np.savez(tmp_path / "in.npz", x=x)
    np.savez(tmp_path / "right.npz", y=x * np.float32(0.5) + np.float32(3))
    np.savez(tmp_path / "wrong.npz", y=x)
    arguments = ("verify", model, tmp_path / "out", "--json", "--inputs", tmp_path / "in.npz", "--expected")
    assert gateway(*arguments, tmp_path / "right.npz").returncode == 0
    assert gateway(*arguments, tmp_path / "wrong.npz").returncode == 1


@dataclass
class Wrong:
    arguments: list[str]  # {model}, {tmp} are filled in
    code: int
    says: list[str] = field(default_factory=list)


WRONG = {
    "no command": Wrong([], 2),
    "unknown option": Wrong(["convert", "{model}", "--out", "{tmp}/o", "--fast"], 2, ["--fast"]),
    "source that is not there": Wrong(["convert", "{tmp}/nope.onnx", "--out", "{tmp}/o"], 2, ["nope.onnx"]),
    "input spec that cannot be read": Wrong(
        ["convert", "{model}", "--out", "{tmp}/o", "--input", "x=float"], 2, ["x=float", "NAME:DTYPE[SHAPE]"]
    ),
    "input dtype with a typo": Wrong(
        ["convert", "{model}", "--out", "{tmp}/o", "--input", "x:flaot32[?]"], 2, ["flaot32", "float32"]
    ),
    "out that holds other things": Wrong(["convert", "{model}", "--out", "{tmp}/in"], 2, ["--out"]),
    "a target without a road": Wrong(["convert", "{model}", "--to", "native", "--out", "{tmp}/o"], 1, ["native"]),
    "flags that are wrong, all of them": Wrong(
        ["convert", "{model}", "--out", "{tmp}/o", "--tag", "a", "--tag", "a", "--output", "y=", "--input", "a=x"],
        2,
        ["--tag: of a SavedModel alone", "'a' is given twice", "'y='", "--input a=x: 'x' is not NAME:DTYPE[SHAPE]"],
    ),
    "not a model": Wrong(["convert", "{tmp}/text.onnx", "--out", "{tmp}/o"], 1, ["text.onnx"]),
    "truncated": Wrong(["convert", "{tmp}/cut.onnx", "--out", "{tmp}/o"], 1, ["cut.onnx"]),
    "output with a typo": Wrong(["convert", "{model}", "--out", "{tmp}/o", "--output", "xhh"], 1, ["xhh", "xh"]),
    "environment nobody knows": Wrong(["doctor", "--install", "bsae"], 2, ["bsae", "base"]),
    "no gateway there": Wrong(["predict", "m", "--url", "http://127.0.0.1:9", "--npy", "x=a.npy"], 3, ["127.0.0.1:9"]),
    "settings that are wrong, all of them": Wrong(
        ["serve", "{tmp}", "--config", "{tmp}/bad.toml", "--set", "jobs.concurency=1", "--set", "http_port=x"],
        2,
        ["batch.max_row", "batch.max_rows", "grpc_port", "jobs.concurrency", "http_port: 'x' is not a valid int"],
    ),
    "a setting without a value": Wrong(
        ["serve", "{tmp}", "--set", "http_port"], 2, ["'http_port': expected NAME=VALUE"]
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_has_its_exit_code_and_says_why(name: str, model: Path, tmp_path: Path) -> None:
    case = WRONG[name]
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "cut.onnx").write_bytes(affine.affine(1.0)[:-40])
    (tmp_path / "bad.toml").write_text("grpc_port = 99999999\n[batch]\nmax_row = 1\n")
    done = gateway(*(a.format(model=model, tmp=tmp_path) for a in case.arguments))
    assert done.returncode == case.code, done.stderr
    for part in case.says:
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "o").exists(), "nothing is left behind"


@pytest.mark.parametrize("name", ["not a model", "a target without a road"])
def test_a_failure_is_one_json_document_too(name: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    done = gateway(*(a.format(model=model, tmp=tmp_path) for a in WRONG[name].arguments), "--json")
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["exit"] == done.returncode == 1
    assert answer["error"]
    assert answer["message"]


@pytest.mark.parametrize("digit", range(10))
def test_predict_reads_a_picture(digit: int, shared: Running, repository: Path) -> None:
    import shutil

    if not (repository / "digits").exists():
        shutil.copytree(DIGITS.parent, repository / "digits")
    shared.wait("digits", 1, "AVAILABLE")
    done = gateway("predict", "digits", "--url", shared.http, "--image", SAMPLES / f"{digit}.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{digit}  "), done.stdout
    assert "%" in done.stdout.splitlines()[0]


def test_predict_sends_arrays_and_bodies(shared: Running, repository: Path, tmp_path: Path) -> None:
    affine.write(repository / "cli.onnx", 1.0)
    shared.wait("cli", 1, "AVAILABLE")
    np.save(tmp_path / "x.npy", np.array([[2.0, 4.0]], np.float32))
    done = gateway("predict", "cli", "--url", shared.http, "--npy", f"x={tmp_path / 'x.npy'}")
    assert done.returncode == 0, done.stderr
    assert "y float32[1,2]: [[2. 3.]]" in done.stdout
    (tmp_path / "body.json").write_text('{"instances": [[2.0, 4.0]]}')
    done = gateway("predict", "cli", "--url", shared.http, "--json", tmp_path / "body.json")
    assert json.loads(done.stdout) == {"predictions": [[2.0, 3.0]]}
    done = gateway("predict", "cli", "--url", shared.http, "--npy", f"xx={tmp_path / 'x.npy'}")
    assert done.returncode == 1
    assert "'xx' is not one of this model's" in done.stderr
    done = gateway("predict", "cli", "--url", shared.http, "--image", SAMPLES / "7.png")
    assert done.returncode == 1
    assert "[preprocess]" in done.stderr


TWO_DIGITS = """[inputs]
left = "image"
right = "image"
[parameters]
k = 1
""" + "".join(f"""[[step]]
name = "{side}-pixels"
op = "decode"
in = {{ files = "{side}" }}
[[step]]
name = "{side}-net"
model = "digits"
in = {{ image = "{side}-pixels.images" }}
[[step]]
name = "{side}-best"
op = "top-k"
in = {{ x = "{side}-net.probabilities" }}
k = "$k"
""" for side in ("left", "right")) + """[outputs]
left = "left-best.labels"
right = "right-best.labels"
"""  # fmt: skip


def test_predict_sends_pictures_to_a_pipeline(shared: Running, repository: Path) -> None:
    import shutil

    if not (repository / "digits").exists():
        shutil.copytree(DIGITS.parent, repository / "digits")
    (repository / "two-digits").mkdir()
    (repository / "two-digits" / "pipeline.toml").write_text(TWO_DIGITS)
    shared.wait("two-digits", 1, "AVAILABLE")

    def asked(*images: str) -> subprocess.CompletedProcess[str]:
        flags = [part for image in images for part in ("--image", image)]
        return gateway("predict", "two-digits", "--url", shared.http, *flags)

    done = asked(f"left={SAMPLES / '3.png'}", f"left={SAMPLES / '5.png'}", f"right={SAMPLES / '7.png'}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["left string[2,1]: [['3']", " ['5']]", "right string[1,1]: [['7']]"]
    done = asked(str(SAMPLES / "3.png"), "middle=" + str(SAMPLES / "3.png"), "right=/no/such.png")
    assert done.returncode == 2
    for part in ("which input is it for? Say NAME=FILE", "'middle' takes no pictures", "/no/such.png is not a file"):
        assert part in done.stderr
    assert "left, right" in done.stderr
