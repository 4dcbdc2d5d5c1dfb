"""The author's class with the file's weights in it, called as a script is: flat and named.

Rule 1: a pickle is opened by torch with names looked up here alone: torch's own modules and tensors, and what the class
        file and the Python files beside it define.
Rule 2: weights are loaded strictly: a key too many, too few or of another size is an error that names them.
Rule 3: what a call changes in the module is put back before the next one.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import itertools
import pickle  # noqa: TID251  what torch.load unpickles with, names looked up here
import sys
import traceback
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.base import Match, Source
from gateway.formats.torchmodule import listing, safe, screen
from gateway.formats.torchscript.load import Argument, Script, flat, framework, line

SHOWN = 8
WRAPPERS = ("module.", "model.", "_orig_mod.", "net.")
"""What DataParallel, Lightning and torch.compile put in front of every key."""
TABLES = ("_parameters", "_buffers", "_modules")
NUMBERS = {int: "int64", float: "float64", bool: "bool"} | {"int": "int64", "float": "float64", "bool": "bool"}


class Eager(Script):
    """A module that Python runs. Errors of the constructor: ConversionError, CorruptModel."""

    def __init__(self, source: Source, match: Match, options: ModelOptions) -> None:
        found = screen.screen(source, match, options)
        self.torch, self.recorded = framework(), False
        self.file = match.main.rpartition("/")[2]
        self.facts: list[tuple[str, str]] = []
        self.eager = self._build(source, match, options, found)
        self.was_training = bool(self.eager.training)
        self.eager.eval()
        self.arguments, self.left_out = self._arguments()
        self.fixed = {}
        self.scripted = self._scripted()
        self.module = self.scripted if self.scripted is not None else _Unknown()
        self._kept = list(self._snapshot())
        self._state: list[tuple[Any, str, Any]] = []

    # -- made ------------------------------------------------------------------------------------

    def _build(self, source: Source, match: Match, options: ModelOptions, found: listing.Listing) -> Any:
        file, _, name = options.class_.partition(":")
        code = load_code(source, file)
        made = code
        for part in name.split("."):
            made = getattr(made, part, None)
            if made is None:
                defined = [n for n, v in vars(code).items() if inspect.isclass(v) and v.__module__ == code.__name__]
                raise ConversionError(
                    f"{file} defines no {name}.", hint=f"It defines: {', '.join(defined[:SHOWN]) or 'no class'}."
                )
        path = source.path(match.main)
        if found.module:
            return self._unpickled(source, path, code, made, name)
        module = self._called(made, file, name)
        weights = (
            _safetensors(self.torch, path) if screen.kind_of(source, match) == "safetensors" else self._state_dict(path)
        )
        self._fill(module, weights, f"{file}:{name}")
        return module

    def _called(self, made: Any, file: str, name: str) -> Any:
        try:
            module = made()
        except Exception as error:  # whatever the author's code raises
            raise ConversionError(
                f"{file}: {name}() raises {_at(error, file)}",
                hint="It is called without arguments: give them defaults, or name a function that makes the module.",
            ) from error
        if not isinstance(module, self.torch.nn.Module):
            raise ConversionError(f"{file}: {name}() gives a {type(module).__name__}, expected a torch.nn.Module.")
        return module

    def _unpickled(self, source: Source, path: Path, code: Any, made: Any, name: str) -> Any:
        try:
            names = _pickles(source, code, Path(code.__file__).stem)
            module = self.torch.load(str(path), map_location="cpu", weights_only=False, pickle_module=names)
        except ConversionError:
            raise
        except Exception as error:  # whatever torch and the author's code raise
            raise CorruptModel(f"torch {self.torch.__version__} does not open {path.name}: {line(error)}") from error
        if not isinstance(module, self.torch.nn.Module):
            raise ConversionError(f"{path.name} holds a {type(module).__name__}, expected a torch.nn.Module.")
        if inspect.isclass(made) and not isinstance(module, made):
            raise ConversionError(
                f"{path.name} holds a {type(module).__name__}, `class` names {name}.",
                hint=f'class = "FILE.py:{type(module).__name__}" names what is there.',
            )
        return module

    def _state_dict(self, path: Path) -> Mapping[str, Any]:
        try:
            found = self.torch.load(str(path), map_location="cpu", weights_only=True)
        except Exception as error:  # whatever torch raises over a file
            raise CorruptModel(
                f"torch {self.torch.__version__} does not open {path.name} as weights alone: {line(error)}",
                hint="Save the state_dict() alone: torch.save(model.state_dict(), FILE).",
            ) from error
        if not isinstance(found, dict):
            raise ConversionError(f"{path.name} holds a {type(found).__name__}, expected a dictionary of tensors.")
        inner = {key: value for key, value in found.items() if isinstance(value, dict) and self._tensors(value)}
        for key in ("state_dict", "model_state_dict", "model", "weights", "net", *inner):
            if key in inner and not self._tensors(found):
                self.facts.append(("weights under", repr(key)))
                return dict(inner[key])
        return found

    def _tensors(self, found: Mapping[Any, Any]) -> bool:
        return any(isinstance(value, self.torch.Tensor) for value in found.values())

    def _fill(self, module: Any, weights: Mapping[str, Any], what: str) -> None:
        """Errors: ConversionError naming keys that do not fit."""
        wanted = module.state_dict()
        for count in range(3):
            lead = next((w for w in WRAPPERS if weights and all(k.startswith(w) for k in weights)), "")
            if set(weights) == set(wanted) or not lead:
                break
            weights = {key.removeprefix(lead): value for key, value in weights.items()}
            self.facts.append((f"taken off every key ({count + 1})", lead))
        lacking = [key for key in wanted if key not in weights and not key.endswith("num_batches_tracked")]
        beyond = [key for key in weights if key not in wanted]
        sizes = [
            f"{key} is {list(weights[key].shape)} in the file and {list(wanted[key].shape)} in the class"
            for key in wanted
            if key in weights and getattr(weights[key], "shape", None) != wanted[key].shape
        ]
        told = {"not in the file": lacking, "not in the class": beyond, "of other sizes": sizes}
        said = [f"{name}: {_some(keys)}" for name, keys in told.items() if keys]
        if said:
            raise ConversionError(
                f"the weights of {self.file} are not those of {what}: {'; '.join(said)}.",
                hint="Name the class, or a function that makes it with the sizes that it was trained with.",
            )
        module.load_state_dict(weights, strict=False)

    # -- called ----------------------------------------------------------------------------------

    def _arguments(self) -> tuple[tuple[Argument, ...], tuple[str, ...]]:
        """What a call needs. Errors: ConversionError naming what nobody could send."""
        found: list[Argument] = []
        left, problems = [], []
        parameters = list(inspect.signature(self.eager.forward).parameters.values())
        for place, parameter in enumerate(parameters):
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                if not found and len(parameters) == 1:
                    problems.append(f"*{parameter.name}")
            elif parameter.default is not parameter.empty:
                left.append(f"{parameter.name} = {parameter.default!r}")
            else:
                found.append(Argument(parameter.name, place, scalar=NUMBERS.get(parameter.annotation, "")))
        if problems or not found:
            raise ConversionError(
                f"{self.file}: forward() takes {', '.join(problems) or 'nothing'}: no fixed number of tensors.",
                hint="Wrap it in a class whose forward() takes tensors by name.",
            )
        return tuple(found), tuple(left)

    def _scripted(self) -> Any:
        """The same as a script, where torch can make one: it tells shapes by its first weights, and keeps branches."""
        try:
            return self.torch.jit.script(self.eager)
        except Exception:  # noqa: BLE001  most Python is no TorchScript: then the owner says the shapes
            return None

    def parameters(self) -> list[str]:
        return list(inspect.signature(self.eager.forward).parameters)

    def keywords(self, values: Sequence[Any]) -> dict[str, Any]:
        return self.fixed | {
            argument.name: value.item() if argument.scalar and hasattr(value, "item") else value
            for argument, value in zip(self.arguments, values, strict=True)
        }

    def call(self, values: Sequence[Any]) -> list[tuple[str, Any]]:
        self.restore()
        with self.torch.no_grad():
            return list(flat(self.eager(**self.keywords(values))))

    def watch(self, values: Sequence[Any]) -> None:
        """Call it once, and note what the call changed in the module."""
        self.call(values)
        known = {(id(owner), name) for owner, name, _ in self._state}
        for owner, attributes, tensors in self._kept:
            for name, value in {**attributes, **{n: v for n, (v, _) in tensors.items()}}.items():
                now = owner.__dict__.get(name, owner._buffers.get(name))
                same = now is value and (name not in tensors or bool((value == tensors[name][1]).all()))
                if not same and (id(owner), name) not in known:
                    self._state.append((owner, name, value))
            added = [name for name in owner.__dict__ if name not in attributes and name not in TABLES]
            self._state += [(owner, name, None) for name in added if (id(owner), name) not in known]
        self.restore()

    def _snapshot(self) -> Iterator[tuple[Any, dict[str, Any], dict[str, tuple[Any, Any]]]]:
        """(module, its attributes, tensors that are no parameters: the tensor and a copy of it) of each module."""
        for owner in self.eager.modules():
            plain = {n: v for n, v in owner.__dict__.items() if n not in TABLES}
            tensors = {
                name: (value, value.clone())
                for name, value in itertools.chain(plain.items(), owner._buffers.items())
                if isinstance(value, self.torch.Tensor)
            }
            yield owner, plain, tensors

    def restore(self) -> None:
        for owner, attributes, tensors in self._kept:
            for name in [name for name in owner.__dict__ if name not in attributes and name not in TABLES]:
                del owner.__dict__[name]
            for name, value in attributes.items():
                if owner.__dict__.get(name) is not value:
                    owner.__dict__[name] = value
            for name, (tensor, copy) in tensors.items():
                if name in owner._buffers:
                    owner._buffers[name] = tensor
                if not bool((tensor == copy).all()):
                    tensor.copy_(copy)

    def rows(self, values: Sequence[Any]) -> dict[str, Hint]:
        """Arguments that number the rows of a table: what an embedding was handed as it came in."""
        found: dict[str, Hint] = {}
        places = {id(value): argument.name for argument, value in zip(self.arguments, values, strict=True)}

        def note(table: Any, given: Any) -> None:
            name = places.get(id(given[0])) if given else None
            if name:
                found[name] = Hint(
                    min(int(table.num_embeddings), found[name].bound) if name in found else int(table.num_embeddings)
                )

        tables = [m for m in self.eager.modules() if isinstance(m, self.torch.nn.Embedding)]
        hooks = [table.register_forward_pre_hook(note) for table in tables]
        try:
            self.call(values)
        finally:
            for hook in hooks:
                hook.remove()
        return found


class _Unknown:
    """In place of a script that could not be made: a graph without inputs, which tells nothing."""

    class inlined_graph:  # noqa: N801  as torch calls it
        @staticmethod
        def inputs() -> tuple[()]:
            return ()

        @staticmethod
        def nodes() -> tuple[()]:
            return ()


class Beside(importlib.abc.MetaPathFinder):
    """Finds Python files of the drop by name: the sandbox opens them, and does not list their folder."""

    def __init__(self, source: Source, file: str) -> None:
        self.source, self.folder = source, file.rpartition("/")[0]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        wanted = name.replace(".", "/")
        for folder in dict.fromkeys((self.folder, "")):
            lead = f"{folder}/" if folder else ""
            for found, package in ((f"{lead}{wanted}/__init__.py", True), (f"{lead}{wanted}.py", False)):
                if found in self.source.files:
                    file = self.source.path(found)
                    places = [str(file.parent)] if package else None
                    return importlib.util.spec_from_file_location(name, file, submodule_search_locations=places)
            if any(other.startswith(f"{lead}{wanted}/") and other.endswith(".py") for other in self.source.files):
                spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
                spec.submodule_search_locations = []
                return spec
        return None


def load_code(source: Source, file: str) -> Any:
    """The module of a class file; Python files beside it can be imported by it. Errors: ConversionError."""
    path = source.path(file)
    name = (
        path.stem if path.stem not in sys.stdlib_module_names and path.stem not in sys.modules else f"class_{path.stem}"
    )
    sys.meta_path.append(Beside(source, file))  # last: a file of the drop is never taken for a library
    sys.dont_write_bytecode = True
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules[name] = code
    try:
        spec.loader.exec_module(code)
    except Exception as error:  # whatever the author's code raises
        absent = isinstance(error, ModuleNotFoundError)
        raise ConversionError(
            f"{file} raises {_at(error, path.name)}",
            hint="Environment `torch` holds torch and numpy; put what else it imports beside it, or leave it out."
            if absent
            else "Let it run with torch and numpy alone.",
        ) from error
    return code


def _at(error: BaseException, file: str) -> str:
    """ "ValueError in line 12: ..."."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(file)]
    where = f" in line {lines[-1]}" if lines else f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
    return f"{type(error).__name__}{where}: {str(error)[:200]}."


