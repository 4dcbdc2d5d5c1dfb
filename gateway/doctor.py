"""`gateway doctor`: what this machine has, what is missing, and the command that mends it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway import __version__, config
from gateway.process.environments import Environments, environments_report
from gateway.process.sandbox import available_level

Say = Callable[[str], None]


def run(install: str | None, *, as_json: bool, say: Say, show: Say, show_json: Callable[[Any], None]) -> int:
    """Build `install` if one is named, then print the page. Errors: EnvironmentMissing, EnvironmentBroken."""
    environments = Environments()
    if install:
        found = environments.ensure(install, lambda line: say(f"  {line}"))
        say(f"Environment '{found.name}' is ready: {found.python}")
    page = report(environments)
    if as_json:
        show_json(page)
    else:
        show(text(page))
    return 0


def report(environments: Environments) -> dict[str, Any]:
    import onnxruntime

    store = config.Settings().store
    return {
        "gateway": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "onnxruntime": onnxruntime.__version__,
        "providers": onnxruntime.get_available_providers(),
        "sandbox": available_level(),
        "store": {"path": str(store), "free_bytes": _free_bytes(store)},
        "environments": environments_report(environments),
    }


def text(page: dict[str, Any]) -> str:
    lines = [
        f"gateway {page['gateway']} on Python {page['python']}, {page['system']}",
        f"{page['cores']} cores, {page['memory_bytes'] / config.GIB:.0f} GiB of memory",
        f"onnxruntime {page['onnxruntime']}: {', '.join(page['providers'])}",
        f"sandbox level reached: L{page['sandbox']}",
        f"store: {page['store']['path']}, {page['store']['free_bytes'] / config.GIB:.0f} GiB free",
        "Environments:",
    ]
    for row in page["environments"]:
        size = f", {row['size_bytes'] / config.MIB:.0f} MiB" if row["size_bytes"] else ""
        state = f"built{size}" if row["built"] else f"not built: {row['install']}"
        lines.append(f"  {row['name']:14} Python {row['python']:6} {row['packages']:4} packages  {state}")
        if row["built"] and row["problem"]:
            lines.append(f"    {row['problem']}")
    return "\n".join(lines)


def _free_bytes(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
