"""Pickles and what is made of them, classified by the globals that their opcodes name. Nothing is executed.

The first global of a framework decides: it is the class of the outermost object, or near it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from gateway.recognise import opcodes
from gateway.recognise.answer import Finding
from gateway.recognise.blob import Blob, BytesBlob
from gateway.recognise.opcodes import Opcodes

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
SHOWN_KEYS = 8  # names of weights that a refusal lists
_OLD = re.compile(rb"(c[\w.]+\n\w+\n|\((dp|lp|i[\w.]+\n)|[\]}]q\x00|\(\]|\(\})")  # protocols 0 and 1
_FRAMEWORKS = {  # first part of a module -> kind
    "sklearn": "sklearn", "imblearn": "sklearn", "sklearn_pandas": "sklearn", "xgboost": "xgboost-pickle",
    "lightgbm": "lightgbm-pickle", "catboost": "catboost-pickle", "_catboost": "catboost-pickle",
    "keras": "keras-pickle", "tensorflow": "keras-pickle", "nolearn": "lasagne", "lasagne": "lasagne",
    "megengine": "megengine", "torch": "torch-module", "paddle": "paddle-pickle",
}  # fmt: skip
_PLAIN = {  # what stands in any pickle and says nothing of who wrote it
    "collections", "copyreg", "copy_reg", "builtins", "__builtin__", "numpy", "_codecs", "joblib", "functools",
    "datetime", "pathlib", "argparse", "typing", "operator", "types", "random", "scipy", "pandas", "decimal", "re",
    "enum", "inspect", "abc", "uuid", "logging", "dataclasses", "time", "string", "itertools", "threading",
    "weakref",
}  # fmt: skip
_SETTINGS = {  # what checkpoints carry beside their tensors
    "omegaconf", "hydra", "yacs", "pytorch_lightning", "lightning", "lightning_fabric", "transformers",
    "torchmetrics", "ml_collections", "easydict", "addict", "munch", "attr", "antlr4", "mmengine", "mmcv",
    "deepspeed",
}  # fmt: skip
_TENSORS = {  # modules of torch whose classes are tensors and their storage
    "torch", "torch._utils", "torch.storage", "torch.nn.parameter", "torch._tensor", "torch.serialization",
}  # fmt: skip
_WEIGHT = re.compile(r"[\w.]+\.(weight|bias|running_mean|running_var|gamma|beta|weight_[ih]h_l\d)")


def pickle(blob: Blob) -> Iterator[Finding]:
    """Everything that starts as a pickle, packed by zlib too (a compressed joblib)."""
    head = blob.head
    if head[:2] in (b"x\x01", b"x^", b"x\x9c", b"x\xda"):
        yield from _packed(blob)
        return
    if not (head[:1] == b"\x80" and len(head) > 1 and 2 <= head[1] <= 5) and not _OLD.match(head):
        return
    found = opcodes.scan(blob)
    if found.ops < 2 or (head[:1] != b"\x80" and not (found.whole and (found.globals or found.ops > 4))):
        return
    if TORCH_MAGIC in found.numbers[:1]:
        yield _legacy_torch(blob, found)
    else:
        yield of(found, blob)


def _packed(blob: Blob) -> Iterator[Finding]:
    try:
        data = zlib.decompressobj().decompress(blob.read(0, 4 << 20), 4 << 20)
    except zlib.error:
        return
    if data[:1] != b"\x80" or len(data) < 4 or not 2 <= data[1] <= 5:
        return
    finding = of(opcodes.scan(BytesBlob(blob.name, data)), blob, packed=True)
    yield Finding(
        "joblib-z" if finding.kind == "pickle" else finding.kind, finding.version, min(finding.confidence, 0.95),
        f"zlib, and in it: {finding.evidence}", next=finding.next,
    )  # fmt: skip


def _legacy_torch(blob: Blob, first: Opcodes) -> Finding:
    """torch.save before 1.6: magic, protocol, system, the object, one pickle after the other."""
    at, found = first.end, first
    for _ in range(3):
        found = opcodes.scan(blob, at)
        if not found.whole:
            break
        at = found.end
    return torch_pickle(found, "the magic number of torch.save before 1.6")


def torch_pickle(found: Opcodes, where: str) -> Finding:
    """What torch.save wrote: a module, or tensors by name."""
    classes = [name for name in found.globals if _is_class(name)]
    modules = [name for name in classes if name.startswith("torch.nn.modules.")]
    theirs = [name for name in classes if _root(name) not in {"torch", *_PLAIN, *_SETTINGS}]
    tensors = any(name.startswith(("torch._utils _rebuild", "torch._tensor _rebuild")) for name in found.globals)
    names = [text for text in found.texts if _WEIGHT.fullmatch(text)]
    if modules or (theirs and not names):
        said = ", ".join(name.replace(" ", ".") for name in (theirs + modules)[:3])
        finding = Finding(
            "torch-module", f"pickle protocol {found.protocol}", 1.0 if modules else 0.85, f"{where}; classes {said}"
        )
    elif tensors or names:
        more = f" and {len(names) - SHOWN_KEYS} more" if len(names) > SHOWN_KEYS else ""
        shown = f", tensors such as {', '.join(names[:SHOWN_KEYS])}{more}" if names else ", tensors"
        shown += f"; settings of {theirs[0].split(' ')[0]}" if theirs else ""
        finding = Finding(
            "torch-state-dict", f"pickle protocol {found.protocol}", 1.0, f"{where}{shown}, no class of a module"
        )
    else:
        finding = Finding(
            "torch-state-dict",
            f"pickle protocol {found.protocol}",
            0.75,
            f"{where}; no tensor and no class of a module was seen",
        )
    if not found.whole:
        return (
            finding.cut("the pickle is not whole")
            if found.looked
            else Finding(
                finding.kind,
                finding.version,
                min(finding.confidence, 0.9),
                finding.evidence + "; only its beginning was looked at",
            )
        )
    return finding


def _root(name: str) -> str:
    """The package of a global: "sklearn" of "sklearn.svm SVC"."""
    return name.split(" ")[0].split(".")[0]


def _is_class(name: str) -> bool:
    module, _, attribute = name.partition(" ")
    return (
        _root(name) not in _PLAIN
        and module not in _TENSORS
        and bool(re.match(r"_?[A-Z]", attribute.rpartition(".")[2]))
    )


def of(found: Opcodes, blob: Blob, packed: bool = False) -> Finding:
    """Any other pickle, by the first framework among its globals."""
    first = next((name for name in found.globals if _root(name) in _FRAMEWORKS), "")
    shown = ", ".join(name.replace(" ", ".") for name in list(found.globals)[:3])
    where = f"a pickle of protocol {found.protocol}"
    joblib = any(name.startswith("joblib.") for name in found.globals)
    if first:
        kind = _FRAMEWORKS[_root(first)]
        if kind == "torch-module":
            return torch_pickle(found, where)
        finding = Finding(kind, _version(kind, found, blob), 1.0, f"{where}, class {first.replace(' ', '.')}")
    elif "StructuredToParameterName@@" in found.texts:
        finding = Finding("paddle-pickle", "", 1.0, f"{where}, the key StructuredToParameterName@@")
    elif found.globals and found.modules <= {"pandas", *_PLAIN} and "pandas" in found.modules:
        finding = Finding("pandas-pickle", "", 0.9, f"{where}, of pandas alone: {shown}")
    else:
        finding = Finding("pickle", f"protocol {found.protocol}", 0.9, f"{where}; globals: {shown or 'none'}")
    # joblib puts raw arrays between the opcodes: its scan never reaches the end.
    if found.whole or joblib or packed or not found.looked:
        return finding
    return finding.cut("the pickle is not whole")


def _version(kind: str, found: Opcodes, blob: Blob) -> str:
    if kind != "sklearn":
        return ""
    for key, value in zip(found.texts, found.texts[1:], strict=False):
        if key == "_sklearn_version" and re.fullmatch(r"[\d.]+\w*", value):
            return value
    # joblib's raw arrays end the scan early: the first estimator's version stands somewhere behind them.
    last = re.search(
        rb"_sklearn_version\x94\x8c.(\d+\.\d+[\w.]*?)\x94", blob.read(0, 1 << 20) + blob.tail(1 << 16), re.DOTALL
    )
    return last[1].decode() if last else ""
