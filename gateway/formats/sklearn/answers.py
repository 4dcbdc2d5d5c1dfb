"""What a model of scikit-learn answers: label, probabilities, scores, predictions, each a tensor of its own.

    several outputs     label (rows, outputs); probabilities_0, probabilities_1 ... each (rows, classes of it)
    several labels      label (rows, labels) of 0 and 1; probabilities (rows, labels)
    outliers            label 1 or -1; scores, under 0 where it is one
    no probabilities    label; scores, as decision_function has them

Rule 1: sizes that no attribute tells are those of its answer to one row.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError
from gateway.formats.forest import LABEL, LEAVES, PREDICTIONS, PROBABILITIES, SCORES, Answer
from gateway.formats.sklearn import inputs as taken
from gateway.formats.sklearn import pickled, trees
from gateway.formats.sklearn.inputs import Inputs

OTHERS = ("lightgbm", "xgboost")


def nothing() -> str:
    raise AssertionError("an output that is only described")


def known(model: Any, inputs: Inputs, file: str) -> Mapping[str, Answer]:
    """Outputs that there are, described. Errors: ConversionError for classes that no tensor carries."""
    from sklearn.base import is_classifier, is_regressor

    if pickled.is_booster(model):
        return pickled.described(model)
    found: dict[str, Answer] = {}
    if is_classifier(model):
        found |= _of_classes(model, inputs)
    elif is_regressor(model) or other(model):
        row = _once(model, inputs, "predict")
        width = None if row is None or row.ndim == 1 else int(row.shape[1])
        found[PREDICTIONS] = Answer(nothing, "float32", (None,) if width is None else (None, width))
    else:
        shares = _once(model, inputs, "predict_proba") if hasattr(model, "predict_proba") else None
        if shares is not None:
            found[PROBABILITIES] = Answer(nothing, "float32", (None, int(shares.shape[1])))
        found[LABEL] = Answer(nothing, "int64", (None,))
        if hasattr(model, "decision_function"):
            found[SCORES] = Answer(nothing, "float32", (None,))
    direct = trees.is_trees(model) and type(model).__name__ not in (*trees.HISTOGRAM, *trees.ISOLATION)
    if direct or (other(model) and getattr(model, "booster", "") != "gblinear"):
        found[LEAVES] = Answer(
            nothing, "int64", (None, None if not direct else len(trees.ensemble(model).trees)), False
        )
    return found


def other(model: Any) -> bool:
    """Of LightGBM or XGBoost, in a pickle."""
    return type(model).__module__.startswith(OTHERS)


def several(model: Any) -> int:
    """How many outputs or labels a classifier has; 0 for one."""
    classes = model.classes_
    if isinstance(classes, list):
        return len(classes)
    return len(classes) if getattr(model, "multilabel_", False) or _is_multilabel(model) else 0


def _is_multilabel(model: Any) -> bool:
    binarizer = getattr(_last(model), "_label_binarizer", None)
    return getattr(binarizer, "y_type_", "") == "multilabel-indicator"


def _last(model: Any) -> Any:
    while type(model).__name__ == "Pipeline":
        model = model.steps[-1][1]
    return model


def _of_classes(model: Any, inputs: Inputs) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    count = several(model)
    if count and isinstance(model.classes_, list):
        lists = [trees.whole_or_texts(classes) for classes in model.classes_]
        if len({classes.dtype for classes in lists}) > 1:
            raise ConversionError("its outputs are of whole numbers and of strings; one tensor holds one of them.")
        if hasattr(model, "predict_proba"):
            found |= {
                f"{PROBABILITIES}_{place}": Answer(nothing, "float32", (None, len(classes)))
                for place, classes in enumerate(lists)
            }
        kind = "string" if lists[0].dtype == object else "int64"
        return found | {LABEL: Answer(nothing, kind, (None, count))}
    if count:
        if hasattr(model, "predict_proba"):
            found[PROBABILITIES] = Answer(nothing, "float32", (None, count))
        return found | {LABEL: Answer(nothing, "int64", (None, count))}
    classes = trees.classes_of(model)
    shares = hasattr(model, "predict_proba")
    if shares:
        found[PROBABILITIES] = Answer(nothing, "float32", (None, len(classes)))
    found[LABEL] = Answer(nothing, "string" if classes.dtype == object else "int64", (None,))
    if hasattr(model, "decision_function"):
        row = None if len(classes) == 2 else _once(model, inputs, "decision_function")
        shape = (None,) if len(classes) == 2 else (None, len(classes) if row is None else int(row.shape[1]))
        found[SCORES] = Answer(nothing, "float32", shape, usual=not shares)
    return found


def _once(model: Any, inputs: Inputs, method: str) -> Array | None:
    """Its answer to one row; None where it has none to a row of zeros and known words."""
    known_words = taken.words(model, inputs)
    row: dict[str, Array] = {}
    for own, spec in zip(inputs.own, inputs.specs, strict=True):
        shape = tuple(1 if size is None else size for size in spec.shape or (1,))
        if spec.dtype == "string":
            row[spec.name] = np.full(shape, (known_words.get(own) or ("word",))[0], object)
        else:
            row[spec.name] = np.zeros(shape, spec.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.asarray(getattr(model, method)(taken.as_taken(inputs, row)))
        except Exception:  # noqa: BLE001  the judge says it in its own words
            return None


def names(model: Any, width: int) -> tuple[str, ...]:
    """Of its classes, where there are `width` of them."""
    classes = getattr(model, "classes_", None)
    if classes is None or isinstance(classes, list) or len(classes) != width:
        return ()
    return tuple(str(name) for name in np.asarray(classes).tolist())
