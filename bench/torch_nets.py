"""The nets of nets.py in torch, with random weights; runs in Environment torch."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch  # noqa: TID251  this runs in Environment torch
from torch import nn  # noqa: TID251  as above


def block(ins: int, outs: int, activation: type[Any] = nn.ReLU) -> Any:
    """Conv, batch norm, activation."""
    return nn.Sequential(nn.Conv2d(ins, outs, 3, padding=1, bias=False), nn.BatchNorm2d(outs), activation())


class UNet(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        sizes = (32, 64, 128, 256)
        self.down = nn.ModuleList([block(a, b) for a, b in zip((3, *sizes), sizes)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, 2) for a, b in itertools.pairwise(sizes)])
        self.join = nn.ModuleList([block(2 * a, a) for a in sizes[:-1]])
        self.last = nn.Conv2d(sizes[0], 4, 1)

    def forward(self, x: Any) -> Any:
        kept = []
        for number, down in enumerate(self.down):
            x = down(x if number == 0 else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        for up, join, skip in zip(reversed(self.up), reversed(self.join), reversed(kept[:-1])):
            x = join(torch.cat([up(x), skip], 1))
        return torch.softmax(self.last(x), 1)


class Yolo(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *[
                nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.SiLU())
                for a, b in ((3, 16), (16, 32), (32, 64), (64, 128))
            ]
        )
        self.far, self.lift = block(128, 128, nn.SiLU), block(256, 128, nn.SiLU)
        self.heads = nn.ModuleList([nn.Conv2d(128, 3 * 25, 1) for _ in range(2)])

    def forward(self, x: Any) -> Any:
        near = self.body(x)
        far = self.far(nn.functional.max_pool2d(near, 2))
        near = self.lift(torch.cat([near, nn.functional.interpolate(far, scale_factor=2.0)], 1))
        rows = []
        for head, found in zip(self.heads, (near, far)):
            y = head(found)
            n, _, h, w = y.shape
            y = torch.sigmoid(y.view(n, 3, 25, h, w).permute(0, 1, 3, 4, 2))
            rows.append(torch.cat([y[..., :2] * 2 - 0.5, (y[..., 2:4] * 2) ** 2, y[..., 4:]], -1).view(n, -1, 25))
        return torch.cat(rows, 1)


class Layer(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Any, mask: Any) -> Any:
        n, t, c = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        share = torch.softmax(q @ k.transpose(-1, -2) * (c // self.heads) ** -0.5 + mask, -1)
        x = self.first(x + self.out((share @ v).transpose(1, 2).reshape(n, t, c)))
        return self.second(x + self.down(nn.functional.gelu(self.up(x))))


class Bert(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(5000, 256), nn.Embedding(512, 256)
        self.layers = nn.ModuleList([Layer(256, 4) for _ in range(6)])

    def forward(self, ids: Any, there: Any) -> Any:
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        mask = (1 - there[:, None, None, :].float()) * -10000.0
        for layer in self.layers:
            x = layer(x, mask)
        return x


class Lstm(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.net, self.last = nn.LSTM(64, 128, 2, batch_first=True, bidirectional=True), nn.Linear(256, 32)

    def forward(self, x: Any) -> Any:
        return torch.log_softmax(self.last(self.net(x)[0]), -1)


def export(name: str, file: Path) -> None:
    """An ONNX file by torch's exporter."""
    torch.manual_seed(1)
    picture, ids = torch.rand(1, 3, 128, 128), torch.randint(0, 5000, (2, 16))
    free = {0: "N", 1: "T"}
    nets: dict[str, tuple[Any, tuple[Any, ...], dict[str, dict[int, str]]]] = {
        "unet": (UNet(), (picture,), {"x": {0: "N"}}),
        "yolo": (Yolo(), (picture,), {"x": {0: "N"}}),
        "bert": (Bert(), (ids, torch.ones_like(ids)), {"x": free, "there": free}),
        "lstm": (Lstm(), (torch.rand(2, 16, 64),), {"x": free}),
    }
    net, given, axes = nets[name]
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    torch.onnx.export(
        net.eval(), given, str(file), input_names=list(axes), output_names=["y"], dynamic_axes=axes | {"y": {0: "N"}},
        opset_version=17, dynamo=False,
    )  # fmt: skip
