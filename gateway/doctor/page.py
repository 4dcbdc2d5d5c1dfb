"""The page that `gateway doctor` prints: what there is, then what to do about it. Its findings come from look.py."""

from __future__ import annotations

from typing import Any

from gateway import config
from gateway.logs import escape

_STATES = {"built": "built", "missing": "not built", "outdated": "outdated", "broken": "BROKEN"}
_PORT_STATES = {"free": "free", "gateway": "a gateway serves", "taken": "TAKEN", "refused": "REFUSED"}


def text(found: dict[str, Any]) -> str:
    """The whole page."""
    machine, accelerators = found["machine"], found["accelerators"]
    devices = ", ".join(accelerators["devices"]) or "no GPU seen"
    memory, folder = machine["memory_bytes"] / config.GIB, found["environments_folder"]
    lines = [
        f"gateway {found['gateway']} on Python {machine['python']}, {machine['system']}",
        "",
        f"  machine   {machine['cores']} cores, {memory:.0f} GiB of memory",
        f"  runs on   onnxruntime {accelerators['onnxruntime']}: {', '.join(accelerators['providers'])}; {devices}",
        f"  sandbox   {found['sandbox']['shown']}",
        f"  store     {found['store']['path']}, {size(found['store']['free_bytes'])} free",
        "  ports     " + ", ".join(_port(row) for row in found["ports"]),
        "  Pythons   " + (", ".join(f"{row['version']} {row['path']}" for row in found["pythons"]) or "none found"),
        "",
        f"Environments, in {folder['path']}, {size(folder['free_bytes'])} free",
        environments(found["environments"]),
    ]
    for title, rows in (("Problems", found["problems"]), ("Notes", found["notes"])):
        if rows:
            lines += ["", f"{title}"]
        for row in rows:
            lines += [f"  - {escape(row['what'])}", f"      {escape(row['mend'])}"]
    if not found["problems"]:
        lines += ["", "Nothing stands in the way of serving."]
    return "\n".join(lines)


def environments(rows: list[dict[str, Any]]) -> str:
    """Two lines each: state and size, then what it is for."""
    lines = []
    for row in rows:
        state = _STATES[row["state"]]
        if row["built"]:
            weight = size(row["size_bytes"] or 0)
        else:
            about = "more than" if row["unknown_sizes"] else "about"
            weight = f"{size(row['download_bytes'])} to download, {about} {size(row['installed_bytes'])} on the disk"
        lines.append(f"  {row['name']:14} {state:10} {weight}; {row['packages']} packages for Python {row['python']}")
        lines.append(f"  {'':14} {escape(_purpose(row))}")
        if row["state"] == "broken":
            lines.append(f"  {'':14} {escape(row['problem'])}")
        if not row["built"]:
            lines.append(f"  {'':14} {row['install']}")
    return "\n".join(lines)


def verified(row: dict[str, Any]) -> str:
    """One Environment after --verify."""
    verdict = "BROKEN" if row["problems"] else "sound"
    lines = [f"{row['name']}: {verdict}; {row['files']} files compared"]
    lines += [f"  {escape(problem)}" for problem in row["problems"]]
    lines += [f"  note: {escape(note)}" for note in row["notes"]]
    if row["mend"]:
        lines.append(f"  {row['mend']}")
    return "\n".join(lines)


def size(count: int) -> str:
    """Bytes for a person: 12 KiB, 3.4 MiB, 2085 MiB, 76 GiB."""
    if count >= 10 * config.GIB:
        return f"{count / config.GIB:.0f} GiB"
    if count >= 10 * config.MIB:
        return f"{count / config.MIB:.0f} MiB"
    return f"{count / config.MIB:.1f} MiB" if count >= config.MIB else f"{count / 1024:.0f} KiB"


def _port(row: dict[str, Any]) -> str:
    return f"{row['port']} {row['name'].removeprefix('compat.').removesuffix('_port')} {_PORT_STATES[row['state']]}"


def _purpose(row: dict[str, Any]) -> str:
    title = row["title"].partition("`: ")[2] or row["title"]
    words = {"reads": row["reads"], "judges": row["judges"], "runs": row["runs"], "runs what became": row["targets"]}
    needed = "; ".join(f"{word} {', '.join(names)}" for word, names in words.items() if names)
    return f"{title} [{needed or 'no format needs it now'}]"
