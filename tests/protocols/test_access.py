# ruff: noqa: E501  a row of a table reads better on one line
"""Who may do what: scopes, tokens, certificates, TLS, where management is answered, and each dialect alone."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from gateway.config import Auth, Compat, Settings, Tls
from gateway.errors import Forbidden, GatewayError, SettingsError, Unauthenticated
from gateway.protocols.access import GRPC_SCOPES, Access, Caller, Scope, Where, grpc_scope, is_loopback
from gateway.protocols.credentials import read
from gateway.protocols.guarded_grpc import peer_address
from gateway.protocols.http import Request, Response, Route, json_response
from gateway.protocols.pool import pool, services
from gateway.protocols.servers import Dialect, Servers
from tests.protocols.double import Running, running, wait_until
from tests.protocols.test_tfs_grpc import SERVICE
from tests.protocols.test_tfs_rest import ask

TOKEN, OTHER, MANAGER = "infer-token-0123456789", "metadata-token-012345", "manage-token-01234567"
FILE = f"""
[[token]]
name = "clients"
token = "{TOKEN}"
scopes = ["inference"]
header = "infer-key"
[[token]]
name = "dashboard"
sha256 = "{hashlib.sha256(OTHER.encode()).hexdigest()}"
scopes = ["metrics"]
[[token]]
name = "owner"
file = "owner.txt"
scopes = ["manage"]
[[subject]]
name = "robot.example"
scopes = ["infer"]
"""


@pytest.fixture(scope="module")
def auth_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("auth")
    (folder / "owner.txt").write_text(MANAGER + "\n")
    (folder / "auth.toml").write_text(FILE)
    return folder / "auth.toml"


# -- the decision, without servers -----------------------------------------------------------------


def caller(peer: str = "10.0.0.9", subjects: tuple[str, ...] = (), **headers: str) -> Caller:
    return Caller(peer, subjects, {k.replace("_", "-").encode(): v.encode() for k, v in headers.items()})


@dataclass(frozen=True)
class Ask:
    scope: Scope
    caller: Caller
    refused: type[GatewayError] | None = None
    says: str = ""
    where: Where = Where.DATA
    book: bool = False
    on_data: bool = False


LOCAL = "127.0.0.1"
BEARER = {"authorization": f"Bearer {TOKEN}"}
ASKS = {
    "a prediction from anywhere": Ask(Scope.INFER, caller()),
    "management from this machine": Ask(Scope.MANAGE, caller(LOCAL)),
    "management from this machine, IPv6": Ask(Scope.MANAGE, caller("::1")),
    "management from this machine, IPv4 in IPv6": Ask(Scope.MANAGE, caller("::ffff:127.0.0.1")),
    "management over a Unix socket": Ask(Scope.MANAGE, caller("")),
    "management from elsewhere": Ask(Scope.MANAGE, caller(), Forbidden, "auth.manage_on_data"),
    "management from an address that is not known": Ask(Scope.MANAGE, caller("?"), Forbidden, "management_host"),
    "management through a proxy of this machine": Ask(
        Scope.MANAGE, caller(LOCAL, x_forwarded_for="10.0.0.9"), Forbidden, "auth.manage_on_data"
    ),
    "management from a page of another origin": Ask(
        Scope.MANAGE, caller(LOCAL, host="127.0.0.1:8501", origin="http://evil.example"), Forbidden, "another origin"
    ),
    "management from a page without an origin": Ask(
        Scope.MANAGE, caller(LOCAL, host="127.0.0.1:8501", origin="null"), Forbidden, "another origin"
    ),
    "management from our own page": Ask(
        Scope.MANAGE, caller(LOCAL, host="127.0.0.1:8501", origin="http://127.0.0.1:8501")
    ),
    "a foreign name that points here": Ask(
        Scope.MANAGE, caller(LOCAL, host="evil.example:8501"), Forbidden, "not to another name"
    ),
    "localhost is no foreign name": Ask(Scope.MANAGE, caller(LOCAL, host="localhost:8501")),
    "an IPv6 host": Ask(Scope.MANAGE, caller("::1", host="[::1]:8501")),
    "the management port too is closed to pages": Ask(
        Scope.MANAGE, caller(LOCAL, host="evil.example"), Forbidden, "not to another name", Where.MANAGEMENT
    ),
    "with authentication health stays open": Ask(Scope.OPEN, caller(), book=True),
    "with authentication nothing else does": Ask(Scope.METADATA, caller(LOCAL), Unauthenticated, "metadata", book=True),
    "a token": Ask(Scope.INFER, caller(**BEARER), book=True),
    "bearer is not case-sensitive": Ask(Scope.INFER, caller(authorization=f"bearer {TOKEN}"), book=True),
    "another scheme": Ask(Scope.INFER, caller(authorization=f"Basic {TOKEN}"), Unauthenticated, "infer", book=True),
    "a token without the scope": Ask(Scope.METADATA, caller(**BEARER), Forbidden, "has not the scope", book=True),
    "a token by its hash": Ask(Scope.METADATA, caller(authorization=f"Bearer {OTHER}"), book=True),
    "the hash is not the token": Ask(
        Scope.METADATA,
        caller(authorization=f"Bearer {hashlib.sha256(OTHER.encode()).hexdigest()}"),
        Unauthenticated,
        book=True,
    ),
    "a token but for its last letter": Ask(
        Scope.INFER, caller(authorization=f"Bearer {TOKEN[:-1]}"), Unauthenticated, book=True
    ),
    "an empty token": Ask(Scope.INFER, caller(authorization="Bearer "), Unauthenticated, book=True),
    "Triton's header, gRPC": Ask(Scope.INFER, caller(triton_grpc_protocol_infer_key=TOKEN), book=True),
    "Triton's header, HTTP": Ask(Scope.INFER, caller(infer_key=TOKEN), book=True),
    "Triton's header with another value": Ask(Scope.INFER, caller(infer_key=OTHER), Unauthenticated, book=True),
    "a certificate's name": Ask(Scope.INFER, caller(subjects=("robot.example",)), book=True),
    "a certificate nobody named": Ask(Scope.INFER, caller(subjects=("x.example",)), Unauthenticated, book=True),
    "an owner from elsewhere, on a data port": Ask(
        Scope.MANAGE, caller(authorization=f"Bearer {MANAGER}"), Forbidden, "auth.manage_on_data", book=True
    ),
    "an owner from elsewhere, where that is allowed": Ask(
        Scope.MANAGE, caller(authorization=f"Bearer {MANAGER}"), book=True, on_data=True
    ),
    "anybody, where owners from elsewhere are allowed": Ask(
        Scope.MANAGE, caller(), Unauthenticated, book=True, on_data=True
    ),
    "an owner on the management port": Ask(
        Scope.MANAGE, caller(authorization=f"Bearer {MANAGER}"), where=Where.MANAGEMENT, book=True
    ),
    "with authentication this machine needs a token too": Ask(
        Scope.MANAGE, caller(LOCAL), Unauthenticated, where=Where.MANAGEMENT, book=True
    ),
}


@pytest.mark.parametrize("row", ASKS.values(), ids=ASKS.keys())
def test_who_may(row: Ask, auth_file: Path) -> None:
    book = read(auth_file) if row.book else None
    access = Access(lambda: book, manage_on_data=row.on_data)
    if row.refused is None:
        access.check(row.scope, row.caller, row.where)
        return
    with pytest.raises(GatewayError) as caught:
        access.check(row.scope, row.caller, row.where)
    assert type(caught.value) is row.refused
    assert row.says in caught.value.explain()
    assert not access.free(row.scope)
    for secret in (TOKEN, OTHER, MANAGER):
        assert secret not in caught.value.explain()


def test_anonymous_callers_have_what_the_file_gives_them(tmp_path: Path) -> None:
    file = tmp_path / "auth.toml"
    file.write_text('anonymous = ["infer"]\n' + FILE.split('[[token]]\nname = "owner"')[0])
    book = read(file)
    access = Access(lambda: book)
    access.check(Scope.INFER, caller(), Where.DATA)
    access.check(Scope.INFER, caller(authorization=f"Bearer {OTHER}"), Where.DATA)
    with pytest.raises(Unauthenticated):
        access.check(Scope.METADATA, caller(), Where.DATA)


BAD_FILES = {
    "not TOML": ("token =", ["is not valid TOML"]),
    "an unknown key": ("tokens = []", ["no such key 'tokens'. Did you mean 'token'?"]),
    "a table where a list is wanted": ("[token]\nname = 'a'", ["write [[token]]"]),
    "everything at once": (
        "[[token]]\nname='a'\nscope=['infer']\n[[token]]\ntoken='short'\nscopes=['infr']\n[[subject]]\nscopes=['infer']",
        [
            "token 'a': no such key 'scope'. Did you mean 'scopes'?",
            "token 'a': scopes is not a list of scopes",
            "token 'a': expected one of token, sha256, file, a text; found none",
            "token 2: 'infr' is not a scope",
            "Did you mean 'infer'?",
            "token 2: has 5 characters, expected at least 16",
            "subject 1 has no name",
        ],
    ),
    "two secrets": ("[[token]]\ntoken='x'\nfile='y'\nscopes=['infer']", ["found token, file"]),
    "a hash that is none": ("[[token]]\nsha256='abc'\nscopes=['infer']", ["sha256 is not 64 hex digits"]),
    "a file that is not there": ("[[token]]\nfile='no'\nscopes=['infer']", ["its file cannot be read"]),
    "a header that is none": (f"[[token]]\ntoken='{TOKEN}'\nscopes=['infer']\nheader='a b'", ["the name of a header"]),
    "no scopes": (f"[[token]]\ntoken='{TOKEN}'\nscopes=[]", ["scopes is not a list"]),
}


@pytest.mark.parametrize("row", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_with_a_fault_is_refused_whole(row: tuple[str, list[str]], tmp_path: Path) -> None:
    text, says = row
    file = tmp_path / "auth.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read(file)
    for part in says:
        assert part in caught.value.message, caught.value.message
    assert TOKEN not in caught.value.message


def test_every_method_of_our_protos_has_a_scope() -> None:
    """What is not listed is MANAGE, which would be safe and wrong."""
    declared = {
        f"/{service}/{method.name}" for service in services() for method in pool().FindServiceByName(service).methods
    }
    assert declared - set(GRPC_SCOPES) == set()
    assert grpc_scope("/unheard.Of/Method") is Scope.MANAGE


def test_addresses() -> None:
    peers = {
        "ipv4:127.0.0.1:5": "127.0.0.1",
        "ipv6:%5B::1%5D:5": "::1",
        "ipv6:[fe80::1%eth0]:5": "fe80::1%eth0",
        "unix:/tmp/x": "",
        "unix-abstract:x": "",
        "vsock:3:4": "vsock:3:4",
    }
    assert {peer: peer_address(peer) for peer in peers} == peers
    assert [is_loopback(a) for a in ("127.9.9.9", "::1", "localhost", "", "0.0.0.0", "::", "evil", "vsock:3:4")] == [
        *[True] * 4,
        *[False] * 4,
    ]


# -- over the wire -------------------------------------------------------------------------------


class WithManage(Servers):
    """Servers with a dialect that manages: one route, one unary and one streaming method."""

    def dialects(self) -> list[Dialect]:
        async def manage(_: Request, __: re.Match[str]) -> Response:
            return json_response({"managed": True})

        async def one(request: bytes, _: Any) -> bytes:
            return request

        async def stream(requests: Any, _: Any) -> Any:
            async for request in requests:
                yield request

        async def pushed(requests: Any, context: Any) -> None:
            async for request in requests:
                await context.write(request)

        methods = {
            "One": grpc.unary_unary_rpc_method_handler(one),
            "Stream": grpc.stream_stream_rpc_method_handler(stream),
            "Pushed": grpc.stream_stream_rpc_method_handler(pushed),
        }
        handler = grpc.method_handlers_generic_handler("test.Manage", methods)
        return [*super().dialects(), Dialect("test", [Route(re.compile("/manage"), manage, ("POST",))], [handler])]


@pytest.fixture(scope="module")
def guarded(auth_file: Path) -> Iterator[Running]:
    with running(Settings(auth=Auth(file=str(auth_file))), WithManage) as live:
        yield live


@pytest.fixture(scope="module")
def unguarded() -> Iterator[Running]:
    with running(make=WithManage) as live:
        yield live


@dataclass(frozen=True)
class Sent:
    method: str
    path: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    listener: str = "http"
    says: str = ""


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


GOOD = b'{"instances": [1]}'
GUARDED = {
    "no token": Sent("POST", "/v1/models/flat:predict", 401, says="needs a credential of scope infer"),
    "a token": Sent("POST", "/v1/models/flat:predict", 200, bearer(TOKEN)),
    "multi-model-server's words": Sent("POST", "/predictions/flat", 401, says="InvalidKeyException"),
    "metadata with a token of predictions": Sent("GET", "/v1/models/flat", 403, bearer(TOKEN), says="scope metadata"),
    "metadata": Sent("GET", "/v1/models/flat", 200, bearer(OTHER)),
    "the index": Sent("GET", "/", 401),
    "the OpenAPI document": Sent("GET", "/openapi.json", 200, bearer(OTHER)),
    "metrics": Sent("GET", "/metrics", 401, listener="metrics"),
    "metrics with a token": Sent("GET", "/metrics", 200, bearer(OTHER), listener="metrics"),
    "liveness": Sent("GET", "/healthz/live", 200),
    "ping": Sent("GET", "/ping", 200),
    "management": Sent("POST", "/manage", 401),
    "management with a token": Sent("POST", "/manage", 200, bearer(MANAGER)),
    "management on its port": Sent("POST", "/manage", 200, bearer(MANAGER), listener="admin"),
    "management on its port with another token": Sent("POST", "/manage", 403, bearer(TOKEN), listener="admin"),
    "what is not there is not there": Sent("GET", "/nothing", 404),
}


@pytest.mark.parametrize("row", GUARDED.values(), ids=GUARDED.keys())
def test_tokens_over_http(guarded: Running, row: Sent) -> None:
    answer = ask(guarded, row.method, row.path, GOOD if row.method == "POST" else None, row.headers, row.listener)
    assert answer.status == row.status, answer.body
    assert row.says.encode() in answer.body


UNGUARDED = {
    "management from this machine": Sent("POST", "/manage", 200),
    "management on its port": Sent("POST", "/manage", 200, listener="admin"),
    "management through a proxy": Sent("POST", "/manage", 403, {"Forwarded": "for=10.0.0.9"}, says="auth.manage_on_data"),
    "management from a page": Sent("POST", "/manage", 403, {"Origin": "http://evil.example"}, says="another origin"),
    "a page may still ask for predictions": Sent(
        "POST", "/v1/models/flat:predict", 200, {"Origin": "http://evil.example", "Forwarded": "for=1.1.1.1"}
    ),
    "a foreign name": Sent("POST", "/manage", 403, {"Host": "evil.example"}, listener="admin", says="another name"),
}  # fmt: skip


@pytest.mark.parametrize("row", UNGUARDED.values(), ids=UNGUARDED.keys())
def test_without_tokens_management_is_this_machines(unguarded: Running, row: Sent) -> None:
    answer = ask(unguarded, row.method, row.path, GOOD, row.headers, row.listener)
    assert answer.status == row.status, answer.body
    assert row.says.encode() in answer.body


def test_a_refused_body_is_read_and_the_connection_goes_on(guarded: Running) -> None:
    connection = http.client.HTTPConnection(guarded.addresses["http"], timeout=20)
    for headers, status in (({}, 401), (bearer(TOKEN), 200), ({}, 401), (bearer(TOKEN), 200)):
        connection.request("POST", "/v1/models/flat:predict", GOOD + b" " * 500_000, headers)
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()


def call(channel: grpc.Channel, method: str, metadata: Sequence[tuple[str, str]] = ()) -> grpc.StatusCode:
    """The code of a call with an empty request."""
    try:
        if method.endswith(("Stream", "Pushed")):
            answers = channel.stream_stream(method)(iter([b"a", b"b"]), metadata=metadata, timeout=10)
            assert list(answers) == [b"a", b"b"]
        else:
            channel.unary_unary(method)(b"", metadata=metadata, timeout=10)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


OWNER = [("authorization", f"Bearer {MANAGER}")]
CODE = grpc.StatusCode
CALLS = {
    "a prediction without a token": (SERVICE + "Predict", [], CODE.UNAUTHENTICATED),
    "a prediction": (SERVICE + "Predict", [("authorization", f"Bearer {TOKEN}")], CODE.INVALID_ARGUMENT),
    "a prediction, Triton's header": (SERVICE + "Predict", [("triton-grpc-protocol-infer-key", TOKEN)], CODE.INVALID_ARGUMENT),
    "a token without the scope": (SERVICE + "Predict", [("authorization", f"Bearer {OTHER}")], CODE.PERMISSION_DENIED),
    "health": ("/grpc.health.v1.Health/Check", [], CODE.OK),
    "management without a token": ("/test.Manage/One", [], CODE.UNAUTHENTICATED),
    "management": ("/test.Manage/One", OWNER, CODE.OK),
    "a stream without a token": ("/test.Manage/Stream", [], CODE.UNAUTHENTICATED),
    "a stream": ("/test.Manage/Stream", OWNER, CODE.OK),
    "a stream that is written to": ("/test.Manage/Pushed", OWNER, CODE.OK),
    "reflection without a token": (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        [],
        CODE.UNAUTHENTICATED,
    ),
    "what is not there": ("/test.Manage/Nothing", [], CODE.UNIMPLEMENTED),
}  # fmt: skip


@pytest.mark.parametrize("row", CALLS.values(), ids=CALLS.keys())
def test_tokens_over_grpc(guarded: Running, row: tuple[str, list[tuple[str, str]], grpc.StatusCode]) -> None:
    method, metadata, code = row
    with grpc.insecure_channel(guarded.addresses["grpc"]) as channel:
        assert call(channel, method, metadata) is code


def test_without_tokens_grpc_management_is_this_machines(unguarded: Running) -> None:
    with grpc.insecure_channel(unguarded.addresses["grpc"]) as channel:
        assert call(channel, "/test.Manage/One") is CODE.OK
        assert call(channel, "/test.Manage/Stream") is CODE.OK
        assert call(channel, "/test.Manage/One", [("x-forwarded-for", "10.0.0.9")]) is CODE.PERMISSION_DENIED


def test_the_file_is_read_again(auth_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "auth.toml"
    file.write_text(f"[[token]]\ntoken = '{TOKEN}'\nscopes = ['infer']\n")
    with running(Settings(auth=Auth(file=str(file)))) as live:
        path = "/v1/models/flat:predict"
        assert ask(live, "POST", path, GOOD, bearer(TOKEN)).status == 200
        file.write_text("broken")
        live.servers.reread()
        assert ask(live, "POST", path, GOOD, bearer(TOKEN)).status == 200, "what was there stays"
        file.write_text(f"[[token]]\ntoken = '{OTHER}'\nscopes = ['infer']\n")
        wait_until(lambda: ask(live, "POST", path, GOOD, bearer(OTHER)).status == 200)
        assert ask(live, "POST", path, GOOD, bearer(TOKEN)).status == 401


REFUSED = {
    "management for everybody without authentication": (
        Settings(management_host="0.0.0.0"),
        "management_host: 0.0.0.0 is an address that others reach, and no authentication is configured",
    ),
    "a certificate that is not there": (Settings(tls=Tls(cert="/no/cert", key="/no/key")), "tls.key: /no/key cannot"),
    "a certificate that is none": (Settings(tls=Tls(cert="-----BEGIN X", key="-----BEGIN Y")), "tls.cert, tls.key: "),
    "credentials that are not there": (Settings(auth=Auth(file="/no/auth.toml")), "auth.file: /no/auth.toml cannot"),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_start(row: tuple[Settings, str]) -> None:
    import asyncio

    from tests.protocols.double import Commands, Double, Seen, models

    settings, says = row
    predictor = Double(models())
    ports = replace(settings, grpc_port=0, http_port=0, admin_port=0, metrics_port=0)

    async def start() -> None:
        servers = Servers(ports, predictor, lambda: ("text/plain", b""), Seen(), Commands(predictor))
        try:
            await servers.start()
        finally:
            await servers.stop()

    with pytest.raises(SettingsError) as caught:
        asyncio.run(start())
    assert says in caught.value.message


def test_with_authentication_management_may_be_reached(auth_file: Path) -> None:
    with running(Settings(management_host="0.0.0.0", auth=Auth(file=str(auth_file))), WithManage) as live:
        live.addresses["admin"] = live.addresses["admin"].replace("0.0.0.0", "127.0.0.1")
        assert ask(live, "POST", "/manage", b"", {"Host": "gateway.example"}, "admin").status == 401
        assert ask(live, "POST", "/manage", b"", bearer(MANAGER) | {"Host": "gateway.example"}, "admin").status == 200


# -- TLS -----------------------------------------------------------------------------------------


@dataclass
class Vouched:
    """Certificates of one authority, and where they lie."""

    ca: trustme.CA
    folder: Path

    def write(self) -> Tls:
        self.folder.mkdir(exist_ok=True)
        server = self.ca.issue_cert("localhost")
        (self.folder / "key.pem").write_bytes(server.private_key_pem.bytes())
        (self.folder / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in server.cert_chain_pems))
        return Tls(cert=str(self.folder / "cert.pem"), key=str(self.folder / "key.pem"))

    def context(self, client: trustme.LeafCert | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.ca.cert_pem.bytes().decode())
        if client is not None:
            client.configure_cert(context)
        return context

    def credentials(self, client: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
        key = client.private_key_pem.bytes() if client else None
        chain = b"".join(pem.bytes() for pem in client.cert_chain_pems) if client else None
        return grpc.ssl_channel_credentials(self.ca.cert_pem.bytes(), key, chain)


def get(live: Running, path: str, context: ssl.SSLContext, body: bytes | None = None, listener: str = "http") -> int:
    port = live.addresses[listener].rpartition(":")[2]
    try:
        with urllib.request.urlopen(f"https://localhost:{port}{path}", body, context=context, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def secure(live: Running, credentials: grpc.ChannelCredentials) -> grpc.Channel:
    return grpc.secure_channel(f"localhost:{live.addresses['grpc'].rpartition(':')[2]}", credentials)


def test_tls_on_every_listener_and_a_new_certificate(tmp_path: Path) -> None:
    first, second = Vouched(trustme.CA(), tmp_path / "tls"), Vouched(trustme.CA(), tmp_path / "tls")
    with running(Settings(tls=first.write())) as live:
        for listener, path in (("http", "/healthz/live"), ("admin", "/healthz/live"), ("metrics", "/metrics")):
            assert get(live, path, first.context(), listener=listener) == 200
        with secure(live, first.credentials()) as channel:
            assert call(channel, "/grpc.health.v1.Health/Check") is CODE.OK
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask(live, "GET", "/healthz/live")
        (tmp_path / "tls" / "key.pem").write_text("half written")
        live.servers.reread()
        assert get(live, "/healthz/live", first.context()) == 200, "what was there stays"
        second.write()
        live.servers.reread()
        assert get(live, "/healthz/live", second.context()) == 200
        with pytest.raises(urllib.error.URLError):
            get(live, "/healthz/live", first.context())
        with secure(live, second.credentials()) as channel:
            assert call(channel, "/grpc.health.v1.Health/Check") is CODE.OK
        with secure(live, first.credentials()) as channel:
            assert call(channel, "/grpc.health.v1.Health/Check") is CODE.UNAVAILABLE


def test_client_certificates(auth_file: Path, tmp_path: Path) -> None:
    ours, theirs = Vouched(trustme.CA(), tmp_path / "tls"), Vouched(trustme.CA(), tmp_path / "other")
    tls = replace(ours.write(), client_ca=ours.ca.cert_pem.bytes().decode())
    robot, guest = ours.ca.issue_cert("robot.example"), ours.ca.issue_cert("guest.example")
    stranger = theirs.ca.issue_cert("robot.example")
    with running(Settings(tls=tls, auth=Auth(file=str(auth_file)))) as live:
        predict = "/v1/models/flat:predict"
        assert get(live, predict, ours.context(robot), GOOD) == 200
        assert get(live, predict, ours.context(guest), GOOD) == 401
        assert get(live, "/v1/models/flat", ours.context(robot)) == 403
        for refused in (ours.context(), ours.context(stranger)):
            with pytest.raises((urllib.error.URLError, ConnectionError, ssl.SSLError)):
                get(live, predict, refused, GOOD)
        for client, code in (
            (robot, CODE.INVALID_ARGUMENT),
            (guest, CODE.UNAUTHENTICATED),
            (stranger, CODE.UNAVAILABLE),
            (None, CODE.UNAVAILABLE),
        ):
            with secure(live, ours.credentials(client)) as channel:
                assert call(channel, SERVICE + "Predict") is code


# -- each dialect alone ----------------------------------------------------------------------------

PORTS = {f"{name}_port": 0 for name in ("tfs_grpc", "tfs_http", "triton_http", "triton_grpc", "triton_metrics")}
PORTS |= {f"{name}_port": 0 for name in ("mms_http", "mms_management", "mms_metrics")}


@pytest.fixture(scope="module")
def alone() -> Iterator[Running]:
    with running(Settings(compat=Compat(on=True, **PORTS))) as live:
        yield live


MMS_404 = '{"code":404,"type":"ResourceNotFoundException","message":"Requested resource is not found, please refer to API document."}'
MMS_405 = (
    MMS_404.replace("404", "405")
    .replace("ResourceNotFound", "MethodNotAllowed")
    .replace("resource is not found", "method is not allowed")
)
ALONE = {
    "TensorFlow Serving": ("tfs_http", "POST", "/v1/models/flat:predict", 200, ""),
    "TensorFlow Serving has no index": ("tfs_http", "GET", "/", 404, ""),
    "TensorFlow Serving has no predictions": ("tfs_http", "POST", "/predictions/flat", 404, ""),
    "multi-model-server": ("mms_http", "POST", "/predictions/flat", 200, ""),
    "multi-model-server has no index": ("mms_http", "GET", "/", 405, MMS_405),
    "multi-model-server has no /v1": ("mms_http", "POST", "/v1/models/flat:predict", 404, MMS_404),
    "multi-model-server's metrics are elsewhere": ("mms_http", "GET", "/metrics", 404, MMS_404),
    "multi-model-server's metrics": ("mms_metrics", "GET", "/metrics", 200, ""),
    "multi-model-server's health is not on its management port": ("mms_management", "GET", "/ping", 404, MMS_404),
}


@pytest.mark.parametrize("row", ALONE.values(), ids=ALONE.keys())
def test_each_dialect_alone(alone: Running, row: tuple[str, str, str, int, str]) -> None:
    listener, method, path, status, body = row
    answer = ask(alone, method, path, GOOD if method == "POST" else None, listener=listener)
    assert answer.status == status, answer.body
    if body:
        assert json.loads(answer.body) == json.loads(body)


def test_where_dialects_share_a_port_status_has_the_keys_of_both(alone: Running) -> None:
    """KServe's own v1 protocol asks GET /v1/models/M for name and ready; TensorFlow Serving alone has neither."""
    both = json.loads(ask(alone, "GET", "/v1/models/half_plus_two").body)
    assert (both["name"], both["ready"]) == ("half_plus_two", True)
    assert json.loads(ask(alone, "GET", "/v1/models/broken").body)["ready"] is False
    own = json.loads(ask(alone, "GET", "/v1/models/half_plus_two", listener="tfs_http").body)
    assert own == {"model_version_status": both["model_version_status"]}


def test_a_dialect_alone_over_grpc(alone: Running) -> None:
    with grpc.insecure_channel(alone.addresses["tfs_grpc"]) as channel:
        assert call(channel, SERVICE + "Predict") is CODE.INVALID_ARGUMENT
        assert call(channel, "/grpc.health.v1.Health/Check") is CODE.OK
        assert call(channel, "/inference.GRPCInferenceService/ServerLive") is CODE.UNIMPLEMENTED


def test_a_port_of_the_gateway_itself_stays_its() -> None:
    """8081 and 8002 are both usual ports of others and ours: they are then the gateway's, with everything on them."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Settings(grpc_port=0, http_port=0, admin_port=port, metrics_port=0)
    settings = replace(settings, compat=Compat(on=True, **PORTS | {"mms_management_port": port}))
    from tests.protocols.double import Commands, Double, Seen, models

    predictor = Double(models())
    servers = Servers(settings, predictor, lambda: ("text/plain", b""), Seen(), Commands(predictor))
    names = [listener.name for listener in servers.listeners()]
    assert "mms_management" not in names
    assert {"admin", "mms_http", "mms_metrics", "tfs_grpc"} <= set(names)
