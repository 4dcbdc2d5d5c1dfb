"""Runs one target under atheris, in Environment fuzz: `python -m tests.fuzz.run TARGET FOLDER [libFuzzer flags]`.

FOLDER/corpus grows. An exception does not end the run: it is kept once for each place that raised it, as
FOLDER/findings/KEY.bin with KEY.txt, its traceback; so is an input that takes SLOW_S of processor time.
Hangs and memory over the limit end the process, as libFuzzer does; what did it lies in FOLDER/findings too.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
import time
import traceback
from pathlib import Path

import atheris

SLOW_S = 5.0
MAX_FINDINGS = 50


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    findings = folder / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    (folder / "corpus").mkdir(exist_ok=True)
    with atheris.instrument_imports(include=["gateway"]):
        from tests.fuzz import seeds
        from tests.fuzz.targets import TARGETS

        run = TARGETS[name]
        for seed, data in seeds.inputs(name):
            (folder / "corpus" / f"given-{seed}").write_bytes(data)
            with contextlib.suppress(Exception):  # told below; imports, instrumented, take seconds that no input takes
                run(data)
            keep(findings, run, data)

    def once(data: bytes) -> None:
        keep(findings, run, data)

    # Slow is what takes processor time (`keep`): the wall clock of a niced process says nothing.
    limits = [
        "-timeout=120",
        "-report_slow_units=100000",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        f"-artifact_prefix={findings}/",
    ]
    atheris.Setup([sys.argv[0], *limits, *sys.argv[3:], str(folder / "corpus")], once)
    atheris.Fuzz()


def keep(findings: Path, run: object, data: bytes) -> None:
    """Run one input; note what came of it."""
    started = time.process_time()
    try:
        run(data)  # type: ignore[operator]
    except Exception as error:
        note(findings, place_of(error), data, traceback.format_exc())
    spent = time.process_time() - started
    if spent > SLOW_S:
        note(findings, "slow", data, f"{spent:.1f} s of processor time for {len(data)} bytes\n")


def place_of(error: Exception) -> str:
    """Kind of the exception and the innermost line of ours: the same for the same bug."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if "/gateway/" in f.filename or "/fuzz/" in f.filename
    ]
    last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
    return re.sub(r"\W+", "-", f"{type(error).__name__}-{Path(last.filename).stem}-{last.name}-{last.lineno}")


def note(findings: Path, key: str, data: bytes, text: str) -> None:
    if key == "slow":
        key += "-" + hashlib.sha256(data).hexdigest()[:6]
    path = findings / f"{key}.bin"
    smaller = path.exists() and len(data) < path.stat().st_size
    if smaller or (not path.exists() and len(list(findings.glob("*.bin"))) < MAX_FINDINGS):
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(text)


if __name__ == "__main__":
    main()
