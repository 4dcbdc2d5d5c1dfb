"""What is this file? Every kind of model file that exists in numbers, recognised by its bytes.

    >>> from gateway.recognise import recognise_bytes
    >>> recognise_bytes(b"CBM1....").best.kind
    'catboost'

Standard library only; runs in the gateway: bounded reads, nothing executed, nothing unpacked to disk.
What is known of each kind is a row of registry.py; the functions that look are files by family:
binaries (magic numbers), protobufs, jsons, texts, pickles, containers (HDF5, zip, tar), folders.
A kind is converted when a Format of gateway/formats/ takes it over; until then it fails by name.
"""

from __future__ import annotations

from gateway.recognise.answer import PLAUSIBLE, Answer, Finding
from gateway.recognise.engine import recognise, recognise_bytes
from gateway.recognise.registry import KINDS, Kind

__all__ = ["KINDS", "PLAUSIBLE", "Answer", "Finding", "Kind", "recognise", "recognise_bytes"]
