"""ONNX's own node tests as SavedModels, into docs/savedmodel-nodes.md: part of `make certify`.

    make certify                                 parts that are not done yet, or were done by other code
    python tools/certify_nodes.py --again        all
    python tools/certify_nodes.py --sample 40    as many of the recorded tests again, others each day: the same?

Of the tests that onnxruntime passes here, each is converted, saved, loaded from the file by a process that has not
converted it, and compared as the standard says. What was seen is kept in docs/savedmodel-nodes.json part by part.

Rule 1: a test that does not pass is written with what was said, and with why where that is known (WHY).
Rule 2: under LEAST of them the run fails.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # for tests/, wherever this is started from

from gateway.process.environments import Environments  # noqa: E402

STATE = ROOT / "docs" / "savedmodel-nodes.json"
PAGE = ROOT / "docs" / "savedmodel-nodes.md"
SCRIPT = ROOT / "tests" / "formats" / "savedmodel" / "node_cases.py"
PART, LEAST, PART_S = 200, 0.99, 1800.0  # a part costs a process of onnx and two of TensorFlow
WHY: dict[str, str] = {}
HEAD = """\
# ONNX's node tests as SavedModels

*Written by `make certify`; do not edit. CI does a part again, others each day.*

Every backend node test of the pinned onnx but those for training and those that repeat another in expanded form.
A test counts where onnxruntime passes it here; it passes where the SavedModel, loaded from its file by a process that
has not made it, gives the standard's outputs at the standard's own tolerance, shape and dtype included.

"""


def digest_of(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def code_digest() -> str:
    """Of the builder, the script, and the pins of both Environments."""
    files = [*(ROOT / "gateway" / "formats" / "savedmodel" / "build").rglob("*.py"), SCRIPT]
    return digest_of([*files, *(ROOT / "deploy" / "envs" / f"{name}.txt" for name in ("base", "tensorflow"))])


def listing_digest() -> str:
    """Of what decides which tests count."""
    return digest_of([SCRIPT, ROOT / "deploy" / "envs" / "base.txt"])


def script(environment: str, *arguments: str) -> None:
    python = Environments().ensure(environment).python
    command = [str(python), str(SCRIPT), str(ROOT / "gateway"), *arguments]
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(
        command, check=True, timeout=PART_S, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ
    )


def listed() -> dict[str, Any]:
    """Which tests onnxruntime passes here, and what it says of the others."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "cases.json"
        script("base", "list", str(file))
        found: dict[str, Any] = json.loads(file.read_text())
        return found


def checked(names: Sequence[str]) -> dict[str, str]:
    """ "" where a test passes, else what was said."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cases.json"
        file.write_text(json.dumps({"passes": list(names)}))
        script("tensorflow", "build", str(file), folder)
        script("tensorflow", "check", str(file), folder)
        found: dict[str, str] = json.loads((Path(folder) / "check.json").read_text())
        return found


def page(state: dict[str, Any]) -> str:
    results: dict[str, str] = state["results"]
    bad = {name: said for name, said in results.items() if said}
    good = len(results) - len(bad)
    share = 100 * good / max(1, len(results))
    passed = f"**{good} of {len(results)} pass ({share:.1f} %).**"
    waiting = len(state["passes"]) - len(results)
    passed += f" **{waiting} are not done yet.**" if waiting else ""
    lines = [HEAD, f"{passed} Not counted: {len(state['refused'])} others, which onnxruntime does not pass.\n"]
    if bad:
        lines.append("\n| not passed | what was said | why |\n|---|---|---|\n")
        for name, said in bad.items():
            shown = " ".join(said.split())[:220].replace("|", "\\|")
            lines.append(f"| {name} | {shown} | {WHY.get(name, 'not looked into')} |\n")
    return "".join(lines)


def write(state: dict[str, Any]) -> None:
    for path, text in ((STATE, json.dumps(state, indent=1) + "\n"), (PAGE, page(state))):
        part = path.with_suffix(path.suffix + ".part")
        part.write_text(text)
        part.replace(path)


def recheck(state: dict[str, Any], count: int) -> int:
    """`count` recorded tests again, spread over the table: is each as it was?"""
    names = list(state["results"])
    day = (datetime.datetime.now(datetime.UTC).date() - datetime.date(2026, 1, 1)).days
    step = max(1, len(names) // count)
    seen = checked(names[day % step :: step][:count])
    other = {name: said for name, said in seen.items() if bool(said) != bool(state["results"][name])}
    for name, said in other.items():
        print(f"{name}: {said or 'passes'}; RECORDED {state['results'][name] or 'passes'}")
    print(f"{len(seen) - len(other)} of {len(seen)} as recorded")
    return 1 if other or not seen else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--again", action="store_true", help="what is done, too")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="parts at the same time")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="do N recorded tests again and compare")
    arguments = parser.parse_args()
    state = json.loads(STATE.read_text()) if STATE.exists() else {}
    if arguments.sample:
        return recheck(state, arguments.sample)
    code = code_digest()
    if arguments.again or state.get("listing") != listing_digest():
        found = listed()
        state = {"listing": listing_digest(), "passes": found["passes"], "refused": sorted(found["fails"])}
    if arguments.again or state.get("code") != code:
        state |= {"code": code, "results": {}}
    left = [name for name in state["passes"] if name not in state["results"]]
    parts = [left[start : start + PART] for start in range(0, len(left), PART)]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for done in as_completed([pool.submit(checked, part) for part in parts]):
            state["results"] |= done.result()
            write(state)
            print(f"{len(state['results'])} of {len(state['passes'])}", flush=True)
    write(state)
    good = sum(not said for said in state["results"].values())
    print(f"{good} of {len(state['results'])} pass")
    return 0 if good >= LEAST * len(state["results"]) else 1


if __name__ == "__main__":
    sys.exit(main())
