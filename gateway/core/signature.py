"""Signatures: what a model takes and gives, by public name.

A TensorSpec has two names: `name` is the public alias that clients use, `tensor` is the
model's own. They are the same unless model.toml says otherwise.

Rule 1: order matters and is the model's own; nothing here sorts.
Rule 2: `check` changes no value: it compares names, dtypes and shapes, and raises one
        InvalidTensor that lists every problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.core.dtypes import Tensors, dtype, name_of
from gateway.core.names import did_you_mean
from gateway.errors import InvalidRequest, InvalidTensor

SERVING_DEFAULT = "serving_default"
PREDICT = "tensorflow/serving/predict"

Shape = tuple[int | None, ...]


def format_shape(shape: Shape | None) -> str:
    """`[?,3,112,112]`; `[...]` when even the rank is unknown."""
    if shape is None:
        return "[...]"
    return "[" + ",".join("?" if size is None else str(size) for size in shape) + "]"


@dataclass(frozen=True)
class TensorSpec:
    """One named tensor. `shape` has None for a free dimension and is None for unknown rank.

    `symbols` names the free dimensions where the model does ("batch", "height"), "" elsewhere:
    two free dimensions of one symbol have the same size in every call. `layout` "nhwc" says that clients
    see channels last where the source has them second (core/layout.py). `optional` inputs may be left out.
    """

    name: str
    dtype: str
    shape: Shape | None
    tensor: str = ""
    symbols: tuple[str, ...] = ()
    layout: str = ""
    optional: bool = False

    def __post_init__(self) -> None:
        dtype(self.dtype)
        if not self.tensor:
            object.__setattr__(self, "tensor", self.name)

    def __str__(self) -> str:
        return f"{self.name}:{self.dtype}{format_shape(self.shape)}"

    def accepts(self, shape: tuple[int, ...]) -> bool:
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(w is None or w == s for w, s in zip(self.shape, shape))

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"name": self.name, "dtype": self.dtype}
        data["shape"] = None if self.shape is None else ["?" if s is None else s for s in self.shape]
        if self.tensor != self.name:
            data["tensor"] = self.tensor
        if any(self.symbols):
            data["symbols"] = list(self.symbols)
        if self.layout:
            data["layout"] = self.layout
        if self.optional:
            data["optional"] = True
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TensorSpec:
        shape = data["shape"]
        return cls(
            name=data["name"],
            dtype=data["dtype"],
            shape=None if shape is None else tuple(None if s == "?" else int(s) for s in shape),
            tensor=data.get("tensor", ""),
            symbols=tuple(data.get("symbols", ())),
            layout=data.get("layout", ""),
            optional=bool(data.get("optional", False)),
        )


def parse_spec(text: str) -> TensorSpec:
    """`NAME:DTYPE[SHAPE]` as on the command line, e.g. `data:float32[?,3,112,112]`.

    The name may hold ':' (TensorFlow's do): dtype and shape are read from the right. `?` is a
    free dimension. Errors: InvalidRequest says which part is wrong.
    """
    head, bracket, tail = text.partition("[")
    name, colon, type_name = head.rpartition(":")
    if not bracket or not tail.endswith("]") or not colon or not name:
        raise InvalidRequest(f"{text!r} is not NAME:DTYPE[SHAPE]; expected something like data:float32[?,3,112,112].")
    sizes: list[int | None] = []
    for part in (p.strip() for p in tail[:-1].split(",")) if tail != "]" else ():
        if part in ("?", "-1"):
            sizes.append(None)
        elif part.isascii() and part.isdigit():
            sizes.append(int(part))
        else:
            raise InvalidRequest(f"{text!r}: dimension {part!r} is neither a number nor '?'.")
    return TensorSpec(name, dtype(type_name).name, tuple(sizes))


@dataclass(frozen=True)
class Signature:
    """Named inputs and outputs, in the model's order.

    `batched` says that verification has shown the first dimension of every input and output to
    be a batch: row k of a batch equals the single run. Only then may requests be joined.
    `labels` are class names of the last axis of the first output; `preprocess` is the data of
    model.toml's [preprocess]: how a picture becomes the first input. `missing` is what its
    owner says where an input is missing; "" leaves it to the protocol.
    `rows` > 0: the model itself takes exactly that many rows a call. Clients see a free first dimension; whoever
    runs it fills up and cuts (runtimes/rows.py). 0: it takes what the shapes say.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    name: str = SERVING_DEFAULT
    method: str = PREDICT
    batched: bool = False
    labels: tuple[str, ...] = ()
    preprocess: Mapping[str, Any] | None = field(default=None)
    rows: int = 0
    missing: str = ""

    @property
    def required(self) -> tuple[TensorSpec, ...]:
        """The inputs that every call brings."""
        return tuple(spec for spec in self.inputs if not spec.optional)

    def input(self, name: str) -> TensorSpec | None:
        return next((spec for spec in self.inputs if spec.name == name), None)

    def output(self, name: str) -> TensorSpec | None:
        return next((spec for spec in self.outputs if spec.name == name), None)

    def check(self, tensors: Tensors) -> None:
        """Names, dtypes and shapes of a request's inputs. Errors: one InvalidTensor with all problems."""
        problems = list(self._problems(tensors))
        if problems:
            expected = ", ".join(str(spec) for spec in self.inputs)
            raise InvalidTensor("; ".join(problems), hint=f"The inputs are: {expected}.")

    def _problems(self, tensors: Tensors) -> Iterable[str]:
        names = [spec.name for spec in self.inputs]
        for name in tensors:
            if name not in names:
                yield f"input {name!r} is not one of this model's.{did_you_mean(name, names)}"
        batch_sizes = set()
        for spec in self.inputs:
            array = tensors.get(spec.name)
            if array is None and spec.optional:
                continue
            if array is None:
                yield f"input {spec.name!r} is missing, expected {spec.dtype}{format_shape(spec.shape)}"
                continue
            found = name_of(array)
            if found != spec.dtype:
                yield f"input {spec.name!r} has dtype {found}, expected {spec.dtype}"
            if not spec.accepts(array.shape):
                yield f"input {spec.name!r} has shape {format_shape(array.shape)}, expected {format_shape(spec.shape)}"
            elif self.batched:
                batch_sizes.add(array.shape[0])
        if len(batch_sizes) > 1:
            yield f"the inputs have different batch sizes {sorted(batch_sizes)}, expected one first dimension for all"

    def select(self, names: Iterable[str]) -> tuple[TensorSpec, ...]:
        """The outputs called `names` in that order, or all of them. Errors: InvalidTensor with all unknown ones."""
        wanted = tuple(names)
        if not wanted:
            return self.outputs
        known = {spec.name: spec for spec in self.outputs}
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise InvalidTensor(
                f"output {', '.join(repr(n) for n in unknown)} is not one of this model's; it has {', '.join(known)}."
                f"{did_you_mean(unknown[0], known)}"
            )
        return tuple(known[name] for name in wanted)

    def to_json(self) -> dict[str, Any]:
        data = {
            "name": self.name,
            "method": self.method,
            "batched": self.batched,
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "labels": list(self.labels),
            "preprocess": dict(self.preprocess) if self.preprocess is not None else None,
        }
        data |= {"missing": self.missing} if self.missing else {}
        return data | ({"rows": self.rows} if self.rows else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Signature:
        return cls(
            inputs=tuple(TensorSpec.from_json(spec) for spec in data["inputs"]),
            outputs=tuple(TensorSpec.from_json(spec) for spec in data["outputs"]),
            name=data["name"],
            method=data.get("method", PREDICT),
            batched=bool(data.get("batched", False)),
            labels=tuple(data.get("labels", ())),
            preprocess=data.get("preprocess"),
            rows=int(data.get("rows", 0)),
            missing=data.get("missing", ""),
        )

    @property
    def picture_input(self) -> str:
        """Public name of the input that takes pictures; "" where [preprocess] does not say how."""
        return "" if self.preprocess is None else str(self.preprocess["input"] or self.inputs[0].name)

    def with_pictures(self) -> Signature:
        """As sent by a client that sends picture files: strings, one a picture, where the input has pixels."""
        name = self.picture_input
        sent = (replace(s, dtype="string", shape=None, symbols=()) if s.name == name else s for s in self.inputs)
        return replace(self, inputs=tuple(sent), batched=False) if name else self

    def with_batched(self, batched: bool) -> Signature:
        """What was shown of the first dimension. Rows that depend on each other cannot be filled up: as it is, then."""
        if batched or not self.rows:
            return replace(self, batched=batched)
        return replace(
            self,
            batched=False,
            rows=0,
            inputs=tuple(_of_rows(spec, self.rows) for spec in self.inputs),
            outputs=tuple(_of_rows(spec, self.rows) for spec in self.outputs),
        )


def _of_rows(spec: TensorSpec, rows: int) -> TensorSpec:
    return spec if not spec.shape else replace(spec, shape=(rows, *spec.shape[1:]))


def united(signatures: Sequence[Signature]) -> Signature:
    """The first one with the outputs of all that take the same inputs: what one call of the graph can show."""
    first = signatures[0]
    names = {spec.name for spec in first.outputs}
    further = []
    for signature in signatures[1:]:
        if signature.inputs == first.inputs:
            further += [spec for spec in signature.outputs if spec.name not in names]
            names |= {spec.name for spec in signature.outputs}
    return replace(first, outputs=(*first.outputs, *further)) if further else first
