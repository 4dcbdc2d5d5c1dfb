"""face-compare at 16 requests in flight against one by one, with the time of each step: `python -m bench.faces`.

Over the nets and photos of `make faces`. Prints and writes bench/results/faces.json. Wall times depend on what else the
machine does; CPU seconds of the gateway process a request stand beside them.
"""

from __future__ import annotations

import itertools
import json
import os
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.__main__ import cpu_seconds
from tests import facenets, zoo
from tests.e2e.running import Running
from tools.faces import compare

CALLS, FLIGHT = 16, 16
RESULTS = Path(__file__).parent / "results" / "faces.json"
STEP = "model_gateway_pipeline_step_seconds"


def main() -> None:
    root = zoo.cache_folder_of_tests() / "faces-bench"
    facenets.drop_all(root / "repo")
    live = Running(root / "repo", zoo.cache_folder_of_tests() / "faces-store", root / "gateway.log")
    try:
        live.wait("arcface", 1, "AVAILABLE", 900)
        photos = [path for name, path in facenets.photos().items() if name != "t1"]
        pairs = list(itertools.islice(itertools.cycle(itertools.combinations(photos, 2)), CALLS))
        compare(live.http, *pairs[0])
        found = {f"{flight} in flight": measured(live, pairs, flight) for flight in (1, FLIGHT)}
    finally:
        live.kill()
    found["cores"] = os.cpu_count() or 0
    found["load before"] = round(os.getloadavg()[0], 1)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def measured(live: Running, pairs: list[tuple[Path, Path]], flight: int) -> dict[str, Any]:
    before, used, started = steps(live), cpu_seconds(live.process.pid), time.perf_counter()
    with ThreadPoolExecutor(flight) as pool:
        answers = list(pool.map(lambda pair: compare(live.http, *pair), pairs))
    took = time.perf_counter() - started
    assert all("Similarity" in answer for answer in answers)
    after = steps(live)
    spent = {name: after[name][0] - before.get(name, (0.0, 0))[0] for name in after}
    return {
        "requests a second": round(len(pairs) / took, 3),
        "CPU seconds of the gateway a request": round((cpu_seconds(live.process.pid) - used) / len(pairs), 3),
        "seconds of each step a request": {name: round(value / len(pairs), 4) for name, value in sorted(spent.items())},
    }


def steps(live: Running) -> dict[str, tuple[float, float]]:
    """ "model step" -> (seconds, count) so far."""
    page = urllib.request.urlopen(f"http://{live.addresses['metrics']}/metrics", timeout=30).read().decode()
    sums: dict[str, list[float]] = {}
    for line in page.splitlines():
        for at, end in enumerate(("_sum", "_count")):
            if line.startswith(STEP + end):
                labels = dict(part.split("=") for part in line[line.index("{") + 1 : line.index("}")].split(","))
                key = f"{labels['model']} {labels['step']}".replace('"', "")
                sums.setdefault(key, [0.0, 0.0])[at] = float(line.rsplit(" ", 1)[1])
    return {key: (found[0], found[1]) for key, found in sums.items()}


if __name__ == "__main__":
    main()
