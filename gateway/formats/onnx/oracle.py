"""The judge of ONNX: onnx's ReferenceEvaluator, numpy code written by the authors of the standard.

Where it cannot (an operator of another domain, too slow), onnxruntime with every optimisation
off is the second judge, and the report says so.

Rule 1: nothing here is shared with `convert`: the source is read anew.
Rule 2: onnxruntime decides which inputs the source accepts: numpy broadcasts where it must not.
Rule 3: external weights are mapped, not read, so that a model over 2 GB fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.compare import as_bytes
from gateway.core.dtypes import Array, Tensors, dtype, numpy_dtype
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.base import Oracle
from gateway.formats.onnx.corrections import corrections

WIDE_ENOUGH = {"float16": ("float32", "float64"), "bfloat16": ("float32", "float64"), "float32": ("float64",)}


class OnnxOracle(Oracle):
    """Runs a model file as it lies there. Errors of the constructor: ConversionError when neither judge can."""

    def __init__(self, path: Path, signature: Signature) -> None:
        import onnx

        self._signature = signature
        self._path = path
        self._model = onnx.load(str(path), load_external_data=False)
        self._mapped = _map_external(self._model, path.parent)
        self._session = self._open_session()
        self._reference: Any = None
        self._corrected = ""
        self._answered = False
        try:
            self._reference = self._open_reference()
            said = f" ({self._corrected} corrected)" if self._corrected else ""
            self.name = f"onnx ReferenceEvaluator {onnx.__version__}{said}"
        except Exception as error:
            why = f"onnx's ReferenceEvaluator cannot run it: {type(error).__name__}: {_first_line(error)}"
            if not self.use_second(why):
                raise ConversionError(f"{why}; and onnxruntime does not take the source as it is.") from error

    def use_second(self, reason: str) -> bool:
        import onnxruntime

        if self._session is None or (self._reference is None and self.reason):
            return False
        self._reference, self.reason = None, reason
        self.name = f"onnxruntime {onnxruntime.__version__} without optimisation"
        return True

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: whatever the source's runtime raises for inputs it does not accept."""
        feeds = {spec.tensor: inputs[spec.name] for spec in self._signature.inputs}
        wanted = list(dict.fromkeys(spec.tensor for spec in self._signature.outputs))
        ours: dict[str, Any] = {}
        if self._session is not None:
            answers = self._session.run(wanted, _texts(feeds))
            ours = dict(zip(wanted, answers, strict=True))
        if self._reference is not None:
            ours = self._first_judge(wanted, feeds, ours)
        return {spec.name: _as_declared(ours[spec.tensor], spec.dtype) for spec in self._signature.outputs}

    def nodes(self, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
        feeds = {spec.tensor: inputs[spec.name] for spec in self._signature.inputs}
        if self._reference is not None:
            with np.errstate(all="ignore"):
                every = self._reference.run(None, {**self._mapped, **_texts(feeds)}, intermediate=True)
        else:
            every = run_all(self._model, self._path.parent, feeds)
        for node in self._model.graph.node:
            found = {
                n: np.asarray(every[n]) for n in node.output if n and isinstance(every.get(n), (np.ndarray, np.generic))
            }
            if found:
                yield node.name or node.output[0], node.op_type, found

    def _first_judge(self, wanted: list[str], feeds: Tensors, second: dict[str, Any]) -> dict[str, Any]:
        """Its answers; where it breaks on the first call that onnxruntime takes, it hands over for good."""
        try:
            answers = dict(zip(wanted, self._evaluate(wanted, feeds), strict=True))
        except Exception as error:
            why = f"onnx's ReferenceEvaluator breaks on it: {type(error).__name__}: {_first_line(error)}"
            if self._answered or not second or not self.use_second(why):
                raise
            return second
        self._answered = True
        return answers

    def _evaluate(self, wanted: list[str], feeds: Tensors) -> list[Any]:
        with np.errstate(all="ignore"):
            return list(self._reference.run(wanted, {**self._mapped, **_texts(feeds)}))

    def _open_reference(self) -> Any:
        import onnx
        from onnx.reference import ReferenceEvaluator

        model = self._model
        if self._mapped:
            model = onnx.ModelProto()
            model.CopyFrom(self._model)
            kept = [tensor for tensor in self._model.graph.initializer if tensor.name not in self._mapped]
            del model.graph.initializer[:]
            model.graph.initializer.extend(kept)
            onnx.load_external_data_for_model(model, str(self._path.parent))
        corrected = corrections(model)
        self._corrected = ", ".join(op.__name__ for op in corrected)
        return ReferenceEvaluator(model, new_ops=corrected)

    def _open_session(self) -> Any:
        """onnxruntime on the source, the outputs asked for exposed; None when it does not take the source."""
        wanted = [spec.tensor for spec in self._signature.outputs]
        try:
            return unoptimised(self._model, self._path.parent, wanted)
        except Exception:  # noqa: BLE001  onnxruntime's errors have no common base but Exception
            return None  # an opset it has no kernels for: the first judge judges alone


def unoptimised(model: Any, folder: Path, outputs: list[str]) -> Any:
    """A session of `model` (external data in `folder`) with these tensors as outputs and every optimisation off."""
    import onnx
    import onnxruntime

    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    declared = {value.name for value in model.graph.output}
    if any(name not in declared for name in outputs):
        exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs if name not in declared)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    return onnxruntime.InferenceSession(exposed.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run_all(model: Any, folder: Path, feeds: Tensors) -> dict[str, Any]:
    """Every tensor of the outermost graph, from onnxruntime without optimisation."""
    names = [name for node in model.graph.node for name in node.output if name]
    session = unoptimised(model, folder, names)
    plain = [output.name for output in session.get_outputs() if output.type.startswith("tensor(")]
    return dict(zip(plain, session.run(plain, _texts(feeds)), strict=True))


def _map_external(model: Any, folder: Path) -> dict[str, Array]:
    """External initializers as read-only maps, by name."""
    from gateway.core.dtypes import BY_ONNX

    found: dict[str, Array] = {}
    for tensor in model.graph.initializer:
        row = BY_ONNX.get(tensor.data_type)
        if tensor.data_location != 1 or row is None or row.kind == "s" or 0 in tensor.dims:
            continue
        where = {entry.key: entry.value for entry in tensor.external_data}
        found[tensor.name] = np.memmap(
            folder / where["location"],
            numpy_dtype(row.name),
            "r",
            int(where.get("offset") or 0),
            tuple(tensor.dims),
        )
    return found


def _text(array: Array) -> Array:
    """Strings as `str`, which both judges want; everything else as it is."""
    if array.dtype.kind != "O":
        return array
    out = np.empty(array.size, dtype=object)
    out[:] = [item.decode("utf-8") if isinstance(item, bytes) else item for item in array.reshape(-1).tolist()]
    return out.reshape(array.shape)


def _texts(feeds: Tensors) -> Tensors:
    return {name: _text(array) for name, array in feeds.items()}


def _as_declared(value: Any, name: str) -> Array:
    """numpy computes some operators wider than the model declares: that is rounded to the declared type."""
    array = np.asarray(value)
    if dtype(name).kind == "s":
        return as_bytes(array.astype(object))
    if array.dtype.name in WIDE_ENOUGH.get(name, ()):
        return array.astype(numpy_dtype(name))
    return array


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__)[:200]
