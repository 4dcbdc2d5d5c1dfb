"""Weights without a graph as torch saves them, each with the Python file of its class beside it.

made(FOLDER, NAME)      one of DROPS
"""

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PARTS = """
from torch import nn
class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c, self.n = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
    def forward(self, x):
        return nn.functional.relu(self.n(self.c(x)) + x)
"""
RESNET = """
from torch import nn
from parts import Block
class Net(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.f = nn.Linear(8, classes)
    def forward(self, x):
        return self.f(self.blocks(self.stem(x)).mean((2, 3)))
def seven():
    return Net(7)
def text():
    return "no module"
def needs(width):
    return Net(width)
"""
BRANCHES = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(6, 4)
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.f(x)
        if bool(y.sum() > 0):
            y = y * 2
        else:
            y = y - 1
        return y
class Python(Net):
    def forward(self, x):
        y = self.f(x)
        more = {"a": lambda z: z * 2, "b": lambda z: z - 1}
        return more["a" if y.sum() > 0 else "b"](y)
class Counts(Net):
    calls = 0
    def forward(self, x):
        self.calls = self.calls + 1
        return self.f(x) + self.calls
"""
WORDS = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.e, self.l, self.f = nn.Embedding(20, 8), nn.LSTM(8, 6, batch_first=True), nn.Linear(6, 3)
    def forward(self, ids, *, scale=1.0):
        found = [self.f(self.l(self.e(ids))[0])]
        return {"scores": found[0] * scale, "first": found[0][:, 0]}
"""
DROPS: Mapping[str, tuple[Mapping[str, str], str, str]] = {  # files, class, form
    "resnet": ({"net.py": RESNET, "parts.py": PARTS}, "net.py:Net", "module"),
    "resnet, state dict": ({"net.py": RESNET, "parts.py": PARTS}, "net.py:Net", "wrapped"),
    "resnet, safetensors": ({"net.py": RESNET, "parts.py": PARTS}, "net.py:Net", "safetensors"),
    "resnet, half": ({"net.py": RESNET, "parts.py": PARTS}, "net.py:Net", "old"),
    "seven": ({"net.py": RESNET, "parts.py": PARTS}, "net.py:seven", "state dict"),
    "without its parts": ({"net.py": RESNET, "parts.py": PARTS}, "net.py:Net", "module, parts lost"),
    "branches": ({"net.py": BRANCHES}, "net.py:Net", "module"),
    "branches of Python": ({"net.py": BRANCHES}, "net.py:Python", "module"),
    "counts": ({"net.py": BRANCHES}, "net.py:Counts", "state dict"),
    "words": ({"net.py": WORDS}, "net.py:Net", "module"),
}


def made(folder: Path, net: str, toml: str = "") -> None:
    """One of DROPS: NAME.pt, .pth or .safetensors, and its Python files."""
    import torch  # noqa: TID251  Environment torch

    torch.manual_seed(0)
    files, named, form = DROPS[net]
    for name, text in files.items():
        (folder / name).write_text(text)
    module = _module(folder, *named.split(":"))
    for tensor in module.buffers():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    state = module.state_dict()
    if form.startswith("module"):
        torch.save(module, folder / "m.pt")
    elif form == "state dict":
        torch.save(state, folder / "m.pth")
    elif form == "old":
        torch.save(state, folder / "m.pth", _use_new_zipfile_serialization=False)
    elif form == "wrapped":
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, folder / "m.pth")
    else:
        (folder / "m.safetensors").write_bytes(safetensors({k: _array(v) for k, v in state.items()}))
    for loaded in ("net", "parts"):
        sys.modules.pop(loaded, None)
    if form.endswith("lost"):
        (folder / "parts.py").unlink()
    if toml:
        (folder / "model.toml").write_text(toml)


def _module(folder: Path, file: str, name: str) -> Any:
    """What the class of a file makes, imported as its owner would: its own name, its folder on the path."""
    sys.path.insert(0, str(folder))
    for loaded in ("net", "parts"):
        sys.modules.pop(loaded, None)
    try:
        spec = importlib.util.spec_from_file_location(file[:-3], folder / file)
        assert spec is not None
        assert spec.loader is not None
        code = importlib.util.module_from_spec(spec)
        sys.modules[file[:-3]] = code
        spec.loader.exec_module(code)
        return getattr(code, name)().eval()
    finally:
        sys.path.remove(str(folder))


def _array(tensor: Any) -> tuple[str, list[int], bytes]:
    kind = {"torch.float32": "F32", "torch.int64": "I64"}[str(tensor.dtype)]
    return kind, list(tensor.shape), tensor.contiguous().numpy().tobytes()


def safetensors(tensors: Mapping[str, tuple[str, list[int], bytes]]) -> bytes:
    """A file of tensors: name -> (type, sizes, bytes)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (kind, sizes, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": sizes, "data_offsets": [at, at + len(data)]}
        at += len(data)
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    return len(told).to_bytes(8, "little") + told + b"".join(data for _, _, data in tensors.values())
