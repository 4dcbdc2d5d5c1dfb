"""From bytes or a folder to an Answer: every recogniser is asked, what belongs together is joined, the best come first.

Rule 1: content decides. A suffix only breaks an exact tie of confidence, and a tie that it does not
        break is told: both are named.
Rule 2: never raises, never executes, never writes; at most MAX_FILES files are looked at, each within its
        budget; archives are looked into MAX_DEPTH deep.
Rule 3: a fault of ours in one recogniser costs its finding, not the answer. `strict` lets it out, for tests
        and fuzzers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.recognise import archives, binaries, containers, folders, jsons, pickles, protobufs, texts
from gateway.recognise.answer import PLAUSIBLE, Answer, Finding
from gateway.recognise.blob import Blob, BytesBlob, FileBlob
from gateway.recognise.registry import KINDS

MAX_FILES = 256
MAX_DEPTH = 2
_GENERIC = {"pickle", "hdf5", "npz", "zip", "tar", "gzip", "bzip2", "xz", "joblib-z", "java-serialised"}

Recogniser = Callable[[Blob], Iterator[Finding]]


def recognise(root: Path, files: Sequence[str], *, strict: bool = False) -> Answer:
    """What the files below `root` are; `files` are relative, '/'-separated."""
    chosen = _choose(files)
    return _answer([FileBlob(name, root / name) for name in chosen], tuple(files), strict, 0)


def recognise_bytes(data: bytes, name: str = "", *, strict: bool = False) -> Answer:
    """What a file of these bytes would be; `name` may break a tie."""
    blob = BytesBlob(name or "file", data)
    return _answer([blob], (blob.name,), strict, 0)


def _choose(files: Sequence[str]) -> list[str]:
    """The files to look at: the outermost first."""
    return sorted(files, key=lambda name: (name.count("/"), name))[:MAX_FILES]


def _answer(blobs: list[Blob], names: tuple[str, ...], strict: bool, depth: int) -> Answer:
    found = [finding for blob in blobs for finding in one(blob, strict, depth)]
    try:
        found = folders.combine(found, names)
    except Exception:
        if strict:
            raise
    claimed = {name for f in found for name in f.used if name != f.main}
    found = [f for f in found if f.main not in claimed]
    return Answer(tuple(sorted(found, key=_order)), len(blobs), max(len(names) - len(blobs), 0))


def _order(finding: Finding) -> tuple[bool, bool, float, int, str, bool, str]:
    fits = finding.main.lower().endswith(finding.row.suffixes or ("\0",))
    return (
        finding.confidence < PLAUSIBLE,
        not finding.row.model and finding.inside is None,
        -finding.confidence,
        -len(finding.used),
        finding.main,
        not fits,
        finding.kind,
    )


def one(blob: Blob, strict: bool = False, depth: int = 0) -> list[Finding]:
    """What one file is: one finding, or all that are equally plausible, or none."""
    found: list[Finding] = []
    for recogniser in _RECOGNISERS:
        if recogniser in texts.TEXTS and not texts.is_text(blob):
            continue
        try:
            found += recogniser(blob)
        except Exception:
            if strict:
                raise
    if depth < MAX_DEPTH and not any(f.confidence >= PLAUSIBLE and f.kind not in _GENERIC for f in found):
        try:
            found += _packed(blob, strict, depth)
        except Exception:
            if strict:
                raise
    return _best([replace(f, main=blob.name, used=f.used or (blob.name,)) for f in found])


def _best(found: list[Finding]) -> list[Finding]:
    """Of one file: the surest; of equally sure ones those that its suffix fits, else all."""
    if not found:
        return []
    special = [f for f in found if f.kind not in _GENERIC and f.confidence >= PLAUSIBLE]
    found = special or found
    most = max(f.confidence for f in found)
    tied = list({f.kind: f for f in reversed(found) if f.confidence == most}.values())
    fitting = [f for f in tied if f.main.lower().endswith(f.row.suffixes or ("\0",))]
    return fitting if len(fitting) == 1 else sorted(tied, key=lambda f: f.kind)


def _packed(blob: Blob, strict: bool, depth: int) -> Iterator[Finding]:
    """An archive or a packed file of any kind, with what it holds."""
    packed = archives.of_packed(blob)
    if packed is not None:
        kind, inner = packed
        listing = archives.of_tar(inner)
        if listing is not None:
            yield _archive(inner, listing, strict, depth, f"{kind}, and in it a tar", kind)
            return
        inside = _answer([inner], (inner.name,), strict, depth + 1).best if inner.size else None
        said = f"starts as {kind}" + ("" if inner.size else "; nothing could be unpacked")
        finding = Finding(kind, "", 0.9, said, inside=inside)
        yield finding if inner.size else finding.cut("it is damaged or cut short")
        return
    for listing in (archives.of_zip(blob), archives.of_tar(blob)):
        if listing is not None:
            yield _archive(blob, listing, strict, depth, f"a {listing.kind}", "")


def _archive(blob: Blob, listing: archives.Listing, strict: bool, depth: int, what: str, version: str) -> Finding:
    files = [
        m.name for m in listing.members if not m.name.endswith("/") and m.size and m.offset >= 0 and not m.encrypted
    ]
    members = [archives.member(blob, listing, name) for name in _choose(files)[:64]]
    inside = _answer([m for m in members if m is not None], tuple(files), strict, depth + 1).best
    sealed = sum(m.encrypted for m in listing.members)
    said = f"{what} of {max(len(listing.members), listing.total)} members" + (
        f", {sealed} of them encrypted" if sealed else ""
    )
    if inside is not None:
        said += f"; {inside.main or 'it'}: {inside.evidence}"
    more = KINDS["xz"].next if version in ("bzip2", "xz") else ""
    finding = Finding(listing.kind, version, 0.9, said, next=more, inside=inside)
    return finding if listing.whole else finding.cut("it has no end: it is cut short")


_RECOGNISERS: tuple[Recogniser, ...] = (
    *binaries.BINARIES,
    containers.hdf,
    containers.zipped,
    containers.tarred,
    pickles.pickle,
    jsons.json,
    *texts.TEXTS,
    protobufs.protobuf,
)
