"""Small files of trees written by hand: what is damaged, and where the fuzzers start."""

from __future__ import annotations

from pathlib import Path

import numpy as np

OLD = Path(__file__).parent / "old"
LIGHT = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=2
objective=binary sigmoid:1
feature_names=a b c
feature_infos=[-1:1] [0:1] 0:1:2
tree_sizes=10 10

Tree=0
num_leaves=3
num_cat=1
split_feature=0 2
threshold=0.25 0
decision_type=10 1
left_child=1 -1
right_child=-2 -3
leaf_value=0.5 -0.25 0.125
cat_boundaries=0 1
cat_threshold=5
is_linear=0
shrinkage=1


Tree=1
num_leaves=1
num_cat=0
split_feature=
leaf_value=0.5
is_linear=0
shrinkage=1


end of trees

pandas_categorical:null
"""


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
