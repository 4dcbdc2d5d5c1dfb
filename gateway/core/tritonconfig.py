"""config.pbtxt of a Triton model repository: read where it lies beside a model, as facts that must be true.

Names, dtypes, dims and max_batch_size are compared with the model that was read; where the owner
says less than the model allows (a dimension of 16 where any is possible), the owner's word counts.

Rule 1: all problems are reported together, with the nearest known name.
Rule 2: what the gateway does not do is refused by name (sequences, ensembles, decoupled models),
        never passed over; what only tunes Triton's own scheduler and devices is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.core import textproto
from gateway.core.dtypes import BY_KSERVE
from gateway.core.names import did_you_mean
from gateway.core.policy import Versions
from gateway.core.signature import Signature, TensorSpec, format_shape
from gateway.errors import InvalidRequest, TritonConfigError

FILE = "config.pbtxt"

_TUNING = (
    "platform", "backend", "runtime", "optimization", "dynamic_batching", "instance_group", "default_model_filename",
    "cc_model_filenames", "metric_tags", "parameters", "model_warmup", "model_operations", "response_cache",
    "model_metrics",
)  # fmt: skip
_REFUSED = {
    "sequence_batching": "sequence models are not served: a request must stand for itself",
    "ensemble_scheduling": "ensembles are not served",
    "model_repository_agents": "repository agents are not served",
    "batch_input": "batch inputs are not served",
    "batch_output": "batch outputs are not served",
}
_READ = ("name", "max_batch_size", "input", "output", "version_policy", "model_transaction_policy")
_KEYS = (*_READ, *_TUNING, *_REFUSED)
_TENSOR_KEYS = (
    "name", "data_type", "dims", "format", "reshape", "is_shape_tensor", "allow_ragged_batch", "optional",
    "is_non_linear_format_io", "label_filename",
)  # fmt: skip
_TENSOR_REFUSED = ("reshape", "is_shape_tensor", "allow_ragged_batch", "optional", "is_non_linear_format_io")


@dataclass(frozen=True)
class TensorFact:
    """What config.pbtxt says of one tensor. `dtype` is our name, "" where it says none."""

    name: str
    dtype: str
    dims: tuple[int, ...] | None
    labels: str = ""


@dataclass(frozen=True)
class TritonConfig:
    """`max_batch_size` is None where the file does not say one."""

    name: str = ""
    max_batch_size: int | None = None
    inputs: tuple[TensorFact, ...] = ()
    outputs: tuple[TensorFact, ...] = ()
    versions: Versions | None = None

    @property
    def labels(self) -> tuple[str, str]:
        """(output, name of its labels file); ("", "") without one."""
        return next(((fact.name, fact.labels) for fact in self.outputs if fact.labels), ("", ""))


def parse(text: str, *, where: str = FILE, model: str = "") -> TritonConfig:
    """`model` is the name of its folder, "" where it has none. Errors: TritonConfigError with every problem."""
    try:
        data = textproto.parse(text)
    except InvalidRequest as error:
        raise TritonConfigError([error.message], where=where) from None
    problems: list[str] = []
    problems += [f"no such field {key!r}.{did_you_mean(key, _KEYS)}" for key in data if key not in _KEYS]
    problems += [f"{key}: {why}" for key, why in _REFUSED.items() if data.get(key)]
    policy = _one(data, "model_transaction_policy", dict, problems) or {}
    if policy.get("decoupled") == ["true"]:
        problems.append("model_transaction_policy: decoupled models are not served: a request has one answer")
    name = str(_one(data, "name", str, problems) or "")
    if name and model and name != model:
        problems.append(f"name is {name!r}, expected {model!r}: a model's name is that of its folder")
    size = _one(data, "max_batch_size", int, problems)
    if size is not None and size < 0:
        problems.append(f"max_batch_size is {size}, expected 0 or more")
    inputs, outputs = (_tensors(data, key, problems) for key in ("input", "output"))
    if sum(bool(fact.labels) for fact in outputs) > 1:
        problems.append("label_filename of more than one output is not served")
    versions = _versions(_one(data, "version_policy", dict, problems), problems)
    if problems:
        hint = "The other fields of Triton's model configuration are read; docs/repository.md says how."
        raise TritonConfigError(problems, where=where, hint=hint)
    return TritonConfig(name, size, inputs, outputs, versions)


def _one(data: textproto.Message, key: str, kind: type[Any], problems: list[str]) -> Any:
    """The one value of a field, None without it."""
    values = data.get(key, [])
    if not values:
        return None
    value = values[-1]
    word = isinstance(value, textproto.Word)
    if not isinstance(value, kind) or isinstance(value, bool) or word:
        problems.append(f"{key} is {value!r:.80}, expected {_WORDS[kind]}")
        return None
    return value


_WORDS: dict[type[Any], str] = {str: "text in quotes", int: "a whole number", dict: "{ ... }"}


def _tensors(data: textproto.Message, key: str, problems: list[str]) -> tuple[TensorFact, ...]:
    found = []
    for number, given in enumerate(data.get(key, []), start=1):
        if not isinstance(given, dict):
            problems.append(f"{key} {number} is {given!r:.80}, expected {{ ... }}")
            continue
        found.append(_tensor(f"{key} {number}", given, problems))
    names = [fact.name for fact in found]
    problems += [f"{key} {name!r} stands there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    return tuple(found)


def _tensor(where: str, given: textproto.Message, problems: list[str]) -> TensorFact:
    def said(key: str, kind: type[Any]) -> Any:
        mine: list[str] = []
        value = _one(given, key, kind, mine)
        problems.extend(f"{where}: {problem}" for problem in mine)
        return value

    for key, values in given.items():
        if key not in _TENSOR_KEYS:
            problems.append(f"{where}: no such field {key!r}.{did_you_mean(key, _TENSOR_KEYS)}")
        elif key in _TENSOR_REFUSED and values and values[-1] != "false":
            problems.append(f"{where}: {key} is not served")
    name = said("name", str)
    if not name:
        problems.append(f"{where} has no name")
    dims = given.get("dims")
    if dims is not None and not all(type(size) is int and (size > 0 or size == -1) for size in dims):
        problems.append(f"{where}: dims is {dims!r:.80}, expected numbers above 0, or -1 for any")
        dims = None
    kind = (given.get("data_type") or [""])[-1]  # `data_type: []` is a field without a value
    dtype = _dtype(str(kind)) if kind else ""
    if dtype is None:
        known = [_type_name(row.kserve) for row in BY_KSERVE.values()]
        problems.append(f"{where}: data_type is {str(kind)!r:.40}, which is none.{did_you_mean(str(kind), known)}")
    labels = str(said("label_filename", str) or "")
    if labels.startswith("/") or ".." in labels.split("/"):
        problems.append(f"{where}: label_filename is {labels!r:.80}, expected the name of a file beside {FILE}")
    return TensorFact(str(name or ""), dtype or "", None if dims is None else tuple(dims), labels)


def _type_name(kserve: str) -> str:
    return "TYPE_STRING" if kserve == "BYTES" else f"TYPE_{kserve}"


def _dtype(text: str) -> str | None:
    """Our name of TYPE_FP32; None for what is no data type."""
    return next((row.name for row in BY_KSERVE.values() if _type_name(row.kserve) == text), None)


def _versions(given: textproto.Message | None, problems: list[str]) -> Versions | None:
    if given is None:
        return None
    ((kind, values),) = given.items() if len(given) == 1 else (("", [None]),)
    said = values[-1] if values and isinstance(values[-1], dict) else {}
    if kind == "all":
        return Versions(all=True)
    if kind == "latest":
        count = (said.get("num_versions") or [1])[-1]
        if type(count) is int and count > 0:
            return Versions(latest=count)
    if kind == "specific":
        numbers = said.get("versions", [])
        if numbers and all(type(number) is int and number >= 0 for number in numbers):
            return Versions(specific=tuple(numbers))
    problems.append("version_policy is not one of all { }, latest { num_versions: N } and specific { versions: [ N ] }")
    return None


def disagreements(config: TritonConfig, signature: Signature) -> list[str]:
    """Where the owner's facts and the model's contradict each other."""
    found: list[str] = []
    batch = bool(config.max_batch_size)
    for word, facts, specs in (
        ("input", config.inputs, signature.inputs),
        ("output", config.outputs, signature.outputs),
    ):
        known = {spec.name: spec for spec in specs}
        for fact in facts:
            spec = known.get(fact.name)
            if spec is None:
                guess = did_you_mean(fact.name, known)
                found.append(f"{word} {fact.name!r} is not one of the model's: {', '.join(known)}.{guess}")
            else:
                found += [f"{word} {fact.name!r}: {text}" for text in _differs(fact, spec, batch)]
        if batch:
            found += [
                f"max_batch_size is {config.max_batch_size}, but {word} {spec.name!r} of the model has the shape "
                f"{format_shape(spec.shape)}: its first dimension is not free"
                for spec in specs
                if spec.shape is not None and (not spec.shape or spec.shape[0] is not None)
            ]
    return found


def _differs(fact: TensorFact, spec: TensorSpec, batch: bool) -> Iterator[str]:
    if fact.dtype and fact.dtype != spec.dtype:
        yield f"data_type is {fact.dtype}, the model's is {spec.dtype}"
    if fact.dims is None or spec.shape is None:
        return
    said = _full(fact.dims, batch)
    agree = len(said) == len(spec.shape) and all(b is None or a == b for a, b in zip(said, spec.shape))
    if not agree:
        note = " (max_batch_size is above 0: a batch stands before the dims)" if batch else ""
        yield f"dims make the shape {format_shape(said)}{note}, the model's is {format_shape(spec.shape)}"


def _full(dims: Sequence[int], batch: bool) -> tuple[int | None, ...]:
    return ((None,) if batch else ()) + tuple(None if size == -1 else size for size in dims)


def narrowed(config: TritonConfig, signature: Signature) -> Signature:
    """The signature as its owner restricts it: dims of config.pbtxt where the model leaves them free."""
    batch = bool(config.max_batch_size)

    def narrow(specs: tuple[TensorSpec, ...], facts: tuple[TensorFact, ...]) -> tuple[TensorSpec, ...]:
        said = {fact.name: fact.dims for fact in facts if fact.dims is not None}
        return tuple(replace(s, shape=_full(said[s.name], batch)) if s.name in said else s for s in specs)

    return replace(
        signature, inputs=narrow(signature.inputs, config.inputs), outputs=narrow(signature.outputs, config.outputs)
    )
