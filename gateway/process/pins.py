"""Pin files: what an Environment is made of, read from deploy/envs.

An Environment NAME is a pair of files: NAME.in, which says what it is for, `# python: 3.11` and
what is wanted, and NAME.txt, every package with version and hashes. Beside NAME.txt there may be
a variant NAME-cpu.txt whose pins carry a local version (`torch==2.13.0+cpu`): builds that no
index has and that come as files.

Rule 1: the variant is taken where find-links offers each of its local versions, NAME.txt elsewhere.
Rule 2: the digest is of the pin file, of the Python and of the machine: a changed pin file is
        another Environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gateway.errors import EnvironmentBroken

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_PYTHON = re.compile(r"^#\s*python:\s*(\d+\.\d+)\s*$", re.MULTILINE)
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)
_VARIANT = "cpu"


@dataclass(frozen=True)
class Pins:
    """One pair of pin files, read."""

    name: str
    title: str
    python: str
    file: Path
    digest: str
    versions: dict[str, str]
    direct: tuple[str, ...]  # what NAME.in asks for by name: each must import

    @classmethod
    def read(cls, folder: Path, name: str, links: Sequence[str] | None = None) -> tuple[Pins, ...]:
        """The pin files of `name`, the one to build first; none where NAME.in names no Python: it is no Environment.

        `links` are places of wheels, the user's find-links where None. Errors: EnvironmentBroken where a pin
        file cannot be read.
        """
        wanted = (folder / f"{name}.in").read_text()
        found = _PYTHON.search(wanted)
        if found is None:
            return ()
        lines = [line.split("#")[0].strip() for line in wanted.splitlines()]
        direct = tuple(re.split(r"[\s\[<>=!~;]", line)[0] for line in lines if line and not line.startswith("-"))
        title = wanted.splitlines()[0].lstrip("# ").strip()
        pins = [cls._file(folder / f"{name}.txt", name, title, found[1], direct)]
        if (variant := folder / f"{name}-{_VARIANT}.txt").exists():
            pins.append(cls._file(variant, name, title, found[1], direct))
            if offered(pins[-1].versions, find_links() if links is None else links):
                pins.reverse()
        return tuple(pins)

    @classmethod
    def _file(cls, file: Path, name: str, title: str, python: str, direct: tuple[str, ...]) -> Pins:
        try:
            text = file.read_text()
        except OSError as error:
            raise EnvironmentBroken(f"Environment '{name}' has no {file.name}: {error.strerror}.") from error
        key = "\n".join((text, python, sys.platform, platform.machine()))
        return cls(
            name=name,
            title=title,
            python=python,
            file=file,
            digest=hashlib.sha256(key.encode()).hexdigest(),
            versions={plain(package): version for package, version in _PIN.findall(text)},
            direct=direct,
        )


@dataclass(frozen=True)
class Weights:
    """Bytes of the packages of a pin file, as recorded beside it for Linux on x86-64.

    `unknown` packages lack one of their two sizes, which counts for nothing in the sum.
    """

    download: int
    installed: int
    unknown: int
    by_name: dict[str, int]  # to download


def weigh(pins: Pins) -> Weights:
    """What the packages of `pins` weigh, from sizes.json. Errors: none; what is not recorded is unknown."""
    try:
        recorded = json.loads((pins.file.parent / "sizes.json").read_text())
    except (OSError, ValueError):
        recorded = {}
    rows = {name: recorded.get(f"{name}=={version}") or {} for name, version in pins.versions.items()}
    by_name = {name: int(row["download"]) for name, row in rows.items() if row.get("download")}
    installed = sum(int(row.get("installed") or 0) for row in rows.values())
    unknown = sum(not (row.get("download") and row.get("installed")) for row in rows.values())
    return Weights(sum(by_name.values()), installed, unknown, by_name)


def plain(name: str) -> str:
    """A package's name as indexes compare it: Jinja_2.x is jinja-2-x."""
    return re.sub(r"[-_.]+", "-", name).lower()


def find_links() -> list[str]:
    """Where the user says that wheels lie: uv's own setting, else pip's. Folders and addresses, as they are."""
    named = os.environ.get("UV_FIND_LINKS", "").replace(",", " ").split()
    return named or os.environ.get("PIP_FIND_LINKS", "").split()


def offered(versions: dict[str, str], links: Iterable[str]) -> bool:
    """Whether the folders among `links` hold a wheel of each pinned local version. Addresses are not asked."""
    wheels = {wheel for link in links for wheel in _wheels(link)}
    return all((name, version) in wheels for name, version in versions.items() if "+" in version)


def _wheels(link: str) -> Iterator[tuple[str, str]]:
    """Name and version of each wheel that lies in a folder; nothing where it is none."""
    parts = urlsplit(link)
    if parts.scheme not in ("", "file"):
        return
    try:
        files = sorted(Path(unquote(parts.path)).expanduser().glob("*.whl"))
    except OSError:
        return
    for file in files:
        name, _, rest = file.name.partition("-")
        yield plain(name), unquote(rest.partition("-")[0])
