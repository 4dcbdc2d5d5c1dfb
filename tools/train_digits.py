"""Trains the network of model_repo/digits with MXNet on scikit-learn's handwritten digits, and says how good it is.

The data: 1797 pictures of 8 x 8, each pixel the count (0..16) of inked pixels in a 4 x 4 block of a
32 x 32 scan, white ink on black; E. Alpaydin and C. Kaynak, UCI "Optical Recognition of Handwritten
Digits", as scikit-learn ships it (load_digits). Run it from the repository's root with frameworks
that live for this one command only (1.9.1 is the last MXNet there is, and wants an older numpy):

    uv run --no-project --python 3.11 --with mxnet==1.9.1 --with numpy==1.23.5 \\
        --with scikit-learn==1.5.2 --with pillow==11.3.0 python tools/train_digits.py

(A minute on one core. What it writes is MXNet's own pair of files, as every checkpoint is.)

Rule 1: 20 % of the rows, stratified by digit, are held back. They take no part in training, in the
        choice of the network, of its epochs or of anything else: `--validate` judges on a fifth of
        the other 80 %. Writers are not told apart in this data, so a writer may be on both sides.
Rule 2: what is written says what was seen: the accuracy and the confused pairs go into
        docs/samples/digits.md, from here and not by hand.
Rule 3: the owner's vectors (test/*.npy) are MXNet's own answers on held-back rows: whoever converts
        the network is proven against MXNet, also where MXNet is not installed.
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path
from typing import Any

# Before the import: one thread sums in one order, so that two runs on one machine make the same weights.
os.environ |= {"OMP_NUM_THREADS": "1", "MXNET_SUBGRAPH_BACKEND": "NONE"}

import mxnet as mx  # noqa: TID251 - a tool of its own Environment, never imported by the gateway
import numpy as np
from mxnet import autograd, gluon, nd  # noqa: TID251
from mxnet.gluon import nn  # noqa: TID251
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 1797
EPOCHS = 120
BATCH = 64
VECTORS = 16  # held-back rows that go into test/
NAME = "digits"
DATA = "data"  # MXNet's customary name; model.toml calls it `image`


def network() -> nn.HybridSequential:
    """(N, 1, 8, 8) float32 in 0..1, ink bright -> (N, 10) logits; 34 thousand weights.

    Its layers are those that converters of MXNet get wrong: PReLU with a slope for each channel, BatchNorm with a
    fixed gamma and with a free one, LeakyReLU, and a pooling whose last window hangs over the edge.
    """
    net = nn.HybridSequential(prefix="")
    with net.name_scope():
        net.add(
            nn.Conv2D(24, 3, padding=1, use_bias=False, prefix="conv1_"),
            nn.BatchNorm(scale=False, prefix="norm1_"),
            nn.PReLU(in_channels=24, prefix="prelu1_"),
            nn.Conv2D(32, 3, padding=1, use_bias=False, prefix="conv2_"),
            nn.BatchNorm(prefix="norm2_"),
            nn.PReLU(in_channels=32, prefix="prelu2_"),
            nn.MaxPool2D(3, 2, ceil_mode=True, prefix="pool_"),  # 8 to 4; 3 without ceil_mode
            nn.Conv2D(48, 3, padding=1, prefix="conv3_"),
            nn.LeakyReLU(0.1, prefix="leaky3_"),
            nn.Flatten(prefix="flat_"),
            nn.Dropout(0.3, prefix="drop_"),
            nn.Dense(10, prefix="logits_"),
        )
    return net


def moved(x: nd.NDArray) -> nd.NDArray:
    """Each picture a little turned, scaled, sheared and shifted, ink a little weaker: what pens and scanners do."""
    n = len(x)

    def uniform(low: float, high: float) -> nd.NDArray:
        return nd.random.uniform(low, high, (n,))

    angle, scale, shear = uniform(-0.2, 0.2), uniform(0.88, 1.12), uniform(-0.15, 0.15)
    across, down = uniform(-0.2, 0.2), uniform(-0.2, 0.2)  # 1.0 is half of the picture
    cos, sin = angle.cos() * scale, angle.sin() * scale
    theta = nd.stack(cos, shear - sin, across, sin, cos, down, axis=1)
    out = nd.BilinearSampler(x, nd.GridGenerator(theta, transform_type="affine", target_shape=(8, 8)))
    return (out * uniform(0.8, 1.1).reshape((n, 1, 1, 1))).clip(0, 1)


def train(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> nn.HybridSequential:
    mx.random.seed(SEED)
    order = np.random.default_rng(SEED)
    net, images, labels = network(), nd.array(x), nd.array(y)
    net.initialize(mx.init.MSRAPrelu())
    net.hybridize()
    steps = EPOCHS * -(-len(x) // BATCH)
    schedule = mx.lr_scheduler.CosineScheduler(steps, base_lr=1e-3, final_lr=0)
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 1e-3, "lr_scheduler": schedule, "wd": 1e-4})
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss(sparse_label=False)
    for _ in range(EPOCHS):
        rows = order.permutation(len(x))
        for at in range(0, len(x), BATCH):
            chosen = nd.array(rows[at : at + BATCH], dtype="int32")
            wanted = nd.one_hot(labels.take(chosen), 10) * 0.98 + 0.002  # a little of every other digit
            with autograd.record():
                loss = loss_of(net(moved(images.take(chosen))), wanted)
            loss.backward()
            trainer.step(len(chosen))
    return net


def logits_of(net: nn.HybridSequential, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return net(nd.array(x)).asnumpy()


def softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return nd.softmax(nd.array(logits)).asnumpy()


def save(net: nn.HybridSequential, folder: Path) -> int:
    """digits-symbol.json and digits-0000.params, as Module.save_checkpoint has them. Returns their bytes.

    Both `probabilities` and `logits` are outputs on purpose: softmax presses errors flat, the logits show them.
    """
    logits = net(mx.sym.var(DATA))
    both = mx.sym.Group([mx.sym.softmax(logits, axis=1, name="probabilities"), logits])
    values = {name: parameter.data() for name, parameter in net.collect_params().items()}
    arguments = {name: values[name] for name in both.list_arguments() if name != DATA}
    states = {name: values[name] for name in both.list_auxiliary_states()}
    mx.model.save_checkpoint(str(folder / NAME), 0, both, arguments, states, remove_amp_cast=False)
    return sum(path.stat().st_size for path in files_of(folder))


def files_of(folder: Path) -> list[Path]:
    return [folder / f"{NAME}-symbol.json", folder / f"{NAME}-0000.params"]


def answers_of(folder: Path, x: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """(probabilities, logits) of the saved files, read back and run by MXNet's executor, one thread, not fused."""
    symbol, arguments, states = mx.model.load_checkpoint(str(folder / NAME), 0)
    executor = symbol.bind(mx.cpu(), {DATA: nd.array(x), **arguments}, grad_req="null", aux_states=states)
    return [array.asnumpy() for array in executor.forward(is_train=False)]


