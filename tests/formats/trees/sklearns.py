"""Models of scikit-learn, saved by joblib, pickle and skops; run in Environment `trees`."""

from __future__ import annotations

import importlib
import pickle  # noqa: TID251  what users have
from pathlib import Path
from typing import Any

import numpy as np

from tests.formats.trees.data import table

WORDS = ["good", "bad", "fine", "awful", "nice", "poor", "great", "weak", "Größe", "naïve", "don't", "x1", "über", "no"]


def save(folder: Path, model: Any, file: str) -> None:
    """By the suffix."""
    path = folder / file
    if file.endswith(".pkl"):
        path.write_bytes(pickle.dumps(model))
    elif file.endswith(".skops"):
        import skops.io

        skops.io.dump(model, path)
    else:
        import joblib

        joblib.dump(model, path, compress=3 if "packed" in file else 0)


def made(kind: str, **parameters: Any) -> Any:
    """An estimator of "module:Class"."""
    module, _, name = kind.partition(":")
    return getattr(importlib.import_module(f"sklearn.{module}"), name)(**parameters)


def fit(
    folder: Path, *, kind: str, target: str = "classes", file: str = "m.joblib", missing: float = 0.0,
    texts: bool = False, scaled: bool = False, rows: int = 300, **parameters: Any,
) -> None:  # fmt: skip
    """An estimator over the table. `texts`: classes are strings. `scaled`: behind a StandardScaler."""
    data = table(rows, missing=missing)
    y = data[target]
    y = np.array(["low", "middle", "high", "top", *"456789", "ten"])[y] if texts else y
    model = made(kind, **parameters)
    if scaled:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), model)
    save(folder, model.fit(data["x"], y), file)


def histogram(
    folder: Path, *, kind: str = "ensemble:HistGradientBoostingClassifier", target: str = "classes",
    frame: bool = False, **parameters: Any,
) -> None:  # fmt: skip
    """Histogram boosting with categories: numbers (a NaN among them), or, in a `frame`, strings."""
    import pandas

    random = np.random.default_rng(6)
    data = table(600, missing=0.1)
    x, y = data["x"], data[target]
    few, many = random.integers(0, 3, len(x)), random.integers(0, 40, len(x))
    y = y + (np.isin(many, [0, 4, 7, 22, 39]) ^ (few == 1))
    if frame:
        towns = np.array([f"town {number}" for number in range(40)])
        x = pandas.DataFrame({
            "size": x[:, 0], "town": pandas.Categorical(towns[many]), "weight": x[:, 1],
            "colour": pandas.Categorical(np.array(["red", "green", "blue"])[few]),
        })  # fmt: skip
    else:
        x[:, 1], x[:, 4] = many * 2.5 - 20, np.where(few == 2, np.nan, few)
        parameters["categorical_features"] = [1, 4]
    save(folder, made(kind, max_iter=6, max_leaf_nodes=12, **parameters).fit(x, y), "m.joblib")


def gradient(folder: Path, *, kind: str = "XGBClassifier", target: str = "classes", **parameters: Any) -> None:
    """An estimator of XGBoost in a pickle; `kind` Booster: what is inside of it."""
    import xgboost

    data = table(missing=0.1)
    settings = {"n_estimators": 12, "max_depth": 3, "n_jobs": 1} | parameters
    model = getattr(xgboost, "XGBClassifier" if kind == "Booster" else kind)(**settings)
    named = {"eval_set": [(data["x"][:60], data[target][:60][::-1])], "verbose": False}
    model.fit(data["x"], data[target], **(named if "early_stopping_rounds" in settings else {}))
    save(folder, model.get_booster() if kind == "Booster" else model, "m.pkl")


def boosted(folder: Path, *, file: str = "m.joblib", texts: bool = True) -> None:
    """A classifier of LightGBM in a pickle."""
    import lightgbm

    data = table(missing=0.1)
    y = np.array(["low", "middle", "high", "top"])[data["classes"]] if texts else data["classes"]
    settings = {"n_estimators": 6, "num_leaves": 8, "verbosity": -1, "n_jobs": 1, "min_child_samples": 4}
    save(folder, lightgbm.LGBMClassifier(**settings).fit(data["x"], y), file)


def corpus(rows: int = 200) -> tuple[list[str], Any]:
    random = np.random.default_rng(5)
    picked = [random.choice(WORDS, random.integers(2, 9)) for _ in range(rows)]
    texts = [" ".join(words) + random.choice([".", "!", ""]) for words in picked]
    good = [
        sum(word in ("good", "fine", "nice", "great", "über") for word in words) > len(words) / 3 for words in picked
    ]
    return texts, np.array(good).astype(np.int64)


