"""Seeded networks, saved by PyTorch itself in Environment `torch`.

    makers.py FOLDER [NAME ...]     all of MADE, or those named, each into a folder of its own

Annotations are objects here, not text: torch.jit.script reads them.
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
X = torch.linspace(-1, 1, 12).reshape(2, 6)


class Flow(nn.Module):
    """Branches on its data, and loops."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.f(x)
        if bool(y.sum() > 0):
            y = y * 2
        else:
            y = y - 1
        for _ in range(3):
            y = torch.tanh(y)
        return y


class OnCuda(nn.Module):
    """Its code names a device that only its author has."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(6, 4)

    def helper(self, x: Tensor) -> Tensor:
        return x + torch.arange(4, device=torch.device("cuda")).to(torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        y = self.helper(self.f(x).to("cuda:0"))
        if bool(y.sum() > 0):
            y = y + torch.ones(4, device="cuda:1")
        return y


class Remembers(nn.Module):
    last: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(6, 4)
        self.last = torch.zeros(4)

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.f(x).mean(0) + self.last
        return self.f(x) + self.last


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(6, 4)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return self.f(x) + self.calls


class Several(nn.Module):
    """Two inputs, a dictionary with a pair in it."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(6, 4)

    def forward(self, x: Tensor, y: Tensor, scale: float = 2.0) -> dict[str, Tensor]:
        return {"scores": self.f(x) * scale, "both": x * y}


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Embedding(20, 8)
        self.l = nn.LSTM(8, 6, batch_first=True, bidirectional=True)
        self.f = nn.Linear(12, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.f(self.l(self.e(ids))[0])


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, 2, 1)
        self.c, self.d = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.a(x))
        return self.d(torch.cat([a, self.c(F.relu(self.b(a)))], 1))


class Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.Conv2d(after, after, 3, 1, 1)
        self.n, self.s = nn.BatchNorm2d(after), nn.Conv2d(before, after, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.b(F.relu(self.n(self.a(x)))) + self.s(x))


class Resnet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 7, 2, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.f = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(F.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1).flatten(1))


