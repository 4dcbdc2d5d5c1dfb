# ruff: noqa: E501  a row of a table reads better on one line
"""multi-model-server's and TorchServe's management API: contract rows over a double, and one real life."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Management, Settings
from gateway.errors import DownloadFailed, GatewayError, InvalidRequest, ModelExists, ModelNotFound
from gateway.repository.fetch import download
from gateway.serving.control import Wanted
from gateway.serving.registrar import Registrar, default_name, parse_models
from tests.e2e import affine
from tests.protocols.double import Running, running
from tests.protocols.test_tfs_rest import ask
from tests.serving.living import living


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with one model, a folder of versions, and what must not be reached from it."""
    root = tmp_path_factory.mktemp("management")
    folder = root / "store"
    (folder / "versions" / "3").mkdir(parents=True)
    (folder / "half.onnx").write_bytes(b"model")
    (folder / "half.mar").write_bytes(b"PK")
    (folder / "versions" / "3" / "m.onnx").write_bytes(b"model")
    (root / "secret.onnx").write_bytes(b"secret")
    (folder / "link.onnx").symlink_to(root / "secret.onnx")
    return folder


@pytest.fixture(scope="module")
def mms(store: Path) -> Iterator[Running]:
    with running(Settings(management=Management(model_store=str(store)), store=store.parent / "cas")) as live:
        yield live


@pytest.fixture(scope="module")
def torchserve(store: Path) -> Iterator[Running]:
    management = Management(model_store=str(store), torchserve=True)
    with running(Settings(management=management, store=store.parent / "cas")) as live:
        yield live


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    status: int
    answer: Any = None  # JSON; None: look at `says`
    says: str = ""
    kind: str = ""
    body: bytes | None = None
    content_type: str = ""
    told: list[tuple[Any, ...]] = field(default_factory=list)  # what the manager was told
    error: GatewayError | None = None  # what the manager answers
    server: str = "mms"
    default: dict[str, int] = field(default_factory=dict)  # model -> its default version


GONE, GONE_VERSION, BAD = "ModelNotFoundException", "ModelVersionNotFoundException", "BadRequestException"
TS = "torchserve"
JSON = "application/json"


def registered(
    name: str, path: str, version: int | None = 1, url: str = "half.onnx", wait: bool = False, workers: int = 0
) -> tuple[Any, ...]:
    extra = {"url": url, "urls": {str(version): url}, "initial_workers": workers}
    return ("register", name, path, {"version": version, "extra": extra, "wait": wait})