def _pickles(source: Source, code: Any, stem: str) -> Any:
    """What torch.load unpickles with: names of torch and of the drop alone. `code` is `stem`.py, the class file."""
    own = {name[:-3].replace("/", ".").removesuffix(".__init__") for name in source.files if name.endswith(".py")}

    def find(module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if listing.is_plain(full):
            return None
        holder: Any = code
        if module in own and module != stem:
            holder = sys.modules.get(module) or importlib.import_module(module)
        for part in name.split("."):
            holder = getattr(holder, part, None)
        if holder is None or listing.is_strange(full):
            raise ConversionError(
                f"the pickle names {full}, which the class file does not define.",
                hint="Put it into the class file, or its own file beside that one, or save the state_dict() alone.",
            )
        return holder

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            found = find(module, name)
            return super().find_class(module, name) if found is None else found

    def load(file: Any, **told: Any) -> Any:
        return Unpickler(file, **told).load()

    return types.SimpleNamespace(
        Unpickler=Unpickler, load=load, __name__="pickle", UnpicklingError=pickle.UnpicklingError
    )


def _safetensors(torch: Any, path: Path) -> dict[str, Any]:
    """Errors: CorruptModel."""
    entries = safe.read(path)
    found = {}
    with path.open("rb") as stream:
        for name, entry in entries.items():
            stream.seek(entry.start)
            data = bytearray(stream.read(entry.end - entry.start))
            kind = getattr(torch, safe.NAMES[entry.dtype])
            flat_ = torch.frombuffer(data, dtype=kind) if data else torch.empty(0, dtype=kind)
            found[name] = flat_.reshape(entry.sizes)
    return found


def _some(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more
