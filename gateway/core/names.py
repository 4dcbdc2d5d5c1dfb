"""Names of models, and the nearest name to one that is not there.

Rule 1: no path is ever built from a name that `check_model_name` has not passed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from gateway.errors import InvalidRequest

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def is_model_name(name: str) -> bool:
    return MODEL_NAME.fullmatch(name) is not None


def check_model_name(name: str) -> str:
    """`name` itself, or InvalidRequest. 1 to 128 letters, digits, `.`, `_`, `-`; no leading dot."""
    if not is_model_name(name):
        raise InvalidRequest(
            f"{name[:140]!r} is not a model name; "
            "expected 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit."
        )
    return name


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name a person most likely meant, or None when nothing is close."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean X?' with a leading blank, or ''."""
    best = nearest(name, known)
    return f" Did you mean {best!r}?" if best else ""
