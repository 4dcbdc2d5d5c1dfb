"""`python -m bench.transport`: what the way to a worker and back costs, against one copy into fresh shared memory.

A frame over a socket, sent and received in this process, and the same bytes written once into a new memfd: shared
memory can only pay where the second is much less than the first. Least of ROUNDS, processor time. Prints a table.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable

import numpy as np

from gateway.core.dtypes import Tensors
from gateway.process import wire

SHAPES = ((1, 3, 112, 112), (8, 3, 224, 224), (64, 3, 224, 224))
ROUNDS = 12


def least(call: Callable[[], None]) -> float:
    """Processor time in ms."""
    found = []
    for _ in range(ROUNDS):
        started = time.process_time()
        call()
        found.append((time.process_time() - started) * 1e3)
    return min(found)


def main() -> None:
    print("| MB | over a socket, ms | a copy into shared memory, ms |\n|---|---|---|")
    for shape in SHAPES:
        tensors = {"x": np.random.default_rng(0).random(shape, np.float32)}
        ours, theirs = socket.socketpair()

        def over_socket(sock: socket.socket = ours, peer: socket.socket = theirs, given: Tensors = tensors) -> None:
            reader = threading.Thread(target=wire.recv, args=(peer,))
            reader.start()
            wire.send(sock, {}, given)
            reader.join()

        def into_memory(given: Tensors = tensors) -> None:
            descriptor = os.memfd_create("tensor")
            try:
                os.writev(descriptor, [memoryview(given["x"]).cast("B")])
            finally:
                os.close(descriptor)

        size = tensors["x"].nbytes / 1e6
        print(f"| {size:.1f} | {least(over_socket):.2f} | {least(into_memory):.2f} |")
        ours.close()
        theirs.close()


if __name__ == "__main__":
    main()
