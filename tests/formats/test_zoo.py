"""Real models: recognised, converted, and the verdict that zoo.toml expects."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Settings
from gateway.convert.run import Converter, ConvertRequest
from gateway.core import modeltoml
from gateway.core.modeltoml import ModelOptions
from gateway.formats.base import Source, all_formats
from gateway.process.environments import Environments
from tests import models, zoo

ROWS = [pytest.param(row, id=row.name, marks=[pytest.mark.slow] if row.slow else []) for row in zoo.rows()]


@pytest.mark.parametrize("row", ROWS)
def test_zoo(row: zoo.Row, tmp_path: Path) -> None:
    file = row.fetch()
    models.base_python()
    options = ModelOptions()
    if file.is_dir():
        names = sorted(path.name for path in file.iterdir() if path.name != modeltoml.FILE)
        source = Source(file, tuple(names))
        options = modeltoml.parse((file / modeltoml.FILE).read_text())
    else:
        source = Source(file.parent, (file.name,))
    matches = [match for form in all_formats().values() if (match := form.match(source))]
    best = max(matches, key=lambda match: match.confidence)
    assert best.format == row.format
    artifact = Converter(Environments(), Settings(), tmp_path / "scratch").convert(
        ConvertRequest(source, best, options, digest=row.name), tmp_path / "out"
    )
    assert artifact.verification.verdict.value == row.verdict, artifact.verification.reason
