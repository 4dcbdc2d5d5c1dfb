"""What the formats of TensorFlow share: names, and the way into ONNX. No format itself: it has no FORMAT.

names.py   public names out of a graph's own, and what model.toml says of them
hub.py     tf2onnx, and what it leaves undone
"""
