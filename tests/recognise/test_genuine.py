"""Genuine files, of exporters and packages: the right name, cut short, under a wrong name.

Slow: not part of `make test`; tools/recognise.py writes its counts into docs/formats.md. What `make test` runs is
the table of small files, tests/recognise/test_written.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from gateway.recognise import recognise_bytes
from tests.environments import environment
from tests.recognise import corpus
from tests.recognise.rules import CUTS, SUFFIXES, files_of, look, wrong, wrong_cut

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
MAX_CUT = 4 << 20  # larger files are cut too, from their first bytes


@pytest.mark.parametrize("name", corpus.KINDS)
def test_exported(name: str, tmp_path: Path) -> None:
    check(corpus.exported(environment(name)), tmp_path)


def test_packages(tmp_path: Path) -> None:
    check(corpus.packaged(), tmp_path)


def check(samples: Iterable[corpus.Genuine], scratch: Path) -> None:
    problems = []
    for sample in samples:
        problems += [f"{sample.maker}: {sample.name}: {said}" for said in verdicts(sample, scratch)]
    assert problems == []


def verdicts(sample: corpus.Genuine, scratch: Path) -> list[str]:
    """Everything that is wrong with the answers about one sample: whole, cut, renamed."""
    answer = look(sample.folder)
    said = wrong(answer, sample.kind)
    if sample.name in corpus.CUT_ON_PURPOSE:
        said = "" if answer.best is not None and answer.best.kind == sample.kind and not answer.best.whole else "whole?"
    found = [said] if said else []
    files = files_of(sample.folder)
    if len(files) != 1:
        return found + cut_in_folder(sample, files, scratch)
    data = (sample.folder / files[0]).read_bytes()
    for cut in CUTS:
        if said := wrong_cut(recognise_bytes(data[: int(len(data) * cut)], files[0], strict=True), sample.kind):
            found.append(f"cut at {cut}: {said}")
    for suffix in SUFFIXES:
        if said := wrong_cut(recognise_bytes(data[:MAX_CUT], f"x{suffix}", strict=True), sample.kind):
            found.append(f"called x{suffix}: {said}")
    return found


def cut_in_folder(sample: corpus.Genuine, files: list[str], scratch: Path) -> list[str]:
    """Each file of a folder cut in half, the others whole."""
    found = []
    for name in files[:6]:
        folder = scratch / "cut"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sample.folder, folder)
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])
        best = look(folder).best
        # What is left of the folder may be its other part, by its own name.
        kinds = {sample.kind, *PARTS.get(sample.kind, ())}
        if best is not None and best.confidence >= 0.5 and best.kind not in kinds:
            found.append(f"{name} cut in half: called {best.kind} ({best.evidence})")
    return found


PARTS = {  # a folder of this kind, one of its files damaged, may be called by what its other files are
    "tf-savedmodel": ("tf-checkpoint",), "tf-savedmodel-text": ("tf-checkpoint",), "tf-metagraph": ("tf-checkpoint",),
    "paddle": ("paddle-params", "pickle"), "paddle-pir": ("paddle-params", "json"), "tf-checkpoint": ("tf-metagraph",),
    "coreml-package": ("coreml", "coreml-weights"), "huggingface": ("safetensors", "tokenizer", "transformers-config"),
    "mar": ("safetensors", "mxnet"), "mmdnn-ir": ("npy",),
}  # fmt: skip