def write_vectors(folder: Path, x: np.ndarray[Any, Any]) -> None:
    """test/input_0.npy and, in the order of the outputs, output_0.npy (probabilities), output_1.npy (logits)."""
    (folder / "test").mkdir(parents=True, exist_ok=True)
    rows = np.ascontiguousarray(x[:VECTORS])
    np.save(folder / "test" / "input_0.npy", rows)
    for number, array in enumerate(answers_of(folder, rows)):
        np.save(folder / "test" / f"output_{number}.npy", array)


def drawn(digit: int) -> Image.Image:
    """A digit in strokes on a 256 x 256 black sheet: a picture that no scanner of the data set has made."""
    sheet = Image.new("L", (256, 256), 0)
    pen = ImageDraw.Draw(sheet)
    if digit == 3:
        pen.arc((76, 14, 186, 132), 190, 90, fill=255, width=34)
        pen.arc((70, 104, 192, 242), 270, 160, fill=255, width=34)
    elif digit == 7:
        pen.line([(62, 36), (194, 36), (112, 236)], fill=255, width=32, joint="curve")
    else:
        raise ValueError(f"{digit}: only 3 and 7 are drawn")
    return sheet


def write_samples(
    net: nn.HybridSequential, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], folder: Path
) -> list[str]:
    """One held-back row of each digit as an 8-fold enlarged PNG, and two drawn ones. Returns lines for the notes."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, tuple[int, Image.Image]] = {}
    for digit in range(10):
        row = int(np.flatnonzero(y == digit)[0])  # the first held-back one, not the nicest
        pixels = np.round(x[row, 0] * 255).astype(np.uint8)
        pictures[f"{digit}.png"] = (digit, Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST))
    pictures |= {f"drawn-{digit}.png": (digit, drawn(digit)) for digit in (3, 7)}
    lines = []
    for name, (digit, picture) in pictures.items():
        picture.save(folder / name, optimize=True)
        small = np.asarray(picture.resize((8, 8), Image.Resampling.BOX), np.float32)[None, None] / np.float32(255)
        answer = softmax(logits_of(net, small))[0]
        lines.append(f"| {name} | {digit} | {int(answer.argmax())} | {float(answer.max()):.4f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--validate", action="store_true", help="judge on a fifth of the training rows; write nothing")
    parser.add_argument("--samples", type=Path, default=Path("docs/samples/digits"))
    parser.add_argument("--out", type=Path, default=Path("model_repo/digits"))
    arguments = parser.parse_args()
    random.seed(SEED)
    np.random.seed(SEED)

    data = load_digits()
    x, y = (data.images[:, None] / 16).astype(np.float32), data.target.astype(np.int32)
    x_train, x_held, y_train, y_held = train_test_split(x, y, test_size=0.2, random_state=SEED, stratify=y)
    if arguments.validate:
        x_train, x_held, y_train, y_held = train_test_split(
            x_train, y_train, test_size=0.2, random_state=SEED, stratify=y_train
        )
    net = train(x_train, y_train)
    guess = logits_of(net, x_held).argmax(axis=1)
    right, wrong = int((guess == y_held).sum()), np.flatnonzero(guess != y_held)
    accuracy = f"{right} of {len(y_held)} rows right ({100 * right / len(y_held):.2f} %)"
    confused = ", ".join(f"{y_held[i]} read as {guess[i]}" for i in wrong) or "none"
    print(f"{'validation' if arguments.validate else 'held back'}: {accuracy}; wrong: {confused}")
    if arguments.validate:
        return

    version = arguments.out / "1"
    version.mkdir(parents=True, exist_ok=True)
    size = save(net, version)
    write_vectors(version, x_held)
    lines = write_samples(net, x_held, y_held, arguments.samples)
    notes = NOTES.format(rows=len(x_train), accuracy=accuracy, confused=confused, size=size, table="\n".join(lines))
    arguments.samples.with_suffix(".md").write_text(notes)
    print(notes)


NOTES = """\
# The network `digits`

*Written by `tools/train_digits.py`; do not edit.*

A convolutional network of three layers, trained by us with MXNet 1.9.1 on {rows} of the 1797 pictures of
scikit-learn's handwritten digits, and saved as MXNet saves: `digits-symbol.json` and `digits-0000.params`,
{size} bytes. PReLU, BatchNorm with and without its gamma, LeakyReLU and a pooling whose last window hangs over
the edge: the gateway converts it when it is first served, and proves what it made.

**Held-back rows, never used for training or for any choice: {accuracy}.**
Wrong: {confused}.

The data does not say who wrote what, so writers are on both sides of the split: expect less on hands it has
never seen, and little on dark ink on white paper, for which it was not made.

The pictures in `docs/samples/digits/`: `0.png` ... `9.png` are the first held-back row of each digit, enlarged
eightfold without smoothing; the drawn ones are strokes by PIL, white on black, as no scanner of that data made.
What MXNet says of them after the same area resize that `model.toml` asks for:

| picture | is | read as | probability |
|---|---|---|---|
{table}
"""


if __name__ == "__main__":
    main()
