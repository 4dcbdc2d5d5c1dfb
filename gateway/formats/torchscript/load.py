"""A TorchScript archive, opened by torch and called: flat named inputs in, flat named outputs out.

Rule 1: the archive is listed and checked by our own reader before torch opens it.
Rule 2: everything is put on the CPU, whatever device it was saved on: weights, and devices that the code names.
Rule 3: what forward() keeps in the module (`self.state = ...`, a buffer changed in place) is put back before each call.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.archive import Limits, open_archive
from gateway.core.dtypes import BY_NAME
from gateway.core.modeltoml import ModelOptions
from gateway.errors import ConversionError, CorruptModel, GatewayError

SCALARS = {"IntType": "int64", "FloatType": "float64", "BoolType": "bool"}
EXPANDS = Limits(ratio=100_000)  # weights of zeros pack well, and torch never packs: deflated archives are others' work
SHOWN = 8


@dataclass(frozen=True)
class Argument:
    """One tensor or number that forward() takes. `scalar` is its dtype where it is a number, "" for a tensor.

    `place` is its number among the arguments; `item` its place in a tuple of tensors, -1 outside of one.
    """

    name: str
    place: int
    item: int = -1
    scalar: str = ""


def framework() -> Any:
    """The package torch, set up once a process."""
    import torch  # noqa: TID251  Environment torch

    torch.set_grad_enabled(False)
    return torch


def line(error: BaseException) -> str:
    """torch's own sentence: the last lines of a TorchScript trace hold it."""
    lines = [text.strip() for text in str(error).splitlines() if text.strip()]
    said = [text for text in lines if ": " in text and not text.startswith(("File ", "~", "#"))] or lines
    return (said[-1] if said else type(error).__name__)[:300]


