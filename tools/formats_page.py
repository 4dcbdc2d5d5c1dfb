"""Writes docs/formats.md: every kind that is recognised, what converts it or what to do instead, and how it was proven.

    .venv/bin/python tools/formats_page.py

The counts come from docs/recognised.json, which `make recognise` writes. tests/recognise/test_page.py compares
the page with what this would write.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.recognise import KINDS, Kind
from gateway.repository.detect import takers

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "formats.md"
COUNTS = ROOT / "docs" / "recognised.json"
SAFETY = {"data": "data", "program": "may touch files when run", "code": "**runs its author's code when opened**"}
HEAD = """\
# Formats

*Written by `tools/formats_page.py` from the registry (`gateway/recognise/`), the Formats (`gateway/formats/`) and
`docs/recognised.json`; do not edit.*

Any file or folder is recognised by its content; a suffix only breaks exact ties. `gateway inspect FILE` prints name,
version, confidence, evidence and the next step, and exits 1 when it cannot be converted. A dropped file of a kind that
is not converted fails by its name, with that step.

Nothing is executed, imported or unpacked to disk for this: pickles are read opcode by opcode, archives are listed,
reads are bounded. Confidence 1.0 is a magic number or a structure that was followed; 0.7 a file that is cut short; 0.5
and 0.6 what has no mark of its own, where the name helps.
"""


def counts() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(COUNTS.read_text())
    return data


def proven(data: dict[str, Any]) -> str:
    """The paragraph on how this was proven."""
    makers = "; ".join(f"{number} by {maker}" for maker, number in data["makers"].items())
    missing = f" Not run, because they were not built: {', '.join(data['missing'])}." if data["missing"] else ""
    return (
        "## How it is proven\n\n"
        f"`make recognise` on {data['date']}: **{data['samples']} files and folders of {len(data['kinds'])} kinds, "
        f"{data['wrong']} wrong names.** {makers}. Each cut short at {len(data['cuts'])} places and called by "
        f"{len(data['suffixes'])} wrong suffixes: {data['cut_answers']} and {data['renamed_answers']} answers, "
        f"{data['wrong_cut']} wrong names; a cut file keeps its name, or is said to be unknown or a damaged archive, "
        f"or both names are said that begin so.{missing}\n"
    )


WITH_CLASS = ", [with the Python file of its class](pytorch.md#weights-without-a-graph) and `trusted = true`"


def row(kind: Kind, seen: int) -> str:
    found = takers(kind.name)
    served = "; ".join(
        f"**to {', '.join(fmt.targets)}** in Environment `{fmt.environment}`{WITH_CLASS if fmt.screens else ''}"
        for fmt in found
    )
    suffixes = " ".join(f"`{suffix}`" for suffix in kind.suffixes)
    what = served or kind.next.replace("|", "\\|")
    return f"| {kind.title} | `{kind.name}` | {suffixes} | {SAFETY[kind.safety]} | {seen or 'none'} | {what} |"


def render() -> str:
    data = counts()
    parts = [HEAD, proven(data)]
    unseen = [kind for kind in KINDS if kind not in data["kinds"]]
    parts.append(
        f"Of these {len(KINDS)} kinds {len(unseen)} have no file in that table: their rows say `none`, and rest on a "
        "description alone.\n"
    )
    for family in dict.fromkeys(kind.family for kind in KINDS.values()):
        head = "| what | name | suffixes | opening it | files | converted, or what to do |"
        lines = [f"## {family}\n", head, "|---|---|---|---|---|---|"]
        lines += [row(kind, data["kinds"].get(kind.name, 0)) for kind in KINDS.values() if kind.family == family]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render())
