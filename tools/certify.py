"""Certification: real models of others, through the command line as a user would, into docs/certified.md.

    make certify                           rows that are not done yet, or were done by other code
    make certify ARGS="--again"            all
    make certify ARGS="--only silero"      rows whose name holds that word
    make certify-sample                    two rows that rotate by day: same verdict and judge as recorded?

    python tools/certify.py --page         the page again from what is kept, nothing run

Rows are tests/zoo.toml and tests/formats/*/zoo.toml; tests/zoo.py fetches them by package name and checks the sha256,
or has them made. What was seen is kept in docs/certified/FORMAT.json after each row, so a run that was stopped goes
on where it stopped.

Rule 1: what is written is what `gateway convert --json` said; a row that does not end with its verdict in the zoo
        fails the run, and is written all the same.
Rule 2: a row is done again when the row, or any code that takes part in its answer, has changed.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # for tests/zoo.py, wherever this is started from

from gateway.errors import GatewayError  # noqa: E402
from gateway.formats.base import all_formats  # noqa: E402
from tests import zoo  # noqa: E402

STATE = ROOT / "docs" / "certified"
PAGE = ROOT / "docs" / "certified.md"
GATEWAY = Path(sys.executable).with_name("gateway")
ANSWERS = ("convert", "core", "formats", "graph", "process", "runtimes")  # folders of gateway/ that make a verdict
ROW_S = 1800.0  # longest for one row


OURS = zoo.Row(name="digits", path="../model_repo/digits/1", format="mxnet", verdict="passed")


def source_of(row: zoo.Row) -> str:
    if row.environment:
        return f"made in {row.environment}: {row.make.removeprefix('tests.formats.')}"
    if row.make:
        return "made by MXNet: " + row.make.replace("gluon ", "model zoo ").replace("graph tests.formats.mxnet.", "")
    package = row.pypi or row.npm
    return f"{package.replace('==', ' ')}, {Path(row.file).name}" if package else row.path.replace("../", "")


def ask(command: str, source: Path, *options: str) -> tuple[int, dict[str, Any], float, float]:
    """(exit code, its JSON, seconds, MiB of the largest process) of one `gateway` command."""
    with tempfile.TemporaryFile() as out:
        started = time.monotonic()
        child = subprocess.Popen([GATEWAY, command, source, *options, "--json"], stdout=out, stderr=subprocess.DEVNULL)
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            seconds = time.monotonic() - started
            if pid:
                break
            if seconds > ROW_S:
                child.kill()
            time.sleep(0.05)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    data = json.loads(text) if text.strip() else {"error": "NoAnswer", "message": f"exit code {child.returncode}"}
    return child.returncode, data, seconds, usage.ru_maxrss / 1024


def certify(row: zoo.Row) -> dict[str, Any]:
    """What one row shows, as it is kept."""
    with tempfile.TemporaryDirectory() as folder:
        source = row.fetch()
        if source.is_file():  # a copy of its own: caches like to hard-link, and a drop with hard links is refused
            source = Path(shutil.copy(source, folder))
        _, seen, _, _ = ask("inspect", source)
        code, answer, seconds, memory = ask("convert", source, "--out", str(Path(folder) / "out"))
    report = answer.get("verification") or {}
    worst = report.get("worst") or {}
    held = (answer.get("provenance") or {}).get("memory_mib", {})  # a sandbox hides its processes from our own clock
    return {
        "verdict": report.get("verdict") or answer.get("error", "no answer"),
        "judge": report.get("oracle", ""),
        "reason": report.get("reason") or answer.get("message", ""),
        "operators": sum(seen.get("operators", {}).values()),
        "kinds": len(seen.get("operators", {})),
        "format": f"{seen.get('format', '?')} {seen.get('version', '')}".strip(),
        "snr_db": worst.get("snr_db"),
        "max_abs": worst.get("max_abs"),
        "diverges_at": report.get("diverges_at", ""),
        "seconds": round(seconds, 1),
        "memory_mib": max([round(memory), *held.values()]),
        "exit": code,
    }


def code_digest(name: str) -> str:
    """Of everything of ours that takes part in an answer about format `name`, and the pins of its Environments."""
    form = all_formats()[name]
    others = {type(other).__module__ for other in all_formats().values()} - {type(form).__module__}
    apart = [ROOT / (module.replace(".", "/")) for module in others]
    files = [
        path
        for folder in ANSWERS
        for path in (ROOT / "gateway" / folder).rglob("*.py")
        if not any(path.is_relative_to(folder) or path == folder.with_suffix(".py") for folder in apart)
    ]
    used = {"base", form.environment, form.native, *form.judges} - {""}
    files += (ROOT / "deploy" / "envs" / f"{name}.txt" for name in used)
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "--short=10", "HEAD") + (
        "+" if git("status", "--porcelain", "--", "gateway", "deploy") else ""
    )


def read_state() -> dict[str, Any]:
    return {
        name: entry for path in sorted(STATE.glob("*.json")) for name, entry in json.loads(path.read_text()).items()
    }


def write(state: dict[str, Any], rows: Sequence[zoo.Row]) -> None:
    """State and page, each renamed in; rows that left the zoo leave the page."""
    texts = {PAGE: page({row.name: state[row.name] for row in rows if row.name in state})}
    for form in {row.format for row in rows}:
        kept = {row.name: state[row.name] for row in rows if row.format == form and row.name in state}
        if kept:
            texts[STATE / f"{form}.json"] = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
    STATE.mkdir(exist_ok=True)
    for path, text in texts.items():
        part = path.with_suffix(path.suffix + ".part")
        part.write_text(text)
        part.replace(path)


def number(value: Any, form: str) -> str:
    return "" if value is None else format(float(value), form)


HEAD = """\
# Certified models

