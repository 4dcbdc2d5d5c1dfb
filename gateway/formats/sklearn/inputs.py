"""What a model of scikit-learn takes: features float32[?, n]; texts string[?]; or its columns, each by name.

Rule 1: columns are apart only where they are not all numbers: a table of numbers is one tensor.
Rule 2: a column holds strings when an encoder learnt strings of it, or a vectorizer reads it; else float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import TensorSpec
from gateway.errors import ConversionError
from gateway.formats.forest import FEATURES

TEXT = "text"
VECTORIZERS = ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer")


@dataclass(frozen=True)
class Inputs:
    """`columns`: the names of a table in its order, where inputs are apart; `frame`: it had names in training."""

    specs: tuple[TensorSpec, ...]
    own: tuple[str, ...]
    frame: bool = False

    @property
    def is_text(self) -> bool:
        return self.own == (TEXT,)

    @property
    def apart(self) -> bool:
        return self.own not in ((TEXT,), (FEATURES,))


def find(model: Any, options: ModelOptions, file: str) -> Inputs:
    """Errors: ConversionError for what no client could be told."""
    first = _first(model)
    names = tuple(str(name) for name in getattr(model, "feature_names_in_", ()))
    if type(first).__name__ in VECTORIZERS:
        specs: list[tuple[str, str, tuple[int | None, ...]]] = [(TEXT, "string", (None,))]
    else:
        count = int(
            _of_booster(model)
            or getattr(model, "n_features_in_", 0)
            or getattr(first, "n_features_in_", 0)
            or len(names)
        )
        if count <= 0:
            raise ConversionError(
                f"{file}: {type(model).__name__} does not say how many features it takes; it was not fitted, or by a "
                "version of scikit-learn that did not note it.",
                hint="Fit it, or train it again with a newer scikit-learn.",
            )
        kinds = _kinds(first, names, count)
        if "string" in kinds:
            named = names or tuple(f"column_{number}" for number in range(count))
            specs = [(name, kind, (None, 1)) for name, kind in zip(named, kinds, strict=True)]
        else:
            specs = [(FEATURES, "float32", (None, count))]
    return _chosen(specs, options, bool(names), file)


def _of_booster(model: Any) -> int:
    """Columns of a Booster of LightGBM or XGBoost; 0 for anything else."""
    if type(model).__name__ != "Booster":
        return 0
    return int(model.num_feature() if type(model).__module__.startswith("lightgbm") else model.num_features())


def _chosen(
    specs: list[tuple[str, str, tuple[int | None, ...]]], options: ModelOptions, frame: bool, file: str
) -> Inputs:
    """Under the owner's names."""
    wishes = {option.own_name: option for option in options.inputs}
    if len(specs) == 1 and len(options.inputs) == 1:
        wishes = {specs[0][0]: options.inputs[0]}
    unknown = sorted(set(wishes) - {name for name, _, _ in specs})
    if unknown:
        known = ", ".join(name for name, _, _ in specs)
        raise ConversionError(f"{file} has no input {', '.join(map(repr, unknown))}; it has {known}.")
    wrong = [
        f"{name}: dtype {wishes[name].dtype}, and it is {kind}"
        for name, kind, _ in specs
        if name in wishes and wishes[name].dtype not in ("", kind)
    ]
    if wrong:
        raise ConversionError(f"{file}: inputs cannot be as asked: {'; '.join(wrong)}.")
    made = tuple(
        TensorSpec(wishes[name].name if name in wishes else name, kind, shape, symbols=("batch", "")[: len(shape)])
        for name, kind, shape in specs
    )
    return Inputs(made, tuple(name for name, _, _ in specs), frame)


def _first(model: Any) -> Any:
    """The first step that does something."""
    for _ in range(8):
        if type(model).__name__ == "Pipeline":
            model = model.steps[0][1]
        elif hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif type(model).__name__.startswith("HistGradientBoosting") and getattr(model, "_preprocessor", None):
            model = model._preprocessor  # of categories
        else:
            break
    return model


