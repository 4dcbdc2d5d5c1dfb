# ruff: noqa  this file runs in Environment client-triton
"""Writes tests/conformance/triton_protos.json: names, numbers and types of tritonclient's own messages.

PYTHON_OF_client-triton tests/conformance/make_triton_protos.py > tests/conformance/triton_protos.json
"""

import json
import sys
from importlib.metadata import version

from google.protobuf import descriptor_pb2
from tritonclient.grpc import model_config_pb2, service_pb2


def walk(prefix, message, messages, enums):
    name = f"{prefix}.{message.name}"
    messages[name] = {f.name: [f.number, f.type, f.label == 3, f.json_name or camel(f.name)] for f in message.field}
    for enum in message.enum_type:
        enums[f"{name}.{enum.name}"] = {v.name: v.number for v in enum.value}
    for nested in message.nested_type:
        walk(name, nested, messages, enums)


def camel(name):
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


messages, enums, services = {}, {}, {}
for module in (service_pb2, model_config_pb2):
    file = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        walk(file.package, message, messages, enums)
    for enum in file.enum_type:
        enums[f"{file.package}.{enum.name}"] = {v.name: v.number for v in enum.value}
    for service in file.service:
        services[f"{file.package}.{service.name}"] = {
            m.name: [m.input_type[1:], m.output_type[1:], m.client_streaming, m.server_streaming]
            for m in service.method
        }
json.dump(
    {
        "made_by": "tests/conformance/make_triton_protos.py",
        "versions": {"tritonclient": version("tritonclient"), "protobuf": version("protobuf")},
        "messages": messages,
        "enums": enums,
        "services": services,
    },
    sys.stdout,
    indent=1,
)
sys.stdout.write("\n")
