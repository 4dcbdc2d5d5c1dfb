"""Genuine files of scikit-learn, XGBoost, LightGBM and CatBoost: run by the Python of Environment `trees`.

Each function makes one sample in a folder of its own; its name is the sample's.
"""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path

import catboost
import joblib
import lightgbm
import numpy as np
import skops.io
import xgboost
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

warnings.filterwarnings("ignore")
DICE = np.random.default_rng(0)
X = DICE.normal(size=(60, 5))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
MANY = DICE.integers(0, 3, 60)


def forest() -> object:
    return RandomForestClassifier(5, random_state=0).fit(X, Y)


def pipeline(last: object = None) -> object:
    return make_pipeline(StandardScaler(), last or LogisticRegression()).fit(X, Y)


def xgb(objective: str = "binary:logistic", y: np.ndarray = Y) -> object:
    return xgboost.XGBClassifier(n_estimators=4, objective=objective).fit(X, y)


def lgb(y: np.ndarray = Y) -> object:
    return lightgbm.LGBMClassifier(n_estimators=4, verbose=-1, min_child_samples=2).fit(X, y)


def cat() -> object:
    return catboost.CatBoostClassifier(iterations=4, verbose=0, allow_writing_files=False).fit(X, Y)


def sklearn_pickle(out: Path) -> None:
    (out / "m.pkl").write_bytes(pickle.dumps(forest()))


def sklearn_pickle_protocol_2(out: Path) -> None:
    (out / "m.pickle").write_bytes(pickle.dumps(pipeline(), protocol=2))


def sklearn_pickle_protocol_0(out: Path) -> None:
    (out / "m.pkl").write_bytes(pickle.dumps(LogisticRegression().fit(X, Y), protocol=0))


def sklearn_joblib(out: Path) -> None:
    joblib.dump(forest(), out / "m.joblib")


def sklearn_joblib_pipeline(out: Path) -> None:
    joblib.dump(pipeline(SVC()), out / "m.joblib")


def sklearn_joblib_zlib(out: Path) -> None:
    joblib.dump(forest(), out / "m.joblib", compress=3)


def sklearn_joblib_large(out: Path) -> None:
    big = DICE.normal(size=(3000, 40))
    joblib.dump(SVC().fit(big, (big[:, 0] > 0).astype(int)), out / "svc.joblib")


def sklearn_text(out: Path) -> None:
    joblib.dump(
        make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good day", "bad night"], [0, 1]), out / "m.sav"
    )


def sklearn_in_dict(out: Path) -> None:
    (out / "bundle.pkl").write_bytes(pickle.dumps({"scaler": StandardScaler().fit(X), "names": list("abcde")}))


def sklearn_boosting(out: Path) -> None:
    (out / "gb.pkl").write_bytes(pickle.dumps(GradientBoostingClassifier(n_estimators=3).fit(X, Y), protocol=4))


def sklearn_with_xgboost(out: Path) -> None:
    joblib.dump(pipeline(xgboost.XGBClassifier(n_estimators=2)), out / "m.joblib")


def skops_forest(out: Path) -> None:
    skops.io.dump(forest(), out / "m.skops")


def skops_pipeline_packed(out: Path) -> None:
    import zipfile

    skops.io.dump(pipeline(), out / "m.skops", compression=zipfile.ZIP_DEFLATED)


def skops_renamed(out: Path) -> None:
    skops.io.dump(pipeline(), out / "m.skops")
    (out / "m.skops").rename(out / "m.bin")


def xgboost_json(out: Path) -> None:
    xgb().save_model(out / "m.json")


def xgboost_ubj(out: Path) -> None:
    xgb().save_model(out / "m.ubj")


def xgboost_ubj_renamed(out: Path) -> None:
    xgb().get_booster().save_model(out / "m.ubj")
    (out / "m.ubj").rename(out / "m.model")


def xgboost_json_multiclass(out: Path) -> None:
    xgb("multi:softprob", MANY).save_model(out / "many.json")


def xgboost_dart(out: Path) -> None:
    xgboost.XGBClassifier(n_estimators=4, booster="dart").fit(X, Y).save_model(out / "m.ubj")


def xgboost_linear(out: Path) -> None:
    xgboost.XGBRegressor(n_estimators=4, booster="gblinear").fit(X, Y).save_model(out / "m.json")


