"""`gateway doctor`: each thing that can be wrong is found, named, and comes with the command that mends it."""

from __future__ import annotations

import argparse
import contextlib
import http.server
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import config, doctor
from gateway.doctor import look, page
from gateway.errors import EnvironmentMissing, UsageError
from gateway.process.environments import Environments
from tests.process.wheels import PYTHON, pins, wheel

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cellar(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    """Environment `base`, of one small package, built; `later`, for a Python that nobody has."""
    folder = tmp_path_factory.mktemp("cellar")
    text = wheel(folder / "wheels", "onlyone")
    pins(folder / "pins", "base", text, "onlyone")
    pins(folder / "pins", "later", text, "onlyone", python="3.99")
    environments = Environments(folder / "envs", folder / "pins")
    environments.build("base", None, folder / "wheels")
    return environments


@pytest.fixture
def known_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for Pythons takes a second; one test looks for real."""
    monkeypatch.setattr(look, "pythons", lambda: [{"version": f"{PYTHON}.9", "path": "/python"}])


def settings(tmp_path: Path, **changes: Any) -> config.Settings:
    free = {"grpc_port": 0, "http_port": 0, "admin_port": 0, "metrics_port": 0, "store": tmp_path / "store"}
    return config.Settings(**(free | changes))


def run(environments: Environments, given: config.Settings, **flags: Any) -> tuple[int, str, Any]:
    """Exit code, what was shown, and the JSON document."""
    names = ("install", "verify", "remove", "prune", "list", "wheels", "as_json")
    arguments = argparse.Namespace(**(dict.fromkeys(names) | flags))
    shown: list[str] = []
    documents: list[Any] = []
    code = doctor.run(
        arguments, given, say=shown.append, show=shown.append, show_json=documents.append, environments=environments
    )
    return code, "\n".join(shown), documents[0] if documents else None


def test_a_sound_machine(cellar: Environments, tmp_path: Path) -> None:
    code, text, _ = run(cellar, settings(tmp_path))
    assert code == 0
    assert "Nothing stands in the way of serving." in text
    assert f"store     {tmp_path / 'store'}" in text
    assert f"{sys.version_info[0]}.{sys.version_info[1]}." in text.split("Pythons")[1].splitlines()[0]
    assert not (tmp_path / "store").exists()
    rows = {line.split()[0]: line.split()[1] for line in text.splitlines() if " packages for Python " in line}
    assert rows == {"base": "built", "later": "not"}
    assert "Environment 'later' needs Python 3.99: not found" in text
    assert "UV_PYTHON_DOWNLOADS=automatic gateway doctor --install later, or put a python3.99 on PATH" in text


@contextlib.contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class Alive(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz/live" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.mark.usefixtures("known_pythons")
def test_a_port_that_is_taken_comes_with_one_that_is_free(cellar: Environments, tmp_path: Path) -> None:
    with listening() as port:
        code, text, _ = run(cellar, settings(tmp_path, http_port=port))
    assert code == 3
    assert f"port {port} (http_port): another program listens there" in text
    found = re.search(r"^ +MODEL_GATEWAY_HTTP_PORT=(\d+) gateway serve$", text, re.MULTILINE)
    assert found is not None
    assert int(found[1]) not in (0, port)


@pytest.mark.usefixtures("known_pythons")
def test_ports_of_the_servers_we_stand_in_for_are_looked_at_where_they_are_wanted(
    cellar: Environments, tmp_path: Path
) -> None:
    ports = [name for name in config.names() if name.startswith("compat.") and name.endswith("_port")]
    none = {name.removeprefix("compat."): 0 for name in ports}
    with listening() as port:
        compat = config.Compat(**(none | {"triton_http_port": port}), on=True)
        _, _, found = run(cellar, settings(tmp_path, compat=compat), as_json=True)
        _, _, without = run(cellar, settings(tmp_path), as_json=True)
    (problem,) = found["problems"]
    assert problem["mend"].startswith("MODEL_GATEWAY_COMPAT__TRITON_HTTP_PORT=")
    assert without["problems"] == []


@pytest.mark.usefixtures("known_pythons")
def test_ports_of_a_running_gateway_are_no_problem(cellar: Environments, tmp_path: Path) -> None:
    with listening() as port, http.server.HTTPServer(("127.0.0.1", 0), Alive) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            code, text, _ = run(cellar, settings(tmp_path, http_port=port, admin_port=server.server_port))
        finally:
            server.shutdown()
            thread.join()
    assert code == 0
    assert f"{port} http a gateway serves" in text
    assert "a gateway serves on these ports already" in text


def below_a_file(tmp_path: Path) -> config.Settings:
    (tmp_path / "file").write_text("")
    return settings(tmp_path, store=tmp_path / "file" / "store")


WRONG: dict[str, tuple[Callable[[Path], config.Settings], str, str]] = {
    "a store that cannot be written": (
        below_a_file,
        "cannot be written to: Not a directory",
        "MODEL_GATEWAY_STORE=DIR",
    ),
    "a sandbox level that nobody reaches": (
        lambda tmp_path: settings(tmp_path, jobs=config.Jobs(sandbox_min_level=9)),
        "jobs.sandbox_min_level is 9 and L",
        "MODEL_GATEWAY_JOBS__SANDBOX_MIN_LEVEL=",
    ),
}


@pytest.mark.usefixtures("known_pythons")
@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_what_stands_in_the_way(
    case: tuple[Callable[[Path], config.Settings], str, str], cellar: Environments, tmp_path: Path
) -> None:
    code, _, found = run(cellar, case[0](tmp_path), as_json=True)
    assert code == 3
    (problem,) = found["problems"]
    assert case[1] in problem["what"]
    assert problem["mend"].startswith(case[2])


@pytest.mark.usefixtures("known_pythons")
def test_without_base_nothing_is_converted(cellar: Environments, tmp_path: Path) -> None:
    code, text, _ = run(Environments(tmp_path / "none", cellar.pins), settings(tmp_path))
    assert code == 3
    assert "Environment 'base' is missing: it has not been built" in text
    assert "      gateway doctor --install base" in text


@pytest.mark.usefixtures("known_pythons")
def test_without_uv_nothing_can_be_built(cellar: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)  # as Python itself marks what cannot be imported
    code, _, found = run(cellar, settings(tmp_path), as_json=True)
    assert code == 3
    (problem,) = found["problems"]
    assert "no Environment can be built" in problem["what"]
    assert problem["mend"] == "make setup"


@pytest.mark.usefixtures("known_pythons")
def test_a_full_disk_is_seen_before_it_fails(
    cellar: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "LOW_BYTES", 1 << 62)
    _, _, found = run(cellar, settings(tmp_path), as_json=True)
    assert {row["mend"] for row in found["problems"]} == {"gateway doctor --prune"}


def test_a_device_that_onnxruntime_cannot_use_is_noted() -> None:
    seen = {"devices": ["/dev/nvidia0"], "providers": ["CPUExecutionProvider"]}
    found = {"accelerators": seen, "pythons": [], "environments": [], "outdated": [], "ports": []}
    found |= {"sandbox": {"level": 3, "missing": {}}}
    (note,) = look._notes(found)
    assert note["what"].startswith("/dev/nvidia0 is there")
    seen["providers"] = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert list(look._notes(found)) == []


def test_a_sandbox_level_that_is_not_reached_is_noted_with_its_reason_and_what_mends_it() -> None:
    found = {"accelerators": {"devices": [], "providers": []}, "pythons": [], "environments": [], "outdated": []}
    missing = {"L2": "this kernel has no landlock: it came with Linux 5.13", "L3": "bubblewrap is not installed"}
    first, second = look._notes(found | {"ports": [], "sandbox": {"level": 1, "missing": missing}})
    assert first["what"].startswith("sandbox L2 is not reached: this kernel has no landlock")
    assert first["what"].endswith("Models that can carry code are refused.")
    assert second["mend"].startswith("apt-get install bubblewrap")


@pytest.mark.usefixtures("known_pythons")
def test_verify_remove_prune_list(cellar: Environments, tmp_path: Path) -> None:
    """A copy of the whole life through the command, with one document for each."""
    given = settings(tmp_path)
    wheels = cellar.pins.parent / "wheels"
    own = Environments(tmp_path / "envs", cellar.pins)
    _, _, rows = run(own, given, list=True, as_json=True)
    assert [(row["name"], row["state"]) for row in rows] == [("base", "missing"), ("later", "missing")]
    _, text, _ = run(own, given, install=["base"], wheels=wheels)
    assert text.splitlines()[-1] == f"Environment 'base' is ready: {own.find('base').python}"
    code, text, _ = run(own, given, verify=[])
    assert (code, text.splitlines()[0].split(";")[0]) == (0, "base: sound")
    (module,) = own.folder.glob("base-*/lib/*/site-packages/onlyone/__init__.py")
    module.unlink()
    code, text, _ = run(own, given, verify=["base"])
    assert code == 3
    assert text.splitlines()[0].startswith("base: BROKEN")
    assert text.splitlines()[-1] == "  gateway doctor --install base"
    code, _, found = run(own, given, as_json=True)
    assert code == 3
    assert found["problems"] == [{"what": page_says(own), "mend": "gateway doctor --install base"}]
    (own.folder / ".base-0123456789ab.01234567.part").mkdir()
    _, text, _ = run(own, given, prune=True)
    assert ".base-0123456789ab.01234567.part" in text
    _, _, rows = run(own, given, remove=["base"], as_json=True)
    assert [row["kept"] for row in rows] == [""]
    assert list(own.folder.glob("base-*")) == []
    _, text, _ = run(own, given, remove=["base"])
    assert "not built: nothing to remove" in text
    with pytest.raises(EnvironmentMissing):
        run(own, given, verify=["base"])


def page_says(environments: Environments) -> str:
    with pytest.raises(EnvironmentMissing) as caught:
        environments.find("base")
    assert "it failed its verification" in caught.value.message
    return caught.value.message


USAGE = {
    "a name nobody knows": ({"verify": ["bsae"]}, "Did you mean 'base'"),
    "a name nobody knows, to remove": ({"remove": ["base", "x"]}, "no Environment 'x'"),
    "wheels for nothing": ({"wheels": Path()}, "--wheels is for --install"),
}


@pytest.mark.parametrize("case", USAGE.values(), ids=USAGE.keys())
def test_wrong_use(case: tuple[dict[str, Any], str], cellar: Environments, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=case[1]):
        run(cellar, settings(tmp_path), **case[0])
    assert cellar.find("base").name == "base"


def test_the_command_says_what_each_environment_is_for() -> None:
    """The real one, on this machine: every Environment there is a pin file for, with its weight and its formats."""
    argv = [sys.executable, "-m", "gateway", "doctor", "--list", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert set(rows) == {info.name for info in Environments().known()}
    assert "onnx" in rows["base"]["reads"]
    assert rows["mxnet"]["judges"] == ["mxnet"]
    assert all(row["title"] and row["download_bytes"] > 0 for row in rows.values())
    assert page.environments(list(rows.values())).count("packages for Python") == len(rows)
