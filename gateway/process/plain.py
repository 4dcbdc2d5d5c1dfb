"""Opening a file that an untrusted child may have made: a plain one, or none at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

NOT_PLAIN = (errno.ELOOP, errno.ENXIO)


def open_plain(path: Path) -> IO[bytes]:
    """`path` for reading, unbuffered. Links, pipes, folders, devices and files of two names raise OSError with ELOOP.

    Never hangs: opening a pipe with nobody at the other end would.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        raise OSError(errno.ELOOP, "it is not a plain file", str(path))
    return os.fdopen(descriptor, "rb", buffering=0)