def xgboost_large_json(out: Path) -> None:
    big = DICE.normal(size=(4000, 20))
    model = xgboost.XGBRegressor(n_estimators=300, max_depth=8).fit(big, big[:, 0] * big[:, 1])
    model.save_model(out / "m.json")


def xgboost_pickle(out: Path) -> None:
    (out / "m.pkl").write_bytes(pickle.dumps(xgb()))


def xgboost_pickle_booster(out: Path) -> None:
    joblib.dump(xgb().get_booster(), out / "b.joblib")


def xgboost_dump(out: Path) -> None:
    xgb().get_booster().dump_model(out / "dump.txt")


def lightgbm_text(out: Path) -> None:
    lgb().booster_.save_model(out / "m.txt")


def lightgbm_multiclass(out: Path) -> None:
    lgb(MANY).booster_.save_model(out / "m.model")


def lightgbm_renamed(out: Path) -> None:
    lgb().booster_.save_model(out / "m.onnx")


def lightgbm_large(out: Path) -> None:
    big = DICE.normal(size=(5000, 30))
    lightgbm.LGBMRegressor(n_estimators=200, verbose=-1).fit(big, big[:, 0]).booster_.save_model(out / "m.txt")


def lightgbm_json(out: Path) -> None:
    import json

    (out / "m.json").write_text(json.dumps(lgb().booster_.dump_model()))


def lightgbm_pickle(out: Path) -> None:
    (out / "m.pkl").write_bytes(pickle.dumps(lgb()))


def lightgbm_joblib(out: Path) -> None:
    joblib.dump(lgb(), out / "m.joblib")


def catboost_cbm(out: Path) -> None:
    cat().save_model(str(out / "m.cbm"))


def catboost_regressor(out: Path) -> None:
    model = catboost.CatBoostRegressor(iterations=6, verbose=0, allow_writing_files=False).fit(X, X[:, 0])
    model.save_model(str(out / "r.bin"))


def catboost_json(out: Path) -> None:
    cat().save_model(str(out / "m.json"), format="json")


def catboost_pickle(out: Path) -> None:
    (out / "m.pkl").write_bytes(pickle.dumps(cat()))


def catboost_onnx(out: Path) -> None:
    cat().save_model(str(out / "m.onnx"), format="onnx")


def catboost_coreml(out: Path) -> None:
    model = catboost.CatBoostRegressor(iterations=4, verbose=0, allow_writing_files=False).fit(X, X[:, 0])
    model.save_model(str(out / "m.mlmodel"), format="coreml")


def catboost_pmml(out: Path) -> None:
    cat().save_model(str(out / "m.pmml"), format="pmml")


def skl2onnx_forest(out: Path) -> None:
    from skl2onnx import to_onnx

    (out / "m.onnx").write_bytes(to_onnx(forest(), X[:1].astype(np.float32)).SerializeToString())


def pandas_frame(out: Path) -> None:
    import pandas

    pandas.DataFrame({"a": [1, 2]}).to_pickle(out / "table.pkl")


def plain_pickle(out: Path) -> None:
    (out / "labels.pkl").write_bytes(pickle.dumps({"labels": ["a", "b"], "mean": np.zeros(3)}))


def plain_pickle_of_its_author(out: Path) -> None:
    (out / "m.pkl").write_bytes(pickle.dumps(Mine()))


def numpy_arrays(out: Path) -> None:
    np.savez(out / "a.npz", x=X, y=Y)


def numpy_array(out: Path) -> None:
    np.save(out / "a.npy", X)


def matlab(out: Path) -> None:
    from scipy.io import savemat

    savemat(out / "a.mat", {"x": X})


class Mine:
    def __init__(self) -> None:
        self.weights = [1.0, 2.0]


PREFIXES = ("sklearn", "skops", "xgboost_", "lightgbm_", "catboost_", "skl2onnx", "pandas", "plain", "numpy_", "matlab")

if __name__ == "__main__":
    for name, make in sorted(globals().items()):
        if callable(make) and getattr(make, "__module__", "") == "__main__" and name.startswith(PREFIXES):
            folder = Path(sys.argv[1]) / name
            folder.mkdir()
            make(folder)
