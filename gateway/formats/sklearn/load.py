"""Opening a scikit-learn model: a pickle, a joblib file, compressed or not, or skops.

Rule 1: every global of a pickle, those of arrays of objects inside a joblib file included, is read in a first pass
        that builds nothing but numpy arrays; what is not on the list is refused, all of it, by name.
Rule 2: the second pass can import what the first has seen allowed, and nothing else.
Rule 3: a file of another version is opened with a warning; what cannot be opened is refused with both versions.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gateway.errors import ConversionError, CorruptModel

CORE = {  # what both passes really import: arrays, and plain containers
    ("numpy", "ndarray"), ("numpy", "dtype"), ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"), ("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer"),
    ("collections", "OrderedDict"), ("builtins", "set"), ("builtins", "frozenset"), ("builtins", "slice"),
    ("builtins", "bytearray"), ("builtins", "complex"), ("builtins", "range"), ("__builtin__", "set"),
    ("_codecs", "encode"),
}  # fmt: skip
FURTHER = {  # imported in the second pass only
    ("collections", "defaultdict"), ("builtins", "int"), ("builtins", "float"), ("builtins", "str"),
    ("builtins", "bool"), ("builtins", "list"), ("builtins", "dict"), ("builtins", "tuple"), ("builtins", "object"),
    ("builtins", "bytes"), ("builtins", "type"), ("copyreg", "_reconstructor"), ("copy_reg", "_reconstructor"),
    ("__builtin__", "object"), ("numpy.random._pickle", "__randomstate_ctor"),
    ("sklearn.neighbors._kd_tree", "newObj"), ("sklearn.neighbors._ball_tree", "newObj"),
    ("sklearn.metrics._dist_metrics", "newObj"), ("sklearn.neighbors._dist_metrics", "newObj"),
    ("sklearn.neighbors.kd_tree", "newObj"), ("sklearn.neighbors.ball_tree", "newObj"),
    ("functools", "partial"), ("sklearn.utils.validation", "check_array"),  # of HistGradientBoosting with categories
    ("numpy.ma.core", "_mareconstruct"), ("numpy.ma.core", "MaskedArray"), ("numpy.ma", "_mareconstruct"),
    ("numpy.ma", "MaskedArray"),  # of a search among models: its results
    ("sklearn._loss.link", "Interval"), ("numpy", "float64"), ("numpy", "float32"), ("numpy", "int64"),
    ("numpy", "int32"), ("numpy", "bool_"), ("numpy", "str_"), ("numpy", "uint8"),
}  # fmt: skip
_FORBIDDEN = r"(datasets|externals|tests|conftest|utils\.(?!_bunch|_tags|_set_output|validation\b)\w+)"
CLASSES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"sklearn(?!\.{_FORBIDDEN})(\.\w+)* _?[A-Z]\w*",
        r"sklearn\.utils(\._bunch)? Bunch",
        r"sklearn\._loss\._loss (__pyx_unpickle_)?Cy\w+",
        r"numpy\.random\._pickle __(randomstate|bit_generator|generator)_ctor",
        r"numpy\.random\.bit_generator (__pyx_unpickle_)?SeedSequence",
        r"numpy\.random\.(mtrand RandomState|_mt19937 MT19937|_pcg64 PCG64|_generator Generator)",
        r"sklearn\.preprocessing\._function_transformer _identity",
        r"scipy\.sparse(\.\w+)* (csr|csc|coo|bsr|dia|lil|dok)_(matrix|array)",
        r"lightgbm\.(sklearn LGBM\w+|sklearn _LGBM\w+|basic Booster)",
        r"xgboost\.(sklearn XGB\w+|core Booster)",
    )
)
ARRAYS = ("joblib.numpy_pickle", "NumpyArrayWrapper")
OLD_ARRAYS = ("NDArrayWrapper", "ZNDArrayWrapper")
SHOWN = 12


@dataclass(frozen=True)
class Loaded:
    """`version` is the scikit-learn that wrote it, "" where it does not say. `warnings`: what the library said."""

    model: Any
    version: str
    warnings: tuple[str, ...] = ()


@dataclass
class _Seen:
    globals: dict[tuple[str, str], None] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)


def allowed(module: str, name: str) -> bool:
    """Whether a pickle may name this."""
    if (module, name) in CORE or (module, name) in FURTHER or (module, name) == ARRAYS:
        return True
    return any(pattern.fullmatch(f"{module} {name}") for pattern in CLASSES)


def load(path: Path) -> Loaded:
    """Errors: ConversionError, CorruptModel."""
    with path.open("rb") as stream:
        zipped = stream.read(4) == b"PK\x03\x04"
    return _skops(path) if zipped else _pickle(path)


def check(path: Path) -> list[str]:
    """The versions of scikit-learn that a pickle names. Errors: ConversionError naming every global not allowed."""
    seen = _Seen()
    with _opened(path) as stream:
        try:
            _unpickler(stream, _stand_in(seen), seen).load()
        except ConversionError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a stream of opcodes can do wrong
            # A name that is not allowed says more than what stands behind it.
            _refuse(path, seen)
            raise CorruptModel(
                f"{path.name} is no whole pickle: {type(error).__name__}: {_line(error)}.",
                hint="Copy or save it again.",
            ) from None
    _refuse(path, seen)
    return seen.versions


def _refuse(path: Path, seen: _Seen) -> None:
    bad = [f"{module}.{name}" for module, name in seen.globals if not allowed(module, name)]
    if bad:
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise ConversionError(
            f"{path.name} is a pickle that names {', '.join(bad[:SHOWN])}{more}; only classes of scikit-learn, "
            "LightGBM, XGBoost and arrays are opened. Nothing of it was run.",
            hint="Keep functions and classes of your own out of the model, and save it again; or export it to ONNX.",
        )


def _pickle(path: Path) -> Loaded:
    versions = check(path)
    version = versions[0] if versions else ""
    seen = _Seen()
    with warnings.catch_warnings(record=True) as said, _opened(path) as stream:
        warnings.simplefilter("always")
        try:
            model = _unpickler(stream, _real(path), seen).load()
        except ConversionError:
            raise
        except Exception as error:  # noqa: BLE001  an old or broken state fails in any way
            raise _cannot(path, version, error) from None
    return Loaded(model, version, _of_versions(said))


def _cannot(path: Path, version: str, error: Exception) -> ConversionError:
    import sklearn

    by = f"scikit-learn {version}" if version else "a version of scikit-learn that it does not name"
    again = f"pip install scikit-learn=={version} skl2onnx" if version else "the scikit-learn it was trained with"
    return ConversionError(
        f"{path.name} was saved by {by}, and scikit-learn {sklearn.__version__} does not open it: "
        f"{type(error).__name__}: {_line(error)}.",
        hint=f"With {again}, `skl2onnx.to_onnx(model, X[:1])` makes a file that is served; or train it again.",
    )


def _skops(path: Path) -> Loaded:
    import skops.io

    try:
        named = skops.io.get_untrusted_types(file=path)
        bad = [name for name in named if not allowed(*name.rpartition(".")[::2])]
        if bad:
            raise ConversionError(
                f"{path.name} is a skops file that names {', '.join(bad[:SHOWN])}; only classes of scikit-learn and "
                "arrays are opened.",
                hint="Keep functions and classes of your own out of the model, and save it again.",
            )
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model = skops.io.load(path, trusted=named)
    except ConversionError:
        raise
    except Exception as error:  # noqa: BLE001  a zip or schema fails in any way
        raise CorruptModel(f"{path.name} cannot be opened by skops: {type(error).__name__}: {_line(error)}.") from None
    return Loaded(model, str(getattr(model, "_sklearn_version", "")), _of_versions(said))


def _of_versions(said: list[warnings.WarningMessage]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for each in said:
        match = re.search(r"estimator (\w+) from version ([\w.]+) when using version ([\w.]+)", str(each.message))
        if match:
            found[f"saved by scikit-learn {match[2]}, opened by {match[3]}: what it answers is {match[3]}'s"] = None
    return tuple(found)


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else "")[:300].rstrip(".")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The pickle's bytes, unpacked where they are compressed."""
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        head = raw.read(6)
        raw.seek(0)
        opened: Any = raw
        if head[:2] == b"\x1f\x8b":
            opened = gzip.GzipFile(fileobj=raw)
        elif head[:3] == b"BZh":
            opened = bz2.BZ2File(raw)
        elif head[:6] == b"\xfd7zXZ\x00" or head[:3] == b"\x5d\x00\x00":
            opened = lzma.LZMAFile(raw)  # noqa: SIM115  closed with the stack
        elif head[:1] == b"\x78":
            from joblib.compressor import BinaryZlibFile

            opened = BinaryZlibFile(raw)
        yield opened if opened is raw else stack.enter_context(io.BufferedReader(opened))


