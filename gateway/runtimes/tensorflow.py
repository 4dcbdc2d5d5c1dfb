"""TensorFlow: SavedModels and frozen graphs of ours. Runs in a worker of Environment `tensorflow`.

Rule 1: tensorflow is imported when something is loaded, never at the top: the gateway reads this file's name only.
Rule 2: an answer that is not what the signature says is an error, not an answer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gateway.core.artifact import FROZEN, SAVEDMODEL, Artifact
from gateway.core.dtypes import Array, Tensors, dtype, name_of
from gateway.core.savedmodel import GRAPH_FILE, graph_name
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ModelRunError
from gateway.runtimes.base import Runtime


class TensorflowRuntime(Runtime):
    name: ClassVar[str] = "tensorflow"

    def __init__(self, functions: Mapping[str, Any], signatures: Mapping[str, Signature], version: str) -> None:
        self._functions, self._signatures = dict(functions), dict(signatures)
        self._version = version

    @classmethod
    def accepts(cls, artifact: Artifact) -> bool:
        return artifact.kind in (SAVEDMODEL, FROZEN)

    @classmethod
    def load(
        cls, artifact: Artifact, folder: Path, *, threads: int = 0, providers: Sequence[str] = ()
    ) -> TensorflowRuntime:
        """Errors: ModelRunError in TensorFlow's words. A GPU is used where TensorFlow sees one, and grows as needed."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf  # noqa: TID251  this file is loaded in a worker of Environment tensorflow

        count = threads or max(1, (os.cpu_count() or 2) - 1)
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
        signatures = {signature.name: signature for signature in artifact.signatures}
        try:
            if artifact.kind == FROZEN:
                functions = {name: _graph(tf, folder / GRAPH_FILE, found) for name, found in signatures.items()}
            else:
                loaded = tf.saved_model.load(str(folder), tags=_tags(folder, signatures))
                functions = {name: loaded.signatures[name] for name in signatures}
                functions["_keeps the variables alive"] = loaded
        except Exception as error:  # whatever TensorFlow raises
            raise ModelRunError(f"TensorFlow cannot load the artifact: {_first_line(error)}") from error
        return cls(functions, signatures, tf.__version__)

    def run(self, signature: str, inputs: Tensors, outputs: Sequence[str] = ()) -> Tensors:
        bound = self._signatures[signature]
        if signature not in self._functions:
            raise ModelRunError("the model has been unloaded.")
        import tensorflow as tf  # noqa: TID251

        try:
            answers = self._functions[signature](**{name: tf.constant(array) for name, array in inputs.items()})
        except Exception as error:
            raise ModelRunError(f"TensorFlow could not run the model: {_first_line(error)}") from error
        specs = bound.select(outputs) if outputs else bound.outputs
        return {spec.name: _checked(spec, answers[spec.name].numpy()) for spec in specs}

    def placement(self) -> dict[str, str]:
        import tensorflow as tf  # noqa: TID251

        device = "cuda" if tf.config.list_physical_devices("GPU") else "cpu"
        return {"runtime": f"tensorflow {self._version}", "device": device, "pid": str(os.getpid())}

    def close(self) -> None:
        self._functions.clear()


def _tags(folder: Path, wanted: Mapping[str, Signature]) -> list[str]:
    """Tags of the first MetaGraph that has every signature."""
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: TID251

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    for meta in saved.meta_graphs:
        if set(wanted) <= set(meta.signature_def):
            return list(meta.meta_info_def.tags)
    raise ModelRunError(f"no MetaGraph of the SavedModel has the signatures {', '.join(wanted)}.")


def _graph(tf: Any, path: Path, signature: Signature) -> Any:
    """A frozen GraphDef as a function of its placeholders."""
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(path.read_bytes())
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    pruned = wrapped.prune(
        [wrapped.graph.as_graph_element(f"{graph_name(spec.name)}:0") for spec in signature.inputs],
        {spec.name: wrapped.graph.as_graph_element(f"{graph_name(spec.name)}:0") for spec in signature.outputs},
    )
    return lambda **feeds: pruned(*[feeds[spec.name] for spec in signature.inputs])


def _checked(spec: TensorSpec, answer: Any) -> Array:
    array = np.asarray(answer, object) if dtype(spec.dtype).kind == "s" else np.asarray(answer)
    if name_of(array) != spec.dtype or not spec.accepts(array.shape):
        found = f"{name_of(array)}{list(array.shape)}"
        raise ModelRunError(f"output {spec.name!r} came as {found}, expected {spec} as the signature says.")
    return array


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    shown = [line for line in lines if not line.startswith(("Detected at node", "<stack traces"))]
    return (" ".join(shown[:2]) if shown else type(error).__name__)[:500]
