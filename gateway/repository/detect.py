"""Which format a drop is of: every Format is asked, and the answer carries its evidence.

Rule 1: content decides. A suffix only breaks an exact tie of confidence.
Rule 2: nothing is guessed: no format, two formats, or two models in one folder are errors that
        say what was looked for and what was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway import config
from gateway.errors import AmbiguousFormat, DropChanged, UnknownFormat
from gateway.formats.base import Format, Match, Source, all_formats
from gateway.repository.seen import look_at
from gateway.repository.walk import printable

PLAUSIBLE = 0.5  # Match: under it, a guess from a suffix
SHOWN_FILES = 8


def detect(source: Source, formats: Mapping[str, Format] | None = None) -> Match:
    """The one format that recognises the files. Errors: UnknownFormat, AmbiguousFormat, DropChanged."""
    asked = all_formats() if formats is None else formats
    matches = _ask(source, asked)
    if not matches:
        raise UnknownFormat(
            f"no format recognises the files: {_describe(source)}. Looked for: {_known(asked)}.",
            hint="`gateway formats` lists what can be read; a model whose copy is not complete looks like this too.",
        )
    best = _best(matches, asked)
    _one_model(source, best, asked)
    return best


def detect_path(path: Path, watch: config.Watch | None = None) -> Source:
    """A file or a folder, as the command line names it, as a Source. Errors: DropError."""
    return look_at(path, watch).source


def extra(source: Source, match: Match) -> tuple[str, ...]:
    """Files of the drop that the match does not claim."""
    return tuple(name for name in source.files if name != match.main and name not in match.used)


def _ask(source: Source, formats: Mapping[str, Format]) -> list[Match]:
    """All matches, the surest first."""
    try:
        found = [match for fmt in formats.values() if (match := fmt.match(source)) is not None]
    except FileNotFoundError as error:
        raise DropChanged(f"{error.filename} disappeared while it was looked at.") from None
    return sorted(found, key=lambda match: (-match.confidence, match.format))


def _claims(match: Match) -> set[str]:
    return {match.main, *match.used}


def _best(matches: list[Match], formats: Mapping[str, Format]) -> Match:
    """The surest; among equally sure ones of the same files, who explains more of them, then whose suffix fits."""
    tied = [m for m in matches if m.confidence == matches[0].confidence and _claims(m) & _claims(matches[0])]
    tied = [m for m in tied if not any(_claims(m) < _claims(other) for other in tied)]
    if len(tied) == 1:
        return tied[0]
    fitting = [m for m in tied if m.main.lower().endswith(tuple(formats[m.format].suffixes))]
    if len(fitting) == 1:
        return fitting[0]
    raise AmbiguousFormat(
        f"{len(tied)} formats recognise the same files: "
        + "; ".join(f"{formats[m.format].title} ({printable(m.main)}: {m.evidence})" for m in tied)
        + ".",
        hint="Give the file the suffix of the format that is meant.",
    )


def _one_model(source: Source, best: Match, formats: Mapping[str, Format]) -> None:
    """What the best match leaves over must not be a model too."""
    rest = Source(source.root, extra(source, best))
    if not rest.files:
        return
    others = [match for match in _ask(rest, formats) if match.confidence >= PLAUSIBLE]
    if not others or best.confidence < PLAUSIBLE:
        return
    names = [f"{printable(m.main)} ({formats[m.format].title}: {m.evidence})" for m in (best, others[0])]
    raise AmbiguousFormat(
        f"two models lie in one folder: {' and '.join(names)}.",
        hint="Give each a folder of its own: REPO/A/ and REPO/B/ for two models, REPO/NAME/1/ and REPO/NAME/2/ for "
        "two versions of one.",
    )


def _known(formats: Mapping[str, Format]) -> str:
    return "; ".join(f"{fmt.title} ({', '.join(fmt.suffixes) or 'no suffix'})" for fmt in formats.values()) or "nothing"


def _describe(source: Source) -> str:
    if not source.files:
        return "there are none"
    shown = [_describe_file(source, name) for name in source.files[:SHOWN_FILES]]
    left = len(source.files) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left > 0 else "")


def _describe_file(source: Source, name: str) -> str:
    try:
        size = source.path(name).stat().st_size
        head = source.head(name, 16)
    except OSError as error:
        return f"{printable(name)} (cannot be read: {error.strerror})"
    if size == 0:
        return f"{printable(name)} (0 bytes: the file is empty)"
    return f"{printable(name)} ({size} bytes, starts with {_first_bytes(head)})"


def _first_bytes(head: bytes) -> str:
    if not any(head):
        return f"{len(head)} zero bytes"
    text = head.decode("ascii", "replace")
    if all(c.isprintable() or c in "\r\n\t" for c in text) and "\ufffd" not in text:
        return f"the text {text!r}"
    return f"the bytes {head.hex(' ')}"
