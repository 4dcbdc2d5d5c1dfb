"""System shared memory: tensors that a client on this machine leaves in /dev/shm instead of sending them.

Off unless `shared_memory = true`: whoever may register names any POSIX object of the machine
that the gateway's user may open.

Rule 1: errors name the client's own region and never whether a key exists, who owns it or what
        else is registered.
Rule 2: read and write by pread and pwrite, not by mapping: a client that shortens its object
        gets an error; a mapping would end the gateway (SIGBUS). It is also why a tensor cannot
        change while it is used.
Rule 3: every access is inside what was registered, and that inside the object as it is now.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import Any

from gateway.errors import InvalidRequest, InvalidTensor, ModelNotFound, RegionExists, UnsupportedType

FOLDER = "/dev/shm"  # noqa: S108  where Linux keeps POSIX shared memory
MAX_REGIONS = 1024
MAX_SIZE = 1 << 62
_KEY = re.compile(r"/?([^/\0]{1,254})")


@dataclass(frozen=True, slots=True)
class Region:
    name: str
    key: str
    offset: int
    byte_size: int
    descriptor: int

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "key": self.key, "offset": self.offset, "byte_size": self.byte_size}


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a region that a request names for one tensor."""

    region: Region
    offset: int
    byte_size: int

    def read(self) -> bytes:
        """Errors: InvalidTensor when the object has become shorter."""
        data = os.pread(self.region.descriptor, self.byte_size, self.region.offset + self.offset)
        if len(data) != self.byte_size:
            raise _outside(self.region.name)
        return data

    def write(self, data: bytes | memoryview, output: str) -> None:
        """Errors: InvalidTensor when it is too small for `data`, or the object has become shorter."""
        if len(data) > self.byte_size:
            raise InvalidTensor(
                f"shared memory size specified with the request for output '{output}' ({self.byte_size} bytes) "
                f"should be at least {len(data)} bytes to hold the results"
            )
        start = self.region.offset + self.offset
        if os.fstat(self.region.descriptor).st_size < start + len(data):
            raise _outside(self.region.name)
        if os.pwrite(self.region.descriptor, data, start) != len(data):
            raise _outside(self.region.name)


class SharedMemory:
    """The registered regions of one gateway."""

    def __init__(self, *, allowed: bool) -> None:
        self.allowed = allowed
        self._regions: dict[str, Region] = {}

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Errors: UnsupportedType (off), InvalidRequest, RegionExists."""
        self._check_allowed()
        if not name:
            raise InvalidRequest("a shared memory region needs a name.")
        if name in self._regions:
            raise RegionExists(f"shared memory region '{name}' already in manager")
        if len(self._regions) >= MAX_REGIONS:
            raise InvalidRequest(f"{MAX_REGIONS} shared memory regions are registered, the limit: unregister some.")
        if not 0 < byte_size <= MAX_SIZE or not 0 <= offset <= MAX_SIZE:
            raise InvalidRequest(
                f"shared memory region '{name}' has offset {offset} and byte_size {byte_size}, "
                "expected an offset of 0 or more and a size of 1 or more."
            )
        descriptor = _open(name, key)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size < offset + byte_size:
                raise _refused(name)
        except BaseException:
            os.close(descriptor)
            raise
        self._regions[name] = Region(name, key, offset, byte_size, descriptor)

    def status(self, name: str = "") -> list[Region]:
        """One region, or all. Errors: UnsupportedType (off), ModelNotFound."""
        self._check_allowed()
        if not name:
            return list(self._regions.values())
        if name not in self._regions:
            raise ModelNotFound(f"Unable to find system shared memory region: '{name[:256]}'")
        return [self._regions[name]]

    def unregister(self, name: str = "") -> None:
        """One region, or all. One that is not registered is no error, as in Triton. Errors: UnsupportedType (off)."""
        self._check_allowed()
        for key in [name] if name else list(self._regions):
            region = self._regions.pop(key, None)
            if region is not None:
                os.close(region.descriptor)

    def close(self) -> None:
        for region in self._regions.values():
            os.close(region.descriptor)
        self._regions.clear()

    def window(self, parameters: Any, what: str) -> Window | None:
        """What the parameters of a tensor name; None when they name none. Errors: ModelNotFound, InvalidTensor."""
        name = parameters.get("shared_memory_region")
        if name is None:
            return None
        self._check_allowed()
        size, offset = parameters.get("shared_memory_byte_size"), parameters.get("shared_memory_offset", 0)
        for key, value in (("shared_memory_byte_size", size), ("shared_memory_offset", offset)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise InvalidTensor(f"{what}: the parameter {key} is {value!r:.80}, expected a whole number of bytes.")
        region = self._regions.get(name) if isinstance(name, str) else None
        if region is None:
            raise ModelNotFound(f"Unable to find shared memory region: '{str(name)[:256]}'")
        if offset > region.byte_size or size > region.byte_size - offset:
            raise InvalidTensor(
                f"Invalid offset + byte size for shared memory region: '{name}': {offset} + {size}, "
                f"it has {region.byte_size} bytes"
            )
        return Window(region, offset, size)

    def _check_allowed(self) -> None:
        if not self.allowed:
            raise UnsupportedType(
                "system shared memory is off.", hint="The setting shared_memory = true allows it to local clients."
            )


def _open(name: str, key: str) -> int:
    match = _KEY.fullmatch(key)
    if match is None or match[1] in (".", ".."):
        raise _refused(name)
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(f"{FOLDER}/{match[1]}", flags)
    except OSError:
        raise _refused(name) from None


def _refused(name: str) -> InvalidRequest:
    """The same words whatever is wrong with the key (rule 1)."""
    return InvalidRequest(
        f"Unable to open shared memory region: '{name[:256]}'",
        hint="Its key, offset and byte_size must lie within one POSIX shared memory object that the gateway may use.",
    )


def _outside(name: str) -> InvalidTensor:
    return InvalidTensor(
        f"shared memory region '{name}' is shorter than it was when it was registered; register it again."
    )
