"""What mutants are judged on: small models of a format, and where its operator functions are.

An op-by-op format joins by a Target of its own in TARGETS; nothing else here knows a format.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.core.modeltoml import ModelOptions


@dataclass(frozen=True)
class Net:
    """A drop of a few nodes. `refused`: the right answer is an error of the converter. `judge`: of another Environment
    than the format's, for what the first one has not.
    """

    name: str
    folder: Path
    options: ModelOptions
    refused: bool = False
    judge: str = ""


@dataclass(frozen=True)
class Target:
    """`package` holds the operator functions, a file a family; `make` writes nets (of some tables, or all).

    `shared` are modules outside of it that its functions stand on; "module:one,other" are those functions only.
    `converter`: Environment of the conversion. `nodes`: its judge looks inside, so that a report names the node that is
    wrong. `without`: functions that no number depends on.
    """

    format: str
    package: str
    make: Callable[[Path, Sequence[str]], Sequence[Net]]
    judge: str  # Environment of the reference answers
    skip: tuple[str, ...] = ()  # files of the package without arithmetic
    shared: tuple[str, ...] = ()
    converter: str = "base"
    nodes: bool = True
    without: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        return (self.package, *(name.partition(":")[0] for name in self.shared))


def target(name: str) -> Target:
    """Errors: KeyError for a format without nets."""
    module, _, attribute = TARGETS[name].partition(":")
    found: Target = getattr(importlib.import_module(module), attribute)
    return found


TARGETS = {
    "caffe": "tests.mutants.caffe:TARGET",
    "catboost": "tests.mutants.trees:CATBOOST",
    "darknet": "tests.mutants.darknet:TARGET",
    "lightgbm": "tests.mutants.trees:LIGHTGBM",
    "mxnet": "tests.mutants.mxnet:TARGET",
    "sklearn": "tests.mutants.trees:SKLEARN",
    "xgboost": "tests.mutants.trees:XGBOOST",
}
