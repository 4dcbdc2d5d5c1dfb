"""Building ONNX graphs operator by operator: the registry of converters and the GraphBuilder."""
