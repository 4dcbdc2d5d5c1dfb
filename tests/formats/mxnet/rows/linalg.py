"""Rows of gateway/formats/mxnet/ops/linalg.py and sequence.py."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

LENGTHS = np.array([2, 4, 1], np.float32)
FULL = np.array([4, 4, 4], np.int32)

CASES = {
    "dot of vectors is (1,)": Case("dot", inputs={"a": (4,), "b": (4,)}),
    "dot of matrices": Case("dot", inputs={"a": (2, 3), "b": (3, 4)}),
    "dot, a turned": Case("dot", {"transpose_a": True}, {"a": (3, 2), "b": (3, 4)}),
    "dot, b turned": Case("dot", {"transpose_b": True}, {"a": (2, 3), "b": (4, 3)}),
    "dot, both turned": Case("dot", {"transpose_a": True, "transpose_b": True}, {"a": (3, 2), "b": (4, 3)}),
    "dot is a tensordot": Case("dot", inputs={"a": (2, 5, 3), "b": (3, 4, 2)}),
    "dot of three axes, a turned": Case("dot", {"transpose_a": True}, {"a": (3, 2, 5), "b": (3, 4)}),
    "dot of three axes, b turned": Case("dot", {"transpose_b": True}, {"a": (2, 3), "b": (4, 2, 3)}),
    "dot of a matrix and a vector": Case("dot", inputs={"a": (2, 3), "b": (3,)}),
    "dot with a free batch": Case("dot", inputs={"a": (2, 3)}, weights={"b": (3, 4)}, free=True),
    "batch_dot": Case("batch_dot", inputs={"a": (2, 3, 4), "b": (2, 4, 5)}),
    "batch_dot, both turned": Case(
        "batch_dot", {"transpose_a": True, "transpose_b": True}, {"a": (2, 4, 3), "b": (2, 5, 4)}
    ),
    "batch_dot with a free batch": Case(
        "batch_dot", {"transpose_b": True}, {"a": (2, 3, 4), "b": (2, 5, 4)}, free=True
    ),
    "_linalg_gemm": Case("_linalg_gemm", inputs={"a": (2, 3, 4), "b": (2, 4, 5), "c": (2, 3, 5)}),
    "linalg_gemm, all attributes": Case(
        "linalg_gemm",
        {"transpose_a": True, "transpose_b": True, "alpha": 0.5, "beta": -2.0},
        {"a": (2, 4, 3), "b": (2, 5, 4), "c": (2, 3, 5)},
    ),
    "_linalg_gemm2": Case("_linalg_gemm2", {"alpha": 3.0}, {"a": (3, 4), "b": (4, 5)}),
    "linalg_gemm2, rows on axis 0": Case("linalg_gemm2", {"axis": 0}, {"a": (3, 2, 4), "b": (4, 2, 5)}),
    "_linalg_syrk": Case("_linalg_syrk", {"alpha": 2.0}, {"a": (2, 3, 4)}),
    "linalg_syrk, turned": Case("linalg_syrk", {"transpose": True}, {"a": (3, 4)}),
    "selfatt_qk": Case("_contrib_interleaved_matmul_selfatt_qk", {"heads": 2}, {"qkv": (5, 3, 24)}),
    "selfatt_valatt": Case(
        "_contrib_interleaved_matmul_selfatt_valatt", {"heads": 2}, {"qkv": (5, 3, 24), "w": (6, 5, 5)}
    ),
    "encdec_qk": Case("_contrib_interleaved_matmul_encdec_qk", {"heads": 2}, {"q": (5, 3, 8), "kv": (4, 3, 16)}),
    "encdec_valatt": Case(
        "_contrib_interleaved_matmul_encdec_valatt", {"heads": 2}, {"kv": (4, 3, 16), "w": (6, 5, 4)}
    ),
    "selfatt_qk, free length": Case(
        "_contrib_interleaved_matmul_selfatt_qk", {"heads": 2}, {"qkv": (5, 3, 24)}, free=True
    ),
    "SequenceMask": Case("SequenceMask", {"use_sequence_length": True}, {"data": (4, 3, 2), "lengths": LENGTHS}),
    "SequenceMask, a value, batch first": Case(
        "SequenceMask", {"use_sequence_length": True, "value": -3.5, "axis": 1}, {"data": (3, 4, 2), "lengths": LENGTHS}
    ),
    "SequenceMask without lengths": Case("SequenceMask", {"value": 5}, {"data": (4, 3, 2)}),
    "SequenceMask, two axes": Case("SequenceMask", {"use_sequence_length": True}, {"data": (4, 3), "lengths": LENGTHS}),
    "SequenceMask, a free batch": Case(
        "SequenceMask", {"use_sequence_length": True, "axis": 1}, {"data": (3, 4, 2), "lengths": LENGTHS}, free=True
    ),
    "SequenceLast": Case("SequenceLast", {"use_sequence_length": True}, {"data": (4, 3, 2), "lengths": LENGTHS}),
    "SequenceLast without lengths": Case("SequenceLast", inputs={"data": (4, 3, 2)}),
    "SequenceLast, batch first": Case(
        "SequenceLast", {"use_sequence_length": True, "axis": 1}, {"data": (3, 4, 2), "lengths": LENGTHS}, free=True
    ),
    "SequenceReverse": Case("SequenceReverse", {"use_sequence_length": True}, {"data": (4, 3, 2), "lengths": LENGTHS}),
    "SequenceReverse without lengths": Case("SequenceReverse", inputs={"data": (4, 3, 2)}),
    "SequenceReverse, full": Case(
        "SequenceReverse", {"use_sequence_length": True}, {"data": (4, 3, 2, 2), "lengths": FULL}
    ),
}
