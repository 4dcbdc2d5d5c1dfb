"""Files of trees that are cut short or have flipped bits: an error of ours that names the file, or a model."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import ConversionError
from gateway.formats.xgboost import binary, ubj
from gateway.formats.xgboost import model as xgboost

OLD = [Path(__file__).parent / "old" / f"{name}.model" for name in ("logistic", "dart", "linear", "gamma-0.90")]


def damaged(data: bytes, seed: int) -> list[bytes]:
    """Cut short at 40 places, one bit flipped at 80, one byte replaced at 40."""
    chance = random.Random(seed)
    found = [data[: chance.randrange(len(data))] for _ in range(20)]
    for _ in range(50):
        at = chance.randrange(len(data))
        found.append(data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :])
    for _ in range(20):
        at = chance.randrange(len(data))
        found.append(data[:at] + bytes([chance.choice([0, 255, 127, 128])]) + data[at + 1 :])
    return found


def as_ubj(value: object) -> bytes:
    """What XGBoost would write, for the sake of damage."""
    if isinstance(value, dict):
        inside = b"".join(b"L" + len(k.encode()).to_bytes(8, "big") + k.encode() + as_ubj(v) for k, v in value.items())
        return b"{" + inside + b"}"
    if isinstance(value, list):
        if value and all(isinstance(v, float) for v in value):
            return b"[$d#L" + len(value).to_bytes(8, "big") + np.array(value, ">f4").tobytes()
        return b"[#L" + len(value).to_bytes(8, "big") + b"".join(map(as_ubj, value))
    if isinstance(value, str):
        return b"SL" + len(value.encode()).to_bytes(8, "big") + value.encode()
    if isinstance(value, int):
        return b"L" + value.to_bytes(8, "big", signed=True)
    return b"d" + np.array(value, ">f4").tobytes()


@pytest.mark.parametrize("form", ["binary", "JSON", "UBJSON"])
@pytest.mark.parametrize("file", OLD, ids=lambda path: path.stem)
def test_xgboost(file: Path, form: str, tmp_path: Path) -> None:
    whole = file.read_bytes()
    document = binary.parse(whole)
    data = {"binary": whole, "JSON": json.dumps(document).encode(), "UBJSON": as_ubj(document)}[form]
    path = tmp_path / "broken.model"
    path.write_bytes(data)
    want = xgboost.read(file)
    got = xgboost.read(path)
    assert (got.objective, got.features, got.groups) == (want.objective, want.features, want.groups)
    np.testing.assert_array_equal(got.base, want.base, strict=True)
    said = []
    for broken in damaged(data, len(data)):
        path.write_bytes(broken)
        try:
            xgboost.read(path)
        except ConversionError as error:
            said.append(error.message)
    assert len(said) >= 15
    assert [message for message in said if "broken.model" not in message] == []


def test_ubjson_nests_no_deeper_than_it_may() -> None:
    with pytest.raises(ConversionError, match="nested more than"):
        ubj.parse(b"[" * 100_000)


REFUSED = {
    "another objective": ({"objective": {"name": "reg:own"}}, "objective 'reg:own'"),
    "another booster": ({"gradient_booster": {"name": "gbforest"}}, "its booster is 'gbforest'"),
    "no trees": ({"gradient_booster": {"name": "gbtree", "model": {}}}, "not as XGBoost writes it"),
    "no features": (
        {"learner_model_param": {"num_feature": "0", "base_score": "0.5", "num_class": "0"}}, "0 features",
    ),
    "a base score that no probability is": (
        {"learner_model_param": {"num_feature": "5", "base_score": "2", "num_class": "0"}}, "between 0 and 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_by_name(change: dict[str, object], said: str, tmp_path: Path) -> None:
    document = binary.parse((Path(__file__).parent / "old" / "logistic.model").read_bytes())
    document["learner"] |= change
    path = tmp_path / "m.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ConversionError, match=said) as caught:
        xgboost.read(path)
    assert "m.json" in caught.value.message
