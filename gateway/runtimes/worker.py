"""The worker's side of an isolated runtime: one process, one loaded artifact, calls over a socket.

Started by runtimes/isolated.py with a connected socket as an inherited descriptor. Each call and
each answer is one frame of process/wire.py:

    {"call": "load", "runtime", "artifact", "folder", "threads", "providers"}  ->  {"placement": {...}}
    {"call": "run", "signature", "outputs"} + inputs                           ->  {} + outputs
    any                                                                        ->  {"error": {...}}

Rule 1: the sandbox is applied before numpy or a runtime is imported.
Rule 2: when the gateway's end of the socket is closed the process ends, in the middle of a run too.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError, ModelRunError, PeerGone
from gateway.process import sandbox

if TYPE_CHECKING:
    from gateway.core.dtypes import Tensors
    from gateway.runtimes.base import Runtime


def main(arguments: list[str]) -> None:
    """`arguments`: the socket's descriptor, its sandbox.Hold as JSON. Does not return."""
    descriptor, hold = arguments
    sandbox.enter(sandbox.Hold.from_json(json.loads(hold)))
    with socket.socket(fileno=int(descriptor)) as sock:
        threading.Thread(target=_end_with_the_gateway, args=(sock,), daemon=True).start()
        _serve(sock)
    # Not sys.exit: a framework that crashes while it is torn down would look like a death.
    os._exit(0)


def _end_with_the_gateway(sock: socket.socket) -> None:
    poll = select.poll()
    poll.register(sock, getattr(select, "POLLRDHUP", 0))  # POLLHUP is always reported
    poll.poll()
    os._exit(0)


def _serve(sock: socket.socket) -> None:
    from gateway.process import wire

    runtime: Runtime | None = None
    while True:
        try:
            header, tensors = wire.recv(sock)
        except PeerGone:
            return
        answer: dict[str, Any] = {}
        outputs: Tensors = {}
        try:
            if header["call"] == "load":
                runtime = _load(header)
                answer = {"placement": runtime.placement()}
            elif runtime is None:
                raise ModelRunError(f"the worker was asked to {header['call']} before it has loaded anything.")
            else:
                outputs = runtime.run(header["signature"], tensors, header["outputs"])
        except GatewayError as error:
            answer = {"error": error.to_json()}
        except MemoryError:
            answer = {"error": ModelRunError("the model was refused memory.").to_json()}
        except Exception as error:  # noqa: BLE001  a runtime's own classes are unknown here; the log has all of it
            traceback.print_exc()
            text = " ".join(str(error).split())[:500]
            answer = {"error": ModelRunError(f"the model's runtime failed: {type(error).__name__}: {text}").to_json()}
        try:
            wire.send(sock, answer, outputs)
        except PeerGone:
            return
        except GatewayError as error:  # an output of a type that no frame carries
            wire.send(sock, {"error": error.to_json()})
        sys.stderr.flush()


def _load(header: dict[str, Any]) -> Runtime:
    from gateway.core.artifact import Artifact

    module, _, name = header["runtime"].partition(":")
    runtime: type[Runtime] = getattr(importlib.import_module(module), name)
    return runtime.load(
        Artifact.from_json(header["artifact"]),
        Path(header["folder"]),
        threads=header["threads"],
        providers=tuple(header["providers"]),
    )
