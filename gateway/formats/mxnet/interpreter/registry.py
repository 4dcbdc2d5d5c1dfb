"""What an operator's function is given and gives: a Node, float64 arrays, and MXNet's dtype beside them.

    @op("Flatten", "flatten")
    def flatten(node: Node, x: Array) -> Array: ...

Rule 1: floats are computed in float64 whatever MXNet calls them; MXNet's own dtype travels beside
        the array (`Value.dtype`), for the answers that depend on it: the lowest float, the
        rounding of a scalar attribute, the dtype of an output.
Rule 2: integers and booleans are arrays of MXNet's own dtype, so they wrap and truncate as there.
Rule 3: attributes are read here from MXNet's strings, not by the converter's reader: a slip in
        that one is seen as a difference.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from gateway.core.dtypes import Array, numpy_dtype
from gateway.errors import ConversionError
from gateway.graph import registry

TABLE = "mxnet-interpreter"
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
TYPE_FLAGS = {
    "0": "float32",
    "1": "float64",
    "2": "float16",
    "3": "uint8",
    "4": "int32",
    "5": "int8",
    "6": "int64",
    "7": "bool",
}


@dataclass(frozen=True)
class Value:
    """An array as computed (rule 1) and the dtype MXNet gives it."""

    array: Array
    dtype: str

    @classmethod
    def of(cls, array: Array, dtype: str | None = None) -> Value:
        """As MXNet would hold it: floats as float64, integers and booleans in `dtype`."""
        name = dtype or array.dtype.name
        return cls(np.asarray(array, dtype=np.float64 if name in FLOATS else np.dtype(name)), name)

    def native(self) -> Array:
        """The array in MXNet's own dtype; what is beyond it becomes infinite, as there."""
        with np.errstate(all="ignore"):
            return self.array.astype(numpy_dtype(self.dtype))


Str: TypeAlias = str  # the class below has methods of these names
Int: TypeAlias = int
Float: TypeAlias = float
Bool: TypeAlias = bool


class Attrs:
    """Typed access to a node's attribute strings, in every spelling that MXNet's parser takes.

    Errors: ConversionError naming node, key and value for a missing or malformed one.
    """

    def __init__(self, node: Str, op: Str, strings: Mapping[Str, str]) -> None:
        self._node, self._op, self._strings = node, op, strings

    def _get(self, key: Str) -> Str | None:
        text = self._strings.get(key)
        return None if text is None or text.strip() in ("None", "") else text.strip()

    def _bad(self, key: Str, expected: Str) -> ConversionError:
        found = self._strings.get(key)
        return ConversionError(f"node {self._node!r} ({self._op}): attribute {key} is {found!r}, expected {expected}.")

    def has(self, key: Str) -> Bool:
        return self._get(key) is not None

    def is_none(self, key: Str) -> Bool:
        """Said to be None: for most keys the same as not said, for some (topk's axis) not."""
        return key in self._strings and not self.has(key)

    def str(self, key: Str, default: Str | None = None) -> Str:
        text = self._get(key)
        if text is None:
            text = default
        if text is None:
            raise self._bad(key, "a word")
        return text

    def bool(self, key: Str, default: Bool = False) -> Bool:
        text = self._get(key)
        if text is None:
            return default
        if text.lower() not in ("true", "false", "0", "1"):
            raise self._bad(key, "True or False")
        return text.lower() in ("true", "1")

    def optional_int(self, key: Str) -> Int | None:
        text = self._get(key)
        if text is None:
            return None
        try:
            return int(text.rstrip("Ll"))
        except ValueError:
            raise self._bad(key, "an integer") from None

    def int(self, key: Str, default: Int | None = None) -> Int:
        number = self.optional_int(key)
        if number is None:
            number = default
        if number is None:
            raise self._bad(key, "an integer")
        return number

    def optional_float(self, key: Str) -> Float | None:
        text = self._get(key)
        if text is None:
            return None
        try:
            return float(text)
        except ValueError:
            raise self._bad(key, "a number") from None

    def float(self, key: Str, default: Float | None = None) -> Float:
        number = self.optional_float(key)
        if number is None:
            number = default
        if number is None:
            raise self._bad(key, "a number")
        return number

    def _tuple(self, key: Str) -> tuple[Any, ...] | None:
        text = self._get(key)
        if text is None:
            return None
        try:
            found = ast.literal_eval(text.replace("L", ""))
        except (ValueError, SyntaxError):
            raise self._bad(key, "a tuple of numbers") from None
        return tuple(found) if isinstance(found, (tuple, list)) else (found,)

    def optional_ints(self, key: Str) -> tuple[Any, ...] | None:
        """A tuple whose items are int, or None where MXNet allows that (slice's begin)."""
        return self._tuple(key)

    def ints(self, key: Str, default: tuple[Int, ...] | None = ()) -> tuple[Int, ...]:
        found = self._tuple(key)
        if found is None:
            found = default
        if found is None or not all(isinstance(item, int) for item in found):
            raise self._bad(key, "a tuple of integers")
        return found

    def floats(self, key: Str, default: tuple[Float, ...] = ()) -> tuple[Float, ...]:
        found = self._tuple(key)
        return default if found is None else tuple(float(item) for item in found)


