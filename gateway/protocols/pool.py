"""Our protobuf messages, in a descriptor pool of their own.

Rule 1: never the default pool. There they collide with tensorflow, kserve and tritonclient
        ("duplicate file name"), and a program that holds the gateway and a client dies.
Rule 2: the descriptor set is compiled from protos/ by `make protos` and committed; a test
        compiles it again and compares.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

DESCRIPTORS = Path(__file__).parent / "generated" / "protos.binpb"


def new_pool() -> descriptor_pool.DescriptorPool:
    """A fresh pool with every file of protos/ and the google.protobuf files that they import."""
    private = descriptor_pool.DescriptorPool()
    for file in _files():  # protoc writes imports first
        private.AddSerializedFile(file.SerializeToString())
    return private


def _files() -> Iterable[descriptor_pb2.FileDescriptorProto]:
    return descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file


@cache
def pool() -> descriptor_pool.DescriptorPool:
    """The one pool that all messages of the gateway come from."""
    return new_pool()


def message(full_name: str) -> Any:
    """The class of a message, e.g. "tensorflow.serving.PredictRequest". Errors: KeyError.

    Typed Any on purpose: classes made at run time have no stubs.
    """
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(full_name))


def services() -> tuple[str, ...]:
    """Full names of the services that protos/ declares."""
    return tuple(f"{file.package}.{service.name}" for file in _files() for service in file.service)
