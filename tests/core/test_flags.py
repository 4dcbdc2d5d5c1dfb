"""Flags of the command line on top of model.toml: what each changes, and all problems at once."""

from __future__ import annotations

import pytest

from gateway.core.flags import Flags, with_flags
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.savedmodel import SavedModelOptions
from gateway.errors import UsageError

TOML = ModelOptions(
    target="savedmodel",
    inputs=(TensorOption("image", "data", layout="nhwc"), TensorOption("scale")),
    outputs=(TensorOption("embedding", "fc1_output"),),
    savedmodel=SavedModelOptions(("a", "b"), "toml/method", ("toml",), trainable=True),
)
EVERY = SavedModelOptions(("k", "l"), "m", ("serve", "mine"), frozen=True)

SAYS = {
    "nothing leaves model.toml as it is": (TOML, Flags(), TOML),
    "an input of its own name": (
        ModelOptions(),
        Flags(inputs=["data:float32[?,3]"]),
        ModelOptions(inputs=(TensorOption("data", "", "float32", (None, 3)),)),
    ),
    "an alias, a name with a colon, a scalar": (
        ModelOptions(),
        Flags(inputs=["p=keep:0:float32[]"]),
        ModelOptions(inputs=(TensorOption("p", "keep:0", "float32", ()),)),
    ),
    "a flag keeps alias and layout that model.toml gives": (
        ModelOptions(inputs=TOML.inputs),
        Flags(inputs=["data:float32[1,3,8,8]"]),
        ModelOptions(inputs=(TensorOption("scale"), TensorOption("image", "data", "float32", (1, 3, 8, 8), "nhwc"))),
    ),
    "outputs replace those of model.toml": (
        ModelOptions(outputs=TOML.outputs),
        Flags(outputs=["relu1", "e=fc1_output", "same=same"]),
        ModelOptions(outputs=(TensorOption("relu1"), TensorOption("e", "fc1_output"), TensorOption("same"))),
    ),
    "everything of a SavedModel": (
        ModelOptions(),
        Flags("savedmodel", (), (), ["k", "l"], ["serve", "mine"], "m", frozen=True),
        ModelOptions("savedmodel", savedmodel=EVERY),
    ),
    "which MetaGraph of a SavedModel is served": (
        ModelOptions(),
        Flags("native", tags=["serve", "gpu"]),
        ModelOptions("native", savedmodel=SavedModelOptions(tags=("serve", "gpu"))),
    ),
    "frozen takes the place of model.toml's trainable": (
        ModelOptions("savedmodel", savedmodel=SavedModelOptions(trainable=True)),
        Flags(frozen=True),
        ModelOptions("savedmodel", savedmodel=SavedModelOptions(frozen=True)),
    ),
}


@pytest.mark.parametrize("name", SAYS)
def test_what_flags_say(name: str) -> None:
    before, flags, after = SAYS[name]
    assert with_flags(before, flags) == after


WRONG = {
    "every problem at once": (
        Flags("onnx", ["x:float32"], ["=y"], ["k", "k"], [""], trainable=True, frozen=True),
        ["'x:float32' is not NAME", "'=y'", "--signature, --tag", "'onnx'", "'k' is given twice", "--tag is empty",
         "exclude each other"],
    ),
    "an alias without a name": (Flags(outputs=["y="]), ["'y='"]),
    "an alias of nothing": (Flags(inputs=["x=:float32[1]"]), ["x=:float32[1]"]),
    "two of one name": (Flags(outputs=["a", "a=b"]), ["--output: two are called 'a'"]),
    "a graph has no tags": (Flags("frozen", tags=["serve"]), ["--tag: of a SavedModel alone", "'frozen'"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong(name: str) -> None:
    flags, says = WRONG[name]
    with pytest.raises(UsageError) as error:
        with_flags(ModelOptions(), flags)
    assert [part for part in says if part not in error.value.message] == []
