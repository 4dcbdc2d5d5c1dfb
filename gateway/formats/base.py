"""What a format is: recognises a Drop by content, and reads it in an Environment.

To add one, write one file (or folder) in gateway/formats/ that sets FORMAT to an instance of a
subclass of Format. Nothing else is touched: formats are found by walking this folder.

Rule 1: `match` runs in the gateway process: cheap, bounded reads, standard library only. Tops
        of format files import nothing heavier than numpy; frameworks are imported inside the
        child-side methods.
Rule 2: `inspect`, `convert` and `oracle` run in a child process of the format's Environment,
        never in the gateway.
Rule 3: the oracle shares no code with the converter: it reads the source by its own road.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from gateway.core.artifact import AUTO, FROZEN, NATIVE, ONNX, SAVEDMODEL, Fact
from gateway.core.dtypes import Tensors
from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import Further
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import MissingHop
from gateway.recognise import KINDS, recognise

MANY_FILES = 64  # of a model; then it has a folder to itself, and what else lies there is its owner's


@dataclass(frozen=True)
class Source:
    """A model's files on disk: plain files below `root`, no links. `files` are relative, '/'-separated, sorted.

    Owner's files (model.toml, labels, test/*.npy) are not in `files`.
    """

    root: Path
    files: tuple[str, ...]

    def path(self, name: str) -> Path:
        return self.root / name

    def readable(self) -> tuple[Path, ...]:
        """What a sandbox has to open: the folder where it holds nothing else, else what lies in it of this model."""
        used = {name.partition("/")[0] for name in self.files}
        if len(used) > MANY_FILES or {path.name for path in self.root.iterdir()} <= used:
            return (self.root,)
        return tuple(self.root / name for name in sorted(used))

    def head(self, name: str, count: int = 4096) -> bytes:
        with (self.root / name).open("rb") as stream:
            return stream.read(count)


@dataclass(frozen=True)
class Match:
    """A format recognised the files. `main` is the file that says so; `used` are all files it claims.

    `confidence` is in 0..1: 1.0 a magic number or full structure, under 0.5 a guess from a suffix.
    """

    format: str
    version: str
    confidence: float
    evidence: str
    main: str
    used: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "version": self.version,
            "confidence": self.confidence,
            "evidence": self.evidence,
            "main": self.main,
            "used": list(self.used),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Match:
        return cls(
            data["format"], data["version"], data["confidence"], data["evidence"], data["main"], tuple(data["used"])
        )


@dataclass(frozen=True)
class Inspection:
    """What a model says of itself without being converted. `operators` counts by name."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: Mapping[str, int]
    facts: tuple[Fact, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "operators": dict(self.operators),
            "facts": [fact.to_json() for fact in self.facts],
        }


@dataclass(frozen=True)
class Conversion:
    """What `convert` wrote into its folder. `kind` is "onnx", "savedmodel" or "native".

    `quantised` widens the comparison of float outputs to the quantised row; `operators` that
    made it so are named in a fact. `unused` are weights of the source that nothing reads.
    """

    kind: str
    signatures: tuple[Signature, ...]
    facts: tuple[Fact, ...] = ()
    warnings: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    quantised: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "signatures": [signature.to_json() for signature in self.signatures],
            "facts": [fact.to_json() for fact in self.facts],
            "warnings": list(self.warnings),
            "unused": list(self.unused),
            "quantised": self.quantised,
            "versions": dict(self.versions),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Conversion:
        return cls(
            kind=data["kind"],
            signatures=tuple(Signature.from_json(s) for s in data["signatures"]),
            facts=tuple(Fact.from_json(f) for f in data["facts"]),
            warnings=tuple(data["warnings"]),
            unused=tuple(data["unused"]),
            quantised=data["quantised"],
            versions=dict(data["versions"]),
        )


