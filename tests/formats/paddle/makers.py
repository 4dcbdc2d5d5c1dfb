"""Seeded networks, saved by Paddle itself in Environment `paddle`, as PIR or as the older program."""

import os
from pathlib import Path
from typing import Any


def made(folder: Path, net: str, old: bool = False, model_file: str = "", apart: bool = False) -> None:
    """One of the functions below, saved into `folder`; `model_file` "__model__" gives the oldest names.

    `apart`: a file for each parameter, called like it, as save_inference_model wrote before 2.0.

    `old` needs a process that has not imported paddle yet.
    """
    if old:
        os.environ["FLAGS_enable_pir_api"] = "0"
    import paddle

    paddle.seed(0)
    layer, specs = globals()[net](paddle)
    layer.eval()
    given = [paddle.static.InputSpec(shape, kind, name) for name, shape, kind in specs]
    paddle.jit.save(layer, str(folder / "m"), input_spec=given)
    for left in folder.glob("*.info"):
        left.unlink()
    if apart:
        _apart(paddle, folder)
    if model_file:
        (folder / "m.pdmodel").rename(folder / model_file)
        if not apart:
            (folder / "m.pdiparams").rename(folder / "__params__")


def _apart(paddle: Any, folder: Path) -> None:
    """The parameters of m.pdmodel by Paddle's own `save`, one file each."""
    paddle.enable_static()
    executor = paddle.static.Executor()
    program, _, _ = paddle.static.load_inference_model(str(folder / "m"), executor)
    saving = paddle.static.Program()
    block = saving.global_block()
    for one in program.list_vars():
        if one.persistable and one.name not in ("feed", "fetch"):
            told = {"name": one.name, "shape": one.shape, "dtype": one.dtype, "type": one.type}
            copy = block.create_var(**told, persistable=True)
            path = str(folder / one.name)
            block.append_op(type="save", inputs={"X": [copy]}, outputs={}, attrs={"file_path": path})
    executor.run(saving)
    (folder / "m.pdiparams").unlink()


def cnn(paddle: Any) -> Any:
    nn = paddle.nn
    return nn.Sequential(
        nn.Conv2D(3, 8, 3, stride=2, padding=1), nn.BatchNorm2D(8), nn.Hardswish(), nn.MaxPool2D(3, 2, 1),
        nn.Conv2D(8, 8, 3, padding=1, groups=8), nn.ReLU6(), nn.AdaptiveAvgPool2D(1), nn.Flatten(), nn.Linear(8, 5),
        nn.Softmax(),
    ), [("image", [None, 3, 64, 64], "float32")]  # fmt: skip


