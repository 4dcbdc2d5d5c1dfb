"""model.toml: what the owner of a model says about it. Parsed here, read elsewhere.

    target = "onnx"                 # onnx | savedmodel | frozen | native | auto; "" is the format's own first choice
    verify = "auto"                 # required | auto | off
    serve_failed = false
    trusted = false                 # its files may run their author's code, in the sandbox
    class = "net.py:Net"            # of weights without a graph: the Python class that they are for, beside them
    isolation = "none"              # process | none
    [[inputs]]                      # likewise [[outputs]]
    from = "data"                   # the model's own tensor; `name` is the public alias
    name = "image"
    dtype = "float32"
    shape = ["?", 3, 112, 112]
    layout = "nhwc"                 # of a SavedModel: clients see channels last
    value = 16000                   # a number that PyTorch's forward() takes, said once: clients do not send it
    [savedmodel]                    # core/savedmodel.py
    [preprocess]                    # inputs that are pictures
    labels = "labels.txt"

Rule 1: all problems are reported together; an unknown key names the nearest known one.
Rule 2: what changes the artifact is in `digest_text`; what changes only serving is not.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.dtypes import BY_NAME
from gateway.core.names import did_you_mean
from gateway.core.preprocess import Preprocess, read_preprocess
from gateway.core.savedmodel import SavedModelOptions, read_savedmodel
from gateway.core.signature import Shape
from gateway.errors import ModelTomlError

FILE = "model.toml"


@dataclass(frozen=True)
class TensorOption:
    """What the owner says of one tensor. `tensor` is the model's own name, `name` the public alias."""

    name: str
    tensor: str = ""
    dtype: str = ""
    shape: Shape | None = None
    layout: str = ""  # "nhwc": the client's order of axes is channels last
    value: float | None = None  # a number said once and for all; a whole one stays an int

    @property
    def own_name(self) -> str:
        return self.tensor or self.name

    def to_json(self) -> dict[str, Any]:
        shape = None if self.shape is None else ["?" if s is None else s for s in self.shape]
        data = {"name": self.name, "tensor": self.tensor, "dtype": self.dtype, "shape": shape}
        data |= {"layout": self.layout} if self.layout else {}
        return data | ({"value": self.value} if self.value is not None else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TensorOption:
        shape = data["shape"]
        return cls(
            data["name"],
            data["tensor"],
            data["dtype"],
            None if shape is None else tuple(None if s == "?" else int(s) for s in shape),
            data.get("layout", ""),
            data.get("value"),
        )


@dataclass(frozen=True)
class ModelOptions:
    """Everything model.toml can say, with defaults."""

    target: str = ""
    verify: str = "auto"
    serve_failed: bool = False
    trusted: bool = False
    class_: str = ""  # "net.py:Net"
    isolation: str = "none"
    inputs: tuple[TensorOption, ...] = ()
    outputs: tuple[TensorOption, ...] = ()
    preprocess: Preprocess | None = None
    labels: str = ""
    config_pbtxt: str = ""  # the text of Triton's config.pbtxt, where one lies beside the model
    savedmodel: SavedModelOptions = field(default_factory=SavedModelOptions)

    def to_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "verify": self.verify,
            "serve_failed": self.serve_failed,
            **({"trusted": True} if self.trusted else {}),
            **({"class": self.class_} if self.class_ else {}),
            "isolation": self.isolation,
            "inputs": [option.to_json() for option in self.inputs],
            "outputs": [option.to_json() for option in self.outputs],
            "preprocess": self.preprocess.to_json() if self.preprocess else None,
            "labels": self.labels,
            "config_pbtxt": self.config_pbtxt,
            "savedmodel": self.savedmodel.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelOptions:
        preprocess = data.get("preprocess")
        return cls(
            target=data["target"],
            verify=data["verify"],
            serve_failed=data["serve_failed"],
            trusted=bool(data.get("trusted", False)),
            class_=data.get("class", ""),
            isolation=data["isolation"],
            inputs=tuple(TensorOption.from_json(o) for o in data["inputs"]),
            outputs=tuple(TensorOption.from_json(o) for o in data["outputs"]),
            preprocess=Preprocess.from_json(preprocess) if preprocess else None,
            labels=data["labels"],
            config_pbtxt=data.get("config_pbtxt", ""),
            savedmodel=SavedModelOptions.from_json(data["savedmodel"]),
        )

    def digest_text(self) -> str:
        """What of this changes the artifact, as canonical JSON: the store's key holds its hash."""
        data = self.to_json()
        del data["serve_failed"], data["isolation"], data["config_pbtxt"]
        if self.target not in ("savedmodel", "frozen", "auto"):
            del data["savedmodel"]
            if self.savedmodel.tags != SavedModelOptions().tags:  # which MetaGraph of a SavedModel is served
                data["tags"] = list(self.savedmodel.tags)
        data["verify"] = "off" if self.verify == "off" else "on"
        return json.dumps(data, sort_keys=True, separators=(",", ":"))


def parse(text: str, *, where: str = FILE) -> ModelOptions:
    """Read model.toml. Errors: ModelTomlError with every problem and, for TOML itself, the line."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModelTomlError([f"not valid TOML: {error}"], where=where) from None
    preprocess = data.get("preprocess")
    if isinstance(preprocess, dict) and "labels" in preprocess and "labels" not in data:
        # TOML gives a line below [preprocess] to that table; a labels line there is meant for the model.
        data["labels"] = preprocess.pop("labels")
    problems: list[str] = []
    values: dict[str, Any] = {}
    for key, value in data.items():
        read = _READERS.get(key)
        if read is None:
            problems.append(f"no such key {key!r}.{did_you_mean(key, _READERS)}")
        else:
            values["class_" if key == "class" else key] = read(key, value, problems)
    for kind in ("inputs", "outputs"):
        names = [option.name for option in values.get(kind, ())]
        problems += [
            f"[[{kind}]] has the name {name!r} twice" for name in sorted({n for n in names if names.count(n) > 1})
        ]
    if problems:
        raise ModelTomlError(problems, where=where, hint="docs/model-toml.md lists every key.")
    return ModelOptions(**values)


_Reader = Callable[[str, Any, list[str]], Any]


def _one_of(*allowed: str) -> _Reader:
    def read(key: str, value: Any, problems: list[str]) -> Any:
        if value not in allowed:
            guess = did_you_mean(value, allowed) if isinstance(value, str) else ""
            problems.append(f"{key} is {value!r}, expected one of {', '.join(allowed)}.{guess}")
        return value

    return read


def _boolean(key: str, value: Any, problems: list[str]) -> Any:
    if not isinstance(value, bool):
        problems.append(f"{key} is {value!r}, expected true or false")
    return value


def _text(key: str, value: Any, problems: list[str]) -> Any:
    if not isinstance(value, str) or not value or value.startswith("/") or ".." in value.split("/"):
        problems.append(f"{key} is {value!r}, expected the name of a file beside the model")
    return value


_CLASS = re.compile(r"((?:[A-Za-z_]\w*/)*[A-Za-z_]\w*\.py):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")


def _class(key: str, value: Any, problems: list[str]) -> Any:
    if not isinstance(value, str) or not _CLASS.fullmatch(value):
        problems.append(f'{key} is {value!r}, expected a Python file beside the model and a class in it: "net.py:Net"')
    return value


def _tensors(key: str, value: Any, problems: list[str]) -> tuple[TensorOption, ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        problems.append(f"{key} is {type(value).__name__}, expected tables: [[{key}]]")
        return ()
    return tuple(_tensor(f"[[{key}]] {number}", item, problems) for number, item in enumerate(value, start=1))


_TENSOR_KEYS = ("from", "name", "dtype", "shape", "layout", "value")
LAYOUTS = ("nchw", "nhwc")


def _tensor(where: str, item: dict[str, Any], problems: list[str]) -> TensorOption:
    problems += [
        f"{where}: no such key {key!r}.{did_you_mean(key, _TENSOR_KEYS)}" for key in item if key not in _TENSOR_KEYS
    ]
    own, name = item.get("from", ""), item.get("name", item.get("from", ""))
    for key, value in (("from", own), ("name", name)):
        if not isinstance(value, str):
            problems.append(f"{where}: {key} is {value!r}, expected text")
    if not name:
        problems.append(f"{where}: has neither `name` nor `from`")
    type_name = item.get("dtype", "")
    if type_name and not (isinstance(type_name, str) and type_name in BY_NAME):
        guess = did_you_mean(str(type_name), BY_NAME)
        problems.append(f"{where}: dtype is {type_name!r}, expected one of {', '.join(BY_NAME)}.{guess}")
    layout = item.get("layout", "")
    if layout and layout not in LAYOUTS:
        problems.append(f"{where}: layout is {layout!r}, expected {' or '.join(LAYOUTS)}")
    value = item.get("value")
    if value is not None and not isinstance(value, (bool, int, float)):
        problems.append(f"{where}: value is {value!r}, expected a number")
    if value is not None and where.startswith("[[outputs]]"):
        problems.append(f"{where}: value is of an input")
    shape = _shape(where, item.get("shape"), problems)
    return TensorOption(str(name), str(own), str(type_name), shape, "nhwc" if layout == "nhwc" else "", value)


def _shape(where: str, value: Any, problems: list[str]) -> Shape | None:
    if value is None:
        return None
    if not isinstance(value, list):
        problems.append(f'{where}: shape is {value!r}, expected a list such as ["?", 3, 112, 112]')
        return None
    sizes: list[int | None] = []
    for size in value:
        if size in ("?", -1):
            sizes.append(None)
        elif isinstance(size, int) and not isinstance(size, bool) and size >= 0:
            sizes.append(size)
        else:
            problems.append(f'{where}: dimension {size!r} is neither a whole number nor "?"')
    return tuple(sizes)


def _savedmodel(key: str, value: Any, problems: list[str]) -> SavedModelOptions:
    return read_savedmodel(value, problems)


def _preprocess(key: str, value: Any, problems: list[str]) -> Preprocess | None:
    return read_preprocess(value, problems)


_READERS: dict[str, _Reader] = {
    "target": _one_of("auto", "onnx", "savedmodel", "frozen", "native"),
    "verify": _one_of("auto", "required", "off"),
    "serve_failed": _boolean,
    "trusted": _boolean,
    "class": _class,
    "isolation": _one_of("none", "process"),
    "inputs": _tensors,
    "outputs": _tensors,
    "preprocess": _preprocess,
    "labels": _text,
    "savedmodel": _savedmodel,
}
