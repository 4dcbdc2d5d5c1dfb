"""What `gateway predict` does: asks a running gateway over its HTTP port, as any client may.

Reads the model's signature from /api/v1, sends a TensorFlow Serving REST predict, and says what
came back: labels with their probability where the model has labels.
"""

from __future__ import annotations

import base64
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from gateway import pictures
from gateway.core import detections
from gateway.core.dtypes import Array
from gateway.core.names import check_model_name
from gateway.core.signature import Signature, format_shape
from gateway.errors import GatewayError, InvalidTensor, ModelNotFound, RequestError, Unavailable, UsageError

TIMEOUT_S = 60.0
TOP = 5
MOST_BOXES = 100


class Client:
    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"--url is {url!r}, expected something like http://127.0.0.1:8501")
        self._url = url.rstrip("/")

    def _call(self, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self._url + path, data=body)  # noqa: S310  scheme checked above
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return _parse(answer.read())
        except urllib.error.HTTPError as error:
            text = error.read()
            try:
                message = str(orjson.loads(text)["error"])
            except (orjson.JSONDecodeError, KeyError, TypeError):
                message = f"HTTP {error.code}"
            kind: type[GatewayError] = Unavailable if error.code == 503 else RequestError
            raise kind(message) from None
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            raise Unavailable(
                f"no gateway answers at {self._url}: {reason}.", hint="Start one with: gateway serve"
            ) from None

    def signature(self, model: str, wanted: str = "") -> tuple[int, Signature]:
        """(version, signature) of the newest version that serves: the one called `wanted` where there is one, else
        the first. Errors: ModelNotFound.
        """
        name = urllib.parse.quote(check_model_name(model))
        known = self._call(f"/api/v1/models/{name}")
        serving = [v for v in known["versions"] if v["state"] == "AVAILABLE"]
        if not serving:
            states = "; ".join(
                f"version {v['version']} is {v['state']} {v['reason']}".strip() for v in known["versions"]
            )
            raise ModelNotFound(f"model {model!r} does not serve: {states or 'it has no versions'}.")
        version = int(serving[0]["version"])
        described = self._call(f"/api/v1/models/{name}/versions/{version}")
        every = [Signature.from_json(each) for each in described["signatures"]]
        return version, next((each for each in every if each.name == wanted), every[0])

    def predict(self, model: str, version: int, inputs: Mapping[str, Array], signature: str = "") -> dict[str, Any]:
        """Outputs by name, as JSON values; `signature` "" is the default one."""
        asked: dict[str, Any] = {"inputs": {name: _json_value(array) for name, array in inputs.items()}}
        body = orjson.dumps(asked | ({"signature_name": signature} if signature else {}))
        name = urllib.parse.quote(check_model_name(model))
        outputs = self._call(f"/v1/models/{name}/versions/{version}:predict", body)["outputs"]
        return outputs if isinstance(outputs, dict) else {"": outputs}

    def send(self, model: str, body: bytes) -> Any:
        """A body as it is, to the newest version."""
        return self._call(f"/v1/models/{urllib.parse.quote(check_model_name(model))}:predict", body)


def _parse(body: bytes) -> Any:
    """An answer; NaN and infinities, which TensorFlow Serving's JSON may hold, are read too."""
    import json

    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body)


def _json_value(array: Array) -> Any:
    if array.dtype.kind in "OSU":
        return np.vectorize(_json_text, otypes=[object])(array).tolist()
    return array.tolist()


def _json_text(item: Any) -> Any:
    """Bytes that are no UTF-8, such as a picture file, go as TensorFlow Serving's {"b64": ...}."""
    if not isinstance(item, bytes):
        return str(item)
    try:
        return item.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(item).decode()}


def picture_files(signature: Signature, given: Sequence[str]) -> dict[str, list[Path]]:
    """The files of each --image, `FILE` or `NAME=FILE`, by input: those of one input become its rows, in order.

    A file without a name goes to the input that [preprocess] speaks of, else to the only one of strings.
    Errors: UsageError with all that are no files or name no input, InvalidTensor where the model takes no pictures.
    """
    takers = [signature.picture_input] if signature.picture_input else _strings(signature)
    if not takers:
        expected = ", ".join(str(spec) for spec in signature.inputs)
        raise InvalidTensor(
            f"this model does not say how a picture becomes its input ({expected}).",
            hint="Add a [preprocess] table to its model.toml (docs/model-toml.md), or send --npy NAME=FILE.",
        )
    files: dict[str, list[Path]] = {}
    wrong = []
    for text in given:
        before, equals, after = text.partition("=")
        name, file = (before, after) if equals and not Path(text).exists() else ("", text)
        if not Path(file).is_file():
            wrong.append(f"--image {file} is not a file.")
        elif name and name not in takers:
            wrong.append(f"--image {text}: {name!r} takes no pictures; those that do: {', '.join(takers)}.")
        elif not name and len(takers) > 1:
            wrong.append(f"--image {text}: which input is it for? Say NAME=FILE; those that take pictures: "
                         f"{', '.join(takers)}.")  # fmt: skip
        else:
            files.setdefault(name or takers[0], []).append(Path(file))
    if wrong:
        raise UsageError(" ".join(wrong))
    return files


