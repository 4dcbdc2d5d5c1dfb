"""A SavedModel as it is: what it says of itself, and TensorFlow answering for it.

Rule 1: `inspect` and the screening read protobuf alone; TensorFlow is imported in Environment `tensorflow`, after it.
Rule 2: a signature that no client could call (sparse tensors, resources) is left out with a warning; a SavedModel
        with none but such is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import NATIVE, SOURCE_FOLDER, Fact
from gateway.core.dtypes import Array, Tensors, dtype
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.names import did_you_mean
from gateway.core.signature import PREDICT, Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.formats.base import Conversion, Inspection, Match, Oracle, Source
from gateway.formats.savedmodel import metagraph, screen, warmup
from gateway.formats.savedmodel.metagraph import MetaGraph, SignatureDef

FILE = "saved_model.pb"
TAGS_FILE = "tags.json"  # in the artifact, beside the model's own files: which MetaGraph is served
SHOWN = 40
Call = Callable[[Mapping[str, Array]], Mapping[str, Any]]


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    """Everything the file says, without TensorFlow; a MetaGraph that would be refused is shown too."""
    metas = metagraph.read(source.path(match.main))
    facts = []
    for number, meta in enumerate(metas):
        where = f"MetaGraph {number}"
        said = f"{len(meta.nodes)} nodes, {len(meta.functions)} functions, written by TensorFlow {meta.version or '?'}"
        facts.append(Fact(f"tags {', '.join(meta.tags) or '(none)'}", said, where))
        facts += [Fact(f"signature {s.key}", _signature_text(s), where) for s in metagraph.ordered(meta)]
        variables = [f"{name} {said}" for name, said in sorted(meta.variables().items())]
        facts.append(Fact("variables", _some(variables), where))
        facts.append(Fact("assets", _some(sorted(set(meta.assets.values()))), where))
        facts += [Fact("refused", problem, where) for problem in screen.problems(meta)]
    extra = [name for name in source.files if "assets.extra/" in name]
    facts += [Fact("assets.extra", _some(extra), "files")] if extra else []
    shown = [s for meta in metas[:1] for s in metagraph.ordered(meta) if not s.problems][:1]
    specs = [[tensor.spec() for tensor in (*part,)] for s in shown for part in (s.inputs, s.outputs)] or [[], []]
    operators: dict[str, int] = {}
    for meta in metas:
        for name, count in meta.operators().items():
            operators[name] = operators.get(name, 0) + count
    return Inspection(tuple(specs[0]), tuple(specs[1]), operators, tuple(facts))


def read(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    """Signatures of the MetaGraph that is served; its tags are kept beside it, in TAGS_FILE.

    Errors: ConversionError for what is refused, with all of it.
    """
    found = opened(source.path(match.main), options)
    versions = {"tensorflow": framework().__version__, "numpy": np.__version__}
    (out / SOURCE_FOLDER).mkdir()
    (out / SOURCE_FOLDER / TAGS_FILE).write_text(json.dumps(found.meta.tags))
    return Conversion(NATIVE, found.signatures, found.facts, found.warnings, versions=versions)


@dataclass(frozen=True)
class Opened:
    """A MetaGraph that may be loaded: `good` are the definitions of `signatures`, in the same order."""

    meta: MetaGraph
    good: tuple[SignatureDef, ...]
    signatures: tuple[Signature, ...]
    facts: tuple[Fact, ...]
    warnings: tuple[str, ...]


def opened(path: Path, options: ModelOptions) -> Opened:
    """The MetaGraph that the options name, screened, with its signatures. Errors: ConversionError, all problems."""
    meta = metagraph.choose(metagraph.read(path), options.savedmodel.tags)
    screen.refuse(meta)
    refuse_unknown(framework(), meta.operators())
    every = metagraph.ordered(meta)
    good = tuple(s for s in every if not s.problems)
    warnings = tuple(f"signature {s.key!r} is left out: {'; '.join(s.problems)}" for s in every if s.problems)
    if not good:
        raise ConversionError(
            "the SavedModel has no signature that a client could call: "
            + ("; ".join(warnings) or "it was saved without signatures."),
            hint="Save it with tf.saved_model.save(model, folder, signatures=...).",
        )
    facts = (
        Fact("tags", ", ".join(meta.tags), FILE),
        Fact("variables", str(len(meta.variables())), FILE),
        Fact("assets", _some(sorted(set(meta.assets.values()))), FILE),
        Fact("written by TensorFlow", meta.version, FILE),
    )
    signatures = tuple(_signature(s, options) for s in good)
    _refuse_unknown_names(signatures, options)
    return Opened(meta, good, signatures, facts, warnings)


def framework() -> Any:
    """The package tensorflow, set up once a process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf  # noqa: TID251  Environment tensorflow

    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    return tf


class Served(Oracle):
    """One SignatureDef, called by TensorFlow. Errors of the constructor: ConversionError.

    `tags` of the MetaGraph; without them they are read from the artifact that `source` is.
    """

    def __init__(self, source: Source, match: Match, signature: Signature, tags: tuple[str, ...] | None = None) -> None:
        self._signature = signature
        self.name = f"TensorFlow {framework().__version__}"
        tags = tuple(json.loads(source.path(TAGS_FILE).read_text())) if tags is None else tags
        self._call = _opened(source.path(match.main).parent, tags, signature.name)

    def run(self, inputs: Tensors) -> Tensors:
        answers = self._call({spec.tensor: inputs[spec.name] for spec in self._signature.inputs})
        return {spec.name: _array(spec, answers[spec.tensor]) for spec in self._signature.outputs}

    def target(self) -> warmup.Target:
        return warmup.Target(tuple(spec.tensor for spec in self._signature.inputs), self._call)


