"""What a converter wrote is read again by another process: whatever it left, nothing unsafe is published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Settings
from gateway.convert.jobs import Jobs
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.modeltoml import ModelOptions
from gateway.errors import GatewayError, JobCrashed, SandboxTooWeak, UnsafeArtifact
from gateway.formats.base import all_formats
from gateway.process import sandbox_landlock, sandbox_levels
from gateway.process.environments import Environments
from gateway.process.job import JobResult
from gateway.repository.detect import detect
from tests import models
from tests.convert.spoilt import SPOILS
from tests.convert.test_converter import recognised
from tests.jobs import in_base

SAYS = {
    "as it was written": ("", ""),
    "no model": ("CorruptModel", "cannot be read as ONNX"),
    "cut": ("CorruptModel", ""),
    "not ONNX": ("CorruptModel", "cannot be read as ONNX"),
    "the model is a link": ("UnsafeDrop", "model.onnx is a link"),
    "the model has a second name": ("UnsafeDrop", "has two names"),
    "a pipe": ("UnsafeDrop", "pipe is a link, has two names or is no file"),
    "data outside, by dots": ("UnsafeDrop", "outside of the model's folder"),
    "data outside, absolute": ("UnsafeDrop", "outside of the model's folder"),
    "data that is not there": ("CorruptModel", "which is not there"),
    "more elements than bytes": ("CorruptModel", "needs"),
    "an operator of a domain that nobody knows": ("UnsupportedOps", "com.hostile"),
    "an input that the signature names is missing": ("CorruptModel", "no input or output 'nobody'"),
    "a cycle, which onnx's checker refuses": ("", "sorted"),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = models.folder("conv")
    arguments = {"folder": str(folder), "tensors": []}
    return in_base("tests.convert.spoilt:read_again", arguments, tmp_path_factory.mktemp("again") / "job").value


@pytest.mark.parametrize("name", SPOILS)
def test_what_is_found_when_it_is_read_again(name: str, answers: dict[str, Any]) -> None:
    error, says = SAYS[name]
    assert answers[name].get("error", "") == error, answers[name]
    assert says in answers[name].get("message", "") + answers[name].get("complaint", "")


def _link(result: JobResult) -> None:
    (result.out / "model.onnx").rename(result.out / "m")
    (result.out / "model.onnx").symlink_to("/etc/passwd")


def _folder_is_a_link(result: JobResult) -> None:
    result.out.rename(result.out.with_name("elsewhere"))
    result.out.symlink_to("/etc")


LEFT = {
    "a model that is none": (lambda r: (r.out / "model.onnx").write_bytes(b"x" * 64), UnsafeArtifact, "not published"),
    "a link": (_link, JobCrashed, "is a link"),
    "a second name": (lambda r: (r.out / "b").hardlink_to(r.out / "model.onnx"), JobCrashed, "has two names"),
    "a link in a folder": (
        lambda r: ((r.out / "f").mkdir(), (r.out / "f" / "x").symlink_to("/etc")), JobCrashed, "'f/x', which is a link"
    ),
    "a folder that leads elsewhere": (_folder_is_a_link, JobCrashed, "is not a folder"),
    "a name that writes to a terminal": (
        lambda r: (r.out / "\x1b[2J").write_text("x"), JobCrashed, "not printable"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "error", "says"), LEFT.values(), ids=LEFT.keys())
def test_what_a_converter_left_is_not_taken(
    spoil: Any, error: type[GatewayError], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Jobs.run

    def spoilt(self: Jobs, *arguments: Any, **more: Any) -> JobResult:
        result = run(self, *arguments, **more)
        if more["stage"] == "convert":
            spoil(result)
        return result

    monkeypatch.setattr(Jobs, "run", spoilt)
    source, match = recognised(models.folder("embedding"))
    out = tmp_path / "out"
    with pytest.raises(error, match=says) as caught:
        Converter(Environments(), Settings(), tmp_path / "scratch").convert(
            ConvertRequest(source, match, ModelOptions()), out
        )
    assert type(caught.value) is error
    assert not (out / "gateway.json").exists()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_can_carry_code_is_refused_by_name_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_levels, "_found", {})
    monkeypatch.setattr(sandbox_landlock, "why_absent", lambda: "this kernel has no landlock: it came with Linux 5.13")
    onnx = all_formats()["onnx"]
    monkeypatch.setattr(type(onnx), "data_only", False)
    source = recognised(models.folder("embedding"))[0]
    request = ConvertRequest(source, replace(detect(source)), ModelOptions())
    with pytest.raises(SandboxTooWeak) as caught:
        Converter(Environments(), Settings(), tmp_path / "scratch").convert(request, tmp_path / "out")
    assert caught.value.message == (
        "ONNX (its files can carry code) is refused: sandbox level L2 is needed and L1 is reached here: "
        "this kernel has no landlock: it came with Linux 5.13."
    )
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "scratch").exists()
