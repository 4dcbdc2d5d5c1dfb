"""scikit-learn: trees end in its own leaves; every kind of estimator, texts and tables answer as it does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.formats.trees.table import Row, check, params

CLASSES = ("probabilities", "label", "leaves")
VALUES = ("predictions", "leaves")
FIT, NO_NAN = "sklearns:fit", ("missing",)


def trees(kind: str, outputs: tuple[str, ...], *, labels: tuple[str, ...] = (), **arguments: Any) -> Row:
    return Row(FIT, {"kind": kind} | arguments, outputs=outputs, labels=labels)


def other(
    kind: str, *, outputs: tuple[str, ...] = (), slow: bool = True, labels: tuple[str, ...] = (), **arguments: Any
) -> Row:
    return Row(FIT, {"kind": kind, "scaled": True} | arguments, outputs=outputs, slow=slow, labels=labels)


FORMAT = "sklearn"
ROWS = {
    "decision tree": trees("tree:DecisionTreeClassifier", CLASSES, max_depth=6),
    "decision tree, NaN in training": trees("tree:DecisionTreeClassifier", CLASSES, missing=0.1, max_depth=6),
    "decision tree of numbers": trees("tree:DecisionTreeRegressor", VALUES, target="y", max_depth=6),
    "decision tree of several numbers": trees("tree:DecisionTreeRegressor", VALUES, target="several", max_depth=5),
    "extra tree": trees("tree:ExtraTreeClassifier", CLASSES, max_depth=6, texts=True),
    "random forest": trees("ensemble:RandomForestClassifier", CLASSES, n_estimators=12, max_depth=7),
    "random forest, NaN in training, classes are strings": trees(
        "ensemble:RandomForestClassifier", CLASSES, n_estimators=8, max_depth=7, missing=0.1, texts=True, file="m.pkl",
        labels=("high", "low", "middle", "top"),
    ),
    "random forest of numbers, skops": trees(
        "ensemble:RandomForestRegressor", VALUES, n_estimators=10, max_depth=7, target="y", file="m.skops"
    ),
    "extra trees, packed": trees(
        "ensemble:ExtraTreesClassifier", CLASSES, n_estimators=10, max_depth=7, file="packed.joblib"
    ),
    "extra trees of numbers": trees("ensemble:ExtraTreesRegressor", VALUES, n_estimators=10, max_depth=7, target="y"),
    "gradient boosting of numbers": trees("ensemble:GradientBoostingRegressor", VALUES, n_estimators=12, target="y"),
    "gradient boosting of two classes": trees(
        "ensemble:GradientBoostingClassifier", ("probabilities", "label"), n_estimators=12, target="binary"
    ),
    "gradient boosting, exponential loss": trees(
        "ensemble:GradientBoostingClassifier", ("probabilities", "label"), n_estimators=12, target="binary",
        loss="exponential",
    ),
    "gradient boosting of several classes": trees(
        "ensemble:GradientBoostingClassifier", ("probabilities", "label"), n_estimators=6
    ),
    "histogram boosting": trees(
        "ensemble:HistGradientBoostingClassifier", ("probabilities", "label"), max_iter=6, missing=0.1
    ),
    "histogram boosting of two classes": trees(
        "ensemble:HistGradientBoostingClassifier", ("probabilities", "label"), max_iter=8, target="binary", texts=False
    ),
    "histogram boosting of numbers": trees(
        "ensemble:HistGradientBoostingRegressor", ("predictions",), max_iter=8, target="y", missing=0.1
    ),
    "histogram boosting, poisson": trees(
        "ensemble:HistGradientBoostingRegressor", ("predictions",), max_iter=8, target="counts", loss="poisson"
    ),
    "histogram boosting, categories of numbers: unseen ones and NaN": Row(
        "sklearns:histogram", {}, outputs=("probabilities", "label")
    ),
    "histogram boosting of numbers, categories are strings in columns": Row(
        "sklearns:histogram",
        {"kind": "ensemble:HistGradientBoostingRegressor", "target": "y", "frame": True}, outputs=("predictions",),
    ),
    "isolation forest: label and scores": trees(
        "ensemble:IsolationForest", ("label", "scores"), n_estimators=10, max_samples=64
    ),
    "isolation forest over some of the columns, with a share of outliers": trees(
        "ensemble:IsolationForest", ("label", "scores"), n_estimators=10, max_features=0.5, contamination=0.13
    ),
    "random forest of two questions": trees(
        "ensemble:RandomForestClassifier", ("probabilities_0", "probabilities_1", "label"), n_estimators=6,
        max_depth=5, target="pair",
    ),
    "decision tree of two questions, classes are strings": trees(
        "tree:DecisionTreeClassifier", ("label", "probabilities_1"), max_depth=5, target="pair", texts=True
    ),
    "extra trees of two questions of yes and no": trees(
        "ensemble:ExtraTreesClassifier", ("probabilities_0", "probabilities_1", "label"), n_estimators=6,
        max_depth=5, target="both",
    ),
    "several labels of a network are not ONNX": Row(
        FIT, {"kind": "neural_network:MLPClassifier", "target": "both", "max_iter": 20}, error="of 2 outputs is not"
    ),
    "XGBoost in a pickle": Row("sklearns:gradient", {}, outputs=("probabilities", "label", "leaves")),
    "XGBoost in a pickle stops behind its best iteration, and has a number for missing": Row(
        "sklearns:gradient",
        {"early_stopping_rounds": 2, "target": "binary", "n_estimators": 40, "missing": 0.0},
        outputs=("probabilities", "label"),
    ),
    "XGBoost in a pickle, of numbers": Row(
        "sklearns:gradient", {"kind": "XGBRegressor", "target": "several"}, outputs=("predictions",)
    ),
    "a Booster in a pickle": Row(
        "sklearns:gradient", {"kind": "Booster"}, outputs=("probabilities", "label", "leaves"), judge="XGBoost"
    ),
    "LightGBM in a pickle, classes are strings": Row(
        "sklearns:boosted", {}, outputs=CLASSES, labels=("high", "low", "middle", "top")
    ),
    "AdaBoost over trees": other("ensemble:AdaBoostClassifier", slow=False, n_estimators=6, scaled=False),
    "bagging over trees": other("ensemble:BaggingClassifier", n_estimators=6, scaled=False),
    "trees behind a scaler": other(
        "ensemble:RandomForestClassifier", slow=False, n_estimators=6, max_depth=5, texts=True
    ),
    "trees of numbers behind a scaler": other(
        "ensemble:RandomForestRegressor", n_estimators=6, max_depth=5, target="y"
    ),
    "logistic regression": other("linear_model:LogisticRegression", labels=("0", "1", "2", "3")),
    "logistic regression, classes are strings": other("linear_model:LogisticRegression", texts=True, slow=False),
    "a linear classifier without probabilities": other("svm:LinearSVC", slow=False),
    "a linear classifier of two classes, its scores": other("svm:LinearSVC", slow=False, target="binary"),
    "ridge classifier, its scores": other("linear_model:RidgeClassifier", slow=False),
    "a perceptron, its scores": other("linear_model:Perceptron"),
    "descent with hinges, two classes": other("linear_model:SGDClassifier", target="binary"),
    "descent: the label is of scores, where shares are all one": other(
        "linear_model:SGDClassifier", loss="log_loss", slow=False
    ),
    "descent of two classes, strings": other(
        "linear_model:SGDClassifier", loss="log_loss", target="binary", texts=True
    ),
    "descent of two classes with a modified Huber loss": other(
        "linear_model:SGDClassifier", loss="modified_huber", target="binary"
    ),
    "descent with a modified Huber loss": other("linear_model:SGDClassifier", loss="modified_huber"),
    "support vectors": other("svm:SVC", rows=120),
    "support vectors of two classes": other("svm:SVC", rows=120, target="binary", slow=False),
    "support vectors, a score a pair": other("svm:SVC", rows=120, decision_function_shape="ovo"),
    "support vectors with a margin for errors": other("svm:NuSVC", rows=120, nu=0.2),
    "one class": other("svm:OneClassSVM", rows=120),
    "local outliers": other("neighbors:LocalOutlierFactor", rows=120, novelty=True),
    "an ellipse is not ONNX": Row(
        FIT, {"kind": "covariance:EllipticEnvelope"}, error="skl2onnx does not convert it: MissingShape", slow=True
    ),
    "gaussian mixture": other("mixture:GaussianMixture", n_components=3, random_state=0),
    "clusters": other("cluster:KMeans", n_clusters=4, random_state=0),
    "nearest neighbours": other("neighbors:KNeighborsClassifier", rows=120),
    "naive Bayes": other("naive_bayes:GaussianNB"),
    "a small network": other("neural_network:MLPClassifier", max_iter=40, hidden_layer_sizes=(8,)),
    "linear discriminants": other("discriminant_analysis:LinearDiscriminantAnalysis"),
    "ridge": other("linear_model:Ridge", target="y"),
    "a linear model of several numbers": other("linear_model:LinearRegression", slow=False, target="several"),
    "support vectors of numbers": other("svm:SVR", target="y", rows=120),
    "neighbours of numbers": other("neighbors:KNeighborsRegressor", target="y", rows=120),
    "a small network of numbers": other(
        "neural_network:MLPRegressor", target="y", max_iter=40, hidden_layer_sizes=(8,)
    ),
    "texts: words, weighed": Row("sklearns:words", {}),
    "texts: pairs of words, sublinear": Row(
        "sklearns:words", {"ngram_range": [1, 2], "sublinear_tf": True, "norm": "l1"}
    ),
    "texts: stop words": Row("sklearns:words", {"stop_words": "english", "binary": True}),
    "texts: a vectorizer and its model in two files": Row("sklearns:words", {"apart": True}, warning="two files"),
    "texts by their characters are not ONNX": Row(
        "sklearns:words", {"analyzer": "char_wb", "ngram_range": [2, 3]}, error="analyzer = 'char_wb'"
    ),
    "a table of numbers and words": Row("sklearns:mixed", {}),
    "a table of numbers and words, and trees": Row("sklearns:mixed", {"forest": True}),
    "a table with a text in it": Row("sklearns:reviews", {}),
    "a table with a text in it, columns by their places": Row("sklearns:reviews", {"handed": "places"}, slow=True),
    "columns named by marks, which skl2onnx takes for places": Row(
        "sklearns:reviews", {"handed": "others"}, error="skl2onnx does not convert it", slow=True
    ),
    "a search among models": Row("sklearns:reviews", {"searched": True}, slow=True),
    "texts under another name": Row("sklearns:words", {}, inputs=(("sentence", "text", "string"),), slow=True),
    "a vectorizer alone": Row("sklearns:words", {"alone": True}, error="prepares data and predicts nothing"),
    "a list": Row("sklearns:thing", {"what": "a list"}, error="holds a list of 2 things"),
    "a dict": Row("sklearns:thing", {"what": "a dict"}, error="holds a dict, no model: 'model' (LogisticRegression)"),
    "not fitted": Row("sklearns:thing", {"what": "not fitted"}, error="does not say how many features"),
    "of an old version: a warning": Row("sklearns:old", {}, warning="saved by scikit-learn 0.21.3"),
    "of an old version, of a module that is gone": Row(
        "sklearns:old", {"gone": True}, error="was saved by scikit-learn 0.21.3, and scikit-learn 1.9.1 does not"
    ),
    "a command in a pickle": Row("sklearns:hostile", {}, error="names posix._exit"),
    "a command in an array of objects": Row("sklearns:hostile", {"deep": True}, error="names posix._exit"),
    "a function of the author": Row(
        "sklearns:thing", {"what": "a function"}, error="names tests.formats.trees.sklearns.corpus"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", params(ROWS))
def test_answers(answers: dict[str, dict[str, Any]], name: str) -> None:
    check(ROWS[name], answers[f"{FORMAT}: {name}"])
