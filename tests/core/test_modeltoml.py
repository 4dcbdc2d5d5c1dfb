"""model.toml: every key, every wrong key, and all problems at once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.core.modeltoml import ModelOptions, TensorOption, parse
from gateway.core.preprocess import Preprocess
from gateway.errors import ModelTomlError

FULL = """
target = "onnx"
verify = "required"
serve_failed = true
trusted = true
class = "parts/net.py:Net"
isolation = "process"
labels = "words/labels.txt"
[[inputs]]
from = "data"
name = "image"
dtype = "float32"
shape = ["?", 3, 112, 112]
[[inputs]]
name = "scale"
[[outputs]]
from = "fc1_output"
[preprocess]
resize = [112, 112]
colour = "bgr"
"""

GOOD = {
    "empty": ("", ModelOptions()),
    "only a comment": ("# nothing to say\n", ModelOptions()),
    "every key": (
        FULL,
        ModelOptions(
            target="onnx",
            verify="required",
            serve_failed=True,
            trusted=True,
            class_="parts/net.py:Net",
            isolation="process",
            labels="words/labels.txt",
            inputs=(TensorOption("image", "data", "float32", (None, 3, 112, 112)), TensorOption("scale")),
            outputs=(TensorOption("fc1_output", "fc1_output"),),
            preprocess=Preprocess(resize=(112, 112), colour="bgr"),
        ),
    ),
    "a number said once": (
        '[[inputs]]\nname = "sr"\nvalue = 16000',
        ModelOptions(inputs=(TensorOption("sr", value=16000),)),
    ),
    "a scalar": ('[[inputs]]\nname = "x"\nshape = []', ModelOptions(inputs=(TensorOption("x", shape=()),))),
    "labels below [preprocess] are the model's": (
        '[preprocess]\ncolour = "bgr"\nlabels = "l.txt"',
        ModelOptions(labels="l.txt", preprocess=Preprocess(colour="bgr")),
    ),
    "minus one is free": (
        '[[inputs]]\nname = "x"\nshape = [-1, 2]',
        ModelOptions(inputs=(TensorOption("x", shape=(None, 2)),)),
    ),
}


@pytest.mark.parametrize(("text", "options"), GOOD.values(), ids=GOOD.keys())
def test_parse(text: str, options: ModelOptions) -> None:
    assert parse(text) == options


@pytest.mark.parametrize("options", [options for _, options in GOOD.values()], ids=GOOD.keys())
def test_json_round_trip(options: ModelOptions) -> None:
    assert ModelOptions.from_json(json.loads(json.dumps(options.to_json()))) == options


BAD = {
    "no TOML says the line": ('verify = "auto"\ntarget = ]\n', ["not valid TOML", "line 2"]),
    "an unknown key names the nearest": ('taget = "onnx"', ["no such key 'taget'. Did you mean 'target'?"]),
    "an unknown key far from all": ("zzz = 1", ["no such key 'zzz'."]),
    "a wrong choice": ('target = "tflite"', ["target is 'tflite', expected one of auto, onnx, savedmodel"]),
    "a wrong choice has a neighbour": ('verify = "requird"', ["Did you mean 'required'?"]),
    "a number for a choice": ("target = 1", ["target is 1, expected one of"]),
    "a list for a choice": ('target = ["onnx"]', ["target is ['onnx'], expected one of"]),
    "text for a boolean": ('serve_failed = "yes"', ["serve_failed is 'yes', expected true or false"]),
    "labels outside": ('labels = "../labels.txt"', ["labels is '../labels.txt', expected the name of a file beside"]),
    "a value that is no number": ('[[inputs]]\nname = "sr"\nvalue = "16k"', ["value is '16k', expected a number"]),
    "a value of an output": ('[[outputs]]\nname = "y"\nvalue = 1', ["[[outputs]] 1: value is of an input"]),
    "a class without its file": ('class = "Net"', ["class is 'Net', expected a Python file beside the model"]),
    "a class of another folder": ('class = "../net.py:Net"', ["expected a Python file beside the model"]),
    "labels at an absolute place": ('labels = "/etc/passwd"', ["expected the name of a file beside"]),
    "labels inside out": ('labels = "a/../../b"', ["expected the name of a file beside"]),
    "labels twice": (
        'labels = "a"\n[preprocess]\nlabels = "b"',
        ["[preprocess]: no such key 'labels'"],
    ),
    "labels empty": ('labels = ""', ["expected the name of a file beside"]),
    "inputs as a table": ('[inputs]\nname = "x"', ["inputs is dict, expected tables: [[inputs]]"]),
    "inputs as text": ('inputs = "x"', ["inputs is str, expected tables"]),
    "an input without a name": ('[[inputs]]\ndtype = "float32"', ["[[inputs]] 1: has neither `name` nor `from`"]),
    "a name that is a number": ("[[inputs]]\nname = 3", ["[[inputs]] 1: name is 3, expected text"]),
    "an unknown key of an input": ('[[inputs]]\nname = "x"\nshap = [1]', ["no such key 'shap'. Did you mean 'shape'?"]),
    "an unknown dtype": ('[[inputs]]\nname = "x"\ndtype = "float"', ["dtype is 'float', expected one of float32"]),
    "a shape that is text": ('[[inputs]]\nname = "x"\nshape = "?"', ["shape is '?', expected a list"]),
    "a size that is a word": ('[[inputs]]\nname = "x"\nshape = ["n"]', ["dimension 'n' is neither"]),
    "a size that is true": ('[[inputs]]\nname = "x"\nshape = [true]', ["dimension True is neither"]),
    "a size that is a fraction": ('[[inputs]]\nname = "x"\nshape = [1.5]', ["dimension 1.5 is neither"]),
    "a size that is a list": ('[[inputs]]\nname = "x"\nshape = [[1]]', ["dimension [1] is neither"]),
    "a dtype that is a list": (
        '[[inputs]]\nname = "x"\ndtype = ["float32"]',
        ["dtype is ['float32'], expected one of"],
    ),
    "one name twice": ('[[outputs]]\nname = "y"\n[[outputs]]\nname = "y"', ["[[outputs]] has the name 'y' twice"]),
    "all problems together": (
        'taget = "onnx"\nverify = "x"\n[[inputs]]\nname = "a"\ndtype = "f"\n[preprocess]\nscal = 1',
        [
            "'taget'",
            "verify is 'x'",
            "[[inputs]] 1: dtype is 'f'",
            "[preprocess]: no such key 'scal'. Did you mean 'scale'?",
        ],
    ),
}


@pytest.mark.parametrize(("text", "says"), BAD.values(), ids=BAD.keys())
def test_parse_says_what_is_wrong(text: str, says: list[str]) -> None:
    with pytest.raises(ModelTomlError) as caught:
        parse(text, where="faces/3/model.toml")
    assert str(caught.value).startswith("faces/3/model.toml: ")
    for part in says:
        assert part in str(caught.value)
    if "not valid TOML" not in says:
        assert len(caught.value.problems) == len(says) or len(says) > 1


CHANGES = {
    "another target is another artifact": ({"target": "savedmodel"}, True),
    "another input is another artifact": ({"inputs": (TensorOption("x"),)}, True),
    "labels are part of the artifact": ({"labels": "l.txt"}, True),
    "preprocessing is part of the artifact": ({"preprocess": Preprocess()}, True),
    "no proof is another artifact": ({"verify": "off"}, True),
    "required is the same proof as auto": ({"verify": "required"}, False),
    "serving a failed one changes no bytes": ({"serve_failed": True}, False),
    "a process of its own changes no bytes": ({"isolation": "process"}, False),
}


@pytest.mark.parametrize(("change", "differs"), CHANGES.values(), ids=CHANGES.keys())
def test_digest_text(change: dict[str, object], differs: bool) -> None:
    changed = replace(ModelOptions(), **change)  # type: ignore[arg-type]
    assert (changed.digest_text() != ModelOptions().digest_text()) is differs
