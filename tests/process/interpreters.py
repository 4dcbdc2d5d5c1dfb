"""Stand-ins for a built Environment: tests of Jobs need a Python, not the packages of one."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import EnvironmentMissing

PACKAGES = {"jobtasks": Path(__file__).parent / "jobtasks"}


@dataclass(frozen=True)
class ThisPython:
    python: Path = Path(sys.executable)


class Here:
    """Every Environment is the Python that runs the tests; `gone` is one whose interpreter is not there."""

    def find(self, name: str) -> ThisPython:
        if name == "missing":
            raise EnvironmentMissing(name)
        return ThisPython(Path("/nonexistent/bin/python")) if name == "gone" else ThisPython()