@dataclass(frozen=True)
class Node:
    """One operator of the graph, with MXNet's dtypes of its inputs ("" for one that is not there)."""

    op: str
    name: str
    attrs: Attrs
    dtypes: tuple[str, ...] = ()

    def scalar(self, key: str = "scalar", default: float | None = None) -> float:
        """A scalar attribute as MXNet uses it: rounded to the dtype of the data (rule 1)."""
        value = self.attrs.float(key, default)
        return float(np.dtype(self.dtypes[0]).type(value)) if self.dtypes[0] in FLOATS - {"bfloat16"} else value

    @property
    def lowest(self) -> float:
        """The lowest number of the data's dtype, with which MXNet starts every maximum."""
        kind = self.dtypes[0]
        if kind in FLOATS:
            return float(np.finfo("float32" if kind == "bfloat16" else kind).min)
        return float(np.iinfo(kind).min)

    def unsupported(self, what: str) -> ConversionError:
        return ConversionError(f"node {self.name!r} ({self.op}): the interpreter does not know {what}.")


Result = Array | tuple[Array, ...]
Function = Callable[..., Result]
DTypes = str | Callable[[Node], "str | tuple[str, ...]"] | None


@dataclass(frozen=True)
class Rule:
    """How a function's results are typed, and which inputs inference never reads.

    `dtype`: None the first input's; a name; or a function of the node, one name a node or an output.
    """

    dtype: DTypes = None
    ignores: tuple[int, ...] = ()

    def dtypes(self, node: Node, count: int) -> tuple[str, ...]:
        kind = self.dtype(node) if callable(self.dtype) else self.dtype or node.dtypes[0]
        return (kind,) * count if isinstance(kind, str) else kind


_RULES: dict[str, Rule] = {}


def op(*names: str, dtype: DTypes = None, ignores: tuple[int, ...] = ()) -> Callable[[Function], Function]:
    """Register `function(node, *inputs)` under every name that MXNet has for the operator."""
    put = registry.op(TABLE, *names)

    def register(function: Function) -> Function:
        _RULES.update(dict.fromkeys(names, Rule(dtype, ignores)))
        return put(function)

    return register


def rule(name: str) -> Rule:
    """Of a known operator."""
    return _RULES[name]


def attr_dtype(default: str = "float32", key: str = "dtype") -> Callable[[Node], str]:
    """A dtype rule: the attribute `dtype`, by name or by MXNet's number."""

    def kind(node: Node) -> str:
        text = node.attrs.str(key, default)
        return TYPE_FLAGS.get(text, text)

    return kind