def _strings(signature: Signature) -> list[str]:
    return [spec.name for spec in signature.required if spec.dtype == "string" and spec.accepts((1,))]


def picture_inputs(signature: Signature, files: Mapping[str, Sequence[Path]]) -> dict[str, Array]:
    """Files by input, as `picture_files` gives them, as what the model takes: numbers where its [preprocess] says how,
    else the bytes of the files, which the model or pipeline decodes itself. Errors: InvalidTensor.
    """
    found = pictures.wanted(signature)
    if found is None:
        return {name: np.array([path.read_bytes() for path in paths], object) for name, paths in files.items()}
    spec, preprocess = found
    [paths] = files.values()
    return {spec.name: pictures.batch([path.read_bytes() for path in paths], paths[0].name, preprocess, spec)}


def array_inputs(pairs: Sequence[str]) -> dict[str, Array]:
    """`NAME=FILE` pairs of --npy. Errors: UsageError."""
    inputs = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--npy is {pair!r}, expected NAME=FILE")
        try:
            inputs[name] = np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UsageError(f"--npy {pair}: {error}") from None
    return inputs


def describe(signature: Signature, outputs: Mapping[str, Any]) -> str:
    """Outputs for a person: the likeliest labels of each row, or shape and values."""
    lines: list[str] = []
    for position, spec in enumerate(signature.outputs):
        value = np.asarray(outputs.get(spec.name, outputs.get("")))
        labelled = signature.labels and value.ndim == 2 and value.shape[1] == len(signature.labels)
        if labelled and position == 0:
            lines += [_ranking(signature.labels, row) for row in value]
        else:
            text = np.array2string(value, threshold=20, precision=6)
            lines.append(f"{spec.name} {spec.dtype}{format_shape(value.shape)}: {text}")
    return "\n".join(lines)


def boxes(signature: Signature, outputs: Mapping[str, Any], path: Path) -> str:
    """What a detector saw in a picture file, a line a box; "" for a model that is no detector."""
    found = pictures.wanted(signature)
    values = [np.asarray(outputs.get(spec.name, outputs.get(""))) for spec in signature.outputs]
    if found is None:
        return ""
    if signature.name == detections.BOXES and len(values) == 2:
        seen = detections.of_scores(values[0][0], values[1][0])
    elif len(values) == 1 and values[0].ndim == 4 and values[0].shape[-1] == detections.ROW:
        seen = detections.of_rows(values[0].reshape(-1, detections.ROW))
    else:
        return ""
    preprocess = found[1]
    height, width = pictures.decode(path.read_bytes(), path.name, exif=preprocess.exif).shape[:2]
    tall, wide = preprocess.height_and_width(found[0].shape)
    if preprocess.resize is None and tall is not None and wide is not None:
        preprocess = replace(preprocess, resize=(tall, wide))
    placed = [detections.placed(each, preprocess, (height, width)) for each in seen[:MOST_BOXES]]
    lines = [detections.line(each, signature.labels) for each in placed]
    if len(seen) > MOST_BOXES:
        lines.append(f"and {len(seen) - MOST_BOXES} more")
    return "\n".join(lines) or f"nothing scores over {100 * detections.THRESHOLD:g} %"


def _ranking(labels: Sequence[str], row: Array) -> str:
    """'7  99.8 %   (then 9 0.1 %, 1 0.0 %)': percent where the row is a distribution, else scores."""
    order = np.argsort(row)[::-1][: min(TOP, len(labels))]
    distribution = bool((row >= 0).all()) and abs(float(row.sum()) - 1.0) < 1e-3
    said = [f"{labels[i]}  {100 * row[i]:.1f} %" if distribution else f"{labels[i]}  {row[i]:.4g}" for i in order]
    return said[0] + (f"   (then {', '.join(' '.join(s.split()) for s in said[1:3])})" if len(said) > 1 else "")
