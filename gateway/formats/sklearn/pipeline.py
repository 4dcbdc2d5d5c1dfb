"""The files of a drop as one model: a pipeline, an estimator, or a vectorizer and the model behind it.

Rule 1: what predicts nothing is refused with the sentence that helps.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from gateway.errors import ConversionError
from gateway.formats.base import Match, Source
from gateway.formats.sklearn.load import Loaded, load


def opened(source: Source, match: Match) -> Loaded:
    """Errors: ConversionError, CorruptModel."""
    return _opened(tuple(str(source.path(name)) for name in (match.used or (match.main,))))


@lru_cache(maxsize=1)
def _opened(paths: tuple[str, ...]) -> Loaded:
    from pathlib import Path

    files = [Path(path) for path in paths]
    found = [load(file) for file in files]
    if len(found) == 1:
        refuse_other(found[0].model, files[0].name)
        return found[0]
    behind = [each for each in found if hasattr(each.model, "predict")]
    before = [each for each in found if not hasattr(each.model, "predict") and hasattr(each.model, "transform")]
    if len(behind) != 1 or len(before) != 1:
        kinds = ", ".join(f"{file.name} ({type(each.model).__name__})" for file, each in zip(files, found, strict=True))
        raise ConversionError(
            f"two files are there, {kinds}; expected one that transforms and one that predicts.",
            hint="Give each model a folder of its own, or save both as one sklearn.pipeline.Pipeline.",
        )
    from sklearn.pipeline import Pipeline

    model = Pipeline([("before", before[0].model), ("model", behind[0].model)])
    said = (
        f"{type(before[0].model).__name__} and {type(behind[0].model).__name__} of two files run one after the other",
    )
    return Loaded(model, behind[0].version, (*said, *before[0].warnings, *behind[0].warnings))


def refuse_other(model: Any, file: str) -> None:
    """Errors: ConversionError for what answers nothing to a client."""
    what = type(model).__name__
    if isinstance(model, dict):
        inside = ", ".join(f"{key!r} ({type(value).__name__})" for key, value in list(model.items())[:8])
        raise ConversionError(
            f"{file} holds a dict, no model: {inside}.",
            hint="Save the estimator that is in it alone: joblib.dump(found['...'], 'model.joblib').",
        )
    if isinstance(model, (list, tuple)):
        inside = ", ".join(type(value).__name__ for value in list(model)[:8])
        raise ConversionError(
            f"{file} holds a {what} of {len(model)} things, no model: {inside}.",
            hint="Save the estimator that is in it alone, or what runs one after the other as a Pipeline.",
        )
    if hasattr(model, "predict"):
        return
    if hasattr(model, "transform"):
        raise ConversionError(
            f"{file} holds a {what} alone, which prepares data and predicts nothing.",
            hint="Put it beside its model (two files in one folder), or save both as one sklearn.pipeline.Pipeline.",
        )
    raise ConversionError(f"{file} holds a {what}, which has no `predict`.")
