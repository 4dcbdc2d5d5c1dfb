"""Rows of the interpreter's tables: single nodes, by family. A row's name is the reason it exists."""
