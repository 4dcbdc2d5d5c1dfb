"""`gateway doctor`: what this machine has, what is missing, and the command that mends it; Environments kept in order.

    look.py    what is found, as one JSON-able document
    page.py    the same for a person

Rule 1: looking changes nothing and needs no network.
Rule 2: exit 0 where nothing stands in the way of serving, 3 where something does; notes are no problems.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from gateway import config
from gateway.doctor import look, page
from gateway.errors import EnvironmentMissing, UsageError
from gateway.process.environments import Environments

Say = Callable[[str], None]
OK, PROBLEMS = 0, 3


def run(
    arguments: argparse.Namespace,
    settings: config.Settings,
    *,
    say: Say,
    show: Say,
    show_json: Callable[[Any], None],
    environments: Environments | None = None,
) -> int:
    """Do what one of --install, --verify, --remove, --prune, --list asks for, or look at everything.

    Errors: UsageError; EnvironmentBroken, EnvironmentMissing, EnvironmentInUse.
    """
    environments = environments or Environments()
    names = arguments.install or arguments.remove or arguments.verify or []
    if unknown := [name for name in names if name not in {info.name for info in environments.known()}]:
        environments.find(unknown[0])  # says which there are
    if arguments.wheels is not None and not arguments.install:
        raise UsageError("--wheels is for --install: the folder that its packages are taken from.")
    if arguments.install:
        rows = install(environments, arguments, say)
    elif arguments.verify is not None:
        return verify(environments, names, arguments.as_json, show, show_json)
    elif arguments.remove:
        rows = [row for name in names for row in removed(environments, name, say)]
    elif arguments.prune:
        rows = [_removed_row(gone) for gone in environments.prune()]
        if not rows:
            say("Nothing to remove.")
    elif arguments.list:
        rows = look.environments_of(environments)
        if not arguments.as_json:
            show(page.environments(rows))
    else:
        found = look.everything(environments, settings)
        show_json(found) if arguments.as_json else show(page.text(found))
        return PROBLEMS if found["problems"] else OK
    if arguments.as_json:
        show_json(rows)
    elif rows and not arguments.list:
        show("\n".join(row["text"] for row in rows))
    return OK


def install(environments: Environments, arguments: argparse.Namespace, say: Say) -> list[dict[str, Any]]:
    """Build each that is named; the first that fails ends it."""
    rows = []
    for name in dict.fromkeys(arguments.install):
        try:
            found = environments.find(name)
        except EnvironmentMissing:
            found = environments.build(name, lambda line: say(f"  {line}"), arguments.wheels)
        text = f"Environment '{name}' is ready: {found.python}"
        rows.append({"name": name, "python": str(found.python), "versions": found.versions, "text": text})
    return rows


def verify(
    environments: Environments, names: list[str], as_json: bool, show: Say, show_json: Callable[[Any], None]
) -> int:
    """Read every file of the named ones, or of all that are built, and import what they were asked for."""
    rows = []
    for name in names or [info.name for info in environments.known() if info.built]:
        found = environments.verify(name)
        row = {
            "name": name,
            "problems": list(found.problems),
            "notes": list(found.notes),
            "files": found.files,
            "mend": f"gateway doctor --install {name}" if found.problems else "",
        }
        rows.append(row)
        if not as_json:
            show(page.verified(row))
    if as_json:
        show_json(rows)
    return PROBLEMS if any(row["problems"] for row in rows) else OK


def removed(environments: Environments, name: str, say: Say) -> list[dict[str, Any]]:
    rows = [_removed_row(gone) for gone in environments.remove(name)]
    if not rows:
        say(f"Environment '{name}' is not built: nothing to remove.")
    return rows


def _removed_row(gone: Any) -> dict[str, Any]:
    text = gone.kept or f"removed {gone.path}, {page.size(gone.size_bytes)}"
    return {"path": str(gone.path), "size_bytes": gone.size_bytes, "kept": gone.kept, "text": text}
