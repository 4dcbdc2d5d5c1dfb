"""Small wheels and pin files, written here: builds that need no index and no network."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

from gateway.process.environments import Environments

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def wheel(folder: Path, name: str, version: str = "1.0", code: bytes = b"answer = 42\n") -> str:
    """A wheel in `folder`; its line for a pin file."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for path, data in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, data in files.items():
            archive.writestr(zipfile.ZipInfo(file), data)  # no time of day in it: the same bytes each time
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def pins(folder: Path, name: str, text: str, wanted: str, python: str = PYTHON) -> None:
    """NAME.in and NAME.txt."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.in").write_text(f"# Environment `{name}`: a small one.\n# python: {python}\n{wanted}\n")
    (folder / f"{name}.txt").write_text(text)


def small(folder: Path, code: bytes = b"answer = 42\n") -> tuple[Environments, Path]:
    """An Environment `small` of one package `onlyone`, not built, and the folder that has its wheel."""
    pins(folder / "pins", "small", wheel(folder / "wheels", "onlyone", code=code), "onlyone")
    return Environments(folder / "envs", folder / "pins"), folder / "wheels"