class Digits(nn.Module):
    """The flattening fixes height times width: 28 x 28."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.f = nn.Conv2d(1, 4, 5), nn.Linear(4 * 12 * 12, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(F.max_pool2d(F.relu(self.c(x)), 2).flatten(1))


class Attention(nn.Module):
    """One encoder layer, written out: any length of sequence."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.qkv, self.o, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.m = nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width))

    def forward(self, x: Tensor) -> Tensor:
        b, n, w = x.shape
        q, k, v = self.qkv(self.n1(x)).reshape(b, n, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        a = torch.softmax(q @ k.transpose(-2, -1) / (w // self.heads) ** 0.5, -1) @ v
        x = x + self.o(a.transpose(1, 2).reshape(b, n, w))
        return x + self.m(self.n2(x))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.e, self.p = nn.Embedding(40, 16), nn.Embedding(64, 16)
        self.a, self.b, self.f = Attention(), Attention(), nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        h = self.e(ids) + self.p(torch.arange(ids.shape[1], device=ids.device))
        h = self.b(self.a(h))
        return {"logits": self.f(h), "pooled": h.mean(1)}


class Detector(nn.Module):
    """Boxes and scores from a grid, as one-stage detectors end before their non-maximum suppression."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.SiLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.SiLU())
        self.box, self.score = nn.Conv2d(32, 4, 1), nn.Conv2d(32, 5, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        f = self.body(image)
        b = self.box(f).flatten(2).transpose(1, 2)
        centre, size = torch.sigmoid(b[..., :2]), torch.exp(b[..., 2:].clamp(max=4.0))
        boxes = torch.cat([centre - size / 2, centre + size / 2], -1)
        return boxes, torch.sigmoid(self.score(f).flatten(2).transpose(1, 2))


class Pools(nn.Module):
    """Windows that reach over the edge, averages that count the padding or not."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(2, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c(x)
        a = F.max_pool2d(x, 3, 2, 1, ceil_mode=True)
        b = F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)
        c = F.avg_pool2d(x, 3, 2, 1, ceil_mode=False, count_include_pad=True)
        return torch.cat([p.flatten(1) for p in (a, b, c)], 1)


class Adaptive(nn.Module):
    """9 by 8 into 2 by 3: windows of different sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(2, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.c(x), (2, 3))


class Resizes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(2, 3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.c(x)
        return (
            F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False),
            F.interpolate(x, size=[9, 7], mode="bilinear", align_corners=True),
            F.interpolate(x, scale_factor=1.5, mode="nearest"),
        )


class Stepped(nn.Module):
    """State comes in and goes out: a step of a recurrent network."""

    def __init__(self) -> None:
        super().__init__()
        self.i, self.h = nn.Linear(6, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h = torch.tanh(self.i(x) + self.h(state[0]))
        return h * 2, (h, state[1] + 1)


class TopK(nn.Module):
    def forward(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        return torch.topk(x, k)


class Listed(nn.Module):
    def forward(self, xs: list[Tensor]) -> Tensor:
        return torch.stack(xs)


class Drops(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.f(x), 0.5, training=True)


class Lost(nn.Module):
    """torch's own layer answers rows that see nothing; ONNX's Softmax gives NaN there."""

    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Embedding(30, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.t = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.t(self.e(ids), src_key_padding_mask=mask == 0)


def script(net: nn.Module) -> Any:
    return torch.jit.script(net.eval())


def trace(net: nn.Module, *example: Any) -> Any:
    return torch.jit.trace(net.eval(), example, check_trace=False, strict=False)


def export(net: nn.Module, *example: Any, **free: Any) -> Any:
    sizes = {
        name: {axis: torch.export.Dim.AUTO if d is None else d for axis, d in f.items()} for name, f in free.items()
    }
    return torch.export.export(net.eval(), example, dynamic_shapes=sizes or None)


def batch() -> Any:
    return torch.export.Dim("batch")


IMAGE, SMALL = torch.linspace(-1, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64), torch.ones(2, 2, 9, 8)
IDS = torch.arange(20).reshape(2, 10) % 20
N = torch.export.Dim("n", min=2, max=64)
MADE: dict[str, Callable[[], Any]] = {
    "script flow": lambda: script(Flow()),
    "script cuda": lambda: script(OnCuda()),
    "script remembers": lambda: script(Remembers()),
    "script counts": lambda: script(Counts()),
    "script several": lambda: script(Several()),
    "script words": lambda: script(Words()),
    "script unet": lambda: script(Unet()),
    "script resnet": lambda: script(Resnet()),
    "script digits": lambda: script(Digits()),
    "script stepped": lambda: script(Stepped()),
    "script topk": lambda: script(TopK()),
    "script listed": lambda: script(Listed()),
    "script drops": lambda: script(Drops()),
    "script in training": lambda: torch.jit.script(nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))),
    "script half": lambda: script(nn.Sequential(nn.Linear(6, 3), nn.ReLU()).half()),
    "script frozen": lambda: torch.jit.freeze(script(Unet())),
    "script detector": lambda: script(Detector()),
    "trace resnet": lambda: trace(Resnet(), IMAGE),
    "trace unet": lambda: trace(Unet(), IMAGE),
    "trace words": lambda: trace(Words(), IDS),
    "trace encoder": lambda: trace(Encoder(), IDS),
    "trace pools": lambda: trace(Pools(), SMALL),
    "trace adaptive": lambda: trace(Adaptive(), SMALL),
    "trace resizes": lambda: trace(Resizes(), SMALL),
    "trace int8": lambda: trace(quantised(), torch.linspace(-1, 1, 2 * 6).reshape(2, 6)),
    "export resnet": lambda: export(Resnet(), IMAGE, x={0: batch()}),
    "export unet": lambda: export(Unet(), IMAGE, x={0: batch()}),
    "export words": lambda: export(Words(), IDS, ids={0: batch()}),
    "export encoder": lambda: export(Encoder(), IDS, ids={0: batch(), 1: N}),
    "export detector": lambda: export(Detector(), IMAGE, image={0: batch()}),
    "export pools": lambda: export(Pools(), SMALL, x={0: batch()}),
    "export several": lambda: export(Several(), X, X, x={0: None}, y={0: None}),
    "export fixed": lambda: export(Digits(), torch.zeros(3, 1, 28, 28)),
    "export counts": lambda: export(Counts(), X),
    "export lost": lambda: export(
        Lost(), IDS, torch.ones(2, 10, dtype=torch.int64), ids={0: batch(), 1: N}, mask={0: batch(), 1: N}
    ),
}


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(
        nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)), {nn.Linear}
    )


def made(folder: Path, net: str, toml: str = "") -> None:
    """One of MADE, saved into `folder`, with a model.toml where it needs one."""
    torch.manual_seed(0)
    found = MADE[net]()
    if net.startswith("export"):
        torch.export.save(found, str(folder / "m.pt2"))
    else:
        torch.jit.save(found, str(folder / "m.pt"))
    if toml:
        (folder / "model.toml").write_text(toml)


if __name__ == "__main__":
    for name in sys.argv[2:] or MADE:
        (Path(sys.argv[1]) / name).mkdir(parents=True)
        made(Path(sys.argv[1]) / name, name)