def words(folder: Path, *, apart: bool = False, alone: bool = False, file: str = "m.joblib", **parameters: Any) -> None:
    """TfidfVectorizer and logistic regression: a pipeline, two files (`apart`), or the vectorizer `alone`."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, y = corpus()
    if "ngram_range" in parameters:
        parameters["ngram_range"] = tuple(parameters["ngram_range"])
    model = make_pipeline(TfidfVectorizer(**parameters), LogisticRegression()).fit(texts, y)
    if alone or apart:
        save(folder, model[0], "vectorizer.joblib")
    if apart:
        save(folder, model[1], "model.joblib")
    if not alone and not apart:
        save(folder, model, file)


def mixed(folder: Path, *, forest: bool = False, unknown: str = "ignore") -> None:
    """A ColumnTransformer over a table of numbers and words."""
    import pandas
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    data = table(300, missing=0.1)
    random = np.random.default_rng(2)
    frame = pandas.DataFrame(
        {
            "age": data["x"][:, 0],
            "town": random.choice(["Berlin", "Paris", "Rom"], 300),
            "income": data["x"][:, 1],
            "colour": random.choice(["red", "green"], 300),
        }
    )
    y = ((np.nan_to_num(data["x"][:, 0]) > 0) ^ (frame["town"] == "Rom")).astype(int)
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    prepare = ColumnTransformer(
        [("numbers", numbers, ["age", "income"]), ("words", OneHotEncoder(handle_unknown=unknown), ["town", "colour"])]
    )
    last = RandomForestClassifier(8, max_depth=5, random_state=0) if forest else LogisticRegression()
    save(folder, Pipeline([("prepare", prepare), ("model", last)]).fit(frame, y), "m.joblib")


def reviews(folder: Path, *, searched: bool = False, handed: str = "names") -> None:
    """A table of a text, words, and numbers that are passed on; `handed`: how its columns are named."""
    import pandas
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    texts, y = corpus()
    random = np.random.default_rng(3)
    frame = pandas.DataFrame({
        "stars": random.integers(1, 6, len(texts)).astype(np.float32), "review": texts,
        "shop": random.choice(["Berlin", "Paris", "Rom"], len(texts)),
        "age": random.normal(size=len(texts)).astype(np.float32),
    })  # fmt: skip
    place: dict[str, Any] = {
        "names": {"text": "review", "words": ["shop"], "rest": ["stars", "age"]},
        "places": {"text": 1, "words": [2], "rest": [0, 3]},
        "others": {"text": 1, "words": slice(2, 3), "rest": [True, False, False, True]},
    }[handed]
    words = make_pipeline(OneHotEncoder(handle_unknown="ignore"))
    steps = [("text", CountVectorizer(), place["text"]), ("words", words, place["words"]),
             ("rest", "passthrough", place["rest"])]  # fmt: skip
    model: Any = Pipeline([("prepare", ColumnTransformer(steps)), ("model", LogisticRegression())])
    if searched:
        model = GridSearchCV(model, {"model__C": [0.1, 1.0]}, cv=2)
    save(folder, model.fit(frame, y), "m.joblib")


class Evil:
    """Ends the process that opens it."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os._exit, (77,)


def hostile(folder: Path, *, deep: bool = False) -> None:
    """A model with a command in it: beside it, or `deep` in an array of objects, which joblib opens by other means."""
    import joblib
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression()
    model.coef_ = np.array([Evil()], object) if deep else Evil()
    joblib.dump(model, folder / "m.joblib")


def old(folder: Path, *, gone: bool = False) -> None:
    """A model that says 0.21.3 wrote it; `gone`: of a module that is no more."""
    from sklearn.linear_model import LogisticRegression

    data = table(60)
    model = LogisticRegression(max_iter=50).fit(data["x"] / [1, 100, 1e-3, 1, 1, 1], data["binary"])
    import sklearn

    version = sklearn.__version__.encode()
    raw = pickle.dumps(model, protocol=2)
    assert raw.count(version) == 1
    raw = raw.replace(len(version).to_bytes(4, "little") + version, b"\x06\0\0\x000.21.3")
    if gone:
        raw = raw.replace(b"csklearn.linear_model._logistic\n", b"csklearn.linear_model.logistic\n")
    (folder / "m.pkl").write_bytes(raw)


def thing(folder: Path, *, what: str) -> None:
    """What is no model: a list, a dict, a model that was never fitted, a function of somebody's."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    data = table(60)
    fitted = LogisticRegression(max_iter=50).fit(data["x"] / [1, 100, 1e-3, 1, 1, 1], data["binary"])
    save(folder, {
        "a list": [fitted, fitted],
        "a dict": {"model": fitted, "threshold": 0.5},
        "not fitted": LogisticRegression(),
        "a function": make_pipeline(FunctionTransformer(corpus), fitted),
    }[what], "m.pkl")  # fmt: skip
