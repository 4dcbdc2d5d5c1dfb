"""Names of models never become a path that they should not."""

from __future__ import annotations

import pytest

from gateway.core.names import check_model_name, did_you_mean, is_model_name, nearest
from gateway.errors import InvalidRequest

GOOD = ["a", "7", "digits", "resnet-50", "yolo_v5.onnx", "A" * 128, "a..b"]
BAD = {
    "empty": "",
    "the parent": "..",
    "hidden": ".hidden",
    "a path": "a/b",
    "a path on Windows": "a\\b",
    "a leading dash is an option": "-rf",
    "too long": "a" * 129,
    "a blank": "a b",
    "a new line at the end": "a\n",
    "a zero byte": "a\0",
    "not ASCII": "größe",
    "digits that are not ASCII": "\u0663",
    "a URL": "a%2Fb",
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    assert check_model_name(name) == name


@pytest.mark.parametrize("name", BAD.values(), ids=BAD.keys())
def test_bad(name: str) -> None:
    assert not is_model_name(name)
    with pytest.raises(InvalidRequest, match="is not a model name; expected 1 to 128") as caught:
        check_model_name(name)
    assert len(str(caught.value)) < 400, "a long name does not flood the log"


NEAR = {
    "a typo": ("onxn", ["onnx", "savedmodel"], "onnx"),
    "two letters swapped": ("taget", ["target", "verify"], "target"),
    "nothing close": ("zzz", ["target", "verify"], None),
    "nothing known": ("a", [], None),
}


@pytest.mark.parametrize(("name", "known", "expected"), NEAR.values(), ids=NEAR.keys())
def test_nearest(name: str, known: list[str], expected: str | None) -> None:
    assert nearest(name, known) == expected
    assert did_you_mean(name, known) == (f" Did you mean {expected!r}?" if expected else "")
