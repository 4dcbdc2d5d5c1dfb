"""Which signatures of a MetaGraph are one: Keras' export writes `serve` and `serving_default` for the same function.

Two are one when their inputs, outputs and the graphs between them are, whatever their nodes and functions are called.

Rule 1: what is not shown to be the same is another signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from gateway.formats.savedmodel.metagraph import MetaGraph, Node, SignatureDef

DEEP = 4000  # nodes on one path; a longer one is not followed
IDENTITIES = ("Identity", "IdentityN", "StopGradient")


def one(meta: MetaGraph, signatures: Sequence[SignatureDef]) -> bool:
    """Do they all answer by the same graph?"""
    return len({_digest(meta, signature) for signature in signatures}) == 1


def _digest(meta: MetaGraph, signature: SignatureDef) -> str:
    feeds = {tensor.name.partition(":")[0]: tensor.alias for tensor in signature.inputs}
    walk = _Walk(meta, meta.by_name, feeds)
    sides = [[(tensor.alias, tensor.dtype, str(tensor.shape)) for tensor in side] for side in
             (signature.inputs, signature.outputs)]  # fmt: skip
    return _hash(repr(sides), *(walk.tensor(tensor.name) for tensor in signature.outputs))


class _Walk:
    """Digests of tensors by what makes them; `feeds` are known by their public names."""

    def __init__(self, meta: MetaGraph, nodes: Mapping[str, Node], feeds: Mapping[str, str]) -> None:
        self.meta, self.nodes, self.feeds = meta, nodes, feeds
        self.known: dict[str, str] = {}
        self.inside: dict[str, str] = {}  # digests of functions

    def tensor(self, name: str) -> str:
        """Of `node`, `node:1` or, in a function, `node:out:1`."""
        node, _, port = name.removeprefix("^").partition(":")
        return _hash(self._node(node) if node in self.nodes else self._read(node), port or "0")

    def _node(self, wanted: str) -> str:
        """Without recursion: graphs are deep."""
        waiting = [wanted]
        while waiting:
            name = waiting[-1]
            if name in self.known:
                waiting.pop()
                continue
            node = self.nodes[name]
            if name in self.feeds:
                self.known[name] = _hash("feed", self.feeds[name])
                continue
            missing = [source for source in node.sources if source in self.nodes and source not in self.known]
            if missing and len(waiting) < DEEP:
                waiting.extend(missing)
                continue
            self.known[name] = self._made(node, name)
        return self.known[wanted]

    def _made(self, node: Node, name: str) -> str:
        sources = [self._read(each) for each in node.inputs]
        told = _told(node)
        if not sources and not told:
            return _hash(node.op, name)
        return _hash(self._op(node), told, *sources, *self._bodies(node))

    def _read(self, each: str) -> str:
        source, _, port = each.removeprefix("^").partition(":")
        return _hash(self.known.get(source) or _hash("argument", source), port or "0", str(each.startswith("^")))

    def _op(self, node: Node) -> str:
        return "call" if node.op in self.meta.functions else node.op

    def _bodies(self, node: Node) -> list[str]:
        return [self._function(called) for called in node.functions() if called in self.meta.functions]

    def _function(self, name: str) -> str:
        """A function by its arguments' places and what it gives back."""
        if name not in self.inside:
            self.inside[name] = ""  # a function that calls itself ends here
            nodes = {node.name: node for node in self.meta.functions[name]}
            taken, given = self.meta.sides.get(name, ((), ()))
            walk = _Walk(self.meta, nodes, {})
            walk.inside = self.inside
            walk.known = {argument: _hash("argument", str(place)) for place, argument in enumerate(taken)}
            self.inside[name] = _hash(*(walk.tensor(tensor) for tensor in given))
        return self.inside[name]


def _told(node: Node) -> str:
    """Attributes but names of functions, and what TensorFlow says to itself."""
    kept = [
        (key, message.raw())
        for key, message in sorted(node.attributes.items())
        if not key.startswith("_") and not message.messages(10) and key != "config_proto"
    ]
    return repr(kept) if kept else ""


def _hash(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)} {part}".encode())
    return digest.hexdigest()
