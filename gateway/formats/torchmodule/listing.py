"""What a file of weights holds, as a person wants it told: how many tensors, below which names, of which sizes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.formats.torchmodule import pickled, safe
from gateway.formats.torchmodule.pickled import Sizes

GROUPS = 10
EACH = 3
OURS = ("torch", "collections", "numpy", "_codecs", "copyreg", "builtins", "__builtin__", "copy_reg", "pathlib")
PLAIN = {
    "builtins": {"set", "frozenset", "dict", "list", "tuple", "int", "float", "bool", "str", "bytes", "complex",
                 "slice", "range", "object", "bytearray"},
    "collections": {"OrderedDict", "defaultdict", "Counter", "deque"},
    "copyreg": {"_reconstructor"},
    "_codecs": {"encode"},
    "functools": {"partial"},
    "pathlib": {"PosixPath", "Path", "PurePosixPath", "WindowsPath", "PureWindowsPath"},
    "numpy": {"dtype", "ndarray", "float32", "float64", "int64", "int32", "bool_"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "datetime": {"datetime", "date", "timedelta"},
    "argparse": {"Namespace"},
    "types": {"SimpleNamespace"},
}  # fmt: skip
"""What a saved module or checkpoint names of Python's own library."""
TORCH = (
    "torch.nn.", "torch.storage", "torch._utils", "torch._tensor", "torch.serialization", "torch.ao.nn.",
    "torch.distributions.", "torch.optim.", "torch._C._nn",
)  # fmt: skip
TORCH_ROOT = "torch"
RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}


@dataclass(frozen=True)
class Listing:
    """`tensors`: path -> (type, sizes). `module`: the class of a pickled module, "" of bare weights.

    `strange`: names of a pickle that no saved model needs; `classes`: those that only its author's files have.
    """

    tensors: Mapping[str, tuple[str, Sizes]]
    module: str = ""
    strange: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return summary(self.tensors)


def read(path: Path, kind: str) -> Listing:
    """Errors: CorruptModel, UnsafeArchive."""
    if kind == "safetensors":
        entries = safe.read(path)
        return Listing({name: (safe.NAMES[entry.dtype], entry.sizes) for name, entry in entries.items()})
    found = pickled.read(path)
    strange = [name for name in found.globals if is_strange(name)]
    classes = [name for name in found.globals if not is_strange(name) and not is_plain(name)]
    return Listing(found.tensors, found.root, tuple(strange), tuple(classes))


def is_plain(name: str) -> bool:
    """Of torch's modules and tensors, or harmless and Python's own: `name` is "module.name"."""
    module, _, attribute = name.rpartition(".")
    module = RENAMED.get(module, module)
    return module == TORCH_ROOT or f"{module}.".startswith(TORCH) or attribute in PLAIN.get(module, ())


def is_strange(name: str) -> bool:
    """Of Python's library or of torch, and nothing that a model is made of: os.system, builtins.eval."""
    root = name.partition(".")[0]
    known = root in sys.stdlib_module_names or root in OURS or root in ("__builtin__", "copy_reg")
    return known and root != "__main__" and not is_plain(name)


def summary(tensors: Mapping[str, tuple[str, Sizes]]) -> str:
    """ "62 tensors, 11.7 million numbers: layer1.* (12: layer1.0.conv1.weight float32[64,64,3,3], ...), ..."."""
    groups: dict[str, list[str]] = {}
    for name, (kind, sizes) in tensors.items():
        parts = name.split(".")
        groups.setdefault(_prefix(parts), []).append(f"{name[:80]} {kind}[{','.join(map(str, sizes))}]")
    shown = []
    for prefix, names in list(groups.items())[:GROUPS]:
        more = ", ..." if len(names) > EACH else ""
        listed = ", ".join(names[:EACH]) + more
        shown.append(f"{prefix[:60]}.* ({len(names)}: {listed})" if len(names) > 1 else names[0])
    left = len(groups) - len(shown)
    numbers = sum(_count(sizes) for _, sizes in tensors.values())
    said = f"{len(tensors)} tensors, {numbers} numbers"
    return f"{said}: {'; '.join(shown)}{f'; and {left} more groups' if left > 0 else ''}" if shown else "no tensor"


def _prefix(parts: list[str]) -> str:
    """What names are grouped by: one part, two below the names that checkpoints and wrappers put in front."""
    depth = 2 if len(parts) > 2 and parts[0] in ("state_dict", "model", "module", "model_state_dict", "net") else 1
    return ".".join(parts[:depth])


def _count(sizes: Sizes) -> int:
    count = 1
    for size in sizes:
        count *= size
    return count
