"""The process by which a level is tried: it holds itself, works a little, and tries to get out."""

from __future__ import annotations

import json
import os
import socket
import sys
import sysconfig
from pathlib import Path

from gateway.process.sandbox import Hold, enter


def main(arguments: list[str]) -> None:
    """`arguments`: file of the Hold, a file outside that must not be readable. Prints "held", or a sentence."""
    file, secret = map(Path, arguments)
    hold = Hold.from_json(json.loads(file.read_text()))
    try:
        enter(hold)
    except (OSError, ValueError) as error:
        _end(f"the kernel refuses it: {error}")
    try:
        note = Path(hold.folder) / "note"
        note.write_text("x")
        note.unlink()
        os.listdir(sysconfig.get_path("purelib"))  # noqa: PTH208
    except OSError as error:
        _end(f"a held process cannot work: {error}")
    if hold.level >= 2:
        _try_to_get_out(secret)
    if hold.level >= 3 and os.getpid() > 100:
        _end("a held process sees the numbers of other processes")
    _end("held", 0)


def _try_to_get_out(secret: Path) -> None:
    try:
        secret.read_text()
    except OSError:
        pass
    else:
        _end("a held process could read a file outside: the kernel accepts the rules and does not keep them")
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    except OSError:
        return
    _end("a held process could make a socket: the kernel accepts the filter and does not keep it")


def _end(sentence: str, code: int = 1) -> None:
    print(sentence, flush=True)  # noqa: T201  stdout is the answer
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
