"""Writes docs/settings.md from gateway/config.py: names, defaults, and the comments that stand beside them.

    .venv/bin/python tools/settings_page.py

tests/test_house.py compares the page with what this would write.
"""

from __future__ import annotations

import re
from pathlib import Path

from gateway import config

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "settings.md"
HEAD = """\
# Settings

*Written by `tools/settings_page.py` from `gateway/config.py`; do not edit.*

Later ones win: defaults, the TOML file of `--config`, variables, flags. In the file a dotted name is a key in a table
(`[batch]`, `max_rows = 64`); a flag for any of them is `--set batch.max_rows=64`. Every wrong setting is named at once,
with the nearest known name, and nothing starts. SIGHUP reads them again.

| name | default | variable | what it is |
|---|---|---|---|
"""


def comments() -> dict[str, str]:
    """Dotted name -> the comment on its line of config.py."""
    found: dict[str, str] = {}
    group = ""
    for line in Path(config.__file__).read_text().splitlines():
        if line.startswith("class "):
            name = re.sub(r"\W.*", "", line.removeprefix("class "))
            group = "" if name == "Settings" else f"{name.lower()}."
        match = re.match(r"    (\w+): [^#]*?(?:#\s*(.*))?$", line)
        if match:
            found[group + match[1]] = match[2] or ""
    return found


def shown(name: str, default: object) -> str:
    if isinstance(default, Path):
        return str(default).replace(str(config.cache_folder()), "~/.cache/model-gateway")
    for size, unit in ((config.GIB, "GiB"), (config.MIB, "MiB")):
        if name.endswith("_bytes") and isinstance(default, int) and default >= size and default % size == 0:
            return f"{default} ({default // size} {unit})"
    return str(default)


def render() -> str:
    said = comments()
    rows = []
    for name, default in config.names().items():
        variable = config.PREFIX + name.upper().replace(".", "__")
        rows.append(f"| `{name}` | {shown(name, default)} | `{variable}` | {said[name].replace('|', 'or')} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render())