class Oracle(ABC):
    """Runs the *source* model, by a road of its own, on named inputs (public names, as in the Signature)."""

    name: str
    """Who judges, with version: "onnx ReferenceEvaluator 1.23.2"."""
    reason: str = ""
    """Why not the first judge, where there is a second; else ""."""

    @abstractmethod
    def run(self, inputs: Tensors) -> Tensors:
        """Outputs by public name, in the signature's order. Errors: whatever the model raises for bad shapes."""

    def nodes(self, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
        """(node name, operator, its outputs by tensor name) in topological order; empty when it cannot look inside."""
        return iter(())

    def hints(self, inputs: Tensors) -> Mapping[str, Hint]:
        """What only the loaded model tells of integer inputs, by public name; `inputs` are a call to watch."""
        return {}

    def use_second(self, reason: str) -> bool:
        """Hand over to a faster judge of less independence, noting `reason`. False when there is none."""
        return False


class Format(ABC):
    """A way models are written on disk. One instance a format, in the module's FORMAT."""

    name: ClassVar[str]
    title: ClassVar[str]  # for people: "ONNX"
    suffixes: ClassVar[tuple[str, ...]]  # only to break exact ties and to find single-file drops
    recognises: ClassVar[tuple[str, ...]] = ()  # kinds of gateway/recognise/registry.py taken over, beside `name`
    environment: ClassVar[str] = "base"
    inspects: ClassVar[str] = ""  # Environment of `inspect`, where it needs less than `environment`
    judges: ClassVar[tuple[str, ...]] = ()  # Environments of the oracle, best first; () is `environment`
    targets: ClassVar[tuple[str, ...]] = ("onnx",)
    screens: ClassVar[bool] = False  # True: `screen` is asked before `environment` is so much as built
    native: ClassVar[str] = ""  # Environment whose framework runs the source itself; "native" is then in `targets`
    falls_back: ClassVar[bool] = False  # stays native where ONNX cannot be made, or is not proven
    data_only: ClassVar[bool] = False  # True: reading it runs no code of its author
    reads: ClassVar[tuple[str, ...]] = ()  # of model.toml's `class` and `value`, those that mean something here
    address_space: ClassVar[bool] = True  # False: its framework reserves much; only resident memory is bounded
    revision: ClassVar[int] = 1  # part of the store's key: raise it when the converter's answers change

    @abstractmethod
    def match(self, source: Source) -> Match | None:
        """Gateway side: is it mine? Cheap; never raises for strange bytes, never reads a file whole.

        Of two models of this format in one folder the first is taken; detect finds the other.
        """

    def screen(self, source: Source, match: Match, options: ModelOptions) -> None:
        """Child side, in `base`: what can be refused without the format's own Environment. Errors: ConversionError."""
        return

    @abstractmethod
    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        """Child side: inputs, outputs, operators. Errors: ConversionError."""

    @abstractmethod
    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        """Child side: write the artifact's files into `out`. Errors: ConversionError.

        For "native" it runs in Environment `native` and writes nothing: the source's own files are the artifact.
        """

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        """Child side: a judge that has not read the converter, or None. It answers in `signature`'s names.

        It runs in the first Environment of `judges` that is built, and is the best judge to be had there.
        Errors: ConversionError says why nobody can judge; the model is then `unverified` with that reason.
        """
        return None

    def exact(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        """Child side, in `base`: the source computed in float64 throughout, answers as float64, or None.

        No judge of its own: it tells which of two float32 answers is nearer (convert/rounding.py). It shares no code
        with the converter. Errors: ConversionError, or whatever the model raises.
        """
        return None

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        """Child side, in Environment `native`: the framework itself, ready to answer. Errors: ConversionError."""
        raise MissingHop(self.title, NATIVE, self.targets)

    def warm(self, source: Source, match: Match, models: Mapping[str, Oracle]) -> int:
        """Child side, after `open_native` of every signature: calls that the source itself asks for before it serves.

        The number of calls. Errors: ConversionError; the artifact is then not loaded.
        """
        return 0

    def hints(self, source: Source, match: Match, signature: Signature) -> Mapping[str, Hint]:
        """Child side: what the graph says of integer inputs, by public name: probes stay inside it."""
        return {}

    def further(self, source: Source, match: Match, signature: Signature, seed: int) -> Further:
        """Child side, where the judge sits: calls that are hard for this very model, as the thresholds of its trees.

        Every one is judged, whatever the judge has spent before. Errors: as `convert`.
        """
        return Further()

    def traps(self, operator: str) -> tuple[str, ...]:
        """What is known to go wrong with an operator of this format, one sentence each: shown where a node diverges."""
        return ()

    def check_target(self, target: str) -> str:
        """The target to convert to: "" and "auto" are the format's own first choice here. Errors: MissingHop."""
        chosen = self.targets[0] if target in ("", AUTO) and self.targets else target
        reached = self.reached()
        if chosen not in reached:
            raise MissingHop(self.title, chosen, reached)
        return chosen

    def reached(self) -> tuple[str, ...]:
        """Every target there is a road to: what can be ONNX can be TensorFlow's too (formats/savedmodel)."""
        further = (SAVEDMODEL, FROZEN) if ONNX in self.targets else ()
        return (*self.targets, *(target for target in further if target not in self.targets))

    def environment_of(self, target: str) -> str:
        """Where `convert` to that target runs, and where a native artifact is served."""
        return self.native if target == NATIVE else self.environment


def recognised(fmt: Format, source: Source) -> Match | None:
    """What the recogniser says of the kinds that `fmt` takes over: a `match` of one line for a Format.

    The surest finding, cut files included: their converter says how they are broken.
    """
    kinds = claims(fmt)
    found = next((f for f in recognise(source.root, source.files).findings if f.kind in kinds), None)
    if found is None:
        return None
    return Match(fmt.name, found.version, found.confidence, found.evidence, found.main, found.used)


def claims(fmt: Format) -> frozenset[str]:
    """The kinds of the registry that a Format takes over."""
    return frozenset({fmt.name, *fmt.recognises} & set(KINDS))


@cache
def all_formats() -> Mapping[str, Format]:
    """Every format of this folder by name, in order of name. Errors: TypeError for two of one name."""
    package = importlib.import_module("gateway.formats")
    found: dict[str, Format] = {}
    for module_info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"gateway.formats.{module_info.name}")
        entry = getattr(module, "FORMAT", None)
        if not isinstance(entry, Format):
            continue
        if unknown := set(entry.recognises) - set(KINDS):
            raise TypeError(f"{entry.name!r} recognises {sorted(unknown)}, which gateway/recognise/registry.py lacks")
        if entry.name in found:
            raise TypeError(f"two formats are called {entry.name!r}: {type(found[entry.name])} and {type(entry)}")
        found[entry.name] = entry
    return dict(sorted(found.items()))
