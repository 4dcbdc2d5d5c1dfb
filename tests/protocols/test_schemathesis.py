"""schemathesis asks the gateway what its OpenAPI document allows, in an Environment of its own.

Rule 1: no 5xx but 501, 503, 504 and 507, no status and no content type that the document does not
        have, no answer that is not as its schema says.
Rule 2: `make test` takes a sample that is the same each time; `-m slow` a hundred times as much.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environments import environment
from tests.protocols.double import Running, running

CONFIG = """
[checks]
enabled = false
[checks.not_a_server_error]
enabled = true
expected-statuses = ["2xx", "3xx", "4xx", 501, 503, 504, 507]
[checks.status_code_conformance]
enabled = true
[checks.content_type_conformance]
enabled = true
[checks.response_schema_conformance]
enabled = true
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[Running]:
    with running() as live:
        yield live


def ask_everything(servers: Running, folder: Path, examples: int, *flags: str, timeout_s: float) -> None:
    python = environment("client-schemathesis").python
    (folder / "schemathesis.toml").write_text(CONFIG)
    command = [
        *(str(python.with_name("st")), "--config-file", "schemathesis.toml", "run"),
        *(servers.url("/openapi.json"), "--max-examples", str(examples), "--request-timeout", "20"),
        *("--phases", "fuzzing", "--workers", "2", "--no-color", *flags),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, cwd=folder, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: " in done.stdout
    assert servers.predictor.leases == 0


@pytest.mark.environment("client-schemathesis")
def test_a_sample(servers: Running, tmp_path: Path) -> None:
    ask_everything(servers, tmp_path, 1, "--generation-deterministic", timeout_s=120)


@pytest.mark.slow
@pytest.mark.timeout(1900)
@pytest.mark.environment("client-schemathesis")
def test_a_hundred_of_each(servers: Running, tmp_path: Path) -> None:
    ask_everything(servers, tmp_path, 100, timeout_s=1800)
