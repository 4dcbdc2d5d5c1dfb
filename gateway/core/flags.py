"""What the command line says of a model, on top of its model.toml.

    --input  [ALIAS=]NAME:DTYPE[SHAPE]    what the format does not say, and what clients call it
    --output [ALIAS=]NAME                 where the model is cut, and what clients call it
    --signature, --tag, --method-name, --trainable, --frozen, --pictures, --classify, --regress, --scores
                                          of a SavedModel

Rule 1: a flag wins over the same thing in model.toml; what no flag speaks of stays.
Rule 2: all problems are reported together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.core.artifact import FROZEN, NATIVE, SAVEDMODEL
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.savedmodel import TEXTS, SavedModelOptions
from gateway.core.signature import parse_spec
from gateway.errors import InvalidRequest, UsageError


@dataclass(frozen=True)
class Flags:
    """Empty fields say nothing."""

    to: str = ""
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()
    signatures: Sequence[str] = ()
    tags: Sequence[str] = ()
    method: str = ""
    trainable: bool = False
    frozen: bool = False
    pictures: str = ""
    classify: str = ""
    regress: str = ""
    scores: str = ""


NOTHING = Flags()


def with_flags(options: ModelOptions, flags: Flags) -> ModelOptions:
    """model.toml and the flags together. Errors: UsageError with every problem."""
    problems: list[str] = []
    target = flags.to or options.target
    found = replace(
        options,
        target=target,
        inputs=_inputs(options.inputs, flags.inputs, problems),
        outputs=_outputs(options.outputs, flags.outputs, problems),
        savedmodel=_savedmodel(options.savedmodel, flags, target, problems),
    )
    for word, tensors in (("--input", found.inputs), ("--output", found.outputs)):
        names = [tensor.name for tensor in tensors]
        problems += [f"{word}: two are called {name!r}" for name in sorted({n for n in names if names.count(n) > 1})]
    if problems:
        raise UsageError("; ".join(problems), hint="docs/savedmodel.md and `gateway convert --help` have examples.")
    return found


def _inputs(said: Sequence[TensorOption], flags: Sequence[str], problems: list[str]) -> tuple[TensorOption, ...]:
    """Those of model.toml that no flag speaks of, and the flags'."""
    made = []
    for text in flags:
        alias, own = _alias(text)
        try:
            spec = parse_spec(own)
        except InvalidRequest as error:
            problems.append(f"--input {text}: {error.message}" if alias else f"--input {error.message}")
            continue
        made.append(replace(_renamed(said, alias, spec.name), dtype=spec.dtype, shape=spec.shape))
    named = {option.own_name for option in made}
    return tuple(option for option in said if option.own_name not in named) + tuple(made)


def _outputs(said: Sequence[TensorOption], flags: Sequence[str], problems: list[str]) -> tuple[TensorOption, ...]:
    """The flags' alone where there are any: they say where the model is cut."""
    made = []
    for text in flags:
        alias, own = _alias(text)
        if not own or own.startswith("="):
            problems.append(f"--output {text!r} has no name on one side of '='; expected NAME or ALIAS=NAME")
            continue
        made.append(_renamed(said, alias, own))
    return tuple(made) or tuple(said)


def _alias(text: str) -> tuple[str, str]:
    """(ALIAS or "", the rest): what stands before the first '=' is the alias."""
    alias, equals, own = text.partition("=")
    return (alias, own) if equals and alias else ("", text)


def _renamed(said: Sequence[TensorOption], alias: str, own: str) -> TensorOption:
    """What model.toml says of the tensor `own`, under the name that the flag gives it."""
    before = next((option for option in said if option.own_name == own), TensorOption(own))
    if not alias:
        return before
    return replace(before, name=alias, tensor="" if alias == own else own)


def _savedmodel(options: SavedModelOptions, flags: Flags, target: str, problems: list[str]) -> SavedModelOptions:
    given = {
        "--signature": flags.signatures,
        "--tag": flags.tags,
        "--method-name": flags.method,
        "--trainable": flags.trainable,
        "--frozen": flags.frozen,
        **{f"--{key}": getattr(flags, key) for key in TEXTS},
    }
    used = [flag for flag, value in given.items() if value]
    alone = {FROZEN: ["--frozen"], NATIVE: ["--tag"]}  # the MetaGraph of a SavedModel that is served as it is
    if used and target != SAVEDMODEL and used != alone.get(target):
        other = repr(target) if target else "the usual one"
        problems.append(f"{', '.join(used)}: of a SavedModel alone, and the target is {other}; add --to savedmodel")
    for flag, values in (("--signature", flags.signatures), ("--tag", flags.tags)):
        problems += [f"{flag} {value!r} is given twice" for value in sorted({v for v in values if values.count(v) > 1})]
        problems += [f"{flag} is empty"] if "" in values else []
    if flags.trainable and flags.frozen:
        problems.append("--trainable and --frozen exclude each other: weights are variables or constants")
    found = SavedModelOptions(
        tuple(flags.signatures) or options.signatures,
        flags.method or options.method,
        tuple(flags.tags) or options.tags,
        flags.trainable or (options.trainable and not flags.frozen),
        flags.frozen or (options.frozen and not flags.trainable),
        **{key: getattr(flags, key) or getattr(options, key) for key in TEXTS},
    )
    if not (flags.trainable and flags.frozen):
        problems += [f"of a SavedModel: {problem}" for problem in found.problems()]
    return found
