"""A real `gateway serve` in a process of its own, and the little that tests ask of it over HTTP and gRPC."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

START_S = 30.0


class Running:
    """One gateway. `addresses` is the JSON line that it printed; `log` holds its stderr."""

    def __init__(
        self, repository: Path, store: Path, log: Path, *flags: str, env: dict[str, str] | None = None
    ) -> None:
        self.repository, self.store, self.log_path = repository, store, log
        self.started_at = time.monotonic()
        ports = [f"--{name}-port=0" for name in ("grpc", "http", "admin", "metrics")]
        command = [sys.executable, "-m", "gateway", "serve", str(repository), "--store", str(store), *ports, *flags]
        settings = {"MODEL_GATEWAY_WATCH__SETTLE_S": "0.3", "MODEL_GATEWAY_WATCH__POLL_S": "0.1"}
        self._log = log.open("ab")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._log, env={**os.environ, **settings, **(env or {})}
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the gateway printed no line; its log: {self.log}"
        self.addresses: dict[str, str] = json.loads(line)

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def http(self) -> str:
        return "http://" + self.addresses["http"]

    def call(self, path: str, body: Any = None, *, port: str = "http", timeout_s: float = 30.0) -> tuple[int, Any]:
        """(status, JSON answer or text). POST when there is a body."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.addresses[port]}{path}", data=data)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode()

    def versions(self, model: str) -> dict[int, dict[str, Any]]:
        status, answer = self.call(f"/api/v1/models/{model}", port="admin")
        return {int(row["version"]): row for row in answer["versions"]} if status == 200 else {}

    def wait(self, model: str, version: int, state: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """Until that version is in that state; fails with what was seen instead."""

        def there() -> dict[str, Any] | None:
            row = self.versions(model).get(version)
            return row if row is not None and row["state"] == state else None

        return until(there, timeout_s, lambda: f"{model} {version}: {self.versions(model)}\n{self.log[-4000:]}")

    def predict(self, model: str, inputs: Any, version: int | None = None) -> tuple[int, Any]:
        chosen = "" if version is None else f"/versions/{version}"
        return self.call(f"/v1/models/{model}{chosen}:predict", {"inputs": inputs})

    def memory_bytes(self) -> int:
        """Resident memory of the gateway's own process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM and wait. Returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        finally:
            self.kill()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()


def until(condition: Callable[[], Any], timeout_s: float, seen: Callable[[], str] = str) -> Any:
    """The first true value of `condition`, or an AssertionError that says what was seen."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout_s} s; seen: {seen()}")


@contextlib.contextmanager
def gateway(root: Path, *flags: str, env: dict[str, str] | None = None) -> Iterator[Running]:
    """A gateway on root/repo and root/store; stopped at the end, whatever happens."""
    (root / "repo").mkdir(parents=True, exist_ok=True)
    running = Running(root / "repo", root / "store", root / "gateway.log", *flags, env=env)
    try:
        yield running
    finally:
        running.kill()


def place(source: Path, target: Path) -> None:
    """Copy a file or folder as a person does with cp: bytes first visible under the final name."""
    import shutil

    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
