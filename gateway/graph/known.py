"""Sizes that are computed in the graph: Shape, then arithmetic on its answer, then Reshape or Expand.

onnx infers one node at a time here and cannot see through such a chain; this follows it. An
element of a vector is a number, or the name of a free size, or None for what is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.core.dtypes import Array

Element = int | str | None
LIMIT = 64  # longer vectors are no shapes


class KnownSizes:
    def __init__(self) -> None:
        self._vectors: dict[str, list[Element]] = {}

    def follow(self, node: Any, types: dict[str, Any], value: Callable[[str], Array | None]) -> None:
        """Learn from a node that was just made; the types of Reshape, Expand and ConstantOfShape get what is known."""
        if node.domain:
            return
        if node.op_type in ("Reshape", "Expand", "ConstantOfShape"):
            target = self._vector(node.input[-1], value)
            if target is not None:
                _refine(node, types, target)
            return
        found = self._result(node, types, value)
        if found is not None and len(found) <= LIMIT:
            self._vectors[node.output[0]] = found

    def _result(self, node: Any, types: dict[str, Any], value: Callable[[str], Array | None]) -> list[Element] | None:
        attributes = {a.name: a for a in node.attribute}
        if node.op_type == "Shape":
            tensor_type = types[node.input[0]].tensor_type
            if not tensor_type.HasField("shape"):
                return None
            start = attributes["start"].i if "start" in attributes else 0
            end = attributes["end"].i if "end" in attributes else None
            return [_element(dim) for dim in tensor_type.shape.dim][start:end]
        parts = [self._vector(name, value) for name in node.input]
        if any(part is None for part in parts) or not parts:
            return None
        known = [part for part in parts if part is not None]
        if node.op_type in ("Identity", "Squeeze", "Unsqueeze", "Cast"):
            return known[0]
        if node.op_type == "Concat":
            return [element for part in known for element in part]
        if node.op_type == "Gather":
            return _pick(known[0], known[1])
        if node.op_type == "Slice":
            return _slice(known)
        if node.op_type in ("Add", "Sub", "Mul", "Div"):
            return _arithmetic(node.op_type, known[0], known[1])
        return None

    def _vector(self, name: str, value: Callable[[str], Array | None]) -> list[Element] | None:
        if name in self._vectors:
            return self._vectors[name]
        array = value(name) if name else None
        if array is None or array.dtype.kind != "i" or array.ndim > 1 or array.size > LIMIT:
            return None
        return [int(number) for number in array.reshape(-1)]


def _element(dim: Any) -> Element:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    return str(dim.dim_param) or None


def _pick(elements: list[Element], places: list[Element]) -> list[Element] | None:
    if not all(isinstance(place, int) and -len(elements) <= place < len(elements) for place in places):
        return None
    return [elements[place] for place in places if isinstance(place, int)]


def _slice(parts: list[list[Element]]) -> list[Element] | None:
    if any(len(part) != 1 or not isinstance(part[0], int) for part in parts[1:]) or len(parts) < 3:
        return None
    numbers = [part[0] for part in parts[1:] if isinstance(part[0], int)]
    step = numbers[3] if len(numbers) > 3 else 1
    return parts[0][numbers[0] : numbers[1] : step] if step > 0 and (len(numbers) < 3 or numbers[2] == 0) else None


def _arithmetic(op_type: str, left: list[Element], right: list[Element]) -> list[Element] | None:
    if len(left) != len(right) and 1 not in (len(left), len(right)):
        return None
    count = max(len(left), len(right))
    found: list[Element] = []
    for a, b in zip(left * (count if len(left) == 1 else 1), right * (count if len(right) == 1 else 1), strict=True):
        if not isinstance(a, int) or not isinstance(b, int) or (op_type == "Div" and (b <= 0 or a < 0)):
            unchanged = (op_type in ("Mul", "Div") and b == 1) or (op_type in ("Add", "Sub") and b == 0)
            found.append(a if unchanged else None)
        else:
            found.append({"Add": a + b, "Sub": a - b, "Mul": a * b, "Div": a // b if b else None}[op_type])
    return found


def _refine(node: Any, types: dict[str, Any], target: list[Element]) -> None:
    """Write the elements of a shape into the type of what the node makes, where that has a gap."""
    made = types[node.output[0]].tensor_type
    source = types[node.input[0]].tensor_type.shape.dim if node.op_type != "ConstantOfShape" else ()
    if not made.HasField("shape") or (made.shape.dim and len(made.shape.dim) != len(target)):
        if node.op_type == "Expand" and len(source) > len(target):
            return
        made.ClearField("shape")
    if not made.HasField("shape") or len(made.shape.dim) != len(target):
        made.shape.SetInParent()
        for _ in target[len(made.shape.dim) :]:
            made.shape.dim.add()
    for place, (dim, element) in enumerate(zip(made.shape.dim, target, strict=True)):
        if dim.HasField("dim_value"):
            continue
        if node.op_type == "Expand":
            back = place - len(target) + len(source)
            mine = _element(source[back]) if back >= 0 else 1
            element = element if mine == 1 else mine if element in (1, mine) else None
        elif node.op_type == "Reshape" and element == 0 and place < len(source):
            element = _element(source[place])
        if isinstance(element, int) and element > 0:
            dim.dim_value = element
        elif isinstance(element, str):
            dim.dim_param = element
