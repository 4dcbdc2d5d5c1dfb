"""Darknet layers to ONNX, a file a family."""
