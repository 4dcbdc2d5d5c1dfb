"""A function a layer of OpenVINO, by family; importing this registers all of them."""

from gateway.formats.openvino.ops import elementwise, nn, recurrent, reduce, shape

__all__ = ["elementwise", "nn", "recurrent", "reduce", "shape"]
