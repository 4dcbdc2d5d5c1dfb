"""How many planted bugs the verification catches: plants them, prints the score, writes docs/mutants.md.

    make mutants                           # the sample of every format
    make mutants ARGS="--format caffe"     # of one; the page keeps what it says of the others
    make mutants ARGS="--count 0"          # every mutant there is
    make mutants ARGS="--only nn."         # those of one family; the page stays as it is

What a mutant is stands in tests/mutants/plant.py, how it is judged in tests/mutants/harness.py. Needs
the Environment of the format's judge: `gateway doctor --install mxnet`. Exit 1 under the mark.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # for tests/mutants, wherever this is started from

from gateway.errors import GatewayError  # noqa: E402
from tests.mutants.harness import Outcome, Report, equivalent, measure  # noqa: E402
from tests.mutants.nets import TARGETS, target  # noqa: E402

PAGE = ROOT / "docs" / "mutants.md"
COUNT = 240
MARK = 0.99
NAMED_MARK = 0.90

HEAD = """\
# Planted bugs

*Written by `make mutants`; do not edit.*

A verification that passes everything proves nothing. So small mistakes are planted in the operator functions, one at a
time: a number one off, a comparison or condition the other way round, an axis, an attribute's default, padding at the
wrong end, gates in another order, an input or a keyword forgotten. Each is judged on the inputs that verification uses
for every model, over small nets that hold the operator. **Killed** is one that breaks the conversion or gets the
verdict `failed`. **Named** is the share of failed verdicts whose report names a node that the mistake is in.

Equivalent mutants change no answer; each is listed with its proof in `tests/mutants/equivalent.toml`. What a mutant can
do in conditions that only lead to a refusal is left out: rows that have to be refused judge those.

The survivors of these samples were gone through one by one, which is where many of the nets and all of the proofs come
from. In a sample that nobody has gone through, those that change no answer count as survivors: of 600 of MXNet by seed
4, 86 % were killed (before the last nets were added).
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=COUNT, help=f"sampled, of each format; 0 is all; default {COUNT}")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--format", choices=sorted(TARGETS), action="append", default=[])
    parser.add_argument("--only", default="", help="mutants whose name starts so; the page stays as it is")
    arguments = parser.parse_args()
    reports = []
    for name in arguments.format or sorted(TARGETS):
        try:
            report = measure(
                target(name), count=arguments.count, seed=arguments.seed, only=arguments.only,
                say=lambda line: print(line, file=sys.stderr, flush=True),
            )  # fmt: skip
        except GatewayError as error:
            print(error.explain(), file=sys.stderr)
            return 3
        reports.append(report)
        print(summary(report))
        if not arguments.only:
            PAGE.write_text(page(sections(PAGE.read_text()) | {report.format: section(report, commit())}))
    return 0 if all(r.score >= MARK and r.named >= NAMED_MARK for r in reports) else 1


def summary(report: Report) -> str:
    """The figures and every survivor, for a terminal."""
    score = (
        f"{report.format}: {report.killed} of {len(report.counted)} killed ({100 * report.score:.1f} %), "
        f"{len(report.outcomes) - len(report.counted)} equivalent; sample of {report.planted}; "
        f"{report.nets} nets; {report.seconds:.0f} s"
    )
    lines = [
        score,
        f"second looks: {report.doubted} mutants, {report.excused} let pass",
        f"the right node named: {100 * report.named:.1f} % of {len(report.judged)} failed verdicts",
    ]
    lines += [f"  SURVIVED {said(each)}" for each in report.survivors]
    lines += [f"  {each.named.upper()[:120]}: {each.mutant.name}" for each in report.judged if each.named != "right"]
    return "\n".join(lines)


def said(outcome: Outcome) -> str:
    why = outcome.why or (
        f"{outcome.differs} of {outcome.nets} nets were converted otherwise, and passed"
        if outcome.nets
        else "no net runs the line"
    )
    return f"{outcome.mutant.name}: {why}"


def sections(text: str) -> dict[str, str]:
    """What the page says of each format."""
    return {part.partition("\n")[0]: part.partition("\n")[2].strip("\n") for part in text.split("\n## ")[1:]}


def page(parts: Mapping[str, str]) -> str:
    return HEAD + "".join(f"\n## {name}\n\n{part}\n" for name, part in sorted(parts.items()))


def section(report: Report, at: str) -> str:
    rows = defaultdict(Counter)  # type: ignore[var-annotated]
    for outcome in report.outcomes:
        rows[outcome.mutant.family][outcome.outcome] += 1
        rows[outcome.mutant.family]["judged"] += outcome in report.judged
        rows[outcome.mutant.family]["named"] += outcome.named == "right"
    head = (
        f"**{report.killed} of {len(report.counted)} killed, {100 * report.score:.1f} %; "
        f"the right node named in {100 * report.named:.1f} %.** "
        f"A sample of {len(report.outcomes)} of {report.planted}, over "
        f"{report.nets} nets, in {report.seconds:.0f} s, at {at}. {report.doubted} of them failed only where the rules "
        f"about [tails](decisions/0007-judged-before-a-bounded-operator.md) and "
        f"[rounding](decisions/0008-rounding-shown-by-float64.md) take a second look; these let "
        f"{report.excused or 'none'} pass.\n\n"
        "| family | mutants | broke the conversion | failed | survived | equivalent | node named |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    parts = [head]
    for family, row in sorted(rows.items()):
        total = sum(row[key] for key in ("error", "failed", "survived", "equivalent"))
        named = f"{row['named']} of {row['judged']}" if row["judged"] else ""
        parts.append(
            f"| {family} | {total} | {row['error']} | {row['failed']} | {row['survived']} | {row['equivalent']} "
            f"| {named} |\n"
        )
    return "".join([*parts, "\n", survivors(report)]).strip("\n")


def survivors(report: Report) -> str:
    lines = [f"- `{each.mutant.name.replace('`', '')}`" for each in report.survivors]
    proofs = equivalent(report.format)
    same = [each.mutant.name for each in report.outcomes if each.outcome == "equivalent"]
    out = "Survivors:\n\n" + "\n".join(lines) + "\n" if lines else "No survivors.\n"
    if same:
        out += "\nEquivalent:\n\n" + "\n".join(f"- `{name}`: {proofs[name]}" for name in same) + "\n"
    if report.unused:
        why = "their judge does not take what the probes put there"
        out += f"\n{len(report.unused)} nets were left out, because {why}:\n\n"
        out += "\n".join(f"- {name}: {json.dumps(why)[:160]}" for name, why in sorted(report.unused.items())) + "\n"
    return out


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "gateway", "tests/mutants", "tests/formats")
    return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")


if __name__ == "__main__":
    sys.exit(main())
