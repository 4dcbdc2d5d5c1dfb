"""The log of a child process: bounded on disk, safe to show.

Rule 1: at most KEEP bytes are kept, the head and the tail; what lies between is counted.
Rule 2: what a child printed is untrusted: it is read and cut only as a plain file, and control
        characters are shown as escapes, so that no log can write to a person's terminal.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from gateway.process.plain import open_plain

KEEP = 1 << 20
_TRIM_AT = 4 * KEEP
_GAP = "\n... {} bytes left out ...\n"
_GAP_ROOM = 64
_GAP_SEEN = re.compile(rb"\n\.\.\. (\d{1,20}) bytes left out \.\.\.\n")
# C0 but for tab and newline, DEL, C1, surrogates, and the marks that turn the direction of text or hide in it.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    """`text` with control characters as \\xNN or \\uNNNN; tab and newline stay, a lone CR is a new line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape", "surrogatepass").decode(), text)


def trim(path: Path, *, over: int = _TRIM_AT) -> None:
    """Cut a log of more than `over` bytes to head and tail; what its writer appends meanwhile may be lost."""
    try:
        # The child may have put something else in its place: a link to a file that is not its own.
        with open_plain(path, write=True) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size <= over:
                return
            half = KEEP // 2
            cut = half - _GAP_ROOM
            head = stream.read(half)
            earlier = _GAP_SEEN.match(head, cut)
            stream.seek(size - half)
            tail = stream.read(half + KEEP)  # more than half: what came while we read
            size = stream.tell()
            tail = tail[-half:]
            left_out = size - half - (earlier.end() if earlier else cut) + (int(earlier.group(1)) if earlier else 0)
            stream.seek(0)
            stream.write(head[:cut] + _GAP.format(left_out).encode() + tail)
            stream.truncate()
    except OSError:
        return


def read(path: Path) -> str:
    """The log as text to show; "" where there is none. At most KEEP bytes of it."""
    trim(path, over=KEEP)
    try:
        with open_plain(path) as stream:
            return printable(stream.read(KEEP + 4096).decode(errors="replace"))
    except OSError:
        return ""


def last_line(text: str) -> str:
    """The last line that says something: before the dump that Python writes when it is killed by a signal."""
    before, _, after = text.partition("Fatal Python error: ")
    for part in (before, after):
        lines = [line.strip() for line in part.splitlines() if line.strip()]
        if lines:
            return (lines[-1] if part is before else lines[0])[:500]
    return ""
