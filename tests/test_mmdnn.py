"""The commands of MMdnn: what docs/from-mmdnn.md says runs, runs; what it says is refused, is refused by name."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import cli, mmdnn
from tests import models
from tests.environments import environment
from tests.formats.mmdnn.writer import small

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "from-mmdnn.md").read_text()
DIGITS = ROOT / "model_repo" / "digits" / "1"
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    name: getattr(mmdnn, name)
    for name in ("mmconvert", "mmtoir", "mmtocode", "mmtomodel", "mmdownload", "mmvismeta")
} | {"gateway": cli.main}  # fmt: skip
SHAPES = {"3,112,112": "1,8,8"}  # the files are those of the digits


def rows() -> list[tuple[str, str, str]]:
    """(before, here, note) of the rows that begin with a command of MMdnn's."""
    found = re.findall(r"^\| `(mm\w+ [^`]+)` \| (?:`([^`]+)`)? ?\| (.*) \|$", PAGE, re.M)
    assert len(found) >= 15
    return found


def run(line: str) -> int:
    for theirs, ours in SHAPES.items():
        line = line.replace(theirs, ours)
    name, *arguments = shlex.split(line)
    return COMMANDS[name](arguments)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("symbol.json", "0000.params"):
        shutil.copy(DIGITS / f"digits-{name}", tmp_path / f"model-{name}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_refused_says_why(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = [before for before, _, note in rows() if note.startswith("refused")]
    assert len(refused) >= 9
    for line in refused:
        assert run(line) == 2, line
        said = capsys.readouterr().err
        assert said.startswith(f"{line.split()[0]}: "), said
        assert len(said.splitlines()) == 2, "what is wrong, and what to do instead"


def lines_that_run() -> list[str]:
    """In the order that the three steps had: `mmtomodel` takes what `mmtoir` wrote."""
    found = [before for before, _, note in rows() if note.startswith("unchanged")]
    return [*found, *(ours for _, ours, _ in rows() if ours)]


@pytest.mark.timeout(400)  # every line is a conversion, judged
@pytest.mark.environment("tensorflow")
@pytest.mark.parametrize("which", ["the seed's steps", pytest.param("every line", marks=pytest.mark.slow)])
def test_what_runs(which: str, here: Path) -> None:
    environment("tensorflow")
    models.base_python()
    lines = lines_that_run()
    assert len(lines) == 10
    if which == "every line":
        environment("torch")
    else:
        steps = ("mmconvert", "mmtoir", "mmtomodel")
        lines = [line for line in lines if line.startswith(steps) and "TRAINING" not in line]
        assert [line.split()[0] for line in lines] == ["mmconvert", "mmtoir", "mmtomodel"]
    made = []
    for number, line in enumerate(lines):
        # One that writes a SavedModel writes it into a folder of its own; the IR stays where mmtomodel looks for it.
        own = line.replace("resnet100", f"own{number}") if "savedmodel" in line or "mmconvert" in line else line
        assert run(own) == 0, own
        made.append(re.findall(r"(?:--out|-om|-o|-d|--dstModelPath|-symbol.json) (\S+)", own)[-1])
    for line, folder in zip(lines, made):
        assert (here / folder).is_file() or list((here / folder).glob(left_by(line))), line


def left_by(line: str) -> str:
    """What lies in the folder that a line has written."""
    if "mmvismeta" in line:
        return "events.out.tfevents.*"
    if "gateway code" in line:
        return "model.py"
    return "model.onnx" if "mmtoir" in line or "onnx" in line else "saved_model.pb"


WRONG = {
    "everything at once": (
        "mmconvert -sf cntk -in a.dnn -df cntk -om o --phase train --inNodeName x",
        ["--phase: ", "--inNodeName: ", "--srcFramework cntk: not converted yet", "--dstFramework cntk", "a.dnn is"],
    ),
    "a framework nobody knows": ("mmtoir -f jax -n model-symbol.json -d o", ["'jax': MMdnn knows mxnet, onnx"]),
    "an option with a typo": ("mmtoir -f mxnet -n model-symbol.json -d o --inputShap 1,8,8", ["--inputShap"]),
    "a missing option": ("mmtoir -f mxnet -d o", ["-n/-in/--network"]),
    "a shape with the batch": (
        "mmconvert -sf mxnet -in model-symbol.json -df onnx -om o --inputShape ?,1,8,8",
        ["--inputShape ?,1,8,8: expected sizes such as 3,112,112, without the batch, for: data"],
    ),
    "a model that is not there": ("mmtomodel -f tensorflow -in gone -o o", ["gone does not exist"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models.base_python()
    line, says = WRONG[name]
    assert run(line) == 2
    said = capsys.readouterr().err
    assert [part for part in says if part not in said] == [], said
    assert not (here / "o").exists()


def test_weights_of_another_name_are_taken(here: Path) -> None:
    models.base_python()
    (here / "other").mkdir()
    (here / "model-0000.params").rename(here / "other" / "best.params")
    assert run("mmtoir -f mxnet -n model-symbol.json -w other/best.params -d o --inputShape 1,8,8") == 0
    assert (here / "o" / "model.onnx").is_file()


IR_LINES = {
    "the graph and its weights": "mmtomodel -f onnx -in old.pb -iw old.npy -o o",
    "weights of the graph's name are found": "mmtomodel -f onnx -in old.json -o o",
}


@pytest.mark.parametrize("name", IR_LINES)
def test_the_ir_that_mmdnn_has_written_is_taken(name: str, here: Path) -> None:
    models.base_python()
    small().save(here, "pb", "json", stem="old")
    assert run(IR_LINES[name]) == 0
    assert (here / "o" / "model.onnx").is_file()


def test_weights_that_are_not_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small().save(here, stem="old")
    assert run("mmtomodel -f onnx -in old.pb -iw new.npy -o o") == 2
    assert "new.npy is not a file" in capsys.readouterr().err
