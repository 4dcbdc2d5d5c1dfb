"""Files that only their own library opens, cut short or with flipped bits; run in Environment `trees`.

CatBoost's are cut only: on flipped bytes its own reader ends with its process, which in production is a Job's.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from gateway.core.modeltoml import ModelOptions
from gateway.errors import GatewayError
from gateway.formats.base import Source, all_formats
from tests.formats.trees import catboosts, sklearns

KIND = "ensemble:RandomForestClassifier"
FILES = {
    "catboost": ("m.cbm", "catboost"),
    "skops": ("m.skops", "sklearn"),
    "joblib": ("m.joblib", "sklearn"),
    "joblib, packed": ("packed.joblib", "sklearn"),
    "pickle": ("m.pkl", "sklearn"),
}


def cut(data: bytes, seed: int) -> list[bytes]:
    """Cut short at 12 places."""
    chance = random.Random(seed)
    return [data[: chance.randrange(len(data))] for _ in range(12)]


def damaged(data: bytes, seed: int) -> list[bytes]:
    """Cut short at 12 places, one bit flipped at 24, one byte replaced at 12."""
    found, chance = cut(data, seed), random.Random(seed + 1)
    for _ in range(24):
        at = chance.randrange(len(data))
        found.append(data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :])
    for _ in range(12):
        at = chance.randrange(len(data))
        found.append(data[:at] + bytes([chance.choice([0, 255, 127, 128])]) + data[at + 1 :])
    return found


def read(job: Any) -> dict[str, Any]:
    """Name -> {"said": messages of ours, "others": what else left}. Errors: of the whole file."""
    answers = {}
    for number, (name, (file, form)) in enumerate(FILES.items()):
        folder = job.out / str(number)
        folder.mkdir()
        if form == "catboost":
            catboosts.train(folder, iterations=3)
        else:
            sklearns.fit(folder, kind=KIND, file=file, n_estimators=2, max_depth=3, rows=60)
        whole = (folder / file).read_bytes()
        said, others = [], []
        for place, data in enumerate((cut if form == "catboost" else damaged)(whole, len(whole))):
            apart = folder / str(place)  # a model is opened once a path
            apart.mkdir()
            (apart / file).write_bytes(data)
            try:
                _converted(apart, file, form, job.out)
            except GatewayError as error:
                said.append(error.message)
            except Exception as error:
                others.append(f"{type(error).__name__}: {error}")
        _converted(folder, file, form, job.out)
        answers[name] = {"said": said, "others": others}
    return answers


def _converted(folder: Path, file: str, form: str, out: Path) -> None:
    fmt = all_formats()[form]
    source = Source(folder, (file,))
    match = fmt.match(source)
    if match is not None:
        fmt.convert(source, match, ModelOptions(), "onnx", out)
