"""What `gateway doctor` finds, as one JSON-able document; the problems in it carry the command that mends each.

Rule 1: a look that fails is a finding, never an error.
Rule 2: nothing is built, loaded from a network, or changed; a port is bound and let go of at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import shutil
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway import __version__, config
from gateway.convert.plan import RUNS_IN
from gateway.errors import GatewayError
from gateway.formats.base import all_formats
from gateway.process import envbuild, sandbox_levels
from gateway.process.environments import Environments, environments_report

LOW_BYTES = 2 * config.GIB  # of free disk: about one converted model and its working copies
_SANDBOX_MENDS = {
    "L1": "none is known: resource limits are refused here",
    "L2": "Linux 5.13 or newer, landlock in lsm= at boot; in a container, a seccomp profile that lets landlock through",
    "L3": "apt-get install bubblewrap, where user namespaces are allowed; docs/security.md says more",
}
_PORTS = ("grpc_port", "http_port", "admin_port", "metrics_port")


def everything(environments: Environments, settings: config.Settings) -> dict[str, Any]:
    """The whole document. `problems` stand in the way of serving, `notes` do not; each has `what` and `mend`."""
    found: dict[str, Any] = {
        "gateway": __version__,
        "machine": machine(),
        "accelerators": accelerators(),
        "sandbox": sandbox_levels.reached().to_json() | {"wanted": settings.jobs.sandbox_min_level},
        "store": store(settings.store),
        "ports": ports(settings),
        "uv": uv(),
        "pythons": pythons(),
        "environments_folder": {"path": str(environments.folder), "free_bytes": free_bytes(environments.folder)},
        "environments": environments_of(environments),
        "outdated": outdated(environments),
    }
    found["problems"] = list(_problems(found))
    found["notes"] = list(_notes(found))
    return found


def machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def accelerators() -> dict[str, Any]:
    """onnxruntime and what it runs on; `devices` are those that the kernel shows."""
    import onnxruntime

    devices = [str(path) for pattern in ("nvidia[0-9]*", "kfd") for path in sorted(Path("/dev").glob(pattern))]
    return {
        "onnxruntime": onnxruntime.__version__,
        "providers": onnxruntime.get_available_providers(),
        "devices": devices,
    }


def store(path: Path) -> dict[str, Any]:
    """Whether artifacts can be written: a file is, and is removed. The folder itself is not made."""
    there = _existing(path)
    problem = ""
    try:
        with tempfile.TemporaryFile(dir=there) as stream:
            stream.write(b"x")
    except OSError as error:
        problem = f"{there} cannot be written to: {error.strerror}"
    return {"path": str(path), "free_bytes": free_bytes(path), "problem": problem}


def ports(settings: config.Settings) -> list[dict[str, Any]]:
    """Each listener of `gateway serve`: `free`, `gateway` where one serves there, `taken`, or `refused`."""
    known = config.names(settings)
    compat = [name for name in known if name.startswith("compat.") and name.endswith("_port") and settings.compat.on]
    own = [known[name] for name in _PORTS]
    rows = []
    for name in [*_PORTS, *(name for name in compat if known[name] not in own)]:
        host = settings.management_host if "admin" in name or "management" in name else settings.host
        rows.append({"name": name, "host": host, "port": known[name], "state": _try_port(host, known[name])})
    taken = [row for row in rows if row["state"] == "taken"]
    if taken and _gateway_answers(rows):
        for row in taken:
            row["state"] = "gateway"
    return rows


def uv() -> str:
    """Where the builder of Environments is; empty where it is not."""
    try:
        return envbuild.find_uv("base")
    except GatewayError:
        return ""


def pythons() -> list[dict[str, str]]:
    """The Pythons that Environments can be built with."""
    try:
        return [{"version": version, "path": path} for version, path in envbuild.pythons()]
    except (GatewayError, OSError):
        return []


def environments_of(environments: Environments) -> list[dict[str, Any]]:
    """environments_report, and which formats need each: `reads`, `judges` and `runs` are names of formats."""
    rows = environments_report(environments)
    formats = all_formats().values()
    for row in rows:
        name = row["name"]
        row["reads"] = sorted(f.name for f in formats if f.environment == name)
        row["judges"] = sorted(f.name for f in formats if name in f.judges)
        row["runs"] = sorted(f.name for f in formats if f.native == name)
        row["targets"] = sorted(kind for kind, place in RUNS_IN.items() if place == name)
    return rows


def outdated(environments: Environments) -> list[dict[str, Any]]:
    """What `--prune` would remove."""
    folders, left = environments.outdated()
    rows = [{"path": str(path), "what": "of an earlier pin file"} for path in folders]
    rows += [{"path": str(path), "what": "left by an interrupted build"} for path in left]
    return [row | {"size_bytes": envbuild.size(Path(row["path"]))} for row in rows]


def _problems(found: dict[str, Any]) -> Iterator[dict[str, str]]:
    if found["store"]["problem"]:
        yield _say(found["store"]["problem"], "MODEL_GATEWAY_STORE=DIR gateway serve, with a folder of yours")
    for place in (found["store"], found["environments_folder"]):
        if place["free_bytes"] < LOW_BYTES:
            yield _say(f"{place['path']}: {place['free_bytes'] / config.MIB:.0f} MiB free", "gateway doctor --prune")
    if not found["uv"]:
        yield _say("uv is not installed beside the gateway: no Environment can be built", "make setup")
    level, wanted = found["sandbox"]["level"], found["sandbox"]["wanted"]
    if level < wanted:
        why = found["sandbox"]["missing"].get(f"L{wanted}", "there is no such level")
        what = f"jobs.sandbox_min_level is {wanted} and L{level} is reached ({why}): every conversion is refused"
        yield _say(what, f"MODEL_GATEWAY_JOBS__SANDBOX_MIN_LEVEL={level} gateway serve, if you trust what is dropped")
    for row in found["ports"]:
        if row["state"] in ("taken", "refused"):
            why = "another program listens there" if row["state"] == "taken" else "the system refuses it to this user"
            variable = config.PREFIX + row["name"].upper().replace(".", "__")
            mend = f"{variable}={_free_port(row['host'])} gateway serve"
            yield _say(f"port {row['port']} ({row['name']}): {why}", mend)
    there = {".".join(python["version"].split(".")[:2]) for python in found["pythons"]}
    for row in found["environments"]:
        if row["state"] == "broken" or (row["name"] == "base" and row["state"] != "built"):
            yield _say(row["problem"], row["install"])
        if row["name"] == "base" and row["python"] not in there and row["state"] != "built":
            yield _say(f"Environment 'base' needs Python {row['python']}: not found", _get_python(row))


def _notes(found: dict[str, Any]) -> Iterator[dict[str, str]]:
    for level, why in found["sandbox"]["missing"].items():
        refused = " Models that can carry code are refused." if level == "L2" else ""
        yield _say(f"sandbox {level} is not reached: {why}.{refused}", _SANDBOX_MENDS[level])
    there = {".".join(python["version"].split(".")[:2]) for python in found["pythons"]}
    for row in found["environments"]:
        if row["state"] == "built" or row["name"] == "base" or row["state"] == "broken":
            continue
        if row["judges"] and row["state"] != "built":
            what = f"{', '.join(row['judges'])} has a better judge in Environment '{row['name']}', which is not built"
            yield _say(what, row["install"])
        if row["python"] not in there:
            yield _say(f"Environment '{row['name']}' needs Python {row['python']}: not found", _get_python(row))
        if row["state"] == "outdated":
            yield _say(f"Environment '{row['name']}': its pin file has changed since it was built", row["install"])
    if old := found["outdated"]:
        size = sum(row["size_bytes"] for row in old) / config.MIB
        yield _say(
            f"{len(old)} folders of earlier pins or interrupted builds, {size:.0f} MiB", "gateway doctor --prune"
        )
    devices, providers = found["accelerators"]["devices"], found["accelerators"]["providers"]
    if devices and not any(word in " ".join(providers) for word in ("CUDA", "ROCM", "MIGraphX")):
        what = f"{', '.join(devices)} is there and this onnxruntime runs on the CPU alone"
        yield _say(what, "an onnxruntime with that provider in the gateway's own .venv; we have not tried one")
    if any(row["state"] == "gateway" for row in found["ports"]):
        yield _say(
            "a gateway serves on these ports already", "gateway serve --grpc-port 0 --http-port 0 ..., for another"
        )


def _say(what: str, mend: str) -> dict[str, str]:
    return {"what": what, "mend": mend}


def _get_python(row: dict[str, Any]) -> str:
    return f"UV_PYTHON_DOWNLOADS=automatic {row['install']}, or put a python{row['python']} on PATH"


def _try_port(host: str, port: int) -> str:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
        return "free"
    except OSError as error:
        return "taken" if error.errno == errno.EADDRINUSE else "refused"


def _gateway_answers(rows: list[dict[str, Any]]) -> bool:
    """Whether what listens on the admin port is a gateway."""
    admin = next(row for row in rows if row["name"] == "admin_port")
    host = f"[{admin['host']}]" if ":" in admin["host"] else admin["host"]
    with contextlib.suppress(OSError, ValueError):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{host}:{admin['port']}/healthz/live", timeout=2) as answer:
            return bool(answer.status == 200)
    return False


def _free_port(host: str) -> int:
    family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
    return 0


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """Free bytes of the disk that `path` is or would be on."""
    return shutil.disk_usage(_existing(path)).free
