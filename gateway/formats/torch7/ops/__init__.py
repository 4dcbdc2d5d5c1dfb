"""Functions of Torch7's modules, by family."""
