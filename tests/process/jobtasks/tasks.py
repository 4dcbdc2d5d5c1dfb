"""One task a way in which a Job can end."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gateway.errors import CorruptModel, UnsupportedOps
from gateway.process.child import ChildJob


def good(job: ChildJob) -> dict[str, Any]:
    job.progress("reading", 0.25)
    job.progress("writing")
    (job.out / "answer.txt").write_text(job.arguments["text"])
    print("printed by the task")
    return {"length": len(job.arguments["text"]), "infinite": float("inf")}


def _is_place(descriptor: str) -> bool:
    """Of a name in /proc, open for nothing but to be there (O_PATH): the sandbox keeps those that its rules are for."""
    try:
        flags = int(Path(f"/proc/self/fdinfo/{descriptor}").read_text().split("flags:")[1].split()[0], 8)
        return bool(flags & os.O_PATH) and str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith("/proc/")
    except FileNotFoundError:  # of the listing itself
        return False


def surroundings(job: ChildJob) -> dict[str, Any]:
    status = Path("/proc/self/status").read_text()
    job.progress("to be looked at from outside")
    end = time.monotonic() + 20
    while not (job.out / "looked").exists() and time.monotonic() < end:
        time.sleep(0.01)
    return {
        "environ": dict(os.environ),
        "path": sys.path,
        "modules": sorted(sys.modules),
        "no_new_privs": "NoNewPrivs:\t1" in status,
        "oom_score": int(Path("/proc/self/oom_score_adj").read_text()),
        "stdin": str(Path("/proc/self/fd/0").readlink()),
        "descriptors": sorted(path.name for path in Path("/proc/self/fd").iterdir() if not _is_place(path.name)),
        "flags": [sys.flags.dont_write_bytecode, sys.flags.no_user_site, sys.flags.safe_path],
        "executable": sys.executable,
    }


def corrupt(job: ChildJob) -> dict[str, Any]:
    error = CorruptModel("net.onnx ends at byte 12.", hint="Copy it again.")
    raise error


def unsupported(job: ChildJob) -> dict[str, Any]:
    raise UnsupportedOps("darknet", {"gru": 1, "crnn": 2}, 14)


def value_error(job: ChildJob) -> dict[str, Any]:
    raise ValueError("the third\nlayer is odd")


def calls_exit(job: ChildJob) -> dict[str, Any]:
    sys.exit(5)


def not_json(job: ChildJob) -> dict[str, Any]:
    return {"x": object()}


def segfault(job: ChildJob) -> dict[str, Any]:
    print("about to read the null page")
    ctypes.string_at(0)
    return {}


def aborts(job: ChildJob) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGABRT)
    return {}


def exits(job: ChildJob) -> dict[str, Any]:
    print("leaving")
    os._exit(3)


def exits_well(job: ChildJob) -> dict[str, Any]:
    os._exit(0)


def hangs_with_family(job: ChildJob) -> dict[str, Any]:
    """One grandchild in the session, one in a session of its own, one orphaned by its parent."""
    sleeper = f"import time; time.sleep(600)  # {job.arguments['mark']}"
    subprocess.Popen([sys.executable, "-c", sleeper])
    subprocess.Popen([sys.executable, "-c", sleeper], start_new_session=True)
    forker = (
        "import subprocess,sys; subprocess.Popen([sys.executable,'-c',sys.argv[1]],"
        "start_new_session=True,stdout=subprocess.DEVNULL,stderr=subprocess.DEVNULL)"
    )
    subprocess.run([sys.executable, "-c", forker, sleeper], capture_output=True, check=True)
    (job.out / "born").touch()
    job.progress("born")
    if job.arguments["and"] == "return":
        return {}
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
    return {}


def phoenix(job: ChildJob) -> dict[str, Any]:
    """Leaves a process that is another one, in another session, a thousand times a second; for 30 s at most."""
    end = time.monotonic() + 30
    if os.fork() == 0:
        while time.monotonic() < end:
            if os.fork():
                os._exit(0)
            os.setsid()
        os._exit(0)
    time.sleep(0.3)
    return {}


def grows_slowly(job: ChildJob) -> dict[str, Any]:
    held = []
    for _ in range(4096):
        held.append(bytearray(os.urandom(1) * (4 << 20)))
        time.sleep(0.005)
    return {"held": len(held)}


def grows_in_a_grandchild(job: ChildJob) -> dict[str, Any]:
    code = "import time; x = bytearray(b'x' * (400 << 20)); time.sleep(600)"
    subprocess.run([sys.executable, "-c", code], check=True)
    return {}


def one_wild_allocation(job: ChildJob) -> dict[str, Any]:
    return {"length": len(bytearray(1 << 45))}


def bad_alloc(job: ChildJob) -> dict[str, Any]:
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def log_bomb(job: ChildJob) -> dict[str, Any]:
    line = b"x" * 1023 + b"\n"
    os.write(1, b"the first line\n")
    for _ in range(1024):
        os.write(1, line * 32)
    time.sleep(0.3)  # a line that comes while the log is cut may be lost: not this one
    os.write(2, b"\x1b[31mthe last line\x1b[0m\n")
    return {}


def long_log(job: ChildJob) -> dict[str, Any]:
    """50 MiB in a second; the largest that the log has been meanwhile."""
    largest = 0
    for _ in range(200):
        os.write(1, b"z" * (256 << 10))
        largest = max(largest, os.fstat(1).st_size)
        time.sleep(0.005)
    return {"largest": largest}


def slow_progress(job: ChildJob) -> dict[str, Any]:
    for step in range(3):
        job.progress(f"step {step}", step / 4)
        time.sleep(0.15)
    return {}


def disk_full(job: ChildJob) -> dict[str, Any]:
    try:
        with Path("/dev/full").open("w") as stream:
            stream.write("x")
    except OSError as error:
        raise RuntimeError("a framework wrapped it") from error
    return {}


def disk_full_at_the_result(job: ChildJob) -> dict[str, Any]:
    Path("result.json.part").symlink_to("/dev/full")
    return {}


def garbage(job: ChildJob) -> dict[str, Any]:
    """Writes its own result.json, as a hostile task would, and ends well."""
    text = job.arguments["text"]
    if text == "link":
        Path("result.json").symlink_to("/etc/hostname")
    elif text == "pipe":
        os.mkfifo("result.json")
    else:
        Path("result.json").write_bytes(bytes.fromhex(text))
    os._exit(0)


def bad_progress(job: ChildJob) -> dict[str, Any]:
    Path("progress.jsonl").write_bytes(b'\xff\n[]\n{"stage": 1}\n{"stage": "a\\u001b", "fraction": 7}\nhalf')
    return {}


def waits(job: ChildJob) -> dict[str, Any]:
    job.progress("waiting")
    time.sleep(600)
    return {}


def reads(job: ChildJob) -> dict[str, Any]:
    """The text of each path, None where it cannot be read."""
    found: list[str | None] = []
    for path in job.arguments["paths"]:
        try:
            found.append(Path(path).read_text())
        except OSError:
            found.append(None)
    return {"read": found}


def replaces_its_log(job: ChildJob) -> dict[str, Any]:
    log, other = Path("log.txt"), job.arguments["other"]
    log.unlink()
    if job.arguments["kind"] == "link":
        log.symlink_to(other)
    elif job.arguments["kind"] == "hard link":
        log.hardlink_to(other)
    elif job.arguments["kind"] == "pipe":
        os.mkfifo(log)
    else:
        log.mkdir()
    time.sleep(0.2)  # over a look of the watchdog
    return {}


def rights(job: ChildJob) -> dict[str, Any]:
    """As whom it runs, and whether it gets anything back."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    try:
        os.setuid(0)
        again = os.getuid() == 0 and int(status["CapPrm"], 16) != 0
    except OSError:
        again = False
    return {
        "user": os.getuid(),
        "group": os.getgid(),
        "groups": os.getgroups(),
        "capabilities": int(status["CapPrm"], 16)
        | int(status["CapEff"], 16)
        | int(status["CapBnd"], 16) * (not os.getuid()),
        "root_again": again,
    }
