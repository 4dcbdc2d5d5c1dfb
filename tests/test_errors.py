"""The error tree: drawn as it is, and able to cross a process."""

from __future__ import annotations

import inspect
import json
import re

import pytest

from gateway import errors
from gateway.errors import GatewayError, MissingHop, SettingsError, UnsupportedOps

CLASSES = {
    name: cls
    for name, cls in vars(errors).items()
    if inspect.isclass(cls) and issubclass(cls, GatewayError) and not name.startswith("_")
}


def drawn() -> dict[str, str]:
    """Class -> base, read from the drawing at the top of errors.py."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^([ |+-]*)([A-Z][A-Za-z]+)(?:\s{1,}|$)", line)
        if not match or ("+--" not in line and line.strip() != "GatewayError"):
            continue
        depth = len(match[1])
        while path and path[-1][0] >= depth:
            path.pop()
        found[match[2]] = path[-1][1] if path else ""
        path.append((depth, match[2]))
    return found


def test_the_drawing_is_the_tree() -> None:
    tree = {
        name: "" if cls is GatewayError else next(b.__name__ for b in cls.__mro__[1:] if b.__name__ in CLASSES)
        for name, cls in CLASSES.items()
    }
    assert drawn() == tree


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_says_what_it_is(name: str) -> None:
    assert CLASSES[name].__doc__, f"{name} has no docstring"
    assert CLASSES[name].__dict__.get("__doc__"), f"{name} has only its base's docstring"


@pytest.mark.parametrize("name", CLASSES)
def test_json_round_trip_keeps_class_message_hint(name: str) -> None:
    cls = CLASSES[name]
    error = cls.__new__(cls)
    GatewayError.__init__(error, "what was found: größe.", hint="Do this.")
    back = GatewayError.from_json(json.loads(json.dumps(error.to_json())))
    assert (type(back), str(back), back.hint) == (cls, "what was found: größe.", "Do this.")
    assert back.explain() == "what was found: größe. Do this."


def test_an_error_of_another_version_becomes_a_plain_one() -> None:
    back = GatewayError.from_json({"error": "FromTheFuture", "message": "m", "hint": "h"})
    assert (type(back), str(back), back.hint) == (GatewayError, "m", "h")


def test_a_damaged_error_is_still_an_error() -> None:
    assert type(GatewayError.from_json({})) is GatewayError


def test_subclasses_know_nothing_of_protocols() -> None:
    source = inspect.getsource(errors)
    imported = set(re.findall(r"^(?:from|import) (\S+)", source, flags=re.M))
    assert imported <= {"__future__", "collections.abc", "typing"}


SAID = {
    "all operators, counted and in order": (
        lambda: UnsupportedOps("darknet", {"gru": 2, "crnn": 1}, known=14),
        (
            "darknet: no converter for crnn (x1), gru (x2); 14 operators are supported. "
            "Each one is a function in gateway/formats/darknet/: see docs/add-an-op.md."
        ),
    ),
    "what is possible instead": (
        lambda: MissingHop("ONNX", "savedmodel", ["onnx"]),
        "ONNX cannot be converted to savedmodel; it can become: onnx. `gateway formats` lists every road.",
    ),
    "nothing is possible": (
        lambda: MissingHop("X", "onnx", []),
        "X cannot be converted to onnx; it can become: nothing yet. `gateway formats` lists every road.",
    ),
    "all problems": (lambda: SettingsError(["a: no", "b: no"]), "settings: a: no; b: no"),
    "the Environment and the command": (
        lambda: errors.EnvironmentMissing("base"),
        "Environment 'base' is missing: it has not been built. Build it with: gateway doctor --install base",
    ),
}


@pytest.mark.parametrize(("make", "text"), SAID.values(), ids=SAID.keys())
def test_what_is_said(make: type[GatewayError], text: str) -> None:
    assert make().explain() == text