def unet(paddle: Any) -> Any:
    nn, F = paddle.nn, paddle.nn.functional

    class Unet(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2D(3, 8, 3, padding=1), nn.Conv2D(8, 16, 3, stride=2, padding=1)
            self.c, self.d = nn.Conv2DTranspose(16, 8, 2, stride=2), nn.Conv2D(16, 2, 1)

        def forward(self, x):  # type: ignore[no-untyped-def]
            a = F.relu(self.a(x))
            return self.d(paddle.concat([a, self.c(F.relu(self.b(a)))], 1))

    return Unet(), [("x", [None, 3, 32, 32], "float32")]


def lstm(paddle: Any) -> Any:
    nn = paddle.nn

    class Words(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.e, self.l, self.f = nn.Embedding(20, 8), nn.LSTM(8, 6), nn.Linear(6, 3)

        def forward(self, ids):  # type: ignore[no-untyped-def]
            return self.f(self.l(self.e(ids))[0])

    return Words(), [("ids", [None, 12], "int64")]


def encoder(paddle: Any) -> Any:
    nn = paddle.nn

    class Encoder(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.e, self.f = nn.Embedding(40, 16), nn.Linear(16, 3)
            self.q, self.k, self.v, self.n = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16), nn.LayerNorm(16)

        def forward(self, ids, scale):  # type: ignore[no-untyped-def]
            h = self.e(ids)
            a = paddle.nn.functional.softmax(paddle.matmul(self.q(h), self.k(h), transpose_y=True) * 0.25, -1)
            h = self.n(h + paddle.matmul(a, self.v(h)))
            return self.f(h), h.mean(1) * scale

    return Encoder(), [("ids", [None, None], "int64"), ("scale", [None, 16], "float32")]


def pools(paddle: Any) -> Any:
    nn, F = paddle.nn, paddle.nn.functional

    class Pools(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.c = nn.Conv2D(2, 4, 3, padding=1)

        def forward(self, x):  # type: ignore[no-untyped-def]
            x = self.c(x)
            a = F.max_pool2d(x, 3, 2, 1, ceil_mode=True)
            b = F.avg_pool2d(x, 3, 2, 1, exclusive=True)
            c = F.avg_pool2d(x, 3, 2, 1, exclusive=False)
            d = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            return a, b, c, d, F.interpolate(x, size=[5, 7], mode="nearest")

    return Pools(), [("x", [None, 2, 9, 8], "float32")]


def lacking(paddle: Any) -> Any:
    """Three operators that paddle2onnx has not."""
    nn = paddle.nn

    class Lacking(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.l = nn.Linear(4, 4)

        def forward(self, x):  # type: ignore[no-untyped-def]
            y = self.l(x)
            return paddle.lgamma(y.abs() + 1.0), paddle.digamma(y.abs() + 1.0), paddle.cumprod(y, 1)

    return Lacking(), [("x", [None, 4], "float32")]


def resnet(paddle: Any) -> Any:
    nn, F = paddle.nn, paddle.nn.functional

    class Block(nn.Layer):
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.a = nn.Conv2D(before, after, 3, stride=stride, padding=1, bias_attr=False)
            self.b, self.n = nn.Conv2D(after, after, 3, padding=1), nn.BatchNorm2D(after)
            self.s = nn.Conv2D(before, after, 1, stride=stride)
            self.g = nn.Conv2D(after, after, 1)

        def forward(self, x):  # type: ignore[no-untyped-def]
            y = self.b(F.relu(self.n(self.a(x))))
            y = y * F.hardsigmoid(self.g(F.adaptive_avg_pool2d(y, 1)), slope=0.2, offset=0.5)
            return F.relu(y + self.s(x))

    return nn.Sequential(
        nn.Conv2D(3, 16, 7, stride=2, padding=3), nn.BatchNorm2D(16), nn.ReLU(), nn.MaxPool2D(3, 2, 1),
        Block(16, 16, 1), Block(16, 32, 2), nn.AdaptiveAvgPool2D(1), nn.Flatten(), nn.Linear(32, 10),
    ), [("image", [None, 3, None, None], "float32")]  # fmt: skip


def detector(paddle: Any) -> Any:
    """Boxes and scores of two grids, as one-stage detectors end before their non-maximum suppression."""
    nn, F = paddle.nn, paddle.nn.functional

    class Detector(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2D(3, 16, 3, stride=4, padding=1), nn.Conv2D(16, 16, 3, stride=2, padding=1)
            self.box, self.score = nn.Conv2D(16, 4, 1), nn.Conv2D(16, 5, 1)

        def forward(self, image):  # type: ignore[no-untyped-def]
            one = F.silu(self.a(image))
            two = F.silu(self.b(one))
            one = one + F.interpolate(two, size=[16, 16], mode="nearest")
            boxes = paddle.concat([self.box(f).flatten(2) for f in (one, two)], 2).transpose([0, 2, 1])
            scores = paddle.concat([self.score(f).flatten(2) for f in (one, two)], 2).transpose([0, 2, 1])
            centre, size = F.sigmoid(boxes[:, :, :2]), paddle.exp(paddle.clip(boxes[:, :, 2:], max=4.0))
            return paddle.concat([centre - size / 2, centre + size / 2], -1), F.sigmoid(scores)

    return Detector(), [("image", [None, 3, 64, 64], "float32")]


def flow(paddle: Any) -> Any:
    """A branch on its data, and a loop."""
    nn = paddle.nn

    class Flow(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.f = nn.Linear(6, 4)

        def forward(self, x):  # type: ignore[no-untyped-def]
            y = self.f(x)
            y = paddle.static.nn.cond(y.sum() > 0, lambda: y * 2.0, lambda: y - 1.0)
            count = paddle.zeros([1], "int64")
            _, y = paddle.static.nn.while_loop(lambda n, v: n < 3, lambda n, v: [n + 1, paddle.tanh(v)], [count, y])
            return y

    return Flow(), [("x", [None, 6], "float32")]


def gru(paddle: Any) -> Any:
    nn = paddle.nn

    class Step(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.g, self.f = nn.GRU(6, 5, direction="bidirect"), nn.Linear(10, 3)

        def forward(self, x):  # type: ignore[no-untyped-def]
            found, state = self.g(x)
            return self.f(found), state

    return Step(), [("x", [None, 7, 6], "float32")]
