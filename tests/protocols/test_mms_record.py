# ruff: noqa: E501  a row of a table reads better on one line
"""What the real multi-model-server and TorchServe answered (tests/conformance/mms.json), asked of a gateway.

The gateway serves the same model, y = x / 2 + 2, as ONNX; calls come in the recorded order, to the
dialect's own ports, and `half.mar` in them is `half.onnx` here. A call is the same when its status, the
headers that matter and its JSON are, or when the message begins with theirs. Whatever else is in DIFFERENT,
with what is answered here and why.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Compat, Limits, Management
from tests.e2e import affine
from tests.serving.living import Living, living

RECORD = json.loads((Path(__file__).parent.parent / "conformance" / "mms.json").read_text())
SERVERS = ("mms", "torchserve")
LISTENER = {"inference": "mms_http", "management": "mms_management", "metrics": "mms_metrics"}
HEADERS = ("pragma", "cache-control", "expires")
OURS = {
    "workers",
    "runtime",
    "minWorkers",
    "maxWorkers",
    "batchSize",
    "maxBatchDelay",
    "modelVersion",
    "loadedAtStartup",
}
"""Of a description: what is said truly of the gateway, and not compared."""


@dataclass(frozen=True)
class Different:
    status: int
    says: str  # a part of the body
    why: str


FAULT = "truth: a client's fault is 400 and says what was expected; there the handler runs, and 503 says nothing"
FETCH = "security: no URL is asked unless management.allowed_urls names it"
DIFFERENT: dict[str, Different] = {
    "predict without a body": Different(400, "JSON Parse error: The document is empty", FAULT),
    "predict JSON that is none": Different(400, "JSON Parse error", FAULT),
    "predict multipart without boundary": Different(400, "names no boundary", FAULT),
    "predict JSON in a form": Different(200, "[[2.5,3.0]]", "truth: curl -d calls JSON a form; there it fails"),
    "predict by DELETE": Different(405, "MethodNotAllowedException", "truth: there the handler runs, with nothing"),
    "mms: predict another version": Different(404, "Model version: 9.9 does not exist for model: half", "truth: another version's numbers are not the ones asked for; there the version is ignored"),
    "too large": Different(413, "RequestEntityTooLargeException", "truth: the body says why; there it is empty"),
    "torchserve: register a file": Different(404, "Model not found at: file:///etc/passwd", "truth: a file that may not be named is not there; TorchServe answers 500"),
    "register a URL that does not answer": Different(403, "does not match any allowed URL(s)", FETCH),
    "torchserve: register": Different(200, "registered with 1 initial workers", "truth: a model here has its one worker at once"),
    "mms: unregister no version": Different(404, "Model version: 9.0 does not exist for model: third", "surface: TorchServe's routes are there too"),
}  # fmt: skip


def different_of(server: str, call: str) -> Different | None:
    return DIFFERENT.get(f"{server}: {call}", DIFFERENT.get(call))


def ours(text: str) -> str:
    """The call as it is made here: archives are ONNX files, and the second says its version."""
    text = text.replace("half2.mar", "half2/half.onnx&model_name=half&model_version=2")
    return text.replace("half.mar", "half.onnx")


def without(value: Any, keys: set[str]) -> Any:
    if isinstance(value, dict):
        return {k: without(v, keys) for k, v in value.items() if k not in keys}
    return [without(v, keys) for v in value] if isinstance(value, list) else value


def ask(address: str, row: Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(address, timeout=60)
    body = b" " * row["body"] if isinstance(row["body"], int) else ours(row["body"]).encode()
    try:
        connection.request(row["method"], ours(row["path"]), body, row["headers"])
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


async def replay(gateway: Living, addresses: Mapping[str, str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    found = {}
    for row in rows:
        found[row["call"]] = await asyncio.to_thread(ask, addresses[LISTENER[row["port"]]], row)
        if row["call"] in ("register", "register by JSON"):  # there it is ready by then
            name = "other" if row["call"] == "register" else "fourth"
            await gateway.control.wait(name, deadline=gateway.soon())
    return found


@cache
def answers(server: str, root: Path) -> dict[str, Any]:
    """call -> (status, headers, body) of a gateway; one life a server, one conversion for both."""
    models = root / server / "models"
    affine.write(models / "half.onnx", 2.0)
    affine.write(models / "half2" / "half.onnx", 2.0)
    ports = dict.fromkeys((f"{name}_port" for name in LISTENER.values()), 0)
    others = dict.fromkeys(
        ("tfs_grpc_port", "tfs_http_port", "triton_http_port", "triton_grpc_port", "triton_metrics_port"), 0
    )
    settings = {
        "management": Management(
            model_store=str(models), models=f"half={models / 'half.onnx'}", torchserve=server == "torchserve"
        ),
        "compat": Compat(on=True, **ports, **others),
        "limits": Limits(max_body_bytes=6_553_500),
    }

    async def life() -> dict[str, Any]:
        async with living(root / server, root / "store", **settings) as gateway:
            await gateway.until_k("half", 2.0)
            return await replay(gateway, gateway.app.addresses, RECORD[server])

    return asyncio.run(asyncio.wait_for(life(), 150))


ROWS = [(server, row) for server in SERVERS for row in RECORD[server]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("record")


@pytest.mark.parametrize(("server", "row"), ROWS, ids=[f"{server}: {row['call']}" for server, row in ROWS])
def test_answers(root: Path, server: str, row: dict[str, Any]) -> None:
    status, headers, body = answers(server, root)[row["call"]]
    different = different_of(server, row["call"])
    if different is not None:
        assert (status, different.says in body.decode()) == (different.status, True), body
        assert not same(row, status, headers, body), "it is the same: take the row out of DIFFERENT"
        return
    assert status == row["status"], body
    assert same(row, status, headers, body), (body.decode(), row["answer"])


def same(row: dict[str, Any], status: int, headers: Mapping[str, str], body: bytes) -> bool:
    if status != row["status"] or any(
        headers.get(n) != row["answered"].get(n) for n in HEADERS if row["port"] != "metrics"
    ):
        return False
    theirs = row["answer"]
    if row["call"] == "the client's request id":
        return True
    if isinstance(theirs, str):
        return (
            row["port"] == "metrics"
            and re.search(rb"^ts_inference_requests_total\{model_name=\"half\"", body, re.M) is not None
        )
    found = json.loads(body)
    if isinstance(theirs, dict) and "openapi" in theirs:
        return str(found["openapi"]).startswith("3.0.") and bool(found["paths"])
    theirs = json.loads(ours(json.dumps(theirs)).replace("&model_name=half&model_version=2", ""))
    if isinstance(theirs, dict) and "message" in theirs:
        begins = str(found["message"]).startswith(theirs["message"].replace("1.0 is", "1 is"))
        return begins and (found["code"], found["type"]) == (theirs["code"], theirs["type"])
    if isinstance(theirs, dict) and "status" in theirs:
        return bool(
            found
            == json.loads(
                json.dumps(theirs).replace("Version: 1.0", "Version: 1").replace("Version: 2.0", "Version: 2")
            )
        )
    theirs, found = without(theirs, OURS), without(found, OURS)
    if row["call"].startswith(("describe", "the ")):
        return contained(found, theirs)
    return bool(found == theirs)


def contained(mine: Any, theirs: Any) -> bool:
    """A description: what both say is the same. TorchServe's has more keys, of workers that are not here."""
    if isinstance(mine, list):
        return len(mine) == len(theirs) and all(map(contained, mine, theirs))
    return all(theirs.get(key) == value for key, value in mine.items())


def test_every_difference_is_still_recorded() -> None:
    assert set(DIFFERENT) <= {name for server, row in ROWS for name in (row["call"], f"{server}: {row['call']}")}
