"""What a Keras config may name: the walk, without Keras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConversionError, CorruptModel, GatewayError
from gateway.formats.keras import config
from tests.archive.forge import Entry, zip_of


def layer(name: str, module: str | None = "keras.layers", registered: str | None = None, **told: Any) -> dict[str, Any]:
    row = {"class_name": name, "config": {"name": "mine", **told}, "registered_name": registered}
    return row | ({"module": module} if module else {})


def model(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"module": "keras", "class_name": "Sequential", "registered_name": None,
            "config": {"name": "net", "layers": list(layers)}}  # fmt: skip


def function(name: str) -> dict[str, Any]:
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "layers of Keras": (model(layer("Dense", activation="relu"), layer("Conv2D", activation=function("gelu"))), ""),
    "of Keras 2, without modules": (model(layer("Dense", None), layer("TFOpLambda", None, function="math.add")), ""),
    "an operation of Keras 3": (model(layer("Add", "keras.src.ops.numpy", "Add")), ""),
    "how it was compiled is not loaded": (model() | {"compile_config": {"loss": layer("Mine", "mine")}}, ""),
    "code in a layer": (model(layer("Lambda")), "Lambda ('mine') carries Python code"),
    "code in an argument": (
        model(layer("Dense", activation={"class_name": "__lambda__", "config": {"value": "4wEA"}})),
        "__lambda__ ('mine') carries Python code"),
    "code deep inside": (model(layer("TimeDistributed", layer=layer("Lambda"))), "Lambda ('mine')"),
    "a SavedModel elsewhere": (model(layer("TFSMLayer", filepath="/x")), "TFSMLayer ('mine') loads a SavedModel"),
    "a module that is not Keras'": (model(layer("system", "os")), "system ('mine') is of module 'os'"),
    "a module that only begins so": (model(layer("Dense", "keras_evil.layers")), "is of module 'keras_evil.layers'"),
    "a function of Keras' that is no layer": (
        model(layer("get_file", "keras.utils")), "get_file ('mine') is no class of Keras'"),
    "a helper of a module that layers are of": (
        model(layer("get_file", "keras.layers")), "get_file ('mine') is no class of Keras'"),
    "a registered object": (
        model(layer("Scale", "mine.layers", "shop>Scale")), "Scale ('mine') is of module 'mine.layers'"),
    "a registered object of Keras 2": (model(layer("shop>Scale", None)), "is a registered object: shop>Scale"),
    "a custom layer": (model(layer("Scale", None)), "Scale ('mine') is no class of Keras'"),
    "a function that is not one of Keras'": (
        model(layer("Dense", activation=function("os.system"))), "is 'os.system', no function of Keras'"),
    "TensorFlow called by name": (
        model(layer("TFOpLambda", None, function="io.write_file")), "TFOpLambda ('mine') calls io.write_file"),
    "one operator of TensorFlow": (model(layer("TensorFlowOpLayer", None, node_def={"name": "a", "op": "AddV2"})), ""),
    "one that writes files": (
        model(layer("TensorFlowOpLayer", None, node_def={"name": "a", "op": "WriteFile"})),
        "TensorFlowOpLayer ('mine') acts on the machine: WriteFile ('a') writes files"),
    "one that writes files, as bytes": (
        model(layer("TensorFlowOpLayer", None, node_def="\n\x01a\x12\tWriteFile")), "WriteFile ('a') writes files"),
    "one that cannot be read": (
        model(layer("TensorFlowOpLayer", None, node_def="\x0f")), "its operator cannot be read"),
    "one that prints into a file": (
        model(layer("TensorFlowOpLayer", None,
                    node_def={"name": "a", "op": "PrintV2", "attr": {"output_stream": {"s": "ZmlsZTovLy94"}}})),
        "PrintV2 writes"),
    "words in a file": (model(layer("StringLookup", vocabulary="/etc/passwd")), "reads a file: /etc/passwd"),
    "all of it at once": (model(layer("Lambda"), layer("system", "os")), "'os'; Lambda ('mine') carries"),
}  # fmt: skip


def keras_file(folder: Path, data: dict[str, Any]) -> Path:
    path = folder / "m.keras"
    entries = [Entry(b"metadata.json", b'{"keras_version": "3.9.0"}', 8)]
    path.write_bytes(zip_of([*entries, Entry(b"config.json", json.dumps(data).encode(), 8)]))
    return path


@pytest.mark.parametrize("name", CASES)
def test_what_a_config_may_name(name: str, tmp_path: Path) -> None:
    data, said = CASES[name]
    found = config.read(keras_file(tmp_path, data))
    if not said:
        config.refuse(found, trusted=False)
        return
    with pytest.raises(ConversionError) as error:
        config.refuse(found, trusted=False)
    assert said in error.value.message
    if found.absent:
        with pytest.raises(ConversionError, match=r"names what is not Keras'"):
            config.refuse(found, trusted=True)
        assert "model.export" in error.value.hint
    else:
        config.refuse(found, trusted=True)
        assert "trusted = true" in error.value.hint


BROKEN: dict[str, tuple[bytes, type[GatewayError], str]] = {
    "no config": (zip_of([Entry(b"metadata.json", b"{}", 8)]), CorruptModel, "has no config.json"),
    "no JSON": (zip_of([Entry(b"config.json", b"{", 8)]), CorruptModel, "is no JSON"),
    "a list": (zip_of([Entry(b"config.json", b"[]", 8)]), CorruptModel, "there is no class_name"),
    "nested without end": (
        zip_of([Entry(b"config.json", b'{"class_name": "Model", "config": ' + b"[" * 900 + b"]" * 900 + b"}", 8)]),
        CorruptModel, "levels deep"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_configs(name: str, tmp_path: Path) -> None:
    data, kind, said = BROKEN[name]
    (tmp_path / "m.keras").write_bytes(data)
    with pytest.raises(kind, match=said):
        config.read(tmp_path / "m.keras")
