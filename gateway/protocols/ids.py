"""Request ids: the client's own when it is fit to be logged, else one of ours."""

from __future__ import annotations

import os
import re

_FIT = re.compile(r"[!-~]{1,128}")


def request_id_of(given: str | bytes | None) -> str:
    """`given` if it is 1 to 128 printable ASCII characters without blanks; else 16 fresh hex digits."""
    text = given.decode("latin-1") if isinstance(given, bytes) else given
    return text if text and _FIT.fullmatch(text) else os.urandom(8).hex()
