"""Who may do what: scopes of routes and methods, and the one place that lets a call in or not.

    OPEN      health: answered to everyone
    INFER     predictions
    METADATA  what is served: signatures, states, statistics, metrics, the index
    MANAGE    whatever changes what is served or how

Rule 1: a route or method that names no scope is MANAGE: it fails closed.
Rule 2: a management call on a data port is answered from this machine only, unless the owner
        has said otherwise (`auth.manage_on_data`) and the caller proves the scope.
Rule 3: without credentials configured, a page in somebody's browser cannot manage: a call that
        carries a foreign Origin, or a Host that is neither an address nor a local name, is refused.
Rule 4: a refusal names the scope and the setting, never a credential.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gateway.errors import Forbidden, Unauthenticated


class Scope(Enum):
    OPEN = "open"
    INFER = "infer"
    METADATA = "metadata"
    MANAGE = "manage"


class Where(Enum):
    """Which kind of listener a call came to."""

    DATA = "data"
    MANAGEMENT = "management"


FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip")
"""With one of these a proxy on this machine speaks for somebody elsewhere."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What the transport knows. `peer` is an IP address, or "" for a Unix socket; `subjects` are the
    common and alternative names of its verified certificate; names of `headers` are lower case."""

    peer: str
    subjects: tuple[str, ...]
    headers: Mapping[bytes, bytes]

    @property
    def local(self) -> bool:
        return is_loopback(self.peer) and not any(name in self.headers for name in FORWARDED)


class Credentials(Protocol):
    """What a configured caller may do (credentials.py has the one of files)."""

    def scopes(self, caller: Caller) -> frozenset[Scope] | None:
        """None: no credential that is known came with the call; then `anonymous` is what it may do."""
        ...

    @property
    def anonymous(self) -> frozenset[Scope]: ...


class Access:
    """Lets calls in. `credentials` None: authentication is not configured."""

    def __init__(
        self, credentials: Callable[[], Credentials | None] = lambda: None, *, manage_on_data: bool = False
    ) -> None:
        self._credentials = credentials
        self._manage_on_data = manage_on_data

    def free(self, scope: Scope) -> bool:
        """Whether calls of this scope need no look at the caller: the fast way of every prediction."""
        return scope is Scope.OPEN or (scope is not Scope.MANAGE and self._credentials() is None)

    def check(self, scope: Scope, caller: Caller, where: Where) -> None:
        """Errors: Unauthenticated, Forbidden."""
        if scope is Scope.OPEN:
            return
        if scope is Scope.MANAGE and where is Where.DATA and not caller.local and not self._manage_on_data:
            raise Forbidden(
                "Management calls on this port are answered from the gateway's own machine only.",
                hint="Use the management port (management_host, admin_port), "
                "or set auth.manage_on_data = true and bring a token of scope manage.",
            )
        book = self._credentials()
        if book is None:
            if scope is Scope.MANAGE:
                _refuse_browsers(caller)
            return
        granted = book.scopes(caller)
        if scope in (book.anonymous if granted is None else granted | book.anonymous):
            return
        if granted is None:
            raise Unauthenticated(
                f"This call needs a credential of scope {scope.value}, and none that is known came with it.",
                hint="Send Authorization: Bearer TOKEN (auth.file has the tokens), or a client certificate.",
            )
        raise Forbidden(f"The credential that came with this call has not the scope {scope.value}.")


def _refuse_browsers(caller: Caller) -> None:
    origin, host = caller.headers.get(b"origin"), caller.headers.get(b"host")
    if origin is not None and origin.rpartition(b"//")[2] != host:
        raise Forbidden(
            "A page of another origin may not manage this gateway.",
            hint="Configure auth.file to allow it with a token.",
        )
    if host is not None and not _local_name(host.decode("latin-1")):
        raise Forbidden(
            "Without authentication, management calls must be made to an address or to localhost, not to another name.",
            hint="Configure auth.file, or use 127.0.0.1.",
        )


def _local_name(host: str) -> bool:
    """An IP address or localhost, with or without a port: what no foreign name server can point here."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
    if name.lower() in ("localhost", ""):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """`address` is an IP address, a host name or "" (a Unix socket, which is of this machine)."""
    if address in ("", "localhost"):
        return True
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


_TFS, _V2 = "/tensorflow.serving.", "/inference.GRPCInferenceService/"
GRPC_SCOPES: dict[str, Scope] = {
    **{f"{_TFS}PredictionService/{name}": Scope.INFER for name in ("Predict", "Classify", "Regress", "MultiInference")},
    f"{_TFS}PredictionService/GetModelMetadata": Scope.METADATA,
    f"{_TFS}ModelService/GetModelStatus": Scope.METADATA,
    f"{_TFS}ModelService/HandleReloadConfigRequest": Scope.MANAGE,
    f"{_TFS}SessionService/SessionRun": Scope.INFER,
    **{_V2 + name: Scope.OPEN for name in ("ServerLive", "ServerReady")},
    **{_V2 + name: Scope.INFER for name in ("ModelInfer", "ModelStreamInfer")},
    **{
        _V2 + name: Scope.METADATA
        for name in (
            "ModelReady",
            "ServerMetadata",
            "ModelMetadata",
            "ModelConfig",
            "ModelStatistics",
            "RepositoryIndex",
            "SystemSharedMemoryStatus",
            "CudaSharedMemoryStatus",
        )
    },
    **{
        _V2 + name: Scope.MANAGE
        for name in (
            "RepositoryModelLoad",
            "RepositoryModelUnload",
            "SystemSharedMemoryRegister",
            "SystemSharedMemoryUnregister",
            "CudaSharedMemoryRegister",
            "CudaSharedMemoryUnregister",
            "TraceSetting",
            "LogSettings",
        )
    },
    "/grpc.health.v1.Health/Check": Scope.OPEN,
    "/grpc.health.v1.Health/List": Scope.OPEN,
    "/grpc.health.v1.Health/Watch": Scope.OPEN,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Scope.METADATA,
}
"""Scope of every method that may be served; what is not here is MANAGE (rule 1)."""


def grpc_scope(method: str) -> Scope:
    return GRPC_SCOPES.get(method, Scope.MANAGE)
