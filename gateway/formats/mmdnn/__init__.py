"""MMdnn's IR: a graph (.pb or .json) and its weights (.npy), read without MMdnn and without executing the pickle.

`match` runs in the gateway: the recogniser says what each file is.

Rule 1: NAME.pb and NAME.json of one folder are two forms of one model, as mmtoir writes them: one match, and the
        converter holds them against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source
from gateway.recognise import Finding, recognise

NAME = "mmdnn-ir"


@dataclass(frozen=True)
class Files:
    """Of a match; "" for one that is not there. `twin` is the same graph in the other form."""

    graph: str
    weights: str
    twin: str


class MMdnnIR(Format):
    name = NAME
    title = "MMdnn IR"
    suffixes = (".pb", ".json")
    data_only = True

    def match(self, source: Source) -> Match | None:
        mine = [finding for finding in recognise(source.root, source.files).findings if finding.kind == NAME]
        if not mine:
            return None
        best = next((each for each in mine if each.main.endswith(".pb")), mine[0])
        twin = next((each for each in mine if each is not best and _stem(each) == _stem(best)), None)
        used = dict.fromkeys([*(best.used or (best.main,)), *(twin.used or (twin.main,) if twin else ())])
        weights = [name for name in used if name.endswith(".npy")]
        said = best.evidence.partition("; weights in")[0]
        said += f"; weights in {weights[0]}" if weights else "; no .npy with it"
        said += f"; {twin.main} is the same graph" if twin else ""
        return Match(NAME, best.version, best.confidence, said, best.main, tuple(used))

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.mmdnn.convert import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.mmdnn.convert import convert

        self.check_target(target)
        return convert(source, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        from gateway.formats.mmdnn.oracle import InterpreterOracle

        return InterpreterOracle(source, match, options, signature)

    def exact(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        from gateway.formats.mmdnn.oracle import InterpreterOracle

        return InterpreterOracle(source, match, options, signature, rounded=False)

    def hints(self, source: Source, match: Match, signature: Signature) -> Mapping[str, Hint]:
        from gateway.formats.mmdnn.oracle import hints

        return hints(source, match, signature)

    def traps(self, operator: str) -> tuple[str, ...]:
        from gateway.formats.mmdnn.traps import traps

        return traps(operator)


def files_of(match: Match) -> Files:
    """What the files of a match are, by their ends."""
    rest = [name for name in match.used if name != match.main]
    weights = next((name for name in rest if name.endswith(".npy")), "")
    return Files(
        match.main, weights, next((name for name in rest if name != weights and name.endswith((".pb", ".json"))), "")
    )


def _stem(finding: Finding) -> str:
    return finding.main.rpartition(".")[0]


FORMAT = MMdnnIR()
