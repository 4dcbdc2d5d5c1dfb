"""MTCNN's nets in Caffe's and MXNet's files, written from the weights of the ONNX files. Runs in Environment base.

    python -m tests.facenets_child FOLDER PNET RNET ONET  ->  FOLDER/caffe/mtcnn-pnet/..., FOLDER/mxnet/mtcnn-pnet/...

The ONNX files want transposed pictures in RGB, channels last. Caffe's copies here keep them transposed, as their
authors published them, channels first; MXNet's want them upright and in BGR: kernels are turned, channels of the
first one reversed, and the rows of the first dense layer reordered as its input lies then.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

SIDES = {"pnet": 12, "rnet": 24, "onet": 48}
LAYOUT = {"caffe": ("rgb", "ncwh"), "mxnet": ("bgr", "nchw")}
TOML = """
[[inputs]]
name = "data"
shape = {shape}

[preprocess]
{size}colour = "{colour}"
mean = 127.5
std = 128
layout = "{layout}"
"""


class Net:
    """Layers of one file, from the graph of another; `upright`: as MXNet's copy."""

    def __init__(self, path: str, *, upright: bool) -> None:
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(path).graph
        self.weights = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
        self.upright = upright
        self.names = {graph.input[0].name: "data"}
        self.layers: list[tuple[str, str, str, dict[str, Any], list[Any]]] = []  # kind, name, from, attributes, blobs
        self.outputs: list[str] = []
        self.flat = False
        for node in graph.node:
            self._take(node, {a.name: list(a.ints) or a.i for a in node.attribute})
        self.outputs = [self.names[output.name] for output in graph.output]

    def _add(self, node: Any, kind: str, attributes: dict[str, Any], blobs: list[Any]) -> None:
        name = f"{kind.lower()}{len(self.layers)}"
        self.layers.append((kind, name, self.names[node.input[0]], attributes, blobs))
        self.names[node.output[0]] = name

    def _take(self, node: Any, attributes: dict[str, Any]) -> None:
        kind = node.op_type
        if kind in ("Transpose", "Flatten"):
            self.flat |= kind == "Flatten"
            self.names[node.output[0]] = self.names[node.input[0]]
        elif kind == "Conv":
            kernel, bias = self.weights[node.input[1]], self.weights[node.input[2]]
            if self.upright:
                kernel = kernel.transpose(0, 1, 3, 2)
                kernel = kernel[:, ::-1] if self.names[node.input[0]] == "data" else kernel
            self._add(node, "Convolution", {"count": len(bias), "kernel": kernel.shape[2]}, [kernel, bias])
        elif kind == "PRelu":
            self._add(node, "PReLU", {}, [self.weights[node.input[1]].reshape(-1)])
        elif kind == "MaxPool":
            self._add(
                node, "Pooling", {"kernel": attributes["kernel_shape"][0], "stride": attributes["strides"][0]}, []
            )
        elif kind == "MatMul":
            self._add(node, "InnerProduct", {}, [self._dense(self.weights[node.input[1]])])
        elif kind == "Add":  # the bias of the product before it
            self.layers[-1 if self.names[node.input[0]] == self.layers[-1][1] else self._at(node)][4].append(
                self.weights[node.input[1]]
            )
            self.names[node.output[0]] = self.names[node.input[0]]
        elif kind == "Softmax":
            self._add(node, "Softmax", {}, [])
        else:
            raise ValueError(kind)

    def _at(self, node: Any) -> int:
        return next(at for at, layer in enumerate(self.layers) if layer[1] == self.names[node.input[0]])

    def _dense(self, matrix: Any) -> Any:
        """[in, out] -> [out, in]. The first one's rows lie (width, height, channel); here (channel, ...)."""
        if self.flat:
            self.flat = False
            channels = len(next(layer[4][0] for layer in reversed(self.layers) if layer[0] == "PReLU"))
            side = round((matrix.shape[0] / channels) ** 0.5)
            cube = matrix.reshape(side, side, channels, -1)
            matrix = cube.transpose((2, 1, 0, 3) if self.upright else (2, 0, 1, 3)).reshape(matrix.shape)
        return matrix.T


def caffe(net: Net, folder: Path, side: int) -> None:
    from gateway.core.textproto import Word
    from tests.formats.caffe.writer import Writer

    made = Writer().input("data", (1, 3, side, side))
    for kind, name, source, attributes, blobs in net.layers:
        more: dict[str, Any] = {}
        if kind == "Convolution":
            more["convolution_param"] = {"num_output": attributes["count"], "kernel_size": attributes["kernel"]}
        elif kind == "Pooling":
            more["pooling_param"] = {
                "pool": Word("MAX"),
                "kernel_size": attributes["kernel"],
                "stride": attributes["stride"],
            }
        elif kind == "InnerProduct":
            more["inner_product_param"] = {"num_output": len(blobs[1])}
        made.layer(kind, name, [source], [name], blobs=blobs, **more)
    made.save(folder)


def mxnet(net: Net, folder: Path, name: str) -> None:
    from tests.formats.mxnet.write import Graph, params

    graph, arrays, nodes = Graph(), {}, dict[str, Any]()
    nodes["data"] = graph.variable("data")

    def weights(layer: str, blobs: list[Any], *roles: str) -> list[Any]:
        arrays.update({f"arg:{layer}_{role}": np.ascontiguousarray(blob) for role, blob in zip(roles, blobs)})
        return [graph.variable(f"{layer}_{role}") for role in roles]

    for kind, layer, source, attributes, blobs in net.layers:
        x = nodes[source]
        if kind == "Convolution":
            size = (attributes["kernel"],) * 2
            inputs = [x, *weights(layer, blobs, "weight", "bias")]
            nodes[layer] = graph.node("Convolution", layer, inputs, kernel=size, num_filter=attributes["count"])
        elif kind == "PReLU":
            nodes[layer] = graph.node("LeakyReLU", layer, [x, *weights(layer, blobs, "gamma")], act_type="prelu")
        elif kind == "Pooling":
            size, step = (attributes["kernel"],) * 2, (attributes["stride"],) * 2
            nodes[layer] = graph.node(
                "Pooling", layer, [x], kernel=size, stride=step, pool_type="max", pooling_convention="full"
            )
        elif kind == "InnerProduct":
            inputs = [x, *weights(layer, blobs, "weight", "bias")]
            nodes[layer] = graph.node("FullyConnected", layer, inputs, num_hidden=len(blobs[1]))
        else:
            nodes[layer] = graph.node("softmax", layer, [x], axis=1)
    graph.save(folder / f"{name}-symbol.json", *(nodes[output] for output in net.outputs))
    params(folder / f"{name}-0000.params", arrays)


def main(root: str, *files: str) -> None:
    for kind, (colour, layout) in LAYOUT.items():
        for (name, side), file in zip(SIDES.items(), files):
            folder = Path(root, kind, f"mtcnn-{name}")
            folder.mkdir(parents=True)
            net = Net(file, upright=kind == "mxnet")
            if kind == "caffe":
                caffe(net, folder, side)
            else:
                mxnet(net, folder, name)
            free = name == "pnet"
            shape = '["?", 3, "?", "?"]' if free else f'["?", 3, {side}, {side}]'
            size = "" if free else f"resize = {side}\n"
            text = TOML.format(shape=shape, size=size, colour=colour, layout=layout)
            (folder / "model.toml").write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
