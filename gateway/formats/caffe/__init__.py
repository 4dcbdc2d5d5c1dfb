"""Caffe: .prototxt and .caffemodel, read without Caffe, judged by OpenCV or by our own interpreter.

`match` runs in the gateway: the recogniser says what each file is.

Rule 1: a prototxt and a caffemodel of one folder are one model. A caffemodel alone holds its net; a prototxt alone
        is recognised, so that the answer says what is missing.
Rule 2: of several prototxts the one that declares its inputs is the net that is served; the others (train_val)
        belong to it. Two of those, or two caffemodels, are AmbiguousFormat.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.errors import AmbiguousFormat
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source
from gateway.recognise import Finding, recognise

NAME = "caffe"
LOOKED = 1 << 20
DEPLOY = re.compile(rb'(?m)^\s*input(_dim|_shape)?\s*[:{]|type\s*:\s*["\']Input["\']')


@dataclass(frozen=True)
class Files:
    """Of a match; "" for one that is not there."""

    structure: str
    weights: str
    means: tuple[str, ...]


class Caffe(Format):
    name = NAME
    title = "Caffe"
    suffixes = (".caffemodel", ".prototxt")
    environment = "base"
    judges = ("opencv", "base")
    targets = ("onnx",)
    data_only = True

    def match(self, source: Source) -> Match | None:
        """Errors: AmbiguousFormat for several nets, or several files of weights, of one model."""
        found = recognise(source.root, source.files).findings
        mine = [finding for finding in found if finding.kind == NAME]
        if not mine:
            return None
        best = next((f for f in mine if f.version.startswith("prototxt")), mine[0])
        folder = best.main.rpartition("/")[0]
        mine = [f for f in mine if f.main.rpartition("/")[0] == folder]
        nets = [f for f in mine if f.version.startswith("prototxt")]
        weights = sorted({n for f in mine for n in _weights(f)})
        if len(nets) > 1 and any(_weights(f) for f in nets):  # pairs by their names
            nets = [next(f for f in nets if _weights(f))]
            weights = _weights(nets[0])
        chosen = _deploy(source, nets) if nets else None
        if len(weights) > 1:
            raise AmbiguousFormat(
                f"{len(weights)} files of weights lie in one folder: {', '.join(weights[:8])}.",
                hint="Keep the one that is to be served.",
            )
        main = chosen or next(f for f in mine if f.main in weights)
        others = [f.main for f in nets if f is not chosen]
        means = [f.main for f in found if f.kind == "caffe-mean" and f.main.rpartition("/")[0] == folder]
        solver = [f.main for f in found if f.kind == "caffe-solver" and f.main.rpartition("/")[0] == folder]
        said = main.evidence.partition(";")[0]
        said += f"; weights in {weights[0]}" if chosen and weights else "" if weights else "; no .caffemodel with it"
        used = dict.fromkeys([main.main, *weights, *means, *others, *solver])
        whole = min((f.confidence for f in mine if f.main in used), default=1.0)
        return Match(NAME, main.version, whole, said, main.main, tuple(used))

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.caffe.convert import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.caffe.convert import convert

        self.check_target(target)
        return convert(source, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        from gateway.formats.caffe.oracle import oracle

        return oracle(source, match, options, signature)

    def exact(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        from gateway.formats.caffe.oracle import exact

        return exact(source, match, options, signature)

    def traps(self, operator: str) -> tuple[str, ...]:
        from gateway.formats.caffe.traps import traps

        return traps(operator)

    def hints(self, source: Source, match: Match, signature: Signature) -> Mapping[str, Hint]:
        from gateway.formats.caffe.convert import read_net
        from gateway.formats.caffe.hints import hints

        return hints(read_net(source, match), signature)


def files_of(match: Match) -> Files:
    """What the files of a match are, by their ends and the version that was recognised."""
    rest = [name for name in match.used if name != match.main]
    if not match.version.startswith("prototxt"):
        return Files("", match.main, tuple(name for name in rest if name.endswith(".binaryproto")))
    weights = [name for name in rest if not name.endswith((".prototxt", ".binaryproto"))]
    return Files(match.main, weights[0] if weights else "", tuple(n for n in rest if n.endswith(".binaryproto")))


def _weights(finding: Finding) -> list[str]:
    """The caffemodels that a finding claims."""
    if finding.version.startswith("caffemodel"):
        return [finding.main]
    return [name for name in finding.used if name != finding.main and not name.endswith((".prototxt", ".info"))]


def _deploy(source: Source, nets: list[Finding]) -> Finding:
    """The one that declares its inputs. Errors: AmbiguousFormat."""
    if len(nets) == 1:
        return nets[0]
    declared = [f for f in nets if DEPLOY.search(source.head(f.main, LOOKED))]
    if len(declared) != 1:
        listing = ", ".join(f.main for f in nets[:8])
        raise AmbiguousFormat(
            f"{len(nets)} nets lie in one folder ({listing}), and {len(declared)} of them declare inputs.",
            hint="Keep the deploy prototxt beside the caffemodel.",
        )
    return declared[0]


FORMAT = Caffe()
