"""What is to be proven, and what the Jobs brought back: the nouns of verify.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.core.artifact import NATIVE, ONNX, Artifact
from gateway.core.layout import of_source
from gateway.core.signature import Signature, united


@dataclass(frozen=True)
class Case:
    """One call and the judge's answer, as files: only one case is in memory at a time."""

    name: str
    kind: str
    row: int | None
    inputs: Path
    expected: Path
    judge: str = ""  # "" is the oracle


@dataclass
class Answers:
    """What the Jobs brought back."""

    oracle: str = ""
    reason: str = ""  # why the second judge sat
    unjudged: str = ""  # why nobody did
    sizing: str = ""
    cases: list[Case] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    hints: dict[str, Any] = field(default_factory=dict)
    environment: str = ""  # where the judge is that answered


@dataclass(frozen=True)
class Timing:
    """How long the artifact takes for one call: `ms` is the lower quartile of `calls`, in its own process."""

    ms: float
    calls: int
    inputs: Path
    outputs: Path


@dataclass(frozen=True)
class Question:
    """What is to be proven. `subject` is formats.tasks.Subject as JSON; `folder` holds the artifact."""

    subject: Mapping[str, Any]
    source: tuple[str, ...]  # files of the subject that a Job reads
    environment: str  # of the oracle
    artifact: Artifact
    folder: Path
    quantised: bool
    nan_weights: tuple[str, ...] = ()
    seed: int = 0
    budget_s: float = 120.0
    because: str = ""  # why no better judge sits
    further: tuple[str, ...] = ()  # Environments of the judges behind it
    runs_in: str = "base"  # Environment of the artifact's runtime
    onnx: Path | None = None  # the ONNX file that the artifact was made from, where it is not the artifact
    repro: Path | None = None  # where the wrong node alone is written when it fails
    timed_s: float = 0.0  # longest for timing a call of the artifact; 0: it is not timed
    timed_on: Path | None = None  # the inputs to time it on; None: the first of its cases
    judge: bool = True  # False: verification is switched off; the artifact is still run once

    @property
    def signature(self) -> Signature:
        """As the source has it: judges know no other order of axes. All outputs of an ONNX artifact."""
        every = self.artifact.signatures
        return of_source(united(every) if self.artifact.kind == ONNX else every[0])

    @property
    def public(self) -> Signature:
        return self.artifact.signatures[0]

    @property
    def native(self) -> bool:
        return self.artifact.kind == NATIVE
