"""Pictures that came as files become tensors, as the signature's [preprocess] says.

    strings for the input that takes pictures, [n], [n, 1] or one alone  ->  a batch of n

Rule 1: never in the event loop: a photo takes milliseconds to decode.
Rule 2: here, and nowhere else, for every protocol that carries strings.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache

import numpy as np

from gateway.core.dtypes import Array
from gateway.core.signature import Signature, format_shape
from gateway.errors import InvalidTensor
from gateway.serving.predict import PredictCall


@lru_cache(maxsize=1)
def threads() -> ThreadPoolExecutor:
    """One a core: Pillow lets go of the interpreter while it decodes, so more would only cost memory."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="pictures")


def brings_pictures(call: PredictCall, signature: Signature) -> bool:
    """The input that takes pictures holds strings, and the model wants numbers there."""
    if signature.preprocess is None:
        return False
    given, spec = call.inputs.get(signature.picture_input), signature.input(signature.picture_input)
    return given is not None and spec is not None and given.dtype.kind in "OSU" and spec.dtype != "string"


async def seen(call: PredictCall, signature: Signature) -> PredictCall:
    """The call with tensors in the place of files. Errors: InvalidTensor, TooLarge."""
    name = signature.picture_input
    files = files_of(call.inputs[name], name)
    tensor = await asyncio.get_running_loop().run_in_executor(threads(), _tensor, files, signature)
    return replace(call, inputs={**call.inputs, name: tensor})


def files_of(strings: Array, name: str) -> list[bytes]:
    """One bytes a picture. Errors: InvalidTensor."""
    if strings.ndim > 2 or (strings.ndim == 2 and strings.shape[1] != 1):
        raise InvalidTensor(
            f"input {name!r} holds pictures of shape {format_shape(strings.shape)}, expected [n] or [n,1]."
        )
    return [item if isinstance(item, bytes) else str(item).encode() for item in strings.reshape(-1)]


def _tensor(files: list[bytes], signature: Signature) -> Array:
    from gateway import pictures  # an image library: paid by the first picture

    found = pictures.wanted(signature)
    assert found is not None, "asked only where the signature says how"
    spec, preprocess = found
    made = pictures.batch(files, f"picture of input {spec.name!r}", preprocess, spec)
    return np.ascontiguousarray(made)
