"""onnxruntime, in this process.

Rule 1: strings go in and out as bytes (core/dtypes rule 1). onnxruntime turns a `bytes` element
        into the text "b'...'" without a word, so they are decoded here, and what is not UTF-8
        is refused. (Seen with onnxruntime 1.32.)
Rule 2: a provider that was asked for and did not come up is not silently replaced: `placement`
        says what runs, and `passed_over` what does not.
Rule 3: spinning is off: the session shares its cores with the front end (docs/decisions).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from gateway.core.artifact import Artifact
from gateway.core.dtypes import BY_NAME, Array, Tensors, numpy_dtype
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import InvalidTensor, ModelRunError
from gateway.runtimes.base import Runtime

MODEL_FILE = "model.onnx"
PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
ORT_ERRORS: tuple[type[Exception], ...] = (
    *(
        error
        for name in ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel", "NoSuchFile",
                     "NotImplemented", "RuntimeException", "EngineError", "EPFail", "ModelLoaded")
        if isinstance(error := getattr(ort_state, name, None), type)
    ),
    RuntimeError,
    ValueError,
)  # fmt: skip


def default_threads() -> int:
    """cores - 1, at least 1: one core is the front end's."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def session_options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or default_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only; they also come as exceptions
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


class OrtRuntime(Runtime):
    name: ClassVar[str] = "onnxruntime"

    def __init__(self, session: Any, signatures: Mapping[str, Signature], passed_over: Sequence[str]) -> None:
        self._session = session
        self._signatures = {name: _Bound(signature) for name, signature in signatures.items()}
        self._passed_over = tuple(passed_over)

    @classmethod
    def accepts(cls, artifact: Artifact) -> bool:
        return artifact.kind == "onnx"

    @classmethod
    def load(cls, artifact: Artifact, folder: Path, *, threads: int = 0, providers: Sequence[str] = ()) -> OrtRuntime:
        available = onnxruntime.get_available_providers()
        wanted = [name for name in (providers or ("cpu",)) if name in PROVIDERS]
        usable = [PROVIDERS[name] for name in wanted if PROVIDERS[name] in available]
        if PROVIDERS["cpu"] not in usable:
            usable.append(PROVIDERS["cpu"])  # nodes that a device lacks need a place
        path = folder / MODEL_FILE
        try:
            session = onnxruntime.InferenceSession(str(path), session_options(threads), providers=usable)
        except ORT_ERRORS as error:
            raise ModelRunError(f"onnxruntime cannot load the artifact: {first_line(error)}") from error
        running = session.get_providers()
        passed_over = [name for name in wanted if PROVIDERS[name] not in running]
        return cls(session, {s.name: s for s in artifact.signatures}, passed_over)

    def run(self, signature: str, inputs: Tensors, outputs: Sequence[str] = ()) -> Tensors:
        bound = self._signatures[signature]
        specs = bound.signature.select(outputs) if outputs else bound.signature.outputs
        tensors = bound.outputs if not outputs else [spec.tensor for spec in specs]
        if self._session is None:
            raise ModelRunError("the model has been unloaded.")
        try:
            if bound.plain:
                feeds = {tensor: inputs[name] for name, tensor in bound.inputs}
                answers = self._session.run(tensors, feeds)
            else:
                answers = self._run_special(bound, inputs, tensors)
        except ORT_ERRORS as error:
            raise ModelRunError(f"onnxruntime could not run the model: {first_line(error)}") from error
        return {spec.name: _taken(spec, answer) for spec, answer in zip(specs, answers, strict=True)}

    def _run_special(self, bound: _Bound, inputs: Tensors, tensors: Sequence[str]) -> list[Any]:
        """Strings need decoding; bfloat16 has no numpy road through `run`, only through OrtValue."""
        feeds = {}
        for spec in bound.signature.inputs:
            array = inputs[spec.name]
            if spec.dtype == "string":
                array = _decoded(spec, array)
            feeds[spec.tensor] = (
                onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(
                    np.asarray(array, order="C").view(np.uint16), BY_NAME["bfloat16"].onnx
                )
                if spec.dtype == "bfloat16"
                else onnxruntime.OrtValue.ortvalue_from_numpy(array)
                if bound.brain
                else array
            )
        if not bound.brain:
            return list(self._session.run(tensors, feeds))
        return [_from_ort_value(value) for value in self._session.run_with_ort_values(tensors, feeds)]

    def placement(self) -> dict[str, str]:
        providers = self._session.get_providers() if self._session is not None else []
        names = {full: short for short, full in PROVIDERS.items()}
        found = {
            "runtime": f"onnxruntime {onnxruntime.__version__}",
            "device": names.get(providers[0], providers[0]) if providers else "none",
            "providers": ",".join(providers),
            "pid": str(os.getpid()),
        }
        if self._passed_over:
            found["passed_over"] = ",".join(self._passed_over)
        return found

    def close(self) -> None:
        self._session = None


class _Bound:
    """A signature with what `run` needs of it, worked out once."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.inputs = [(spec.name, spec.tensor) for spec in signature.inputs]
        self.outputs = [spec.tensor for spec in signature.outputs]
        types = {spec.dtype for spec in (*signature.inputs, *signature.outputs)}
        self.brain = "bfloat16" in types
        self.plain = not types & {"bfloat16", "string"}


def _decoded(spec: TensorSpec, array: Array) -> Array:
    flat: list[str] = []
    for position, item in enumerate(array.reshape(-1).tolist()):
        try:
            flat.append(item.decode("utf-8") if isinstance(item, bytes) else str(item))
        except UnicodeDecodeError as error:
            raise InvalidTensor(
                f"input {spec.name!r}: element {position} is not UTF-8 (at byte {error.start}), "
                "and onnxruntime's strings are.",
                hint="Send text, or a uint8 tensor for bytes.",
            ) from None
    out = np.empty(len(flat), dtype=object)
    out[:] = flat
    return out.reshape(array.shape)


def _taken(spec: TensorSpec, answer: Any) -> Array:
    """An output as the rest of the gateway expects it: an ndarray, strings as bytes."""
    array = np.asarray(answer)
    if array.dtype.kind not in "OSU":
        return array
    flat = [item if isinstance(item, bytes) else str(item).encode() for item in array.reshape(-1).tolist()]
    out = np.empty(len(flat), dtype=object)
    out[:] = flat
    return out.reshape(array.shape)


def _from_ort_value(value: Any) -> Array:
    """A copy of an OrtValue on the CPU. `numpy()` knows no bfloat16, so that is read from its memory."""
    if value.element_type() != BY_NAME["bfloat16"].onnx:
        return np.asarray(value.numpy())
    shape = tuple(value.shape())
    count = int(np.prod(shape, dtype=np.int64))
    raw = (ctypes.c_uint16 * count).from_address(value.data_ptr()) if count else ()
    return np.array(raw, dtype=np.uint16).view(numpy_dtype("bfloat16")).reshape(shape)


def first_line(error: Exception) -> str:
    """onnxruntime's sentence without its code prefix; its stack traces stay out of answers."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return text.split(" : ", 2)[-1][:500]
