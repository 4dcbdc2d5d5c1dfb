"""Real models: recognised, converted, and the verdict that zoo.toml expects."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Settings
from gateway.convert.run import Converter, ConvertRequest
from gateway.core import modeltoml
from gateway.core.modeltoml import ModelOptions
from gateway.errors import GatewayError
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
        files = (path for path in file.rglob("*") if path.is_file() and path.name != modeltoml.FILE)
        names = sorted(path.relative_to(file).as_posix() for path in files)
        source = Source(file, tuple(names))
        if (told := file / modeltoml.FILE).is_file():
            options = modeltoml.parse(told.read_text())
    else:
        source = Source(file.parent, (file.name,))
    matches = [match for form in all_formats().values() if (match := form.match(source))]
    if not matches:
        assert row.verdict == "UnsupportedFormat"
        return
    best = max(matches, key=lambda match: match.confidence)
    assert best.format == row.format
    try:
        artifact = Converter(Environments(), Settings(), tmp_path / "scratch").convert(
            ConvertRequest(source, best, options, digest=row.name), tmp_path / "out"
        )
    except GatewayError as error:
        assert type(error).__name__ == row.verdict, error.explain()  # noqa: PT017
    else:
        assert artifact.verification.verdict.value == row.verdict, artifact.verification.reason
