"""Places of a model that lies outside the watched repository, as a configuration or a call names it.

    base path with version folders     BASE/N/files         TensorFlow Serving's, with leading zeros
    base path with files, or a file    BASE/files           version 1
    one place a version                {3: "/models/net.onnx"}

Rule 1: links may lead anywhere below the base path, and nowhere else.
Rule 2: a place that is not there raises OSError, which is never taken for a deletion.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gateway.core.modeltoml import FILE as MODEL_TOML
from gateway.repository.layout import Lister, Listing, Place, companions
from gateway.repository.walk import names_in, printable

List = Callable[[str, Iterable[str]], Listing]
"""(root without links, suffixes of single files) -> what lies there. Errors: OSError."""


def list_base(model: str) -> List:
    """The versions below one base path."""

    def listing(root: str, suffixes: Iterable[str]) -> Listing:
        if Path(root).is_file():
            return Listing({(model, 1): _file(model, 1, root)}, empty=False)
        lister = Lister(root, suffixes)
        lister.names = names_in(root)
        lister.found.empty = not lister.names
        lister.folder(model, root)
        return lister.close()

    return listing


def list_versions(model: str, at: Mapping[int, str]) -> List:
    """One place a version; `root` is not looked at."""

    def listing(root: str, suffixes: Iterable[str]) -> Listing:
        found = Listing(empty=False)
        for version, path in at.items():
            real = os.path.realpath(path, strict=True)
            found.places[model, version] = (
                _file(model, version, real) if Path(real).is_file() else _folder(model, version, real)
            )
        return found

    return listing


def _file(model: str, version: int, real: str) -> Place:
    path = Path(real)
    return Place(
        model,
        version,
        printable(real),
        str(path.parent),
        path.parent,
        path.name,
        companions(path.name, names_in(path.parent)),
        (path.with_suffix(".toml"),),
    )


def _folder(model: str, version: int, real: str) -> Place:
    return Place(model, version, printable(real), real, Path(real), tomls=(Path(real, MODEL_TOML),))
