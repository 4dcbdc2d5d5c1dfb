"""Functions of layers: one function a layer, a file a family."""
