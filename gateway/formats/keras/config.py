"""The config of a Keras file, walked before Keras sees the file: what it would run is named, or is not there.

Rule 1: Keras builds whatever a config names, by import where it has to. A class is of known.py, or the file is refused.
Rule 2: what runs code of the author (Lambda and its like) needs `trusted = true`; what is only named, and lies in no
        file (custom layers, registered objects), cannot be built by anybody's leave.
Rule 3: all of it is told together, with the layers' names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.archive import Limits, open_archive
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.keras import known
from gateway.formats.savedmodel.metagraph import Node, node_of
from gateway.formats.savedmodel.screen import problem_of
from gateway.formats.savedmodel.wire import Message

MOST = 64 << 20  # bytes of a config
DEEP = 200
SHOWN = 12


@dataclass
class Config:
    """`version` is Keras' own; `data` its model config; `runs` and `absent` are sentences."""

    version: str
    data: Mapping[str, Any]
    classes: dict[str, int] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def legacy(self) -> bool:
        """Of Keras 2 or older."""
        return not self.version.startswith("3")


def read(path: Path) -> Config:
    """The config, walked. Errors: CorruptModel, UnsafeArchive, ConversionError for weights without a config."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"PK"
    version, data = _of_zip(path) if packed else _of_hdf5(path)
    return walked(version, data, path.name)


def walked(version: str, data: Any, name: str) -> Config:
    """A config that came from elsewhere than a file of Keras. Errors: CorruptModel."""
    if not isinstance(data, dict) or "class_name" not in data:
        raise CorruptModel(f"{name}: its config is no model of Keras: there is no class_name.")
    found = Config(version, data)
    for holder, layer in _walk(data, str(data.get("class_name")), 0):
        _look(found, holder, layer)
    return found


def refuse(found: Config, *, trusted: bool) -> None:
    """Errors: ConversionError with all problems."""
    problems = [*found.absent, *([] if trusted else found.runs)]
    if not problems:
        return
    problems = list(dict.fromkeys(problems))
    more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    if found.absent:
        hint = (
            "Its code is in no file: in Python, where the classes are known, write the graph with "
            "model.export(FOLDER) and drop that folder."
        )
    else:
        hint = (
            "`trusted = true` in model.toml lets it run in the sandbox; a graph of model.export(FOLDER) needs no trust."
        )
    raise ConversionError(f"the Keras file names what is not Keras': {'; '.join(problems[:SHOWN])}{more}.", hint=hint)


def _of_zip(path: Path) -> tuple[str, Any]:
    with open_archive(path, Limits()) as archive:
        try:
            config = json.loads(archive.read("config.json", MOST))
            about = json.loads(archive.read("metadata.json", MOST)) if "metadata.json" in archive.names else {}
        except KeyError:
            raise CorruptModel(f"{path.name} has no config.json.") from None
        except (ValueError, RecursionError) as error:
            raise CorruptModel(f"{path.name}: its config.json is no JSON: {error}.") from None
    version = about.get("keras_version", "3") if isinstance(about, dict) else "3"
    return str(version), config


def _of_hdf5(path: Path) -> tuple[str, Any]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            text, version = file.attrs.get("model_config"), file.attrs.get("keras_version", "2")
            names = sorted(file.keys())[:5]
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise CorruptModel(
            f"{path.name} is no whole HDF5 file: {str(error).splitlines()[0][:200]}.",
            hint="Copy the file again; it may have been cut short.",
        ) from error
    if text is None:
        raise ConversionError(
            f"{path.name} holds weights and no graph (its groups: {', '.join(names)}).",
            hint="Build the model in Python, load_weights(FILE), then save it as a whole: model.save('model.keras').",
        )
    try:
        text = text.decode() if isinstance(text, bytes) else str(text)
        return (version.decode() if isinstance(version, bytes) else str(version)), json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptModel(f"{path.name}: its model_config is no JSON: {error}.") from None


def _walk(data: Any, name: str, depth: int) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Every table that names a class, with the name of the layer it belongs to. Errors: CorruptModel."""
    if depth > DEEP:
        raise CorruptModel(f"the config is more than {DEEP} levels deep.")
    if isinstance(data, dict):
        inner = data.get("config")
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            name = inner["name"]
        if "class_name" in data or "registered_name" in data:
            yield data, name
        for key, value in data.items():
            # How it was compiled is not loaded.
            if key not in ("compile_config", "build_config", "training_config"):
                yield from _walk(value, name, depth + 1)
    elif isinstance(data, list):
        for value in data:
            yield from _walk(value, name, depth + 1)


def _look(found: Config, holder: Mapping[str, Any], layer: str) -> None:
    name, module = str(holder.get("class_name")), holder.get("module")
    registered = holder.get("registered_name")
    found.classes[name] = found.classes.get(name, 0) + 1
    where = f"{name} ({layer!r})"
    inner = holder.get("config")
    config: Mapping[str, Any] = inner if isinstance(inner, dict) else {}
    if name in known.RUNS:
        found.runs.append(f"{where} {known.RUNS[name]}")
    elif module is not None and not _is_keras(str(module)):
        found.absent.append(f"{where} is of module {module!r}")
    elif ">" in name or (isinstance(registered, str) and ">" in registered and not registered.startswith("Keras>")):
        found.absent.append(f"{where} is a registered object: {registered or name}")
    elif name == "function" or name == "TFOpLambda":
        _called(found, where, inner if name == "function" else config.get("function"), name)
    elif name == "TensorFlowOpLayer":
        _operator(found, where, config.get("node_def"))
    elif name not in known.CLASSES:
        found.absent.append(f"{where} is no class of Keras'")
    if isinstance(config.get("vocabulary"), str):
        found.runs.append(f"{where} reads a file: {config['vocabulary'][:80]}")


def _called(found: Config, where: str, function: Any, name: str) -> None:
    text = str(function)
    if name == "function":
        if text not in known.FUNCTIONS:
            found.absent.append(f"{where} is {text[:80]!r}, no function of Keras'")
    elif text not in known.TF_NAMES and not text.startswith(known.TF_CALLS):
        found.runs.append(f"{where} calls {text[:80]} of TensorFlow")


def _operator(found: Config, where: str, node: Any) -> None:
    """Keras 2's layer of one operator of TensorFlow: a NodeDef, as JSON or as bytes."""
    if isinstance(node, dict):
        stream = node.get("attr", {}) if isinstance(node.get("attr"), dict) else {}
        read = Node(str(node.get("name")), str(node.get("op")), (), {})
        problem = problem_of(read) or ("PrintV2 writes" if read.op == "PrintV2" and "output_stream" in stream else "")
    else:
        try:
            problem = problem_of(node_of(Message(memoryview(str(node).encode()))))
        except CorruptModel as error:
            problem = f"its operator cannot be read: {error.message}"
    if problem:
        found.absent.append(f"{where} acts on the machine: {problem}")


def _is_keras(module: str) -> bool:
    return any(module == root or module.startswith(root + ".") for root in known.MODULES if root != "builtins") or (
        module == "builtins"
    )
