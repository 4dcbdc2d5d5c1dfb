"""The commands `mxnet-model-server`, `multi-model-server` and `torchserve`: their flags, served by the gateway.

    mxnet-model-server --start --models NAME=PATH [NAME=PATH ...]     serves in the background
    mxnet-model-server --stop

Flags and config.properties are mapped to settings, accepted without effect (said at the start), or
refused with the reason. Settings that neither has come from MODEL_GATEWAY_* as always.

Rule 1: all that is wrong is said at once, and nothing starts; exit 2.
Rule 2: one server in the background a user, as there; --stop ends the process that --start wrote
        down, and only if it still is that process.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway import __version__, config, properties
from gateway.errors import GatewayError, SettingsError, UsageError

START_S, STOP_S = 60.0, 60.0
PORTS = {"grpc_port": 0, "http_port": 8080, "admin_port": 8081, "metrics_port": 8082}
"""Their usual ports; gRPC takes a free one, for neither server has the gateway's."""


def main(argv: Sequence[str] | None = None) -> int:
    """`multi-model-server` and `mxnet-model-server`."""
    return _main("multi-model-server", argv)


def torchserve(argv: Sequence[str] | None = None) -> int:
    return _main("torchserve", argv)


def _main(name: str, argv: Sequence[str] | None) -> int:
    arguments = _parser(name).parse_args(argv)
    try:
        if arguments.version:
            sys.stdout.write(f"Model Gateway {__version__}, as {name}\n")
            return 0
        if arguments.stop:
            return _stop(name)
        if not arguments.start:
            _parser(name).print_help()
            return 2
        flags, notes = settings_of(name, arguments)
        settings = _load(flags)
        for note in notes:
            sys.stderr.write(f"{name}: {note}\n")
        if not arguments.foreground:
            return _start(name, list(sys.argv[1:] if argv is None else argv))
        from gateway import app  # the whole server: --help does not pay for it

        return app.serve(settings, lambda: None)
    except GatewayError as error:
        sys.stderr.write(f"{name}: {error.message}\n" + (f"  {error.hint}\n" if error.hint else ""))
        return 2


def settings_of(name: str, arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """(settings by dotted name, what to say). Errors: SettingsError with all problems."""
    flags: dict[str, Any] = {**PORTS, "repository": "-", "management.torchserve": name == "torchserve"}
    file = arguments.config or os.environ.get("TS_CONFIG_FILE" if name == "torchserve" else "MMS_CONFIG_FILE")
    notes: list[str] = []
    if file:
        found, notes = properties.read(Path(file))
        flags |= found
    if arguments.model_store:
        flags["management.model_store"] = str(Path(arguments.model_store).absolute())
    models = [model for entry in arguments.models or () for model in entry.split(",") if model]
    if models == ["all"] or (not models and flags.pop("load_models", "") == "all"):
        if not flags.get("management.model_store"):
            raise SettingsError(["--models all: needs --model-store"])
        store = Path(flags["management.model_store"])
        models = sorted(path.name for path in store.iterdir() if not path.name.startswith("."))
    flags.pop("load_models", None)
    if models:
        flags["management.models"] = ",".join(models)
    for given, why in (
        (arguments.log_config, "--log-config: logging is set by the setting log"),
        (arguments.no_config_snapshots, "--no-config-snapshots: registered models are kept beside the store"),
        (arguments.ignored, f"without effect: {' '.join(arguments.ignored)}"),
    ):
        if given:
            notes.append(why)
    return flags, notes


def _load(flags: dict[str, Any]) -> config.Settings:
    try:
        return config.load(None, flags=flags)
    except config.BadSettings as error:
        raise SettingsError(error.problems) from None


# -- in the background -----------------------------------------------------------------------------


def pid_file() -> Path:
    folder = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(folder) / f"model-gateway-model-server-{os.getuid()}.pid"


def _alive(text: str) -> int:
    """The process that `text` ("pid start-time") speaks of, if it is still that one; else 0."""
    number, _, started = text.partition(" ")
    return int(number) if number.isdigit() and started and started == _started(int(number)) else 0


def _started(pid: int) -> str:
    """When a process began, in clock ticks after the machine did; "" if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def _read_pid() -> int:
    try:
        file = pid_file()
        if file.is_symlink() or file.stat().st_uid != os.getuid():
            return 0
        return _alive(file.read_text())
    except OSError:
        return 0


def _start(name: str, argv: list[str]) -> int:
    if _read_pid():
        sys.stdout.write(f"Model server is already running, please use {name} --stop to stop it.\n")
        return 0
    logs = config.cache_folder() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    command = [sys.executable, "-m", "gateway.model_server", name, *argv, "--foreground"]
    with log.open("ab") as out:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out, start_new_session=True
        )
    assert child.stdout is not None
    line = child.stdout.readline()  # its addresses, once it listens
    if not line:
        child.wait(START_S)
        raise UsageError(f"the server did not start; its log is {log}: {log.read_text(errors='replace')[-2000:]}")
    file = pid_file()
    with contextlib.suppress(FileNotFoundError):
        file.unlink()
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w") as out_file:
        out_file.write(f"{child.pid} {_started(child.pid)}")
    sys.stdout.write(f"Model server started: {line.decode().strip()}\nIts log is {log}\n")
    return 0


def _stop(name: str) -> int:
    pid = _read_pid()
    with contextlib.suppress(OSError):
        if not pid:
            pid_file().unlink()
    if not pid:
        sys.stdout.write("Model server is not currently running.\n")
        return 0
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + STOP_S
    while _started(pid) and time.monotonic() < until:
        time.sleep(0.05)
    if _started(pid):
        raise UsageError(f"{name} (process {pid}) has not ended within {STOP_S:g} s of SIGTERM.")
    pid_file().unlink(missing_ok=True)
    sys.stdout.write("Model server stopped.\n")
    return 0


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description=f"{name}'s flags, served by Model Gateway.")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-v", "--version", action="store_true")
    group.add_argument("--start", action="store_true", help="serve, in the background unless --foreground")
    group.add_argument("--stop", action="store_true", help="stop the server in the background")
    parser.add_argument("--models", nargs="+", metavar="NAME=PATH", help="models to serve from the start")
    parser.add_argument("--model-store", metavar="FOLDER", help="where models may be registered from")
    parser.add_argument("--mms-config", "--ts-config", dest="config", metavar="config.properties")
    parser.add_argument("--foreground", action="store_true")
    parser.add_argument("--log-config", metavar="FILE", help="accepted without effect")
    parser.add_argument("--no-config-snapshots", "--ncs", action="store_true", help="accepted without effect")
    parser.set_defaults(ignored=[])
    for flag in ("--workflow-store", "--plugins-path", "--ppath", "--cpp-log-config"):
        parser.add_argument(flag, nargs=1, action=_Ignored, help=argparse.SUPPRESS)
    for flag in ("--model-api-enabled", "--enable-model-api", "--disable-token-auth"):
        parser.add_argument(flag, nargs=0, action=_Ignored, help=argparse.SUPPRESS)
    return parser


class _Ignored(argparse.Action):
    """Accepted without effect; said at the start."""

    def __call__(self, _: Any, namespace: argparse.Namespace, __: Any, flag: str | None = None) -> None:
        namespace.ignored = [*namespace.ignored, flag or ""]


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], sys.argv[2:]))
