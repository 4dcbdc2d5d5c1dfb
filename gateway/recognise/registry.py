"""Every kind of file that is recognised: name, title, suffixes, what reading it may do, and the way out.

A kind is data. Whether it is converted is not said here: a Format of gateway/formats/ that is called
the same, or lists the kind in `recognises`, takes it over, and then `next` is no longer shown.

Rule 1: `next` is a whole sentence for the person whose file it is: what to do so that the model is served,
        or why it cannot be.
Rule 2: `suffixes` find nothing on their own: content decides; they break exact ties.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.recognise import registry_other, registry_served

DATA, PROGRAM, CODE = "data", "program", "code"
"""What reading it may do: nothing; run a graph that may touch files; run its author's code."""


@dataclass(frozen=True)
class Kind:
    """`model` is False for what lies beside models: settings, arrays, archives. Weights without a graph are models."""

    name: str
    title: str
    family: str
    suffixes: tuple[str, ...]
    safety: str
    next: str
    model: bool = True


def _rows(family: str, rows: Iterable[tuple[str, str, str, str, str]]) -> list[Kind]:
    """name, title, suffixes, safety ("-" in front: no model), next."""
    return [
        Kind(name, title, family, tuple(suffixes.split()), safety.lstrip("-"), text, not safety.startswith("-"))
        for name, title, suffixes, safety, text in rows
    ]


KINDS: dict[str, Kind] = {
    kind.name: kind
    for families in (registry_served.FAMILIES, registry_other.FAMILIES)
    for family, rows in families.items()
    for kind in _rows(family, rows)
}


_COMMON = {  # suffixes of other things too, and of the weights beside a model: no drop for that alone
    ".json", ".txt", ".xml", ".yml", ".yaml", ".bin", ".dat", ".cfg", ".net", ".raw", ".out", ".meta", ".index", ".zip",
    ".pbtxt", ".prototxt", ".textproto", ".npz", ".task", ".reg", ".param", ".params", ".log", ".dot", ".mat", ".ser",
    ".nb", ".ms", ".tm", ".om", ".nn", ".mil", ".model", ".pdiparams", ".pdopt", ".tnnmodel", ".pnnx.bin", ".ckpt",
}  # fmt: skip


def loose_suffixes() -> frozenset[str]:
    """Suffixes that only model files have: a loose file with one is a drop, and is told what it is."""
    models = (suffix for kind in KINDS.values() if kind.model for suffix in kind.suffixes)
    archives = (".tgz", ".mar", ".tar.gz")
    return frozenset(suffix for suffix in (*models, *archives) if suffix.startswith(".") and suffix not in _COMMON)
