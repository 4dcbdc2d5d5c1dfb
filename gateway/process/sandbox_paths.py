"""Which files a Python process needs to live: the system's libraries, its interpreter, a few of /proc, /sys and /dev.

Rule 1: as little as works. Of a prefix only what Python reads (bin, lib ...), so that one that is
        somebody's home does not open the home.
Rule 2: an interpreter is asked, not guessed, once; links are resolved here, by us.
Rule 3: nothing of /etc but what the loader and the C library want.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from functools import cache
from glob import glob
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32", "/nix/store", "/gnu/store")
FILES = (
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/localtime", "/etc/timezone",
    "/etc/nsswitch.conf", "/etc/alternatives", "/etc/locale.alias",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/filesystems",
    "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/osrelease", "/proc/sys/kernel/ngroups_max",
    "/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/kernel/mm/transparent_hugepage", "/sys/fs/cgroup",
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_OF_PREFIX = ("bin", "lib", "lib64", "include", "share/zoneinfo", "pyvenv.cfg", "Library")
_GPU_DEVICES = ("/dev/nvidia*", "/dev/nvidia-caps", "/dev/dri", "/dev/kfd")
_GPU_FILES = (
    "/proc/driver/nvidia", "/proc/devices", "/proc/modules", "/sys/bus/pci", "/sys/devices", "/sys/class",
    "/sys/module/nvidia", "/sys/module/nvidia_uvm", "/etc/OpenCL", "/etc/vulkan",
)  # fmt: skip
_ASK = (
    "import sys, json, sysconfig; print(json.dumps([sys.prefix, sys.base_prefix, sys.exec_prefix,"
    " sys.base_exec_prefix, sysconfig.get_config_var('LIBDIR') or '',"
    " *[sysconfig.get_paths()[name] for name in ('stdlib', 'platstdlib', 'purelib', 'platlib')]]))"
)


@cache
def interpreter(python: Path) -> tuple[str, ...]:
    """Files and folders that this Python reads and runs, links resolved; () where it does not start."""
    argv = [str(python), "-s", "-P", "-B", "-c", _ASK]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=30, stdin=subprocess.DEVNULL, check=True, env={})
        prefix, base, exec_prefix, base_exec, library, *others = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return ()
    found = [str(python), os.path.realpath(python), *others]
    if (Path(prefix) / "pyvenv.cfg").is_file():
        found.append(prefix)  # a virtual environment holds nothing else
    for place in {prefix, base, exec_prefix, base_exec}:
        found += [os.path.join(place, name) for name in _OF_PREFIX]  # noqa: PTH118  text in, text out
    # LIBDIR may be where the interpreter was built; a folder of libraries is no home.
    found += [library] if library.endswith(("lib", "lib64")) else []
    return _outermost(found)


def system() -> tuple[str, ...]:
    """Libraries and programs of the machine, and what LD_LIBRARY_PATH of the gateway adds."""
    home = os.path.realpath(Path.home())
    extra = [os.path.realpath(path) for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path]
    return _outermost([*SYSTEM, *(path for path in extra if not f"{home}/".startswith(f"{path.rstrip('/')}/"))])


def gpu() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(devices, files) of the GPUs that are here; ((), ()) without one."""
    devices = tuple(sorted(path for pattern in _GPU_DEVICES for path in glob(pattern)))  # noqa: PTH207
    return (devices, _GPU_FILES) if devices else ((), ())


def named_by_us(*paths: Path) -> tuple[str, ...]:
    """Absolute, and what they lead to: for paths of the user or the gateway, never of a child."""
    return tuple(dict.fromkeys(text for path in paths for text in (str(path.absolute()), os.path.realpath(path))))


def _outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Absolute, as named and resolved, those that are there; what lies below another is left out."""
    both = {os.path.abspath(path) for path in paths} | {os.path.realpath(path) for path in paths}  # noqa: PTH100
    kept: list[str] = []
    for path in sorted(both - {"/"}):
        if os.path.lexists(path) and not any(path.startswith(f"{above}/") for above in kept):
            kept.append(path)
    return tuple(kept)
