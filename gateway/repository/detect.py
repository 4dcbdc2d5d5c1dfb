"""Which format a drop is of: every Format is asked, and beside them the recogniser of everything else.

Rule 1: content decides. A suffix only breaks an exact tie of confidence.
Rule 2: nothing is guessed: no format, two formats, or two models in one folder are errors that
        say what was looked for and what was seen.
Rule 3: what is recognised and cannot be converted fails by its name, with the way out. It is no second
        model beside one that can be: only what can be served is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway import config
from gateway.errors import AmbiguousFormat, DropChanged, UnknownFormat, UnsupportedFormat
from gateway.formats.base import Format, Match, Source, all_formats, claims
from gateway.recognise import PLAUSIBLE, Answer, Finding, recognise
from gateway.repository.seen import look_at
from gateway.repository.walk import printable

SHOWN_FILES = 8


def detect(source: Source, formats: Mapping[str, Format] | None = None) -> Match:
    """The one format that recognises the files.

    Errors: UnsupportedFormat (known by name, not converted), UnknownFormat, AmbiguousFormat, DropChanged.
    """
    asked = all_formats() if formats is None else formats
    matches = _ask(source, asked)
    answer = recognise(source.root, source.files)
    if not matches:
        raise _unsupported(answer, asked) or _unknown(source, answer, asked)
    best = _best(matches, asked)
    _rivals(best, answer, asked)
    _one_model(source, best, asked)
    return best


def detect_path(path: Path, watch: config.Watch | None = None) -> Source:
    """A file or a folder, as the command line names it, as a Source. Errors: DropError."""
    return look_at(path, watch).source


def extra(source: Source, match: Match) -> tuple[str, ...]:
    """Files of the drop that the match does not claim."""
    return tuple(name for name in source.files if name != match.main and name not in match.used)


def takers(kind: str, formats: Mapping[str, Format] | None = None) -> tuple[Format, ...]:
    """The Formats that convert a kind of the registry."""
    return tuple(fmt for fmt in (all_formats() if formats is None else formats).values() if kind in claims(fmt))


def _ask(source: Source, formats: Mapping[str, Format]) -> list[Match]:
    """All matches, the surest first."""
    try:
        found = [match for fmt in formats.values() if (match := fmt.match(source)) is not None]
    except FileNotFoundError as error:
        raise DropChanged(f"{error.filename} disappeared while it was looked at.") from None
    return sorted(found, key=lambda match: (-match.confidence, match.format))


def _claims(match: Match | Finding) -> set[str]:
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
    raise _tie([f"{formats[m.format].title} ({printable(m.main)}: {m.evidence})" for m in tied])


def _tie(named: list[str]) -> AmbiguousFormat:
    return AmbiguousFormat(
        f"{len(named)} formats recognise the same files: {'; '.join(named)}.",
        hint="Give the file the suffix of the format that is meant.",
    )


def _rivals(best: Match, answer: Answer, formats: Mapping[str, Format]) -> None:
    """A kind that nobody converts and that explains the very file of the best match better, or as well."""
    for rival in answer.findings:
        if takers(rival.kind, formats) or best.main not in _claims(rival):
            continue
        if rival.confidence > best.confidence:
            raise unsupported((rival,))
        if rival.confidence == best.confidence:
            names = best.main.lower()
            ours, theirs = (
                names.endswith(tuple(formats[best.format].suffixes)),
                names.endswith(rival.row.suffixes or "\0"),
            )
            if ours == theirs:
                raise _tie([f"{formats[best.format].title} ({printable(best.main)}: {best.evidence})", _named(rival)])
            if theirs:
                raise unsupported((rival,))


def _unsupported(answer: Answer, formats: Mapping[str, Format]) -> UnsupportedFormat | None:
    """What is known by name and nobody converts; None when that is not the reason."""
    plausible = [f for f in answer.tied if f.confidence >= PLAUSIBLE and not takers(f.kind, formats)]
    return unsupported(tuple(plausible)) if plausible else None


def unsupported(found: tuple[Finding, ...]) -> UnsupportedFormat:
    """The error that names one kind, or several equally plausible ones, and the way out of the first."""
    first = found[0]
    said = " or ".join(_named(finding) for finding in found)
    whole = "" if first.whole else " It seems to be cut short: copy it again if it should be whole."
    verb = "which is not converted here" if len(found) == 1 else "and neither is converted here"
    return UnsupportedFormat(
        f"{printable(first.main)} is {said}, {verb}.{whole}",
        hint=" Or: ".join(dict.fromkeys(finding.what_next for finding in found)),
    )


def _named(finding: Finding) -> str:
    version = f" {finding.version}" if finding.version else ""
    return f"{finding.title}{version} (confidence {finding.confidence:.2f}: {finding.evidence})"


def _unknown(source: Source, answer: Answer, formats: Mapping[str, Format]) -> UnknownFormat:
    seen = answer.best
    like = f" It looks most like {_named(seen)}, and its reader does not take it." if seen is not None else ""
    return UnknownFormat(
        f"no format recognises the files: {_describe(source)}.{like} Looked for: {_known(formats)}.",
        hint="`gateway formats` lists what can be read; a model whose copy is not complete looks like this too.",
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
