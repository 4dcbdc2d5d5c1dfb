"""Genuine files of Paddle: run by the Python of Environment `paddle`, writes into argv[1].

The first function of each pair of programs needs the old program format: FLAGS_enable_pir_api=0.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

OLD = os.environ.get("FLAGS_enable_pir_api") == "0"


def made(out: Path, layer: object = None) -> None:
    import paddle

    net = layer or paddle.nn.Sequential(
        paddle.nn.Conv2D(3, 4, 3), paddle.nn.ReLU(), paddle.nn.Flatten(), paddle.nn.Linear(144, 5)
    )
    net.eval()
    paddle.jit.save(net, str(out / "m"), input_spec=[paddle.static.InputSpec([None, 3, 8, 8], "float32", "x")])


def old_program(out: Path) -> None:
    made(out)


def old_program_alone(out: Path) -> None:
    made(out)
    (out / "m.pdiparams").unlink()
    for path in out.glob("*.info"):
        path.unlink()


def old_program_renamed(out: Path) -> None:
    made(out)
    (out / "m.pdmodel").rename(out / "__model__")
    (out / "m.pdiparams").rename(out / "__params__")
    for path in out.glob("*.info"):
        path.unlink()


def new_program(out: Path) -> None:
    made(out)


def new_program_alone(out: Path) -> None:
    made(out)
    (out / "m.pdiparams").unlink()


def new_params_alone(out: Path) -> None:
    made(out)
    (out / "m.json").unlink()


def new_pickle(out: Path) -> None:
    import paddle

    paddle.save(paddle.nn.Linear(4, 2).state_dict(), str(out / "m.pdparams"))


def new_pickle_optimiser(out: Path) -> None:
    import paddle

    layer = paddle.nn.Linear(4, 2)
    best = paddle.optimizer.Adam(parameters=layer.parameters())
    layer(paddle.ones([1, 4])).sum().backward()
    best.step()
    paddle.save(best.state_dict(), str(out / "m.pdopt"))


if __name__ == "__main__":
    root = Path(sys.argv[1])
    prefix = "old_" if OLD else "new_"
    for name, make in sorted(globals().items()):
        if callable(make) and getattr(make, "__module__", "") == "__main__" and name.startswith(prefix):
            folder = root / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
    if not OLD:
        subprocess.run(
            [sys.executable, __file__, str(root)], check=True, env={**os.environ, "FLAGS_enable_pir_api": "0"}
        )