def warm(source: Source, match: Match, models: Mapping[str, Oracle]) -> int:
    """Replays the warm-up requests beside it, as TensorFlow Serving does: how many. Errors: ConversionError."""
    folder = source.path(match.main).parent
    path = folder / warmup.FOLDER / warmup.FILE
    if not path.is_file():
        return 0
    meta = metagraph.choose(metagraph.read(folder / FILE), tuple(json.loads(source.path(TAGS_FILE).read_text())))
    targets = {name: model.target() for name, model in models.items() if isinstance(model, Served)}
    return warmup.replay(path, targets, frozenset(meta.signatures))


def _opened(folder: Path, tags: tuple[str, ...], key: str) -> Call:
    """Arrays by the signature's own names -> answers. The file is screened again: this is the door.

    Errors: ConversionError in TensorFlow's words.
    """
    meta = metagraph.choose(metagraph.read(folder / FILE), tags)
    screen.refuse(meta)
    tf = framework()
    try:
        if meta.objects and (loaded := objects(folder, meta.tags)) is not None:
            return _function(tf, loaded, key)
        return _session_call(session(folder, meta.tags), meta.signatures[key])
    except Exception as error:  # whatever TensorFlow raises
        raise ConversionError(f"TensorFlow {tf.__version__} does not load the SavedModel: {line(error)}") from error


@lru_cache(maxsize=1)
def objects(folder: Path, tags: tuple[str, ...]) -> Any:
    """A SavedModel of TensorFlow 2, loaded once for all its signatures; None where this TensorFlow does not load it.

    Slots of an old optimiser break it in real files of Keras 2; the graph alone is whole all the same.
    """
    try:
        return framework().saved_model.load(str(folder), tags=list(tags))
    except Exception:  # noqa: BLE001  whatever TensorFlow raises: `session` says what is wrong
        return None


@lru_cache(maxsize=1)
def session(folder: Path, tags: tuple[str, ...]) -> Any:
    """One of TensorFlow 1: its graph in a session, as TensorFlow Serving does; once for all its signatures."""
    v1 = framework().compat.v1
    options = v1.ConfigProto(gpu_options=v1.GPUOptions(allow_growth=True))
    opened = v1.Session(graph=v1.Graph(), config=options)
    with opened.graph.as_default():
        v1.saved_model.load(opened, list(tags), str(folder))
    return opened


def _function(tf: Any, loaded: Any, key: str) -> Call:
    function = loaded.signatures[key]

    def call(inputs: Mapping[str, Array]) -> Mapping[str, Any]:
        answers = function(**{name: tf.constant(array) for name, array in inputs.items()})
        return {name: tensor.numpy() for name, tensor in answers.items()}

    call.loaded = loaded  # type: ignore[attr-defined]  # its variables live as long as it does
    return call


def _session_call(session: Any, found: SignatureDef) -> Call:
    given, wanted = [t.alias for t in found.inputs], [t.alias for t in found.outputs]
    run = session.make_callable([t.name for t in found.outputs], [t.name for t in found.inputs])

    def call(inputs: Mapping[str, Array]) -> Mapping[str, Any]:
        return dict(zip(wanted, run(*[inputs[name] for name in given])))

    return call


def refuse_unknown(tf: Any, operators: Iterable[str]) -> None:
    """Errors: ConversionError naming operators that this TensorFlow has not: custom ones come in libraries."""
    from tensorflow.python.framework import op_def_registry  # noqa: TID251

    unknown = sorted(name for name in set(operators) if op_def_registry.get(name) is None)
    if unknown:
        raise ConversionError(
            f"TensorFlow {tf.__version__} has no operators {', '.join(unknown[:SHOWN])}; custom ones come in libraries "
            "of machine code, which are not loaded.",
            hint="Export it with operators of TensorFlow alone.",
        )


def _signature(found: SignatureDef, options: ModelOptions) -> Signature:
    """Under the names of model.toml where it gives any. What a SignatureDef calls a tensor is its `tensor` here."""
    return Signature(
        tuple(_named(tensor.spec(), options.inputs) for tensor in found.inputs),
        tuple(_named(tensor.spec(), options.outputs) for tensor in found.outputs),
        name=found.key,
        method=found.method or PREDICT,
        preprocess=options.preprocess.to_json() if options.preprocess else None,
    )


def _named(spec: TensorSpec, options: Sequence[TensorOption]) -> TensorSpec:
    option = next((o for o in options if o.own_name == spec.name), None)
    if option is None:
        return spec
    return replace(spec, name=option.name, tensor=spec.name, shape=spec.shape if option.shape is None else option.shape)


def _refuse_unknown_names(signatures: Sequence[Signature], options: ModelOptions) -> None:
    problems = []
    for word, asked, known in (
        ("input", options.inputs, {spec.tensor for s in signatures for spec in s.inputs}),
        ("output", options.outputs, {spec.tensor for s in signatures for spec in s.outputs}),
    ):
        problems += [
            f"no signature has an {word} {option.own_name!r}.{did_you_mean(option.own_name, known)}"
            for option in asked
            if option.own_name not in known
        ]
    if problems:
        raise ConversionError("; ".join(problems))


def _signature_text(found: SignatureDef) -> str:
    sides = [", ".join(str(tensor.spec()) for tensor in part) or "nothing" for part in (found.inputs, found.outputs)]
    return f"{sides[0]} -> {sides[1]}, {found.method or 'no method'}" + "".join(f"; {p}" for p in found.problems)


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return f"{len(items)}: {', '.join(items[:SHOWN])}{more}" if items else "none"


def _array(spec: TensorSpec, found: Any) -> Array:
    return np.asarray(found, object) if dtype(spec.dtype).kind == "s" else np.asarray(found)


def line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:500] if lines else type(error).__name__
