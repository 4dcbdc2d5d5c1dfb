"""What the recogniser answers. A Finding names one kind of the registry; an Answer holds all plausible ones.

Confidence: 1.0 a magic number or a structure that was followed; 0.9 a magic number alone, or a structure
with one piece missing; 0.7 cut short, or half of the structure; under 0.5 a guess from the name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gateway.recognise.registry import KINDS, Kind

PLAUSIBLE = 0.5
UNPACKED = ("zip", "tar")  # archives that a drop is unpacked from, when they are no format of their own
SHORT = 0.7  # the most that a file which is not whole can reach


@dataclass(frozen=True)
class Finding:
    """`main` is the file that says so, `used` all files it claims. `whole` is False when the file is cut short.

    `next` overrides the registry's sentence. `inside` is what an archive holds.
    """

    kind: str
    version: str
    confidence: float
    evidence: str
    main: str = ""
    used: tuple[str, ...] = ()
    whole: bool = True
    next: str = ""
    inside: Finding | None = None

    def __post_init__(self) -> None:
        """Names and texts of the file go into what is said of it, and that into logs and terminals."""
        for name in ("version", "evidence", "next"):
            object.__setattr__(self, name, _printable(getattr(self, name)))

    @property
    def row(self) -> Kind:
        return KINDS[self.kind]

    @property
    def title(self) -> str:
        """For people: "zip archive holding TensorFlow SavedModel"."""
        return f"{self.row.title} holding {self.inside.title}" if self.inside else self.row.title

    @property
    def what_next(self) -> str:
        if self.inside and self.kind in UNPACKED and not self.next:
            nested = self.inside.inside is not None or self.inside.kind in UNPACKED
            return KINDS["xz"].next if nested else self.inside.what_next
        return self.next or self.row.next

    def cut(self, why: str) -> Finding:
        """The same, of a file that is not whole: says so, and is never sure."""
        return replace(self, confidence=min(self.confidence, SHORT), evidence=f"{self.evidence}; {why}", whole=False)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": self.kind,
            "title": self.title,
            "version": self.version,
            "confidence": self.confidence,
            "evidence": self.evidence,
            "main": self.main,
            "used": list(self.used),
            "whole": self.whole,
            "safety": self.row.safety,
            "next": self.what_next,
            "inside": self.inside.to_json() if self.inside else None,
        }


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@dataclass(frozen=True)
class Answer:
    """`findings` best first: of one place all that are equally plausible, then what else lies there.

    `looked_at` counts files; `left_out` are those beyond the limit, which nobody looked at.
    """

    findings: tuple[Finding, ...]
    looked_at: int = 0
    left_out: int = 0

    @property
    def best(self) -> Finding | None:
        return self.findings[0] if self.findings else None

    @property
    def tied(self) -> tuple[Finding, ...]:
        """The best, and what is as plausible for the same files."""
        best = self.best
        if best is None:
            return ()
        mine = set(best.used) | {best.main}
        return tuple(f for f in self.findings if f.confidence == best.confidence and mine & (set(f.used) | {f.main}))
