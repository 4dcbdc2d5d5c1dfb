"""Artifact: the result of a conversion, as data. Its files live in the store; this is `gateway.json`.

Rule 1: everything that a reader needs to trust or doubt a number is in here: where each fact
        came from, which converter made it, which oracle judged it, and what it found.
Rule 2: `schema` is checked on reading; a newer one is refused, not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gateway.core.compare import Comparison
from gateway.core.signature import Signature
from gateway.errors import InvalidTensor, StoreError

SCHEMA = 1
FILE = "gateway.json"
ONNX, NATIVE = "onnx", "native"  # kinds of artifacts that are served
AUTO = "auto"  # a target, no kind: the quicker of those that are proven (convert/auto.py)
SAVEDMODEL, FROZEN = "savedmodel", "frozen"  # TensorFlow's: a SavedModel in the artifact's folder; a GraphDef
SOURCE_FOLDER = "source"  # of a native artifact: the model's own files, as they were dropped
MAX_WARMUP_BYTES = 16 << 20  # larger inputs are not kept for a warm-up
WARMUP_FILE = "warmup.tensors"  # inputs that verification has seen work (process/wire.py); may be absent


class Verdict(Enum):
    PASSED = "passed"
    FAILED = "failed"
    UNVERIFIED = "unverified"  # no oracle could judge
    NATIVE = "native"  # nothing was converted: the framework itself runs it


@dataclass(frozen=True)
class Fact:
    """One thing the converter decided: what, its value, and where it came from."""

    what: str
    value: str
    source: str

    def to_json(self) -> dict[str, str]:
        return {"what": self.what, "value": self.value, "source": self.source}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fact:
        return cls(data["what"], data["value"], data["source"])


@dataclass(frozen=True)
class Provenance:
    """How the artifact came to be. `seconds`, `memory_mib` (the most of one process) are keyed by stage, `versions` by
    package."""

    format: str
    format_version: str
    evidence: str
    source_digest: str
    converter: str
    environment: str
    sandbox: str
    facts: tuple[Fact, ...] = ()
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory_mib: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "format_version": self.format_version,
            "evidence": self.evidence,
            "source_digest": self.source_digest,
            "converter": self.converter,
            "environment": self.environment,
            "sandbox": self.sandbox,
            "facts": [fact.to_json() for fact in self.facts],
            "warnings": list(self.warnings),
            "versions": dict(self.versions),
            "seconds": dict(self.seconds),
            "memory_mib": dict(self.memory_mib),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Provenance:
        return cls(
            format=data["format"],
            format_version=data["format_version"],
            evidence=data["evidence"],
            source_digest=data["source_digest"],
            converter=data["converter"],
            environment=data["environment"],
            sandbox=data["sandbox"],
            facts=tuple(Fact.from_json(fact) for fact in data.get("facts", ())),
            warnings=tuple(data.get("warnings", ())),
            versions=dict(data.get("versions", {})),
            seconds=dict(data.get("seconds", {})),
            memory_mib=dict(data.get("memory_mib", {})),
        )


@dataclass(frozen=True)
class Verification:
    """The report: who judged, on which inputs, and what was found.

    `oracle` names the judge ("onnx ReferenceEvaluator 1.23.2", "vectors of the owner", "").
    `reason` is one sentence; for `unverified` it says why nobody could judge.
    `diverges_at` names the first node whose output differs while its inputs agree.
    """

    verdict: Verdict
    oracle: str = ""
    reason: str = ""
    comparisons: tuple[Comparison, ...] = ()
    diverges_at: str = ""
    batch: str = ""  # what was seen of the first dimension

    @property
    def worst(self) -> Comparison | None:
        """The comparison furthest past its limit, or nearest to it."""
        return max(self.comparisons, key=lambda c: c.severity, default=None)

    def to_json(self) -> dict[str, Any]:
        worst = self.worst
        return {
            "verdict": self.verdict.value,
            "oracle": self.oracle,
            "reason": self.reason,
            "diverges_at": self.diverges_at,
            "batch": self.batch,
            "worst": worst.to_json() if worst else None,
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verification:
        return cls(
            verdict=Verdict(data["verdict"]),
            oracle=data.get("oracle", ""),
            reason=data.get("reason", ""),
            comparisons=tuple(Comparison.from_json(c) for c in data.get("comparisons", ())),
            diverges_at=data.get("diverges_at", ""),
            batch=data.get("batch", ""),
        )


@dataclass(frozen=True)
class Artifact:
    """What is served. `kind` is "onnx", "savedmodel", "frozen" or "native".

    `files` maps relative path to size in bytes.
    `digest` is the store's key of it: of source, options, target and converter version.
    """

    digest: str
    kind: str
    signatures: tuple[Signature, ...]
    provenance: Provenance
    verification: Verification
    files: Mapping[str, int] = field(default_factory=dict)

    def signature(self, name: str) -> Signature | None:
        return next((s for s in self.signatures if s.name == name), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "digest": self.digest,
            "kind": self.kind,
            "signatures": [signature.to_json() for signature in self.signatures],
            "provenance": self.provenance.to_json(),
            "verification": self.verification.to_json(),
            "files": dict(self.files),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Artifact:
        """Errors: StoreError for another schema or missing keys."""
        if not isinstance(data, Mapping):
            raise StoreError(
                f"{FILE} is damaged: it holds {type(data).__name__}, not a table; convert the model again."
            )
        if data.get("schema") != SCHEMA:
            raise StoreError(f"{FILE} has schema {data.get('schema')!r}, expected {SCHEMA}; convert the model again.")
        try:
            return cls(
                digest=data["digest"],
                kind=data["kind"],
                signatures=tuple(Signature.from_json(s) for s in data["signatures"]),
                provenance=Provenance.from_json(data["provenance"]),
                verification=Verification.from_json(data["verification"]),
                files=dict(data.get("files", {})),
            )
        except (KeyError, TypeError, ValueError, AttributeError, InvalidTensor) as error:
            raise StoreError(f"{FILE} is damaged: {error!r}; convert the model again.") from error