Find = Callable[[str, str], Any]


def _unpickler(stream: BinaryIO, find: Find, seen: _Seen) -> Any:
    """An unpickler of joblib whose every name goes through `find`, also those inside arrays of objects."""
    from joblib import numpy_pickle

    class Arrays(numpy_pickle.NumpyArrayWrapper):  # type: ignore[misc]
        def read_array(self, unpickler: Any, *rest: Any) -> Any:
            if not self.dtype.hasobject:
                return super().read_array(unpickler, *rest)
            # joblib opens these with a plain pickle.load.
            array = _unpickler(unpickler.file_handle, find, seen).load()
            return array.reshape(self.shape) if isinstance(array, np.ndarray) else array

    class Guarded(numpy_pickle.NumpyUnpickler):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) == ARRAYS:
                return Arrays
            return find(module, name)

        def persistent_load(self, pid: Any) -> Any:
            raise ConversionError("it refers to objects outside of the file (persistent ids), which no model of "
                                  "scikit-learn does.")  # fmt: skip

    return Guarded("", stream, ensure_native_byte_order=True)


class _Inert:
    """Stands for every object of the first pass: takes all, does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        self.versions: list[str] = []

    def __setstate__(self, state: Any) -> None:
        del state

    def __setitem__(self, key: Any, value: Any) -> None:
        del key, value

    def append(self, value: Any) -> None:
        del value

    def extend(self, values: Any) -> None:
        del values

    def add(self, value: Any) -> None:
        del value

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return self


def _stand_in(seen: _Seen) -> Find:
    def find(module: str, name: str) -> Any:
        seen.globals[module, name] = None
        if (module, name) in CORE:
            return getattr(__import__(module, fromlist=[name]), name)

        class Named(_Inert):
            def __setstate__(self, state: Any) -> None:
                if isinstance(state, dict) and isinstance(state.get("_sklearn_version"), str):
                    seen.versions.append(state["_sklearn_version"])

        return Named

    return find


def _real(path: Path) -> Find:
    def find(module: str, name: str) -> Any:
        if not allowed(module, name):  # the first pass has read the same bytes
            raise ConversionError(f"{path.name} names {module}.{name}, which is not opened.")
        return getattr(__import__(module, fromlist=[name]), name)

    return find
