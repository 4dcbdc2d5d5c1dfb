"""The second hop several times in one process of Environment `tensorflow`: `hop_many.py GATEWAY JOBS.json`.

JOBS: [{"arguments": of hop.convert, "out": folder}].
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace


def main() -> None:
    from gateway.formats.savedmodel import hop

    for job in json.loads(Path(sys.argv[2]).read_text()):
        out = Path(job["out"])
        out.mkdir()
        hop.convert(SimpleNamespace(arguments=job["arguments"], out=out))


if __name__ == "__main__":
    location = sys.argv[1]
    spec = importlib.util.spec_from_file_location(
        "gateway", f"{location}/__init__.py", submodule_search_locations=[location]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gateway"] = module
    spec.loader.exec_module(module)
    main()
