"""Where models lie in a repository: REPO/NAME/N/files, REPO/NAME/files, REPO/NAME.ext (+ NAME.toml, NAME.ext.data).

Rule 1: what is wrong with one model is the `problem` of its own places and touches no other.
Rule 2: this file lists folders and reads no file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.archive import SUFFIXES
from gateway.core.modeltoml import FILE as MODEL_TOML
from gateway.core.names import is_model_name
from gateway.core.tritonconfig import FILE as TRITON_CONFIG
from gateway.errors import AmbiguousFormat, DropError, GatewayError
from gateway.recognise.registry import loose_suffixes
from gateway.repository.walk import is_ignored, names_in, printable, resolve

SYMBOL = "-symbol.json"  # of MXNet: the weights are a file beside it, and neither is a model alone

MAX_VERSION = (1 << 63) - 1  # what the int64 of TensorFlow Serving's API holds

# A loose file with one of these is meant as a model even if no format here claims the suffix:
# its owner is told what it is and why it is not served, instead of hearing nothing.
_MODELS_ELSEWHERE = re.compile(
    rf"({'|'.join(re.escape(suffix) for suffix in sorted(loose_suffixes(), key=len, reverse=True))})$", re.IGNORECASE
)
# Papers that lie beside models and need no remark.
_PAPERS = re.compile(
    r"\.(cfg|config|csv|jpe?g|json|license|log|md|np[yz]|pbtxt|pdf|png|py|rst|sh|toml|txt|ya?ml)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Place:
    """Where the files of one version lie, or would.

    `folder` is without links. `file` is "" for a folder drop, else the one file of it, and
    `companions` are the files of its weights beside it.
    `tomls` are the possible places of model.toml, the nearest first. `shown` is for people:
    the path below the repository. Links may lead anywhere below `boundary`. `named` says that a
    person named this very file on the command line: it may be a hard link, as installers make.
    """

    model: str
    version: int
    shown: str
    boundary: str
    folder: Path
    file: str = ""
    companions: tuple[str, ...] = ()
    tomls: tuple[Path, ...] = ()
    problem: GatewayError | None = None
    named: bool = False

    @property
    def triton(self) -> Path | None:
        """Where Triton's config.pbtxt would lie: in the model's folder, beside the version folders."""
        return None if self.file or not self.tomls else self.tomls[-1].parent / TRITON_CONFIG

    def shown_toml(self, toml: Path) -> str:
        return printable(os.path.relpath(toml, self.boundary))


@dataclass
class Listing:
    """All places of a repository. `unreadable` are models whose folder could not be listed, with the reason."""

    places: dict[tuple[str, int], Place] = field(default_factory=dict)
    unreadable: dict[str, GatewayError] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    empty: bool = True  # nothing at all lies in the repository, not even what is ignored


def companions(file: str, names: Iterable[str]) -> tuple[str, ...]:
    """Among `names`, those that exporters give the weights of a model in the file `file`.

    FILE.data, FILE_data, ...; of MXNet's NAME-symbol.json they are NAME-0000.params and NAME.params.
    """
    pattern = re.escape(file) + "[._-]data.*"
    if file.endswith(SYMBOL):
        pattern += f"|{re.escape(file.removesuffix(SYMBOL))}(-\\d{{4}})?\\.params"
    return tuple(n for n in names if re.fullmatch(pattern, n) and not is_ignored(n))


def list_repository(root: str, suffixes: Iterable[str]) -> Listing:
    """Every place of `root`, a folder without links. Errors: OSError when `root` itself cannot be listed."""
    return Lister(root, suffixes).run()


class Lister:
    """Collects the places of one root: `run` of a repository, or `folder` of one model and `close`."""

    def __init__(self, root: str, suffixes: Iterable[str]) -> None:
        self.root = root
        # LightGBM's .txt or XGBoost's .json alone says nothing: labels and settings are called so too. In a folder of
        # its own such a model is recognised by its content.
        models = {suffix.lower() for suffix in suffixes if not _PAPERS.fullmatch(suffix)}
        self.suffixes = sorted({*models, *SUFFIXES}, key=len, reverse=True)
        self.found = Listing()
        self.claims: dict[tuple[str, int], list[str]] = {}
        self.names: list[str] = []

    def run(self) -> Listing:
        self.names = names_in(self.root)
        self.found.empty = not self.names
        beside = {c for name in self.names if self._stem(name) for c in companions(name, self.names)}
        for name in self.names:
            if not is_ignored(name) and name not in beside:
                self._top(name)
        return self.close()

    def close(self) -> Listing:
        """What was found; places that two claim become a problem of theirs."""
        for key, shown in self.claims.items():
            if len(shown) > 1:
                self.found.places[key] = self._place(
                    key,
                    " and ".join(shown),
                    problem=AmbiguousFormat(
                        f"{' and '.join(shown)} each claim to be version {key[1]} of the model '{key[0]}'.",
                        hint="Keep one of them, or give each its own number: REPO/NAME/1/, REPO/NAME/2/.",
                    ),
                )
        return self.found

    def _place(self, key: tuple[str, int], shown: str, **more: object) -> Place:
        values: dict[str, object] = {"folder": Path(self.root), **more}
        return Place(key[0], key[1], shown, self.root, **values)  # type: ignore[arg-type]

    def _add(self, key: tuple[str, int], shown: str, **more: object) -> None:
        self.found.places[key] = self._place(key, shown, **more)
        self.claims.setdefault(key, []).append(shown)

    def _top(self, name: str) -> None:
        shown, model = printable(name), self._stem(name)
        try:
            real, status = resolve(f"{self.root}/{name}", self.root, shown)
        except FileNotFoundError:
            return  # gone since it was listed
        except GatewayError as problem:
            if model or "." not in name:
                self._add((printable(model or name), 1), shown, problem=problem)
            else:
                self.found.notes.append(problem.explain())
            return
        if stat.S_ISDIR(status.st_mode):
            self.folder(name, real)
        elif model:
            self._add(
                (printable(model), 1),
                shown,
                file=name,
                companions=companions(name, self.names),
                tomls=(Path(self.root, model + ".toml"),),
                problem=_name_problem(model, shown),
            )
        elif "." in name and not _PAPERS.search(name):
            self.found.notes.append(
                f"{shown} is not taken as a model: no format claims this suffix. "
                f"In a folder of its own (REPO/NAME/{shown}) it is recognised by its content."
            )

    def _stem(self, name: str) -> str:
        """The model's name of a single-file drop, "" when the suffix is not that of a model."""
        for suffix in self.suffixes:
            if name.lower().endswith(suffix):
                return name[: -len(suffix)]
        found = _MODELS_ELSEWHERE.search(name)
        return name[: found.start()] if found else ""

    def folder(self, name: str, real: str) -> None:
        """One model: its version folders, or its files as version 1."""
        shown = printable(name)
        try:
            children = [child for child in names_in(real) if not is_ignored(child)]
            numbers = self._versions(shown, real, children)
        except FileNotFoundError:
            return
        except OSError as error:
            self.found.unreadable[shown] = DropError(f"{shown} cannot be read: {error.strerror}.")
            return
        if not children:
            return
        problem = _name_problem(name, shown)
        if problem or not numbers:
            self._add((shown, 1), shown, folder=Path(real), tomls=(Path(real, MODEL_TOML),), problem=problem)
            return
        for number, folders in numbers.items():
            self._version(shown, number, folders, Path(real, MODEL_TOML))
        loose = [child for child in children if self._stem(child)]
        if loose:
            self._add(
                (shown, 1),
                f"{shown}/{printable(loose[0])}",
                problem=AmbiguousFormat(
                    f"{shown} holds version folders ({', '.join(f for fs in numbers.values() for f in fs)}) "
                    f"and files beside them ({', '.join(map(printable, loose))}).",
                    hint=f"Move the files into a version folder, such as {shown}/{max(numbers) + 1}/.",
                ),
            )

    def _versions(self, shown: str, real: str, children: list[str]) -> dict[int, dict[str, str | GatewayError]]:
        """Version folders that hold something: number -> folder name -> real path, or what is wrong with it."""
        numbers: dict[int, dict[str, str | GatewayError]] = {}
        for child in children:
            if not re.fullmatch(r"[0-9]+", child, re.ASCII):
                continue
            found: str | GatewayError
            try:
                found, status = resolve(f"{real}/{child}", self.root, f"{shown}/{child}")
                if not stat.S_ISDIR(status.st_mode):
                    continue
                if all(is_ignored(inner) for inner in names_in(found)):
                    continue
            except GatewayError as problem:
                found = problem
            except FileNotFoundError:
                continue
            except OSError as error:
                found = DropError(f"{shown}/{child} cannot be read: {error.strerror}.")
            # int() of more digits than this is refused by Python; the number is out of range anyway
            number = int(child) if len(child) < 100 else MAX_VERSION + 1
            numbers.setdefault(number, {})[child] = found
        return numbers

    def _version(self, model: str, number: int, folders: Mapping[str, str | GatewayError], toml: Path) -> None:
        shown = [f"{model}/{name}" for name in folders]
        problem: GatewayError | None = None
        if number > MAX_VERSION:
            problem = DropError(f"{shown[0]} is not a version: the largest number is {MAX_VERSION}.")
            number = MAX_VERSION
        elif len(folders) > 1:
            problem = AmbiguousFormat(
                f"{' and '.join(shown)} are the same version, {number}.", hint="Keep one of them, or renumber."
            )
        real = next(iter(folders.values()))
        if isinstance(real, GatewayError):
            problem = problem or real
            real = self.root
        self._add(
            (model, number),
            " and ".join(shown),
            folder=Path(real),
            tomls=(Path(real, MODEL_TOML), toml),
            problem=problem,
        )


def _name_problem(name: str, shown: str) -> GatewayError | None:
    if is_model_name(name):
        return None
    return DropError(
        f"{shown!r} cannot be the name of a model; expected 1 to 128 letters, digits, '.', '_' or '-', "
        "the first a letter or digit.",
        hint="Rename the file or folder.",
    )
