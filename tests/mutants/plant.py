"""Planted bugs: every small, believable mistake in the source of operator functions, one at a time.

    for mutant in mutants_of("gateway.formats.mxnet.ops.nn", source):
        wrong = planted(source, mutant)

A mutant is a stretch of the source and what stands there instead: a number one off or with the other
sign, a comparison or a condition the other way round, operands or items swapped, an attribute that is
not read or has another default, an ONNX operator or mode that is nearly right, a keyword, an input or
a statement that was forgotten, neighbours in a table exchanged.

Rule 1: what cannot change a number is not planted: messages of errors, types, docstrings, imports,
        the order inside sets of names, and conditions that only lead to a refusal (a refusal that is
        missing is judged by rows that must be refused, not here). A place counted from the other end
        is no slip either: of one input the last is the first.
Rule 2: a mutant is called by where it is and what it says, with its number among equals, so that
        other changes of the file leave its name alone.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">"), ast.LtE: ("<", ">"), ast.Gt: (">=", "<"), ast.GtE: (">", "<"), ast.Eq: ("!=",),
    ast.NotEq: ("==",), ast.Is: ("is not",), ast.IsNot: ("is",), ast.In: ("not in",), ast.NotIn: ("in",),
}  # fmt: skip
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "+", ast.FloorDiv: "*", ast.Div: "*", ast.Mod: "//", ast.Pow: "*",
}  # fmt: skip
NOT_COMMUTATIVE = (ast.Sub, ast.FloorDiv, ast.Div, ast.Mod, ast.Pow)
COMMUTATIVE_NODES = ("Add", "Mul", "Max", "Min", "Sum", "Mean", "Equal", "And", "Or", "Xor")
PAIRS = (
    ("Add", "Sub"), ("Mul", "Div"), ("Max", "Min"), ("ReduceMax", "ReduceMin"), ("ReduceSum", "ReduceMean"),
    ("ReduceL1", "ReduceL2"), ("ArgMax", "ArgMin"), ("Floor", "Ceil"), ("And", "Or"), ("Less", "LessOrEqual"),
    ("Greater", "GreaterOrEqual"), ("MaxPool", "AveragePool"), ("GlobalMaxPool", "GlobalAveragePool"),
    ("Sigmoid", "Tanh"), ("Relu", "Softplus"), ("Elu", "LeakyRelu"), ("Softmax", "LogSoftmax"), ("Exp", "Log"),
    ("Sin", "Cos"), ("Sqrt", "Abs"), ("Neg", "Identity"), ("Reciprocal", "Sign"), ("Sinh", "Cosh"),
    ("Asin", "Acos"), ("Tan", "Atan"), ("Expand", "Tile"), ("Round", "Floor"), ("nearest", "linear"),
    ("asymmetric", "align_corners"), ("half_pixel", "pytorch_half_pixel"), ("floor", "round_prefer_floor"),
    ("constant", "edge"), ("reflect", "edge"), ("forward", "bidirectional"), ("avg", "max"), ("DCR", "CRD"),
)  # fmt: skip
SIBLINGS = {name: other for pair in PAIRS for name, other in (pair, pair[::-1])}
GETTERS = ("int", "float", "bool", "str", "ints", "floats", "choice", "dtype", "optional_int", "optional_bool",
           "optional_float", "optional_ints", "has")  # fmt: skip
SETS_OF_NAMES = ("choice", "isinstance", "frozenset", "set", "op", "refused")
ERRORS = ("error", "refuse")


@dataclass(frozen=True)
class Mutant:
    """`span` is (first line, byte column, last line, byte column); `lines` those of the statement that it is in."""

    module: str
    function: str  # "" for the module's tables and constants
    kind: str
    before: str
    after: str
    span: tuple[int, int, int, int]
    lines: tuple[int, int]
    number: int = 1
    name: str = ""

    @property
    def family(self) -> str:
        return self.module.rpartition(".")[2]


def mutants_of(module: str, source: str) -> list[Mutant]:
    """Every mutant of one file, in order of the source."""
    found: list[Mutant] = []
    seen: Counter[str] = Counter()
    for mutant in _Planter(module, source).all():
        name = f"{mutant.family}.{mutant.function or 'tables'}: {mutant.kind}: {mutant.before} -> {mutant.after}"
        seen[name] += 1
        found.append(replace(mutant, number=seen[name], name=name if seen[name] == 1 else f"{name} ({seen[name]})"))
    return found


def planted(source: str, mutant: Mutant) -> str:
    """The source with the mistake in it."""
    lines = source.encode().splitlines(keepends=True)
    first, start, last, end = mutant.span
    head, tail = lines[first - 1][:start], lines[last - 1][end:]
    indent = mutant.after.encode()
    return b"".join([*lines[: first - 1], head + indent + tail, *lines[last:]]).decode()


class _Planter:
    def __init__(self, module: str, source: str) -> None:
        self.module, self.tree = module, ast.parse(source)
        self.rows = source.encode().splitlines(keepends=True)
        self.function, self.lines = "", (0, 0)
        self.names: set[str] = set()  # assigned so far in the function
        self.modes: list[str] = []  # strings that the function compares with

    def all(self) -> Iterator[Mutant]:
        for statement in self.tree.body:
            yield from self._top(statement, "")

    def _top(self, statement: ast.stmt, inside: str) -> Iterator[Mutant]:
        if isinstance(statement, ast.FunctionDef):
            self.function = f"{inside}{statement.name}"
            self.names = {argument.arg for argument in ast.walk(statement.args) if isinstance(argument, ast.arg)}
            self.modes = _modes(statement)
            for default in (*statement.args.defaults, *(d for d in statement.args.kw_defaults if d)):
                self.lines = (statement.body[0].lineno, statement.end_lineno or 0)
                yield from self._expression(default)
            yield from self._body(statement.body)
            self.function = ""
        elif isinstance(statement, ast.ClassDef):
            for each in statement.body:
                yield from self._top(each, f"{statement.name}.")
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            self.lines = (0, 0)
            if not inside:
                yield from self._expression(statement.value)

    def _body(self, body: Sequence[ast.stmt]) -> Iterator[Mutant]:
        for statement in body:
            yield from self._statement(statement)

    def _statement(self, statement: ast.stmt) -> Iterator[Mutant]:
        if isinstance(statement, ast.Raise | ast.Import | ast.ImportFrom | ast.Pass | ast.Assert | ast.Nonlocal):
            return
        if isinstance(statement, ast.FunctionDef):  # of a closure
            self.names |= {argument.arg for argument in ast.walk(statement.args) if isinstance(argument, ast.arg)}
            yield from self._body(statement.body)
            return
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            return  # a docstring
        if isinstance(statement, ast.If | ast.While | ast.For | ast.With):
            yield from self._compound(statement)
            return
        self.lines = (statement.lineno, statement.end_lineno or statement.lineno)
        if isinstance(statement, ast.Expr):
            if not _is_definition(statement.value):
                yield self._mutant("dropped statement", statement, "pass")
                yield from self._expression(statement.value)
        elif isinstance(statement, ast.AugAssign):
            yield self._mutant("dropped statement", statement, "pass")
            yield from self._expression(statement.value)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            yield from self._assignment(statement)
        elif isinstance(statement, ast.Return) and statement.value is not None:
            yield from self._expression(statement.value)

    def _assignment(self, statement: ast.Assign | ast.AnnAssign) -> Iterator[Mutant]:
        if statement.value is None or (isinstance(statement, ast.Assign) and _is_doc(statement)):
            return
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        made = {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
        if made and made <= self.names and not any(isinstance(t, ast.Subscript) for t in targets):
            yield self._mutant("dropped statement", statement, "pass")
        if any(isinstance(target, ast.Subscript | ast.Attribute) for target in targets):
            yield self._mutant("dropped statement", statement, "pass")
        yield from self._expression(statement.value)
        self.names |= made

    def _compound(self, statement: ast.If | ast.While | ast.For | ast.With) -> Iterator[Mutant]:
        if isinstance(statement, ast.If | ast.While):
            self.lines = (statement.lineno, statement.test.end_lineno or statement.lineno)
            if not _only_refuses(statement):
                yield from self._condition(statement.test)
                if isinstance(statement, ast.If) and not statement.orelse and not _ends(statement.body):
                    whole = (*_position(statement)[:2], *_position(statement.body[-1])[2:])
                    yield self._mutant("dropped statement", statement, "pass", whole)
            yield from self._body(statement.body)
            yield from self._body(statement.orelse)
            return
        self.lines = (statement.lineno, statement.body[0].lineno - 1)
        if isinstance(statement, ast.For):
            self.names |= {n.id for n in ast.walk(statement.target) if isinstance(n, ast.Name)}
            yield from self._expression(statement.iter)
        yield from self._body(statement.body)

    def _condition(self, test: ast.expr) -> Iterator[Mutant]:
        if isinstance(test, ast.Compare | ast.BoolOp) or (
            isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        ):
            yield from self._expression(test)
            return
        yield self._mutant("condition negated", test, f"(not ({self._text(test)}))")
        yield from self._expression(test)

    def _expression(self, node: ast.expr) -> Iterator[Mutant]:
        """Mutants of an expression and of all in it."""
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Call) and _called(node) in ERRORS):
            return
        whole: dict[type[ast.expr], Callable[[Any], Iterator[Mutant]]] = {
            ast.Constant: self._constant, ast.Compare: self._compare, ast.Dict: self._table, ast.Call: self._call,
            ast.IfExp: self._choice,
        }  # fmt: skip
        itself: dict[type[ast.expr], Callable[[Any], Iterator[Mutant]]] = {
            ast.BoolOp: self._boolean, ast.BinOp: self._binary, ast.List: self._swapped, ast.Tuple: self._swapped,
        }  # fmt: skip
        if type(node) in whole:
            yield from whole[type(node)](node)
            return
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            yield from self._number(node, -node.operand.value)  # type: ignore[operator]
            return
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and type(node.slice.value) is int:
            yield from self._expression(node.value)
            yield from (m for m in self._number(node.slice, node.slice.value) if not m.after.startswith("("))
            return
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield self._mutant("condition negated", node, f"bool({self._text(node.operand)})")
        elif type(node) in itself:
            yield from itself[type(node)](node)
        yield from self._inside(node)

    def _inside(self, node: ast.expr) -> Iterator[Mutant]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from self._expression(child)
            elif isinstance(child, ast.comprehension):
                yield from self._expression(child.iter)
                for test in child.ifs:
                    yield from self._condition(test)

    def _choice(self, node: ast.IfExp) -> Iterator[Mutant]:
        yield from self._condition(node.test)
        yield from self._expression(node.body)
        yield from self._expression(node.orelse)

    def _constant(self, node: ast.Constant) -> Iterator[Mutant]:
        if isinstance(node.value, bool):
            yield self._mutant("boolean", node, str(not node.value))
        elif isinstance(node.value, int | float):
            yield from self._number(node, node.value)

    def _number(self, node: ast.expr, value: float) -> Iterator[Mutant]:
        text = self._text(node)
        off = [value + 1, value - 1] if isinstance(value, int) else [value + 1]
        for other in (*off, *([-value] if value and -value not in off else [])):
            yield self._mutant("number", node, f"({other!r})" if other < 0 else repr(other), before=text)

    def _compare(self, node: ast.Compare) -> Iterator[Mutant]:
        operator, left, right = node.ops[0], node.left, node.comparators[0]
        if len(node.ops) == 1:
            for other in COMPARISONS.get(type(operator), ()):
                yield self._mutant("comparison", node, f"({self._text(left)} {other} {self._text(right)})")
        if len(node.ops) == 1 and isinstance(right, ast.Constant) and isinstance(right.value, str):
            others = [mode for mode in self.modes if mode != right.value]
            yield self._mutant("mode", right, repr(others[0] if others else right.value + "_"))
        yield from self._expression(left)
        if not isinstance(operator, ast.In | ast.NotIn):
            for each in node.comparators:
                yield from self._expression(each)

    def _boolean(self, node: ast.BoolOp) -> Iterator[Mutant]:
        word = " or " if isinstance(node.op, ast.And) else " and "
        yield self._mutant("and, or", node, f"({word.join(f'({self._text(value)})' for value in node.values)})")

    def _binary(self, node: ast.BinOp) -> Iterator[Mutant]:
        left, right = self._text(node.left), self._text(node.right)
        if any(isinstance(n, ast.List | ast.Tuple | ast.JoinedStr | ast.ListComp) for n in (node.left, node.right)):
            return
        if type(node.op) in OPERATORS:
            yield self._mutant("operator", node, f"(({left}) {OPERATORS[type(node.op)]} ({right}))")
        if isinstance(node.op, NOT_COMMUTATIVE) and left != right:
            yield self._mutant("operands swapped", node, f"(({right}) {_sign(node.op)} ({left}))")

    def _swapped(self, node: ast.List | ast.Tuple) -> Iterator[Mutant]:
        """Two neighbours exchanged: gates, pads at begin and end, axes, inputs."""
        if not isinstance(node.ctx, ast.Load):
            return
        texts = [self._text(item) for item in node.elts]
        for place in sorted({0, len(texts) - 2}) if len(texts) > 1 else ():
            if texts[place] == texts[place + 1]:
                continue
            other = list(texts)
            other[place], other[place + 1] = other[place + 1], other[place]
            yield self._mutant("order", node, _literal(node, other, self._text(node)))

    def _table(self, node: ast.Dict) -> Iterator[Mutant]:
        """Values of neighbouring keys exchanged."""
        values = [self._text(value) for value in node.values]
        for first, second in zip(range(0, len(values) - 1, 2), range(1, len(values), 2), strict=False):
            if values[first] != values[second] and all(node.keys[place] is not None for place in (first, second)):
                start, end = _position(node.values[first]), _position(node.values[second])
                key = self._text(node.keys[second])  # type: ignore[arg-type]
                after = f"{values[second]}, {key}: {values[first]}"
                yield self._mutant(
                    "table", node, after, (*start[:2], *end[2:]), f"{values[first]}, {key}: {values[second]}"
                )
        for value in node.values:
            yield from self._expression(value)

    def _call(self, node: ast.Call) -> Iterator[Mutant]:
        called = _called(node)
        if isinstance(node.func, ast.Attribute):
            yield from self._expression(node.func.value)
        if (
            called in GETTERS
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, str)
        ):
            yield from self._getter(node, called)
            return
        if called in SETS_OF_NAMES:
            return
        arguments = list(node.args)
        first = arguments[0] if arguments else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            if first.value in SIBLINGS:
                yield self._mutant("ONNX operator", first, repr(SIBLINGS[first.value]))
            if called in ("node", "nodes") and len(arguments) > 1 and isinstance(arguments[1], ast.List):
                yield from self._inputs(arguments[1], first.value)
                arguments = arguments[2:]
        for argument in arguments:
            yield from self._expression(argument)
        yield from self._keywords(node, called)

    def _keywords(self, node: ast.Call, called: str) -> Iterator[Mutant]:
        for place, keyword in enumerate(node.keywords):
            if called in ("node", "nodes") and keyword.arg and place + 1 <= len(node.keywords):
                start, end = _position(keyword), _position(keyword)
                text = f"{keyword.arg}={self._text(keyword.value)}"
                yield self._mutant("dropped keyword", node, "**{}", (*start[:2], *end[2:]), text)
            value = keyword.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value in SIBLINGS:
                yield self._mutant("mode", value, repr(SIBLINGS[value.value]))
            yield from self._expression(value)

    def _inputs(self, node: ast.List, operator: str) -> Iterator[Mutant]:
        if operator not in COMMUTATIVE_NODES:
            yield from self._swapped(node)
        if len(node.elts) > 1:
            rest = [self._text(item) for item in node.elts[:-1]]
            yield self._mutant("dropped input", node, _literal(node, rest, self._text(node)))
        for item in node.elts:
            yield from self._expression(item)

    def _getter(self, node: ast.Call, called: str) -> Iterator[Mutant]:
        key = node.args[0]
        assert isinstance(key, ast.Constant)
        yield self._mutant("attribute not read", key, repr(f"{key.value}_"))
        names = node.args[1] if called == "choice" and len(node.args) > 1 else None
        at = 2 if called == "choice" else 1
        if len(node.args) <= at:
            return
        default = node.args[at]
        if isinstance(default, ast.Constant) and isinstance(default.value, str):
            known = [n.value for n in ast.walk(names) if isinstance(n, ast.Constant)] if names is not None else []
            others = [name for name in known if name != default.value]
            if others:
                yield self._mutant("attribute default", default, repr(others[0]))
            return
        if isinstance(default, ast.Tuple) and not default.elts:
            yield self._mutant("attribute default", default, "(1,)")
            return
        for mutant in self._expression(default):
            yield replace(mutant, kind="attribute default")

    def _text(self, node: ast.AST) -> str:
        first, start, last, end = _position(node)
        if first == last:
            return self.rows[first - 1][start:end].decode()
        return b"".join(
            [self.rows[first - 1][start:], *self.rows[first : last - 1], self.rows[last - 1][:end]]
        ).decode()

    def _mutant(self, kind: str, node: ast.AST, after: str, span: tuple[int, ...] = (), before: str = "") -> Mutant:
        place = span or _position(node)
        text = " ".join((before or self._text(node)).split())
        assert len(place) == 4
        return Mutant(self.module, self.function, kind, text, after, place, self.lines)  # type: ignore[arg-type]


def _position(node: ast.AST) -> tuple[int, int, int, int]:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]


def _called(node: ast.Call) -> str:
    function = node.func
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _sign(operator: ast.operator) -> str:
    return {ast.Sub: "-", ast.FloorDiv: "//", ast.Div: "/", ast.Mod: "%", ast.Pow: "**"}[type(operator)]  # type: ignore[index]


def _literal(node: ast.List | ast.Tuple, items: Sequence[str], text: str) -> str:
    """A list or tuple of these items, in brackets where the old one had them."""
    inner = ", ".join(items)
    if isinstance(node, ast.List):
        return f"[{inner}]"
    return f"({inner}{',' if len(items) == 1 else ''})" if text.startswith("(") else inner


def _modes(function: ast.FunctionDef) -> list[str]:
    found = [
        each.value
        for node in ast.walk(function)
        if isinstance(node, ast.Compare)
        for each in node.comparators
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
    return list(dict.fromkeys(found))


def _only_refuses(statement: ast.If | ast.While) -> bool:
    return not statement.orelse and isinstance(statement.body[-1], ast.Raise)


def _ends(body: Sequence[ast.stmt]) -> bool:
    return any(isinstance(each, ast.Raise) for each in body)


def _is_definition(value: ast.expr) -> bool:
    """op("mxnet", name)(function): registration, not arithmetic."""
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Call)


def _is_doc(statement: ast.Assign) -> bool:
    return any(isinstance(target, ast.Attribute) and target.attr == "__doc__" for target in statement.targets)
