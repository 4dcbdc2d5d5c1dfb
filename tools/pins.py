"""`make pins`: deploy/envs/*.in to *.txt with hashes, and what each package weighs to sizes.json.

    tools/pins.py [NAME ...] [--upgrade]     no name: all; what is pinned stays unless --upgrade

Rule 1: gateway first, then base: the others are held to their versions, so that what is proven is
        what is served.
Rule 2: NAME-cpu.txt is NAME.txt with the builds that find-links has (`torch==2.13.0+cpu`); where
        find-links has none the file is left as it is, for a CUDA build in it would be wrong.
Rule 3: no address of an index and no folder of this machine gets into a file.

Sizes are of the wheels that Linux on x86-64 takes: bytes to download as the index says, bytes on the
disk as the RECORD of an Environment built here says, null where none was built yet.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from packaging import tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from gateway.process.environments import Environments
from gateway.process.pins import Pins, find_links

ENVS = Path(__file__).parents[1] / "deploy" / "envs"
UV = Path(sys.executable).with_name("uv")
PLAIN = ("--no-header", "--no-emit-index-url", "--no-emit-find-links", "--generate-hashes")
FIRST = ("gateway", "base")


def compile_pins(source: str, target: Path, python: str, *more: str) -> None:
    argv = [str(UV), "pip", "compile", "--quiet", "--python-version", python, *more, source, "-o", str(target)]
    done = subprocess.run(argv, cwd=ENVS, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(f"{source}: uv pip compile ended with {done.returncode}")


def links() -> list[str]:
    return [word for link in find_links() for word in ("--find-links", link)]


def pin(name: str, upgrade: list[str]) -> None:
    """NAME.txt, and NAME-cpu.txt where there is one."""
    text = (ENVS / f"{name}.in").read_text()
    found = re.search(r"^# python: *(\S+)", text, re.MULTILINE)
    python = found[1] if found else "3.11"
    print(f"{name}: Python {python}", flush=True)
    compile_pins(f"{name}.in", Path(f"{name}.txt"), python, *PLAIN, *upgrade)
    variant = ENVS / f"{name}-cpu.txt"
    if not variant.exists():
        return
    with tempfile.TemporaryDirectory(dir=ENVS) as folder:
        beside = Path(folder) / variant.name
        compile_pins(f"{name}.in", beside, python, *PLAIN, *links(), "-c", f"{name}.txt")
        if re.search(r"^\S+==\S+\+", beside.read_text(), re.MULTILINE):
            beside.replace(variant)
        else:
            print(f"{variant.name}: left as it is; UV_FIND_LINKS or PIP_FIND_LINKS has no wheel for it")


def fitting(python: str) -> dict[tags.Tag, int]:
    """Wheel tags that Linux on x86-64 takes, the better the lower."""
    version = tuple(int(part) for part in python.split("."))
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(39, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    interpreter = f"cp{version[0]}{version[1]}"
    ordered = [
        *tags.cpython_tags(version, platforms=platforms),
        *tags.compatible_tags(version, interpreter=interpreter, platforms=platforms),
    ]
    return {tag: rank for rank, tag in reversed(list(enumerate(ordered)))}


def download(package: dict[str, Any], ranks: dict[tags.Tag, int]) -> int | None:
    """Bytes of the file that is taken: the best wheel, else the source."""
    best: tuple[int, int] | None = None
    for wheel in package.get("wheels", []):
        place = wheel.get("path") or unquote(wheel["url"])
        try:
            _, _, _, found = parse_wheel_filename(wheel.get("name") or place.rpartition("/")[2])
        except InvalidWheelFilename:
            continue
        file = Path(place.removeprefix("file://"))
        size = wheel.get("size") or (file.stat().st_size if file.exists() else None)
        for rank in (ranks[tag] for tag in found if tag in ranks):
            if size and (best is None or rank < best[0]):
                best = (rank, size)
    return best[1] if best else package.get("sdist", {}).get("size")


def installed(folder: Path) -> Iterator[tuple[str, int]]:
    """Package and bytes on the disk, as each RECORD below an Environment's folder says."""
    for record in folder.glob("lib/python*/site-packages/*.dist-info/RECORD"):
        name, _, version = record.parent.name.removesuffix(".dist-info").rpartition("-")
        with record.open(newline="") as stream:
            yield f"{canonicalize_name(name)}=={version}", sum(int(row[2] or 0) for row in csv.reader(stream))


def sizes() -> dict[str, dict[str, int | None]]:
    """Of every pin of every Environment. What is known of a pin that stays is kept."""
    file = ENVS / "sizes.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    environments, found = Environments(), {}
    for info in environments.known():
        on_disk = dict(installed(info.path)) if info.built else {}
        for pins in Pins.read(ENVS, info.name):
            wanted = [f"{name}=={version}" for name, version in pins.versions.items()]
            lacking = [key for key in wanted if not known.get(key, {}).get("download")]
            to_load = lock(pins) if lacking else {}
            for key in wanted:
                old = found.get(key) or known.get(key) or {}
                found[key] = {
                    "download": old.get("download") or to_load.get(key),
                    "installed": on_disk.get(key) or old.get("installed"),
                }
    return dict(sorted(found.items()))


def lock(pins: Pins) -> dict[str, int | None]:
    """Bytes to download of each pin of a file."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "pylock.toml"
        # Only the variant may look there: `torch==2.13.0` would take a 2.13.0+cpu that lies in a folder.
        local = any("+" in version for version in pins.versions.values())
        compile_pins(str(pins.file), target, pins.python, "--format", "pylock.toml", *(links() if local else []))
        packages = tomllib.loads(target.read_text())["packages"]
        os.chdir(folder)  # paths in it are relative to it
        ranks = fitting(pins.python)
        try:
            return {f"{canonicalize_name(p['name'])}=={p['version']}": download(p, ranks) for p in packages}
        finally:
            os.chdir(ENVS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--upgrade", action="store_true")
    arguments = parser.parse_args()
    there = sorted(path.stem for path in ENVS.glob("*.in"))
    if unknown := sorted(set(arguments.names) - set(there)):
        parser.error(f"no {', '.join(f'{name}.in' for name in unknown)} in deploy/envs; there are {', '.join(there)}")
    for name in [*FIRST, *(name for name in there if name not in FIRST)]:
        if not arguments.names or name in arguments.names:
            pin(name, ["--upgrade"] if arguments.upgrade else [])
    weighed = sizes()
    rows = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in weighed.items())
    (ENVS / "sizes.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
    if silent := [key for key, value in weighed.items() if not value["download"]]:
        print(f"sizes.json: the index does not say what these weigh: {', '.join(silent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
