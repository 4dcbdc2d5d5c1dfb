"""Runs the recogniser over all files that can be had; writes docs/recognised.json and docs/formats.md.

    make recognise

Files of the exporters (each in its Environment, built beforehand by `gateway doctor --install NAME`), of packages,
and the small ones of tests/recognise/. Exits 1 when one is called by a wrong name.
"""

from __future__ import annotations

import datetime
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import formats_page  # noqa: E402

from gateway.errors import EnvironmentMissing  # noqa: E402
from gateway.process.environments import Environments  # noqa: E402
from tests.recognise import corpus, rules  # noqa: E402
from tests.recognise.test_genuine import verdicts  # noqa: E402
from tests.recognise.test_written import plant  # noqa: E402
from tests.recognise.written_rows import SAMPLES  # noqa: E402


def genuine() -> tuple[list[corpus.Genuine], list[str]]:
    """What can be had here, and the Environments that are missing."""
    found, missing = corpus.packaged(), []
    for name in corpus.KINDS:
        try:
            found += corpus.exported(Environments().find(name))
        except EnvironmentMissing:
            missing.append(name)
    return found, missing


def written(scratch: Path) -> list[corpus.Genuine]:
    """The small files, as folders."""
    found = []
    for number, sample in enumerate(SAMPLES.values()):
        folder = scratch / str(number)
        folder.mkdir()
        found.append(
            corpus.Genuine(sample.name, sample.kind, plant(folder, sample), "the tests, after the format's description")
        )
    return found


def main() -> int:
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        samples, missing = genuine()
        samples += written(scratch)
        single = 0
        wrong: Counter[str] = Counter()
        for sample in samples:
            if sample.name in rules.BY_NAME:
                said = rules.wrong(rules.look(sample.folder), sample.kind)
                found = [said] if said else []
            else:
                found = verdicts(sample, scratch)
                single += len(rules.files_of(sample.folder)) == 1
            wrong.update("cut" if ": " in text and text.startswith(("cut", "called x")) else "whole" for text in found)
            problems += [f"{sample.maker}: {sample.name}: {text}" for text in found]
    makers = Counter("packages of others" if "==" in sample.maker else sample.maker for sample in samples)
    data = {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "samples": len(samples),
        "wrong": wrong["whole"],
        "wrong_cut": wrong["cut"],
        "cuts": list(rules.CUTS),
        "suffixes": list(rules.SUFFIXES),
        "cut_answers": single * len(rules.CUTS),
        "renamed_answers": single * len(rules.SUFFIXES),
        "missing": missing,
        "makers": dict(sorted(makers.items())),
        "kinds": dict(sorted(Counter(sample.kind for sample in samples).items())),
    }
    formats_page.COUNTS.write_text(json.dumps(data, indent=1) + "\n")
    formats_page.PAGE.write_text(formats_page.render())
    for problem in problems:
        print(problem)
    print(f"{len(samples)} samples of {len(data['kinds'])} kinds, {len(problems)} wrong")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
