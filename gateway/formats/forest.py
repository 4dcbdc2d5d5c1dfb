"""What the formats of trees have in common: one input of features, answers by name, and what the owner chose of them.

    probabilities   float32 (rows, classes)     label     int64 or string (rows)
    predictions     float32 (rows) or (rows, K) margins   float32, the sums before the objective
    leaves          int64 (rows, trees)         the leaf that each tree ends in, as its library counts them
    scores          float32 (rows) or (rows, K) what decides where there are no probabilities: decision_function

Rule 1: label and probabilities are two tensors, never a list of dictionaries.
Rule 2: without a wish of the owner margins and leaves are not answered; [[outputs]] of model.toml asks for them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gateway.core.modeltoml import ModelOptions
from gateway.core.names import did_you_mean
from gateway.core.probes import Further
from gateway.core.signature import Shape, Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.graph.builder import GraphBuilder

FEATURES = "features"
LABEL, PROBABILITIES, PREDICTIONS, MARGINS, LEAVES = "label", "probabilities", "predictions", "margins", "leaves"
SCORES = "scores"
KINDS = ("float32", "float64")
SHOWN = 12


@dataclass(frozen=True)
class Answer:
    """One output that can be asked for: how it is made, lazily, and what it is. `usual`: answered unasked."""

    make: Callable[[], str]  # -> the tensor
    dtype: str
    shape: Shape
    usual: bool = True


def input_spec(options: ModelOptions, width: int, file: str, kinds: Sequence[str] = KINDS) -> TensorSpec:
    """The one input, under the owner's name. Errors: ConversionError for a wish that the model cannot fill."""
    spec = TensorSpec(FEATURES, kinds[0], (None, width), symbols=("batch", ""))
    if not options.inputs:
        return spec
    wish = options.inputs[0]
    problems = []
    if len(options.inputs) > 1 or wish.own_name not in (FEATURES, wish.name):
        names = ", ".join(repr(option.own_name) for option in options.inputs)
        problems.append(f"inputs {names} are asked for, and the model has one, {FEATURES!r}")
    if wish.dtype and wish.dtype not in kinds:
        problems.append(f"dtype {wish.dtype} is asked for; expected {' or '.join(kinds)}")
    if wish.shape is not None and wish.shape not in ((None, width), (1, width)):
        problems.append(f"shape {list(wish.shape)} is asked for; expected [?, {width}]")
    if problems:
        raise ConversionError(f"{file}: {'; '.join(problems)}.", hint="Change [[inputs]] in model.toml or --input.")
    return TensorSpec(wish.name, wish.dtype or kinds[0], (None, width), symbols=("batch", ""))


def finish(
    graph: GraphBuilder, answers: Mapping[str, Answer], options: ModelOptions, file: str, out: Path
) -> tuple[TensorSpec, ...]:
    """Shows what was asked for, writes model.onnx. Errors: ConversionError for an output that there is not."""
    specs = []
    for name, own in chosen(answers, options, file):
        answer = answers[own]
        symbols = ("batch", *("" for _ in answer.shape[1:]))
        graph.output(answer.make(), name, answer.dtype, answer.shape)
        specs.append(TensorSpec(name, answer.dtype, answer.shape, symbols=symbols))
    graph.save(out / "model.onnx")
    return tuple(specs)


def chosen(answers: Mapping[str, Answer], options: ModelOptions, file: str) -> list[tuple[str, str]]:
    """(public name, own name) of every output. Errors: ConversionError."""
    if not options.outputs:
        return [(name, name) for name, answer in answers.items() if answer.usual]
    unknown = [option.own_name for option in options.outputs if option.own_name not in answers]
    if unknown:
        raise ConversionError(
            f"{file} has no output {', '.join(map(repr, unknown))}.{did_you_mean(unknown[0], answers)}",
            hint=f"It has {', '.join(answers)}: name these in [[outputs]] of model.toml or with --output.",
        )
    return [(option.name, option.own_name) for option in options.outputs]


def beside(more: Further, others: Sequence[TensorSpec], seed: int) -> Further:
    """The same calls, with N(0, 1) for inputs (float32, a row each) beside the features."""
    if not others:
        return more
    random = np.random.default_rng(seed)
    made = []
    for probe in more.probes:
        rows = len(next(iter(probe.inputs.values())))
        given = {
            s.name: random.standard_normal((rows, *(n or 1 for n in (s.shape or ())[1:]))).astype(np.float32)
            for s in others
        }
        made.append(replace(probe, inputs={**probe.inputs, **given}))
    return replace(more, probes=tuple(made))


def own_names(signature: Signature, options: ModelOptions) -> dict[str, str]:
    """Public name -> own name of each output of a signature, for a judge."""
    aliases = {option.name: option.own_name for option in options.outputs}
    return {spec.name: aliases.get(spec.name, spec.name) for spec in signature.outputs}


def single(graph: GraphBuilder, tensor: str, groups: int, name: str) -> str:
    """As float32, and without an axis of one."""
    return flat(graph, graph.node("Cast", [tensor], name=name, to=1), groups)


def flat(graph: GraphBuilder, tensor: str, groups: int) -> str:
    """(rows, 1) -> (rows)."""
    return tensor if groups > 1 else graph.node("Squeeze", [tensor, graph.constant("last", np.array([1], np.int64))])


def need(package: str, title: str) -> None:
    """For judges. Errors: ConversionError where the package is not in this Environment."""
    if importlib.util.find_spec(package) is None:
        raise ConversionError(
            f"{title} is judged by itself, in Environment 'trees', which is not built",
            hint="gateway doctor --install trees",
        )


def listed(names: Sequence[str]) -> str:
    """Names of columns, for a fact."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