class Script:
    """A module that torch.jit.save wrote, in inference mode. Errors: CorruptModel, UnsafeArchive, ConversionError."""

    def __init__(self, path: Path, *, recorded: bool = False) -> None:
        self.torch = framework()
        self.file = path.name
        with open_archive(path, EXPANDS) as archive:
            self.recorded = any(name.endswith("traced_inputs.pkl") for name in archive.names)
        self.module = self._load(path, restore=recorded and self.recorded)
        if not hasattr(self.module, "forward"):
            raise ConversionError(
                f"{path.name} has no method forward(): it holds {', '.join(self._methods()) or 'no method'}.",
                hint="Save a module whose forward() is the prediction.",
            )
        self.moved = to_cpu(self.module)
        self.was_training = bool(getattr(self.module, "training", False))
        self.module.eval()
        self.arguments, self.left_out = self._arguments()
        self.fixed: dict[str, Any] = {}
        self._state = self._states()

    def _load(self, path: Path, *, restore: bool) -> Any:
        try:
            try:
                return self.torch.jit.load(str(path), map_location="cpu", _restore_shapes=restore)
            except Exception:  # the recorded inputs are an extra: without them it may load
                if not restore:
                    raise
                return self.torch.jit.load(str(path), map_location="cpu")
        except GatewayError:
            raise
        except Exception as error:  # whatever torch raises over a file
            said = line(error)
            unknown = "Unknown builtin op" in str(error) or "Unknown type name" in str(error)
            kind = ConversionError if unknown else CorruptModel
            raise kind(
                f"torch {self.torch.__version__} does not load {path.name}: {said}",
                hint="Operators of other libraries (torchvision::nms, torchaudio::...) are not loaded here."
                if unknown
                else "Copy the file again; it may have been cut short or damaged.",
            ) from error

    def _methods(self) -> list[str]:
        return list(self.module._c._method_names())

    def _arguments(self) -> tuple[tuple[Argument, ...], tuple[str, ...]]:
        """What a call needs, and what is left to its default. Errors: ConversionError naming what nobody could send."""
        found, left, problems = [], [], []
        for place, argument in enumerate(self.module.forward.schema.arguments[1:]):
            kind, name = argument.type.kind(), argument.name
            if kind == "TensorType":
                found.append(Argument(name, place))
            elif argument.has_default_value():
                left.append(f"{name} = {argument.default_value!r}")
            elif kind in SCALARS:
                found.append(Argument(name, place, scalar=SCALARS[kind]))
            elif kind == "TupleType" and all(item.kind() == "TensorType" for item in argument.type.elements()):
                count = len(argument.type.elements())
                found += [Argument(f"{name}_{item}", place, item) for item in range(count)]
            elif kind == "OptionalType":
                left.append(f"{name} = None")
            else:
                problems.append(f"{name}: {argument.type.str() if hasattr(argument.type, 'str') else argument.type}")
        if problems:
            raise ConversionError(
                f"{self.file}: forward() takes {', '.join(problems)}, which has no fixed number of tensors.",
                hint="Wrap the module in one whose forward() takes tensors, and save that with torch.jit.save.",
            )
        return tuple(found), tuple(left)

    def fix(self, options: ModelOptions) -> None:
        """Numbers that the owner says once are no inputs. Errors: ConversionError for what forward() does not take."""
        said = {option.own_name: option.value for option in options.inputs if option.value is not None}
        tensors = [argument.name for argument in self.arguments if argument.name in said and not argument.scalar]
        unknown = sorted(set(said) - set(self.parameters()))
        if tensors or unknown:
            what = "is a tensor, which has no `value`" if tensors else "is nothing that it takes"
            raise ConversionError(
                f"{self.file}: forward()'s {', '.join(tensors or unknown)} {what}.",
                hint=f"It takes: {', '.join(self.parameters())}.",
            )
        self.fixed = said
        self.arguments = tuple(argument for argument in self.arguments if argument.name not in said)
        self.left_out = tuple(text for text in self.left_out if text.partition(" = ")[0] not in said)

    def parameters(self) -> list[str]:
        """What forward() takes, by name."""
        return [argument.name for argument in self.module.forward.schema.arguments[1:]]

    def call(self, values: Sequence[Any]) -> list[tuple[str, Any]]:
        """(name, tensor or number) of every output, for one value an argument. Errors: whatever torch raises."""
        self.restore()
        with self.torch.no_grad():
            return list(flat(self.module(**self.keywords(values))))

    def keywords(self, values: Sequence[Any]) -> dict[str, Any]:
        """The arguments of forward() by name: tuples put together, numbers as Python has them."""
        names = [argument.name for argument in self.module.forward.schema.arguments[1:]]
        given: dict[str, Any] = dict(self.fixed)
        for argument, value in zip(self.arguments, values, strict=True):
            name = names[argument.place]
            if argument.item >= 0:
                given[name] = (*given.get(name, ()), value)
            else:
                given[name] = value.item() if argument.scalar and hasattr(value, "item") else value
        return given

    # -- state -----------------------------------------------------------------------------------

    def _states(self) -> list[tuple[Any, str, Any]]:
        """(module, attribute, value in the file) of all that forward() assigns."""
        found: dict[tuple[str, ...], None] = {}
        for node in nodes(self.module.inlined_graph):
            if node.kind() != "prim::SetAttr":
                continue
            path = attribute_path(next(iter(node.inputs())))
            if path is not None:
                found[(*path, node.s("name"))] = None
        states = []
        for path in found:
            owner = self.module
            for name in path[:-1]:
                owner = getattr(owner, name)
            states.append((owner, path[-1], copy.deepcopy(getattr(owner, path[-1]))))
        return states

    def watch(self, values: Sequence[Any]) -> None:
        """Call it once; buffers that the call changed in place become state too."""
        before = [(owner, name, tensor.clone()) for owner, name, tensor in self._buffers()]
        known = {(id(owner), name) for owner, name, _ in self._state}
        self.call(values)
        for owner, name, old in before:
            new = getattr(owner, name)
            if (id(owner), name) not in known and not (old.shape == new.shape and bool((old == new).all())):
                self._state.append((owner, name, old))
        self.restore()

    def _buffers(self) -> Iterator[tuple[Any, str, Any]]:
        for owner in self.module.modules():
            for name, tensor in owner.named_buffers(recurse=False):
                yield owner, name, tensor

    def restore(self) -> None:
        for owner, name, value in self._state:
            setattr(owner, name, copy.deepcopy(value))

    @property
    def state(self) -> tuple[str, ...]:
        """Names of what a call changes in the module."""
        return tuple(sorted({name for _, name, _ in self._state}))


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of what forward() gives: keys of dictionaries, fields of named tuples, numbers of places.

    One that is alone is "output"; None is left out.
    """
    if value is None:
        return
    if isinstance(value, dict):
        pairs = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        fields = getattr(value, "_fields", None)
        if len(value) == 1 and not fields:
            yield from flat(value[0], name)
            return
        lead = "output_" if not name else ""
        pairs = [(fields[at] if fields else f"{lead}{at}", item) for at, item in enumerate(value)]
    else:
        yield name or "output", value
        return
    for key, item in pairs:
        yield from flat(item, f"{name}_{key}" if name else key)


def to_cpu(module: Any) -> tuple[str, ...]:
    """Constants of a script that name another device name the CPU from now on; which ones there were.

    torch.jit.load moves weights alone: `x.to("cuda:0")`, traced or written, stays in the code.
    """
    found: dict[str, None] = {}
    for owner in module.modules():
        for name in owner._c._method_names():
            for node in nodes(owner._c._get_method(name).graph):
                if node.kind() != "prim::Constant" or "Device" not in str(next(node.outputs()).type()):
                    continue
                device = node.s("value")
                if device != "cpu" and device != "meta":
                    found[device] = None
                    node.s_("value", "cpu")
    return tuple(found)


def nodes(block: Any) -> Iterator[Any]:
    """Every node of a graph or block, of inner blocks too."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from nodes(inner)


def attribute_path(value: Any) -> tuple[str, ...] | None:
    """("encoder", "weight") of a value that GetAttr took from self; None for any other."""
    names: list[str] = []
    while True:
        node = value.node()
        if node.kind() == "prim::Param":
            return tuple(reversed(names))
        if node.kind() != "prim::GetAttr":
            return None
        names.append(node.s("name"))
        value = next(iter(node.inputs()))


def dtype_name(tensor: Any) -> str:
    """Our name of a tensor's or number's type. Errors: ConversionError for one that no array has."""
    if isinstance(tensor, bool):
        return "bool"
    if isinstance(tensor, int):
        return "int64"
    if isinstance(tensor, float):
        return "float64"
    name = str(getattr(tensor, "dtype", type(tensor).__name__)).removeprefix("torch.")
    if name not in BY_NAME or getattr(tensor, "is_sparse", False) or getattr(tensor, "is_quantized", False):
        raise ConversionError(f"an output is {name}, which no client could be sent: expected a dense tensor.")
    return name


def arrays(torch: Any, found: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Outputs as numpy arrays by name."""
    return {name: _array(torch, value) for name, value in found}


def _array(torch: Any, value: Any) -> Any:
    import numpy as np

    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    value = value.detach().cpu().contiguous()
    if value.dtype == torch.bfloat16:
        import ml_dtypes

        return value.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return value.resolve_conj().resolve_neg().numpy()


def tensor(torch: Any, array: Any) -> Any:
    """An array as a tensor of its own memory."""
    import numpy as np

    array = np.ascontiguousarray(array).reshape(np.shape(array))
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())
