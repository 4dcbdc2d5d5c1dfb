"""Is an Environment what its pins say, and does it work: its Python, its versions, its imports, its files.

Rule 1: all problems at once, each with the package it is in.
Rule 2: every file that a package brought is read again and compared with the checksum in its RECORD,
        which is part of the wheel whose hash the pins name. Nothing of the Environment runs for that.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import EnvironmentBroken
from gateway.process import spawn, step
from gateway.process.pins import plain

SHOWN = 10  # changed files that are named; the others are counted
_CHUNK = 1 << 20
# Data that owners of machines change on purpose, to add certificate authorities of their own.
_LOCAL = {"certifi/cacert.pem": "certificate authorities were added or removed on this machine"}

# Runs in the Environment. The line of stdout that starts with {"versions" is the answer.
_PROBE = """
import importlib, importlib.metadata as metadata, json, re, sys
plain = lambda name: re.sub("[-_.]+", "-", name).lower()
versions = {plain(d.metadata["Name"]): d.version for d in metadata.distributions()}
modules = {}
for module, owners in metadata.packages_distributions().items():
    for owner in owners:
        modules.setdefault(plain(owner), []).append(module)
broken = {}
for name in json.loads(sys.argv[1]):
    for module in modules.get(plain(name), []):
        if module.startswith("_") or not module.isidentifier():
            continue
        try:
            importlib.import_module(module)
        except Exception as error:
            broken[module] = f"{type(error).__name__}: {error}"
print(json.dumps({"versions": versions, "broken": broken, "python": sys.version.split()[0]}))
"""


@dataclass(frozen=True)
class Findings:
    """What verification saw. `files` were compared; `notes` are no problems."""

    versions: dict[str, str]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    files: int = 0


def installed(
    name: str, folder: Path, wanted: str, pinned: Mapping[str, str], direct: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Versions that are there, and problems: Python, versions, imports. Errors: EnvironmentBroken: no start."""
    python = folder / "bin" / "python"
    argv = [str(python), "-s", "-P", "-c", _PROBE, json.dumps(list(direct))]
    try:
        code, lines = step.run(argv, spawn.environment(python, folder), step.silent)
    except OSError as error:
        raise EnvironmentBroken(f"Environment '{name}': {python} does not start: {error.strerror}.") from error
    answer = next((line for line in lines if line.startswith('{"versions"')), None)
    if code or answer is None:
        raise broken(name, "importing", code, lines)
    found = json.loads(answer)
    problems = [f"{module} does not import: {why}" for module, why in found["broken"].items()]
    # A pin may be for another platform (a marker in the file); what is there must be what is pinned.
    for package, version in found["versions"].items():
        if pinned.get(package) != version:
            problems.append(
                f"{package} is {version}, expected {pinned.get(package, 'not to be there: no pin names it')}"
            )
    problems += [f"{package} is not installed" for package in map(plain, direct) if package not in found["versions"]]
    if not str(found["python"]).startswith(f"{wanted}."):
        problems.append(f"its Python is {found['python']}, expected {wanted}")
    return {**found["versions"], "python": found["python"]}, problems


def verify(name: str, folder: Path, wanted: str, pinned: Mapping[str, str], direct: Sequence[str]) -> Findings:
    """All of it; reads every file once. Errors: none, what cannot be read is a problem."""
    try:
        versions, problems = installed(name, folder, wanted, pinned, direct)
    except EnvironmentBroken as error:
        versions, problems = {}, [error.message]
    changed, notes, files = records(folder)
    more = [f"and {len(changed) - SHOWN} more files"] if len(changed) > SHOWN else []
    return Findings(versions, (*problems, *changed[:SHOWN], *more), tuple(notes), files)


def records(folder: Path) -> tuple[list[str], list[str], int]:
    """Files that are missing or not as their package's RECORD says; notes; how many were compared."""
    rows = list(_rows(folder))
    with ThreadPoolExecutor(2) as pool:  # hashing lets go of the interpreter's lock
        told = list(pool.map(_compare, rows))
    problems = [text for text, local in told if text and not local]
    return sorted(problems), sorted(text for text, local in told if text and local), len(rows)


@dataclass(frozen=True)
class _Row:
    package: str
    file: Path
    name: str
    digest: str  # "sha256=URLSAFE-BASE64"
    size: str


def _rows(folder: Path) -> Iterator[_Row]:
    for record in sorted(folder.glob("lib/python*/site-packages/*.dist-info/RECORD")):
        package = record.parent.name.removesuffix(".dist-info").rpartition("-")[0]
        with record.open(newline="") as stream:
            for name, digest, size in csv.reader(stream):
                if digest:
                    yield _Row(package, record.parents[1] / name, name, digest, size)


def _compare(row: _Row) -> tuple[str, bool]:
    """What is wrong with a file, empty where nothing is; and whether it is one that owners change."""
    method, _, expected = row.digest.partition("=")
    try:
        digest = hashlib.new(method)
        with row.file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
            size = stream.tell()
    except (OSError, ValueError) as error:
        return f"{row.package}: {row.name} cannot be compared: {error}", False
    if base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() == expected:
        return "", False
    if row.name in _LOCAL:
        return f"{row.package}: {row.name}: {_LOCAL[row.name]}", True
    lengths = f": {size} bytes, expected {row.size}" if str(size) != row.size else ""
    return f"{row.package}: {row.name} is not the file that was installed{lengths}", False


def broken(name: str, what: str, code: int, lines: Sequence[str]) -> EnvironmentBroken:
    """The error of a step that failed, with the last lines it said."""
    told = " | ".join(line.strip() for line in lines[-8:] if line.strip()) or "it said nothing"
    return EnvironmentBroken(
        f"Environment '{name}' could not be built: `{what}` ended with {code}: {told[:1500]}",
        hint="Where packages come from: UV_DEFAULT_INDEX, UV_FIND_LINKS or PIP_FIND_LINKS.",
    )
