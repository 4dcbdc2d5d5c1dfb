"""Operators of the IR that are known and have no function, each with the reason."""

from __future__ import annotations

from gateway.formats.mmdnn.node import FORMAT_NAME
from gateway.graph.registry import refused

refused(FORMAT_NAME, "LSTM", "RNN", reason="MMdnn's parsers store no weights for it")
refused(FORMAT_NAME, "GRU", reason="which activations its gates have is not written, and Keras changed its default")
refused(FORMAT_NAME, "Affine", reason="MMdnn's Caffe parser writes the filler's numbers instead of the trained ones")
refused(FORMAT_NAME, "region", "yolo", reason="it is Darknet's head: drop the cfg and weights themselves, or take the "
        "layer before it as the output")  # fmt: skip
refused(FORMAT_NAME, "ResizeBilinear", "ResizeNearestNeighbor", reason="where its corners are is not written")
refused(FORMAT_NAME, "Unpool", reason="the places of the maxima are not written")
refused(FORMAT_NAME, "SpaceToBatchND", "BatchToSpaceND", reason="it moves places into the batch")
refused(FORMAT_NAME, "Scope", reason="it is a note of MMdnn's emitters and no operator")
refused(FORMAT_NAME, "QuantizeV2", "QConv", "QuantizedRelu", "QuantizedReshape", "Requantize", "RequantizationRange",
        "QuantizedConv2D", reason="MMdnn does not write the ranges of its integers")  # fmt: skip
refused(FORMAT_NAME, "MirrorPad", reason="its pads are in TensorFlow's order, which is not the IR's")
refused(FORMAT_NAME, "Switch", "Merge", "Enter", "NoOp", reason="it is control flow of TensorFlow 1")
