"""pipeline.toml: what it may say, and what is wrong with it, all at once."""

from __future__ import annotations

import pytest

from gateway.core.pipeline import parse
from gateway.errors import PipelineTomlError

GOOD = """
missing = "Two, please."
[inputs]
photo = "image"
x = "float32[?,3]"
[parameters]
face = "largest"
[[step]]
name = "net"
model = "resnet"
version = 3
in = { image = "pixels.images", x = "x" }
[[step]]
name = "pixels"
op = "decode"
in = { files = "photo" }
[[step]]
name = "faces"
op = "detect-mtcnn"
in = { image = "pixels.images" }
models = { pnet = "p", rnet = "r", onet = "o" }
min_size = "$face"
[outputs]
class = "net.prob"
"""


def test_read() -> None:
    found = parse(GOOD)
    assert [step.name for step in found.steps] == ["pixels", "net", "faces"], "in an order to run in"
    assert found.members == (("resnet", 3), ("p", None), ("r", None), ("o", None))
    assert found.inputs["photo"] is None
    assert str(found.inputs["x"]) == "x:float32[?,3]"
    assert (found.outputs, found.missing) == ({"class": "net.prob"}, "Two, please.")
    assert found.steps[2].options == {"min_size": "$face"}


BASE = '[inputs]\nx = "float32[?,3]"\n'
STEP = '[[step]]\nname = "{0}"\nop = "l2-normalise"\nin = {{ x = "{1}" }}\n'
OUT = '[outputs]\ny = "a.y"\n'
BAD = {
    "no TOML": ("[", ["not valid TOML"]),
    "nothing": ("", ["[inputs] is missing", "there are no steps", "[outputs] is missing"]),
    "an unknown key": (BASE + "[step_]\n" + OUT, ["no such key 'step_'. Did you mean 'step'?"]),
    "a cycle": (
        BASE + STEP.format("a", "b.y") + STEP.format("b", "c.y") + STEP.format("c", "a.y") + OUT,
        ["the steps wait for one another: a -> c -> b -> a"],
    ),
    "itself": (BASE + STEP.format("a", "a.y") + OUT, ["the steps wait for one another: a -> a"]),
    "a step that is not there": (
        BASE + STEP.format("a", "pixel.y") + OUT,
        ["edge pixel.y -> a.x: no step is called 'pixel'"],
    ),
    "an input that is not there": (BASE + STEP.format("a", "y") + OUT, ["edge y -> a.x: no input is called 'y'"]),
    "a step without its port": (
        BASE + STEP.format("a", "x") + STEP.format("b", "a") + OUT,
        ["edge a -> b.x: no input is called 'a'. Its outputs are a.PORT."],
    ),
    "an output of nothing": (BASE + STEP.format("a", "x") + '[outputs]\ny = "b.y"\n', ["edge b.y -> output y"]),
    "two of one name": (BASE + STEP.format("a", "x") * 2 + OUT, ["two steps are called 'a'"]),
    "another op": (
        BASE + '[[step]]\nname = "a"\nop = "l2-normalize"\n' + OUT,
        ["op is 'l2-normalize'", "Did you mean 'l2-normalise'?"],
    ),
    "op and model": (BASE + '[[step]]\nname = "a"\nop = "nms"\nmodel = "m"\n' + OUT, ["expected `op` or `model`"]),
    "options of a model": (
        BASE + '[[step]]\nname = "a"\nmodel = "m"\nk = 3\n' + OUT,
        ["a model has no options, found k"],
    ),
    "a version of a step": (BASE + '[[step]]\nname = "a"\nop = "nms"\nversion = 1\n' + OUT, ["version is 1"]),
    "a path for a model": (
        BASE + '[[step]]\nname = "a"\nmodel = "../m"\n' + OUT,
        ["'../m' is not the name of a model"],
    ),
    "a dot in a name": (BASE + STEP.format("a.b", "x") + OUT, ["name is 'a.b', expected a name without dots"]),
    "an input of no type": (
        '[inputs]\nx = "floats"\n' + STEP.format("a", "x") + OUT,
        ["[inputs] x: 'x:floats' is not"],
    ),
    "a parameter that is not there": (
        BASE + STEP.format("a", "x") + 'k = "$size"\n[parameters]\nsizes = 3\n' + OUT,
        ["k is '$size', and no parameter is called so. Did you mean 'sizes'?"],
    ),
    "a parameter of no kind": (
        BASE + "[parameters]\nk = true\n" + STEP.format("a", "x") + OUT,
        ["[parameters] k is True"],
    ),
    "one name twice": (
        BASE + "[parameters]\nx = 1\n" + STEP.format("a", "x") + OUT,
        ["'x' is an input and a parameter"],
    ),
}


@pytest.mark.parametrize(("text", "says"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong(text: str, says: list[str]) -> None:
    with pytest.raises(PipelineTomlError) as found:
        parse(text)
    assert all(part in found.value.message for part in says), found.value.message