CALLS = {
    "register": Call("POST", "/models?url=half.onnx", 200, {"status": 'Model "half" registered'}, told=[registered("half", "half.onnx")]),
    "register, TorchServe": Call("POST", "/models?url=half.onnx&initial_workers=2&synchronous=true", 200, {"status": 'Model "half" Version: 1 registered with 1 initial workers'}, told=[registered("half", "half.onnx", wait=True, workers=2)], server=TS),
    "register and wait": Call("POST", "/models?url=half.onnx&initial_workers=1&synchronous=true", 200, {"status": "Workers scaled"}, told=[registered("half", "half.onnx", wait=True, workers=1)]),
    "register and do not wait": Call("POST", "/models?url=half.onnx&initial_workers=1", 202, {"status": "Processing worker updates..."}, told=[registered("half", "half.onnx", workers=1)]),
    "register under a name": Call("POST", "/models?url=half.onnx&model_name=other", 200, {"status": 'Model "other" registered'}, told=[registered("other", "half.onnx")]),
    "register by JSON": Call("POST", "/models", 200, {"status": "Workers scaled"}, body=b'{"url": "half.onnx", "initial_workers": "1", "synchronous": true}', content_type=JSON, told=[registered("half", "half.onnx", wait=True, workers=1)]),
    "register by a form": Call("POST", "/models", 200, {"status": 'Model "half" registered'}, body=b"url=half.onnx", content_type="application/x-www-form-urlencoded", told=[registered("half", "half.onnx")]),
    "register a folder of versions": Call("POST", "/models?url=versions", 200, {"status": 'Model "versions" registered'}, told=[registered("versions", "versions", None, "versions")]),
    "register one version": Call("POST", "/models?url=half.onnx&model_version=2.0", 200, {"status": 'Model "half" registered'}, told=[registered("half", "half.onnx", 2)]),
    "another version does not become the default": Call("POST", "/models?url=half.onnx&model_name=flat&model_version=2", 200, {"status": 'Model "flat" registered'}, told=[("register", "flat", "half.onnx", {"version": 2, "extra": {"url": "half.onnx", "urls": {"1": "first.onnx", "2": "half.onnx"}, "initial_workers": 0}, "wait": False}), ("set_default", "flat", 1)]),
    "register without a url": Call("POST", "/models", 400, says="Parameter url is required.", kind=BAD),
    "register what is not there": Call("POST", "/models?url=no.onnx", 404, says="Model not found in model store: no.onnx", kind=GONE),
    "register upwards": Call("POST", "/models?url=../secret.onnx", 404, says="Relative path is not allowed in url: ../secret.onnx", kind=GONE),
    "register upwards, encoded": Call("POST", "/models?url=%2e%2e%2fsecret.onnx", 404, says="Relative path is not allowed in url", kind=GONE),
    "register upwards, in the middle": Call("POST", "/models?url=versions/../../secret.onnx", 404, says="Relative path is not allowed in url", kind=GONE),
    "register through a link": Call("POST", "/models?url=link.onnx", 404, says="Model not found in model store: link.onnx", kind=GONE),
    "register the store itself": Call("POST", "/models?url=.&model_name=all", 404, says="Model not found in model store: .", kind=GONE),
    "register an absolute path": Call("POST", "/models?url=/etc/passwd", 404, says="Model not found in model store: /etc/passwd", kind=GONE),
    "register a file address": Call("POST", "/models?url=file:///etc/passwd", 404, says="Model not found in model store: file:///etc/passwd", kind=GONE),
    "register a null byte": Call("POST", "/models?url=half.onnx%00", 404, says="Relative path is not allowed", kind=GONE),
    "register a null byte under a name": Call("POST", "/models?url=half.onnx%00&model_name=a", 404, says="Relative path is not allowed", kind=GONE),
    "register from an address that is not allowed": Call("POST", "/models?url=https://models.example/a.onnx", 403, says="Given URL https://models.example/a.onnx does not match any allowed URL(s)", kind="IllegalArgumentException"),
    "register from the cloud's metadata": Call("POST", "/models?url=http://169.254.169.254/latest/a", 403, says="does not match any allowed URL(s)", kind="IllegalArgumentException"),
    "register an archive": Call("POST", "/models?url=half.mar", 400, says="half.mar is a model archive (.mar), which is not read yet.", kind=BAD),
    "register a handler": Call("POST", "/models?url=half.onnx&handler=os:system", 400, says="Parameter handler is refused", kind=BAD),
    "register under a name that is none": Call("POST", "/models?url=half.onnx&model_name=a%20b", 400, says="'a b' is not a model name", kind=BAD),
    "register twice": Call("POST", "/models?url=half.onnx&model_name=flat", 409, says="Model flat is already registered.", kind="ConflictStatusException", error=ModelExists("it is the repository's."), told=[registered("flat", "half.onnx")]),
    "register twice, TorchServe": Call("POST", "/models?url=half.onnx&model_name=flat", 409, says="Model version 1 is already registered for model flat", kind="ConflictStatusException", error=ModelExists("it is the repository's."), told=[registered("flat", "half.onnx")], server=TS),
    "register what fails": Call("POST", "/models?url=half.onnx&synchronous=true", 400, says="graph.onnx ends", kind="DownloadModelException", error=DownloadFailed("graph.onnx ends"), told=[registered("half", "half.onnx", wait=True)]),
    "a number that is none": Call("POST", "/models?url=half.onnx&initial_workers=many", 400, says="Parameter initial_workers is 'many', expected a number.", kind=BAD),
    "more parameters than are taken": Call("POST", "/models?" + "a=1&" * 1000, 413, says="more than 1000 parameters", kind="RequestEntityTooLargeException"),
    "JSON that is no object": Call("POST", "/models", 400, says="the body is not a JSON object", kind=BAD, body=b"[1]", content_type=JSON),
    "list a page": Call("GET", "/models?limit=1", 200, {"nextPageToken": "1", "models": [{"modelName": "id_float32", "modelUrl": "id_float32"}]}),
    "list the next page": Call("GET", "/models?limit=1&next_page_token=1", 200, {"nextPageToken": "2", "models": [{"modelName": "id_float64", "modelUrl": "id_float64"}]}),
    "list nothing": Call("GET", "/models?limit=0", 200, {"nextPageToken": "0", "models": []}),
    "list behind the end": Call("GET", "/models?next_page_token=9999", 200, {"models": []}),
    "describe no model": Call("GET", "/models/nope", 404, says="Model not found: nope", kind=GONE),
    "describe no version": Call("GET", "/models/flat/9.0", 404, says="Model version: 9.0 does not exist for model: flat", kind=GONE_VERSION),
    "scale and wait": Call("PUT", "/models/flat?min_worker=1&synchronous=true", 200, {"status": "Workers scaled"}, told=[("wait", "flat", None)]),
    "scale and wait, TorchServe": Call("PUT", "/models/flat?min_worker=1&synchronous=true", 200, {"status": "Workers scaled to 1 for model: flat"}, told=[("wait", "flat", None)], server=TS),
    "scale and do not wait": Call("PUT", "/models/flat?min_worker=3", 202, {"status": "Processing worker updates..."}),
    "scale to more than there are": Call("PUT", "/models/flat?min_worker=3&synchronous=true", 210, {"status": "Workers scaled to 1 for model: flat. One worker serves all requests, in batches and with all cores."}, told=[("wait", "flat", None)]),
    "scale to none": Call("PUT", "/models/flat?min_worker=0&max_worker=0&synchronous=true", 210, {"status": "Workers scaled to 1 for model: flat. One worker serves all requests, in batches and with all cores."}, told=[("wait", "flat", None)]),
    "scale one version": Call("PUT", "/models/half_plus_two/122.0?synchronous=true", 200, {"status": "Workers scaled"}, told=[("wait", "half_plus_two", 122)]),
    "scale the wrong way round": Call("PUT", "/models/flat?min_worker=1&max_worker=0", 400, says="max_worker cannot be less than min_worker.", kind=BAD),
    "scale no model": Call("PUT", "/models/nope?min_worker=1", 404, says="Model not found: nope", kind=GONE),
    "scale no version": Call("PUT", "/models/flat/7?min_worker=1", 404, says="Model version: 7 does not exist for model: flat", kind=GONE_VERSION),
    "set the default": Call("PUT", "/models/half_plus_two/122.0/set-default", 200, {"status": 'Default version successfully updated for model "half_plus_two" to "122.0"'}, told=[("set_default", "half_plus_two", 122)]),
    "set no version as default": Call("PUT", "/models/flat/7.0/set-default", 404, says="Model version 7.0 does not exist for model flat", kind=GONE_VERSION),
    "set a default of no model": Call("PUT", "/models/nope/7.0/set-default", 404, says="Model not found: nope", kind=GONE),
    "unregister": Call("DELETE", "/models/flat", 200, {"status": 'Model "flat" unregistered'}, told=[("unregister", "flat", None)]),
    "unregister the one version": Call("DELETE", "/models/flat/1.0", 200, {"status": 'Model "flat" unregistered'}, told=[("unregister", "flat", None)]),
    "unregister one version of two": Call("DELETE", "/models/half_plus_two/122", 200, {"status": 'Model "half_plus_two" unregistered'}, told=[("unregister", "half_plus_two", 122)]),
    "unregister all versions at once": Call("DELETE", "/models/half_plus_two", 200, {"status": 'Model "half_plus_two" unregistered'}, told=[("unregister", "half_plus_two", None)]),
    "unregister all versions at once, TorchServe": Call("DELETE", "/models/half_plus_two", 403, says="Cannot remove default version for model half_plus_two", kind="InvalidModelVersionException", server=TS),
    "unregister the default": Call("DELETE", "/models/half_plus_two/123", 403, says="Cannot remove default version for model half_plus_two", kind="InvalidModelVersionException"),
    "unregister what was made the default": Call("DELETE", "/models/half_plus_two/122", 403, says="Cannot remove default version", kind="InvalidModelVersionException", default={"half_plus_two": 122}),
    "unregister no model": Call("DELETE", "/models/nope", 404, says="Model not found: nope", kind=GONE),
    "unregister no version": Call("DELETE", "/models/flat/9.0", 404, says="Model version: 9.0 does not exist for model: flat", kind=GONE_VERSION),
    "unregister what a file lists": Call("DELETE", "/models/flat", 400, says="belongs to models.config", kind=BAD, error=InvalidRequest("'flat' belongs to models.config."), told=[("unregister", "flat", None)]),
    "another method": Call("PATCH", "/models", 405, says="Requested method is not allowed, please refer to API document.", kind="MethodNotAllowedException"),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_calls(mms: Running, torchserve: Running, store: Path, call: Call) -> None:
    servers = torchserve if call.server == TS else mms
    servers.control.calls.clear()
    servers.control.error = call.error
    servers.control.rows = (
        {"flat": Wanted("flat", "management", at={1: "x"}, extra={"url": "first.onnx", "urls": {"1": "first.onnx"}})}
        if "does not become" in call.says or call.path.endswith("model_version=2")
        else {}
    )
    servers.control.rows |= {name: Wanted(name, "repository", default=number) for name, number in call.default.items()}
    answer = ask(servers, call.method, call.path, call.body, {"Content-Type": call.content_type}, "admin")
    found = json.loads(answer.body)
    assert answer.status == call.status, found
    if call.answer is not None:
        assert found == call.answer
    else:
        assert (found["code"], found["type"]) == (call.status, call.kind), found
        assert call.says in found["message"], found["message"]
    assert str(store) not in answer.body.decode()
    told = [(c[0], c[1], str(store / c[2]), *c[3:]) if c[0] == "register" else c for c in call.told]
    assert servers.control.calls == told


DESCRIBED = {
    "modelName": "half_plus_two",
    "modelUrl": "half_plus_two",
    "runtime": "onnx",
    "minWorkers": 1,
    "maxWorkers": 1,
    "batchSize": 1,
    "maxBatchDelay": 0,
    "loadedAtStartup": True,
}


def test_describe(mms: Running, torchserve: Running) -> None:
    """One object from multi-model-server, a list from TorchServe; /all has every version."""
    mms.control.rows.clear()
    torchserve.control.rows.clear()

    def get(servers: Running, path: str) -> Any:
        return json.loads(ask(servers, "GET", path, listener="admin").body)

    newest, older = (
        DESCRIBED
        | {
            "modelVersion": str(n),
            "workers": [
                {"id": f"half_plus_two-{n}-1", "startTime": "", "status": "READY", "gpu": False, "memoryUsage": 0}
            ],
        }
        for n in (123, 122)
    )
    assert get(mms, "/models/half_plus_two") == newest
    assert get(torchserve, "/models/half_plus_two") == [newest]
    assert get(torchserve, "/models/half_plus_two/122.0") == [older]
    assert get(torchserve, "/models/half_plus_two/all") == [older, newest]
    broken = get(mms, "/models/broken")
    assert broken["workers"] == []
    assert broken["reason"] == "graph.onnx ends at byte 12. Copy it again."


def test_both_ports_have_it_and_strangers_do_not(mms: Running) -> None:
    mms.control.calls.clear()
    assert ask(mms, "DELETE", "/models/flat").status == 200
    answer = ask(mms, "DELETE", "/models/flat", None, {"X-Forwarded-For": "10.0.0.9"})
    assert (answer.status, json.loads(answer.body)["type"]) == (403, "IllegalArgumentException")
    assert "auth.manage_on_data" in json.loads(answer.body)["message"]
    assert mms.control.calls == [("unregister", "flat", None)]


NAMES = {
    "half.onnx": "half",
    "https://h/p/resnet-18.onnx?x=1": "resnet-18",
    "faces/": "faces",
    "net.tar.gz": "net",
    "v1.2": "v1.2",
    "my.model.onnx": "my.model",
}


@pytest.mark.parametrize(("url", "name"), NAMES.items())
def test_default_names(url: str, name: str) -> None:
    assert default_name(url) == name


def test_models_of_the_settings() -> None:
    assert parse_models("a=/x/a.onnx, /y/b.onnx ,") == [("a", "/x/a.onnx"), ("", "/y/b.onnx")]


# -- one life ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for both lives: each content is converted once."""
    return tmp_path_factory.mktemp("proven")


def test_a_life(tmp_path: Path, proven: Path) -> None:
    """Registered from the store, a second version by URL, the default changed, unregistered; what was fetched is gone."""
    models, served = tmp_path / "models", tmp_path / "web"
    affine.write(models / "half.onnx", 2.0)
    affine.write(served / "half.onnx", 3.0)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{web.server_port}/half.onnx"
    management = Management(model_store=str(models), allowed_urls=url, torchserve=True)

    async def life() -> None:
        async with living(tmp_path, proven, repository=False, management=management) as gateway:
            settings = gateway.app.settings
            # The gateway's own refuses this machine's addresses; this one is told that they are fine.
            registrar = Registrar(settings, gateway.control, partial(download, reachable=lambda _: True))
            with pytest.raises(GatewayError, match="not public"):
                await gateway.app.registrar.place(url, "half", 2)
            first = await registrar.place("half.onnx", "", None)
            await registrar.register(first, {}, wait=True, deadline=gateway.soon())
            assert await gateway.k("half") == 2.0
            second = await registrar.place(url, "half", 2)
            await registrar.register(second, {}, wait=True, deadline=gateway.soon())
            assert await gateway.k("half", 2) == 3.0
            await gateway.control.set_default("half", 1)
            assert await gateway.k("half") == 2.0
            await gateway.control.set_default("half", 2)
            assert await gateway.k("half") == 3.0
            downloads = proven / "downloads" / "half"
            assert [p.name for p in downloads.rglob("*") if p.is_file()] == ["half.onnx"]
            await gateway.control.unregister("half")
            await registrar.forget("half")
            assert not downloads.exists()
            with pytest.raises(ModelNotFound):
                await gateway.k("half")
            assert (models / "half.onnx").exists()
        web.shutdown()

    try:
        asyncio.run(asyncio.wait_for(life(), 120))
    finally:
        web.shutdown()
        thread.join(10)
        web.server_close()


def test_models_at_the_start(tmp_path: Path, proven: Path) -> None:
    """`management.models`: served from the start, taken anew when the setting names another place."""
    one, two = (affine.write(tmp_path / str(k) / "half.onnx", k) for k in (2.0, 3.0))

    async def starts(place: Path, k: float) -> None:
        management = Management(models=f"again={place}, /no/such.onnx")
        async with living(tmp_path, proven, repository=False, management=management) as gateway:
            await gateway.until_k("again", k)
            row = gateway.control.wanted("again")
            assert row is not None
            assert row.extra["at_start"] is True
            assert gateway.app._registering is not None
            await asyncio.wait_for(gateway.app._registering, 20)

    for place, k in ((one, 2.0), (one, 2.0), (two, 3.0)):
        asyncio.run(asyncio.wait_for(starts(place, k), 120))