def _kinds(first: Any, names: tuple[str, ...], count: int) -> list[str]:
    kinds = ["float32"] * count
    for step, columns in _readers(first, names, count):
        for place, column in enumerate(columns):
            if _reads_text(step, place):
                kinds[column] = "string"
    return kinds


def _readers(first: Any, names: tuple[str, ...], count: int) -> Iterator[tuple[Any, list[int]]]:
    """(what reads columns first, which)."""
    if type(first).__name__ != "ColumnTransformer":
        yield first, list(range(count))
        return
    for _, step, columns in first.transformers_:
        if isinstance(step, str):
            continue
        if isinstance(columns, str):
            places = [names.index(columns)] if columns in names else []
        elif isinstance(columns, (int, np.integer)):
            places = [int(columns)]
        elif isinstance(columns, slice):
            places = list(range(count))[columns] if not isinstance(columns.start, str) else []
        else:
            array = np.asarray(columns)
            if array.dtype == bool:
                places = np.flatnonzero(array).tolist()
            else:
                places = [names.index(c) if isinstance(c, str) else int(c) for c in array.tolist()]
        yield _first(step), places


def _reads_text(step: Any, place: int) -> bool:
    if type(step).__name__ in VECTORIZERS:
        return True
    categories = getattr(step, "categories_", None)
    if categories is not None and place < len(categories):
        return np.asarray(categories[place]).dtype.kind in "OUS"
    statistics = getattr(step, "statistics_", None)  # SimpleImputer of strings
    if statistics is not None and np.asarray(statistics).dtype == object and place < len(statistics):
        return isinstance(statistics[place], str)
    return False


def words(model: Any, inputs: Inputs) -> dict[str, tuple[str, ...]]:
    """Of each input of strings, what the model knows: categories, or texts of words of its vocabulary."""
    first = _first(model)
    if inputs.is_text:
        return {TEXT: _texts(first)}
    if not inputs.apart:
        return {}
    found = {}
    names = tuple(str(name) for name in getattr(model, "feature_names_in_", ()))
    for step, columns in _readers(first, names, len(inputs.own)):
        for place, column in enumerate(columns):
            if type(step).__name__ in VECTORIZERS:
                found[inputs.own[column]] = _texts(step)
            elif _reads_text(step, place) and getattr(step, "categories_", None) is not None:
                found[inputs.own[column]] = tuple(str(item) for item in step.categories_[place].tolist())[:64]
    return found


def _texts(vectorizer: Any) -> tuple[str, ...]:
    """48 texts of words that it knows and others, upper case and punctuation among them."""
    known = sorted(getattr(vectorizer, "vocabulary_", None) or {"word": 0, "text": 1})
    random = np.random.default_rng(len(known))
    texts = []
    for number in range(48):
        picked = [known[at] for at in random.integers(0, len(known), 1 + number % 9).tolist()]
        text = " ".join([*picked, *(["unheard-of", "x"] if number % 3 == 0 else [])])
        texts.append(text.upper() if number % 5 == 0 else f"{text}, {picked[0]}!" if number % 4 == 0 else text)
    return tuple(texts)


def as_taken(inputs: Inputs, given: Tensors) -> Any:
    """What scikit-learn is called with: an array, a list of texts, or a table."""
    arrays = [given[spec.name] for spec in inputs.specs]
    if inputs.is_text:
        return [_text(item) for item in arrays[0].reshape(-1).tolist()]
    if not inputs.apart:
        return arrays[0]
    columns: list[Array] = []
    for spec, array in zip(inputs.specs, arrays, strict=True):
        flat = array.reshape(-1)
        if spec.dtype == "string":
            texts = np.empty(len(flat), object)
            texts[:] = [_text(item) for item in flat.tolist()]
            flat = texts
        columns.append(flat)
    if not inputs.frame:
        return np.stack([column.astype(object) for column in columns], axis=1)
    import pandas

    return pandas.DataFrame(dict(zip(inputs.own, columns, strict=True)))


def _text(item: Any) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
