"""MXNet: NAME-symbol.json and NAME-0000.params, read without MXNet, judged by it.

`match` runs in the gateway: a bounded look at heads and ends of files.

Rule 1: a symbol and its weights are one model. Alone, each is recognised too, so that the answer
        says which file is missing.
Rule 2: several epochs of one model (NAME-0000.params, NAME-0010.params) are AmbiguousFormat:
        which one is meant is the owner's to say, by leaving one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.core.artifact import NATIVE
from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.errors import AmbiguousFormat
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source

NAME = "mxnet"
MAGIC = bytes.fromhex("12010000000000000000000000000000")  # .params: 0x112 and a reserved zero, 8 bytes each
SIGNATURE_FILE = "signature.json"  # Model Server's: shapes of the inputs
SYMBOL_SUFFIX = "-symbol.json"
EPOCH = re.compile(r"(?P<prefix>.+?)(-\d{4})?\.(params|ndarray|nd)")
PARSED = 4 << 20  # bytes; a larger symbol is recognised by its keys
SCANNED = 256 << 20
HEAD = 512
CHUNK = 1 << 20


class Mxnet(Format):
    name = NAME
    title = "MXNet"
    suffixes = (SYMBOL_SUFFIX, ".params")
    environment = "base"
    judges = ("mxnet", "base")
    targets = ("onnx", "native")
    native = "mxnet"
    data_only = True
    revision = 2

    def match(self, source: Source) -> Match | None:
        """Errors: AmbiguousFormat for several epochs of one model."""
        symbols = {name: seen for name in source.files if (seen := _symbol(source.path(name), name))}
        weights = [name for name in source.files if _is_params(source, name)]
        if symbols:
            main = sorted(symbols, key=lambda name: (not _partners(name, weights), name))[0]
            version, evidence, whole = symbols[main]
            mine = _partners(main, weights) or (weights if len(symbols) == 1 else [])
            # A file called as the weights are and damaged at its very start: the converter says how.
            mine = mine or [name for name in _partners(main, source.files) if name.endswith(".params")]
            if len(mine) > 1:
                raise AmbiguousFormat(
                    f"{main} has {len(mine)} files of weights beside it: {', '.join(mine[:8])}.",
                    hint="Keep the one of the epoch that is to be served.",
                )
            used = [main, *mine, *_signature_file(source, main)]
            said = f", weights in {mine[0]}" if mine else ", no weights beside it"
            return Match(NAME, version, 1.0 if whole else 0.7, evidence + said, main, tuple(used))
        if weights:
            return Match(
                NAME, "", 0.9, f"{weights[0]} starts with 0x112, and there is no symbol", weights[0], (weights[0],)
            )
        return None

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.mxnet.convert import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.mxnet.convert import convert

        if self.check_target(target) == NATIVE:
            from gateway.formats.mxnet.native import read

            return read(source, match, options)
        return convert(source, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        from gateway.formats.mxnet.oracle import oracle

        return oracle(source, match, options, signature)

    def exact(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
        from gateway.formats.mxnet.oracle import exact

        return exact(source, match, signature)

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        from gateway.formats.mxnet.oracle import MxnetOracle

        symbol_file, params_file, _ = files_of(match)
        return MxnetOracle(source.path(symbol_file), source.path(params_file) if params_file else None, signature)

    def traps(self, operator: str) -> tuple[str, ...]:
        from gateway.formats.mxnet.traps import traps

        return traps(operator)

    def hints(self, source: Source, match: Match, signature: Signature) -> Mapping[str, Hint]:
        from gateway.formats.mxnet import hints, params, symbol

        symbol_file, params_file, _ = files_of(match)
        found = params.read(source.path(params_file)) if params_file else params.NOTHING
        return hints.hints(symbol.read(source.path(symbol_file)), found, signature)


def files_of(match: Match) -> tuple[str, str, str]:
    """(symbol, weights, signature.json) of a match; "" for one that is not there."""
    is_symbol = bool(match.version)
    rest = [name for name in match.used if name != match.main]
    signature = next((name for name in rest if name.rpartition("/")[2] == SIGNATURE_FILE), "")
    weights = next((name for name in rest if name != signature), "")
    return (match.main, weights, signature) if is_symbol else ("", match.main, signature)


def _is_params(source: Source, name: str) -> bool:
    try:
        return source.head(name, len(MAGIC)) == MAGIC
    except OSError:
        return False


def _partners(symbol: str, weights: Sequence[str]) -> list[str]:
    """Files of weights that are called as the symbol is: NAME-symbol.json and NAME-0000.params or NAME.params."""
    prefix = symbol.removesuffix(SYMBOL_SUFFIX).removesuffix(".json")
    return [name for name in weights if (found := EPOCH.fullmatch(name)) and found["prefix"] == prefix]


def _signature_file(source: Source, main: str) -> list[str]:
    folder = main.rpartition("/")[0]
    wanted = f"{folder}/{SIGNATURE_FILE}" if folder else SIGNATURE_FILE
    return [wanted] if wanted in source.files else []


def _symbol(path: Path, name: str) -> tuple[str, str, bool] | None:
    """(version, evidence, whole) of a symbol file; None for anything else."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(HEAD)
            if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") or size > SCANNED:
                return None
            if size <= PARSED:
                return _parsed(head + stream.read(PARSED), name)
            keys = _keys(stream, head)
    except OSError:
        return None
    if b'"tvm_op"' in keys or not {b'"nodes"', b'"arg_nodes"', b'"heads"'} <= keys:
        return None
    return "of unknown version", "JSON with nodes, arg_nodes and heads", True


def _parsed(data: bytes, name: str) -> tuple[str, str, bool] | None:
    try:
        graph: Any = json.loads(data)
    except (ValueError, RecursionError):
        return _broken(data, name)
    if not isinstance(graph, dict) or not isinstance(graph.get("nodes"), list) or "heads" not in graph:
        return None
    nodes = [node for node in graph["nodes"] if isinstance(node, dict)]
    if not nodes or "arg_nodes" not in graph or any(node.get("op") == "tvm_op" for node in nodes):
        return None
    if not all("op" in node and "name" in node for node in nodes):
        return None
    attrs = graph.get("attrs")
    said = attrs.get("mxnet_version") if isinstance(attrs, dict) else None
    number = said[1] if isinstance(said, list) and len(said) == 2 and isinstance(said[1], int) else 0
    version = f"{number // 10000}.{number // 100 % 100}.{number % 100}" if number else "0.8 or older"
    operators = sum(node.get("op") != "null" for node in nodes)
    return version, f"JSON with nodes, arg_nodes and heads; {operators} operators", True


def _broken(data: bytes, name: str) -> tuple[str, str, bool] | None:
    """Not whole JSON: still a symbol when it starts like one, so that the answer is "cut short"."""
    start = re.sub(rb"\s", b"", data[:2048])
    if start.startswith(b'{"nodes":[{"op":') or (start.startswith(b"{") and name.endswith(SYMBOL_SUFFIX)):
        return "of unknown version", "starts as a symbol, but is not whole JSON", False
    return None


def _keys(stream: Any, head: bytes) -> set[bytes]:
    wanted = (b'"nodes"', b'"arg_nodes"', b'"heads"', b'"tvm_op"')
    found: set[bytes] = set()
    piece = head
    while piece:
        found.update(key for key in wanted if key in piece)
        more = stream.read(CHUNK)
        piece = piece[-16:] + more if more else b""  # a key may lie across two pieces
    return found


FORMAT = Mxnet()
