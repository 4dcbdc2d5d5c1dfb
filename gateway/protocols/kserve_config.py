"""ModelConfig: what the owner's config.pbtxt says, completed by what is true of the served model.

Rule 1: names, dtypes, dims and labels are those of the signature; config.pbtxt has been held
        against them before the model was served (core/tritonconfig.py).
Rule 2: what the gateway does not do as Triton does (instance groups, optimisation) is shown as
        the owner wrote it, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, text_format

from gateway.core.dtypes import dtype
from gateway.core.signature import Signature, TensorSpec
from gateway.protocols.kserve import PLATFORMS, sizes
from gateway.protocols.pool import message

_ModelConfig = message("inference.ModelConfig")


def model_config(name: str, signature: Signature, described: Mapping[str, Any], max_rows: int) -> dict[str, Any]:
    """In protobuf's JSON form with proto names, defaults left out. `described` is Predictor.describe's."""
    text = str((described.get("options") or {}).get("config_pbtxt") or "")
    config = text_format.Parse(text, _ModelConfig()) if text else _synthesised(signature, max_rows)
    config.name = name
    kind = str(described.get("kind") or "onnx")
    if not config.platform and not config.backend:
        config.platform = PLATFORMS.get(kind, "")
        config.backend = kind if not config.platform else config.platform.partition("_")[0]
    if not config.HasField("version_policy"):
        config.version_policy.latest.num_versions = 1
    batch = config.max_batch_size > 0
    _complete(config, signature, batch)
    if not config.instance_group:
        config.instance_group.add(name=name, kind=2, count=1)
    return dict(json_format.MessageToDict(config, preserving_proto_field_name=True))


def _synthesised(signature: Signature, max_rows: int) -> Any:
    """Where there is no config.pbtxt: a batch only where verification has shown one."""
    config = _ModelConfig()
    if signature.batched:
        config.max_batch_size = max_rows
        config.dynamic_batching.SetInParent()
    return config


def _complete(config: Any, signature: Signature, batch: bool) -> None:
    """Every input and output of the signature, in its order; what the owner said of one stays."""
    for field, specs in (("input", signature.inputs), ("output", signature.outputs)):
        said = {tensor.name: tensor for tensor in getattr(config, field)}
        rows = []
        for spec in specs:
            tensor = type(config).DESCRIPTOR.fields_by_name[field].message_type
            row = said.get(spec.name) or message(tensor.full_name)(name=spec.name)
            row.data_type = _data_type(spec)
            if not row.dims:
                row.dims[:] = sizes(spec)[1:] if batch else sizes(spec)
            rows.append(row)
        config.ClearField(field)
        getattr(config, field).extend(rows)


def _data_type(spec: TensorSpec) -> int:
    kind = dtype(spec.dtype).kserve
    name = "TYPE_STRING" if kind == "BYTES" else f"TYPE_{kind}" if kind else "TYPE_INVALID"
    values = _ModelConfig.DESCRIPTOR.fields_by_name["input"].message_type.fields_by_name["data_type"].enum_type
    return int(values.values_by_name[name].number)


def rest_form(config: dict[str, Any]) -> dict[str, Any]:
    """As Triton prints it over REST: defaults of messages that are there are printed, 64-bit numbers are numbers."""
    proto = json_format.ParseDict(config, _ModelConfig())
    found = json_format.MessageToDict(
        proto, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return dict(_numbers(found, _ModelConfig.DESCRIPTOR))


def _numbers(value: Any, kind: Any) -> Any:
    """protobuf's JSON writes 64-bit integers as text."""
    for field in kind.fields:
        if field.name not in value:
            continue
        found = value[field.name]
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            each = found if isinstance(found, list) else [found]
            for one in each:
                _numbers(one, field.message_type)
        elif field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64):
            value[field.name] = [int(n) for n in found] if isinstance(found, list) else int(found)
    return value
