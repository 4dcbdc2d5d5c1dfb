"""TensorFlow's SavedModel: what ONNX becomes where `target = "savedmodel"` (hop.py, build/)."""
