"""Names of members: which may become files, and which of them would become the same file.

Rule 1: a name is taken as it is or refused; only a leading "./", which tar writes, is left out.
Rule 2: two names that some file system takes for one (case, composed and decomposed letters) are
        refused on all of them: what an archive holds must not depend on the machine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

MAX_NAME = 1024  # bytes of a whole name
MAX_PART = 255  # bytes between two slashes: what Linux, macOS and Windows take
SHOWN = 80

_DRIVE = re.compile(r"[A-Za-z]:")


def shown(name: str | bytes) -> str:
    """A name as it can stand in a sentence, whatever it is made of, and however long."""
    text = ascii(name)[1:] if isinstance(name, bytes) else (repr(name) if name.isprintable() else ascii(name))
    return text if len(text) <= SHOWN + 2 else f"{text[:SHOWN]}...'"


def decode(raw: bytes) -> str:
    """A stored name as text. Errors: ValueError says what is wrong with it."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown(raw)} is no UTF-8 text at byte {error.start}") from None


def clean(name: str) -> str:
    """`name` without a leading "./"; "." itself is "", the archive's own root."""
    while name.startswith("./"):
        name = name[2:].lstrip("/") if name[2:3] == "/" else name[2:]
    return "" if name == "." else name


def problem(name: str, depth: int) -> str:
    """Why a member of this name must not become a file; "" when it may. A folder's trailing slash is off already."""
    parts = name.split("/")
    if not name:
        return "a member has no name"
    if "\0" in name:
        return f"{shown(name)} holds a NUL"
    if not name.isprintable():
        return f"{shown(name)} holds a control character or half of a pair"
    if name.startswith("/"):
        return f"{shown(name)} is an absolute path"
    if "\\" in name:
        return f"{shown(name)} holds a backslash, which is a folder's end on another system"
    if _DRIVE.match(name):
        return f"{shown(name)} starts with a drive letter"
    if ".." in parts:
        return f"{shown(name)} leaves the folder through '..'"
    if "." in parts or "" in parts:
        return f"{shown(name)} has an empty part or a '.' in its path"
    if len(name.encode()) > MAX_NAME or any(len(part.encode()) > MAX_PART for part in parts):
        return f"{shown(name)} is longer than {MAX_NAME} bytes, or has a part longer than {MAX_PART}"
    if len(parts) > depth:
        return f"{shown(name)} is more than {depth} folders deep"
    return ""


def _key(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def collisions(files: Iterable[str], folders: Iterable[str]) -> Iterator[str]:
    """What is wrong with the names together, one sentence for each name that is not the first of its kind."""
    as_file: dict[str, str] = {}
    for name in files:
        before = as_file.setdefault(_key(name), name)
        if before is name:
            continue
        yield (
            f"{shown(name)} is there twice"
            if before == name
            else f"{shown(before)} and {shown(name)} are one file where case or composed letters do not count"
        )
    above: dict[str, str] = {}
    for name in (*as_file.values(), *(folder + "/" for folder in folders)):
        end = name.find("/")
        while end > 0:
            above.setdefault(_key(name[:end]), name[:end])
            end = name.find("/", end + 1)
    for key, name in above.items():
        if key in as_file:
            yield f"{shown(as_file[key])} is a file and {shown(name)} a folder of the same name"
    spelt: dict[str, str] = {}
    for name in _folders((*as_file.values(), *(folder + "/" for folder in folders))):
        before = spelt.setdefault(_key(name), name)
        if before != name:
            yield f"{shown(before)} and {shown(name)} are one folder where case or composed letters do not count"


def _folders(names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        end = name.find("/")
        while end > 0:
            if (folder := name[:end]) not in seen:
                seen.add(folder)
                yield folder
            end = name.find("/", end + 1)
