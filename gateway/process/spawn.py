"""How a Python process of an Environment is started: arguments and environment, the same for Jobs and workers.

Rule 1: of our own tree the child sees the package `gateway` alone, not its neighbours: the
        gateway's site-packages never leak into another Environment.
Rule 2: the environment is built, not inherited: no token, proxy or key of the gateway goes in.
Rule 3: no code of ours between fork and exec: the gateway has threads and gRPC.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gateway

GATEWAY = Path(str(gateway.__file__)).resolve().parent

BOOTSTRAP = """
import importlib.util, sys
for entry in sys.argv[1].split(":"):
    name, _, folder = entry.partition("=")
    spec = importlib.util.spec_from_file_location(name, folder + "/__init__.py", submodule_search_locations=[folder])
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
"""
_KEPT = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")  # where libraries and devices are


def command(
    python: Path, module: str, arguments: Sequence[str], packages: Mapping[str, Path] | None = None
) -> list[str]:
    """argv that runs `main(arguments)` of a module below `gateway`. `packages` are further top-level ones by name."""
    folders = {"gateway": GATEWAY, **(packages or {})}
    entries = ":".join(f"{name}={folder}" for name, folder in folders.items())
    code = f"{BOOTSTRAP}from {module} import main\nmain(sys.argv[2:])\n"
    # -s no user site, -P nothing of the working folder, -B writes no bytecode beside anyone's files.
    return [str(python), "-s", "-P", "-B", "-c", code, entries, *arguments]


def environment(python: Path, folder: Path, threads: int = 0) -> dict[str, str]:
    """The child's whole environment; `folder` is its home and its place for temporary files. 0 threads: all cores."""
    count = str(threads or os.cpu_count() or 1)
    fresh = {
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "USER": "gateway",  # asked before the user database, which a sandbox has not
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
    }
    return fresh | {name: os.environ[name] for name in _KEPT if name in os.environ}


def start(
    argv: Sequence[str], environ: Mapping[str, str], folder: Path, log: int, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start in a session of its own, in `folder`; stdout and stderr go to the descriptor `log`. Errors: OSError.

    A held child ends with the thread that has started it: call it in one that outlives the child.
    """
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=folder,
        env=dict(environ),
        close_fds=True,
        pass_fds=pass_fds,
        start_new_session=True,
    )


_lasting = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawn")


def start_lasting(
    argv: Sequence[str], environ: Mapping[str, str], folder: Path, log: int, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """`start`, for a child that may live as long as this process: from a thread that lasts. Errors: OSError.

    The kernel's "ends with its parent" means the thread that called fork.
    """
    return _lasting.submit(start, argv, environ, folder, log, pass_fds).result()
