"""What an answer about a file may be: right, or for a damaged one honestly less. Never another name."""

from __future__ import annotations

from pathlib import Path

from gateway.recognise import PLAUSIBLE, Answer, recognise

# What a cut file may still be called: the container that its first bytes prove.
CONTAINERS = {"zip", "tar", "gzip", "bzip2", "xz", "pickle", "hdf5", "npz", "java-serialised"}
CUTS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
BY_NAME = {  # samples of written_rows.py that their name is needed for, or whose name is what they are
    "Darknet weights alone", "TensorFlow Hub, version 1", "MediaPipe task", "Diffusers", "Sentence Transformers",
    "kmodel by its magic (m.kmodel)", "QNN",
}  # fmt: skip
SUFFIXES = (".onnx", ".pb", ".bin", ".json", ".txt", ".pt", ".h5", "")


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def look(folder: Path) -> Answer:
    return recognise(folder, files_of(folder), strict=True)


def wrong(answer: Answer, kind: str, inside: str = "", version: str = "") -> str:
    """Why the answer about a whole sample is not right; "" when it is."""
    best = answer.best
    if best is None:
        return "not recognised"
    if best.kind != kind:
        return f"called {best.kind} ({best.evidence})"
    if len({finding.kind for finding in answer.tied}) > 1:
        return f"named beside {[finding.kind for finding in answer.tied]}"
    if best.confidence < PLAUSIBLE or not best.whole:
        return f"whole, and said to be {best.confidence}, {best.evidence}"
    if inside and (best.inside is None or best.inside.kind != inside):
        return f"holds {best.inside and best.inside.kind}"
    return "" if version in best.version else f"version {best.version!r}"


def wrong_cut(answer: Answer, kind: str) -> str:
    """Why the answer about a sample cut short is a lie; "" when it is right or honestly less."""
    best = answer.best
    if best is None or best.confidence < PLAUSIBLE or kind in {finding.kind for finding in answer.tied}:
        return ""  # two that begin the same are both named
    if best.kind in CONTAINERS:
        held = best.inside  # of a container that says itself to be cut, what was seen in it is no name of the whole
        fair = held is None or not best.whole or held.kind in (kind, *CONTAINERS)
        return "" if fair else f"{best.kind} holding {held.kind}"
    return f"called {best.kind} ({best.confidence}: {best.evidence})"