*Written by `make certify` from `tests/zoo.toml` and `tests/formats/*/zoo.toml`; do not edit. CI does two rows again,
others each day.*

Real models of others, and models that the genuine exporters wrote with seeded weights, through `gateway convert`.
Seconds and memory (of the largest process) are those of the whole command on one machine, the judge's work included; a
commit with `+` had changes that were not committed.

| model | source | format | operators | verdict | judge | worst SNR dB | max abs | s | MiB | commit |
|---|---|---|---|---|---|---|---|---|---|---|
"""


def page(state: dict[str, Any]) -> str:
    rows, notes = [], []
    for name, entry in state.items():
        seen, row = entry["seen"], entry["row"]
        cells = [
            name,
            source_of(zoo.Row(**row)),
            seen["format"],
            f"{seen['operators']} of {seen['kinds']} kinds",
            f"**{seen['verdict']}**",
            seen["judge"],
            number(seen["snr_db"], ".1f"),
            number(seen["max_abs"], ".2g"),
            str(seen["seconds"]),
            str(seen["memory_mib"]),
            entry["commit"],
        ]
        rows.append("| " + " | ".join(cells) + " |")
        if seen["verdict"] != "passed":
            where = f" First divergence: {seen['diverges_at']}." if seen["diverges_at"] else ""
            why = " ".join(row.get("why", "").split())
            notes.append(f"- **{name}: {seen['verdict']}.** {why}\n  What was said: {seen['reason']}.{where}")
    tail = "\n\nNot passed:\n\n" + "\n".join(notes) + "\n" if notes else "\n"
    return HEAD + "\n".join(rows) + tail


def done(entry: dict[str, Any] | None, row: zoo.Row, code: str) -> bool:
    return bool(entry) and entry["code"] == code and entry["row"] == row.kept()


def sample(rows: Sequence[zoo.Row], count: int, day: int) -> list[zoo.Row]:
    """`count` rows, others each day, all of them in turn."""
    start = day * count % max(1, len(rows))
    return [rows[(start + i) % len(rows)] for i in range(min(count, len(rows)))]


def recheck(rows: Sequence[zoo.Row], count: int) -> int:
    state, wrong = read_state(), 0
    day = (datetime.datetime.now(datetime.UTC).date() - datetime.date(2026, 1, 1)).days
    for row in sample([row for row in rows if row.name in state and not row.absent], count, day):
        seen, before = certify(row), state[row.name]["seen"]
        same = all(seen[key] == before[key] for key in ("verdict", "judge"))
        wrong += not same
        print(
            f"{row.name}: {seen['verdict']} by {seen['judge']!r}, {seen['seconds']} s",
            "" if same else f"RECORDED {before}",
        )
    if not state:
        print(f"{STATE} has no rows: run `make certify` first", file=sys.stderr)
    return 1 if wrong or not state else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--again", action="store_true", help="rows that are done, too")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--page", action="store_true", help="write the page from what is kept, nothing else")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="do N recorded rows again and compare")
    arguments = parser.parse_args()
    rows = [OURS, *zoo.rows()]
    if arguments.sample:
        return recheck(rows, arguments.sample)
    state, now, wrong = read_state(), commit(), 0
    if arguments.page:
        write(state, rows)
        return 0
    for row in rows:
        if arguments.only not in row.name:
            continue
        if row.absent:
            print(f"{row.name}: left as it is, {row.path} is not here")
            continue
        code = code_digest(row.format)
        if arguments.again or not done(state.get(row.name), row, code):
            try:
                seen = certify(row)
            except GatewayError as error:  # a model that cannot be made
                wrong += 1
                print(f"{row.name}: no fixture: {error.message}")
                continue
            state = read_state()  # another run, of other rows, may have written meanwhile
            state[row.name] = {"row": row.kept(), "seen": seen, "commit": now, "code": code}
            write(state, rows)
        seen = state[row.name]["seen"]
        fits = seen["verdict"] == row.verdict
        wrong += not fits
        print(
            f"{row.name}: {seen['verdict']}, {seen['seconds']} s",
            "" if fits else f"EXPECTED {row.verdict}: {seen['reason']}",
        )
    write(read_state(), rows)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
