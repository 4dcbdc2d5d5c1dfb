"""Public names of tensors out of the names that a graph gives them.

    serving_default_img:0 -> img      x:0 -> x      StatefulPartitionedCall:1 -> output_1

Rule 1: two tensors never get one name: the second is NAME_1.
Rule 2: what model.toml says wins; it may call a tensor by its public or by its own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.core.artifact import Fact
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.names import did_you_mean
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError

CALL = re.compile(r"(Stateful)?PartitionedCall(_\d+)?(:\d+)?")
SERVING = re.compile(r"(serving_default|serve|predict)_(?=.)")


def public(names: Sequence[str], kind: str) -> list[str]:
    """One public name each; `kind` is "input" or "output". Names that say nothing become `output_1`."""
    found: list[str] = []
    for number, name in enumerate(names):
        clean = f"{kind}_{number}" if not name or CALL.fullmatch(name) else SERVING.sub("", name.removesuffix(":0"))
        unique, count = clean, 0
        while unique in found:
            count += 1
            unique = f"{clean}_{count}"
        found.append(unique)
    return found


def named(signature: Signature, options: ModelOptions, own: dict[str, str]) -> Signature:
    """The signature under the owner's names and shapes. `own` is the source's name of a tensor by its public one.

    Errors: ConversionError naming every tensor of model.toml that is not there.
    """
    problems = list(_unknown("input", options.inputs, signature.inputs, own))
    problems += _unknown("output", options.outputs, signature.outputs, own)
    if problems:
        raise ConversionError("; ".join(problems) + ".")
    outputs = tuple(_renamed(spec, options.outputs, own) for spec in signature.outputs)
    if options.outputs:  # only those that the owner asks for, in the owner's order
        by_name = {spec.name: spec for spec in outputs}
        outputs = tuple(by_name[option.name] for option in options.outputs)
    preprocess = options.preprocess.to_json() if options.preprocess else None
    inputs = tuple(_renamed(spec, options.inputs, own) for spec in signature.inputs)
    return replace(signature, inputs=inputs, outputs=outputs, preprocess=preprocess)


def facts(specs: Iterable[TensorSpec], own: dict[str, str], source: str) -> list[Fact]:
    """Which names were made, and of what."""
    return [
        Fact("name", f"{spec.name} of {own[spec.name]}", source)
        for spec in specs
        if spec.name in own and own[spec.name] != spec.name
    ]


def _is_meant(option: TensorOption, name: str, own: dict[str, str]) -> bool:
    return option.own_name in (name, own.get(name, name), own.get(name, name).removesuffix(":0"))


def _renamed(spec: TensorSpec, options: Sequence[TensorOption], own: dict[str, str]) -> TensorSpec:
    option = next((o for o in options if _is_meant(o, spec.name, own)), None)
    if option is None:
        return spec
    shape = spec.shape
    if option.shape is not None and (shape is None or len(shape) == len(option.shape)):
        shape = option.shape
    return replace(spec, name=option.name, shape=shape)


def _unknown(
    kind: str, options: Sequence[TensorOption], specs: Sequence[TensorSpec], own: dict[str, str]
) -> Iterable[str]:
    known = [spec.name for spec in specs]
    for option in options:
        if not any(_is_meant(option, name, own) for name in known):
            guess = did_you_mean(option.own_name, known)
            yield f"the model has no {kind} {option.own_name!r}; it has {', '.join(known)}.{guess}".rstrip(".")
