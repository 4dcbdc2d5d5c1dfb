"""Environment `trees`: one model of each library, saved by its own means, loaded again, converted by its converter."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.process.child import ChildJob


def work(job: ChildJob) -> dict[str, Any]:
    import catboost
    import lightgbm
    import onnxmltools
    import skl2onnx
    import skops.io
    import xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from sklearn.ensemble import RandomForestRegressor

    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4)).astype(np.float32)
    target = x[:, 0] * 2 - np.abs(x[:, 1])
    kinds = [("x", FloatTensorType([None, 4]))]

    skops.io.dump(RandomForestRegressor(8, random_state=0).fit(x, target), job.out / "m.skops")
    forest = skops.io.load(job.out / "m.skops", trusted=skops.io.get_untrusted_types(file=job.out / "m.skops"))
    sklearn = skl2onnx.to_onnx(forest, x[:1], target_opset={"": 18, "ai.onnx.ml": 3})

    xgboost.XGBRegressor(n_estimators=8, max_depth=3).fit(x, target).save_model(job.out / "m.ubj")
    boosted = xgboost.XGBRegressor()
    boosted.load_model(job.out / "m.ubj")

    settings = {"verbosity": -1, "deterministic": True, "min_data_in_leaf": 2}
    lightgbm.train(settings, lightgbm.Dataset(x, target), 8).save_model(job.out / "m.txt")
    light = lightgbm.Booster(model_file=job.out / "m.txt")

    cats = catboost.CatBoostRegressor(iterations=8, depth=3, verbose=False, allow_writing_files=False).fit(x, target)
    cats.save_model(job.out / "m.cbm")
    cat = catboost.CatBoostRegressor().load_model(job.out / "m.cbm")
    cat.save_model(job.out / "catboost.onnx", format="onnx")

    converted = {
        "sklearn": (sklearn, forest.predict(x)),
        "xgboost": (onnxmltools.convert_xgboost(boosted, initial_types=kinds), boosted.predict(x)),
        "lightgbm": (onnxmltools.convert_lightgbm(light, initial_types=kinds), light.predict(x)),
        "catboost": (None, cat.predict(x)),
    }
    for name, (model, answer) in converted.items():
        if model is not None:
            (job.out / f"{name}.onnx").write_bytes(model.SerializeToString())
        np.savez(job.out / f"{name}.npz", x=x, y=np.asarray(answer, np.float32).reshape(-1, 1))
    return {"xgboost-cpu": xgboost.__version__, "lightgbm": lightgbm.__version__, "catboost": catboost.__version__}
