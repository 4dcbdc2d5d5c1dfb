"""Functions of the IR's operators, by family."""
