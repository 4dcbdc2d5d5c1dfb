"""ONNX's backend node tests against our SavedModels. A script for Environment `tensorflow`:

    python node_cases.py GATEWAY list FILE [STEP]        which cases onnxruntime passes here (in Environment `base`)
    python node_cases.py GATEWAY build FILE FOLDER [RE]  convert those, one SavedModel a case
    python node_cases.py GATEWAY check FILE FOLDER [RE]  in a fresh process: load the saved files and compare
    python node_cases.py GATEWAY quick FILE [RE]         build, save and check in one process (for work on an operator)

The comparison is the standard's own: rtol 1e-3, atol 1e-7 unless the case says otherwise, dtype and shape included.
"""

from __future__ import annotations

import collections
import json
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")
SKIPPED = ("_expanded", "training")  # their plain twins are there; what trains is not served


def cases() -> dict[str, Any]:
    from onnx.backend.test.case.node import collect_testcases

    found = collect_testcases(None)
    return {c.name: c for c in found if not any(word in c.name for word in SKIPPED)}


def given(case: Any) -> list[tuple[dict[str, Any], list[Any]]]:
    """(inputs by name, outputs) of each data set; what is no plain tensor stays what it is."""
    names = [value.name for value in case.model.graph.input]
    return [(dict(zip(names, inputs)), list(outputs)) for inputs, outputs in case.data_sets]


def problem(expected: Any, found: Any, case: Any) -> str:
    """What differs, or ""."""
    import numpy as np

    want, have = np.asarray(expected), np.asarray(found)
    if want.shape != have.shape:
        return f"shape {have.shape}, expected {want.shape}"
    if want.dtype.kind in "OSU":
        flat = [[s if isinstance(s, bytes) else str(s).encode() for s in a.reshape(-1)] for a in (want, have)]
        return "" if flat[0] == flat[1] else f"strings {flat[1]}, expected {flat[0]}"
    if want.dtype != have.dtype:
        return f"dtype {have.dtype}, expected {want.dtype}"
    wide = np.complex128 if want.dtype.kind == "c" else np.float64 if want.dtype.kind not in "iub" else want.dtype
    try:
        np.testing.assert_allclose(have.astype(wide), want.astype(wide), rtol=case.rtol, atol=case.atol)
    except AssertionError as error:
        return " ".join(str(error).split())[:200]
    return ""


def ort_passes(case: Any) -> str:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            case.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for inputs, outputs in given(case):
            feeds = {
                n: (v if isinstance(v, (list, np.ndarray)) or v is None else np.asarray(v)) for n, v in inputs.items()
            }
            for want, have in zip(outputs, session.run(None, feeds)):
                if isinstance(want, (list, dict)) or want is None:
                    return "no tensor"
                if said := problem(want, have, case):
                    return said
    except Exception as error:  # any refusal
        return f"{type(error).__name__}: {str(error)[:160]}"
    return ""


def build(case: Any, folder: Path) -> str:
    from gateway.formats.savedmodel.build.save import save

    source = folder / "source.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    source.write_bytes(case.model.SerializeToString())
    try:
        save(source, folder / "saved")
    except Exception as error:
        hint = getattr(error, "message", str(error))
        return f"{type(error).__name__}: {hint[:300]}"
    return ""


def check(case: Any, folder: Path) -> str:
    import tensorflow as tf  # noqa: TID251  this runs in Environment tensorflow

    try:
        loaded = tf.saved_model.load(str(folder / "saved"))
        function = loaded.signatures["serving_default"]
        specs = function.structured_input_signature[1]
        for inputs, outputs in given(case):
            feeds = {n: tf.constant(v, specs[n].dtype) for n, v in inputs.items() if v is not None}
            answer = function(**feeds)
            for value, want in zip(case.model.graph.output, outputs):
                if said := problem(want, answer[value.name].numpy(), case):
                    return f"{value.name}: {said}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    return ""


def chosen(file: Path, pattern: str) -> dict[str, Any]:
    names = json.loads(file.read_text())["passes"]
    every = cases()
    return {name: every[name] for name in names if re.search(pattern, name)}


def main() -> None:
    verb, file, *rest = sys.argv[2:]
    path = Path(file)
    if verb == "list":
        every = list(cases().items())[:: int(rest[0]) if rest else 1]
        said = {name: ort_passes(case) for name, case in every}
        path.write_text(
            json.dumps(
                {"passes": [n for n, why in said.items() if not why], "fails": {n: w for n, w in said.items() if w}},
                indent=1,
            )
        )
        print(len(said), "cases,", sum(not why for why in said.values()), "pass onnxruntime")
        return
    started = time.monotonic()
    folder = Path(rest.pop(0)) if verb in ("build", "check") else Path(tempfile.mkdtemp())
    results: dict[str, str] = {}
    built = json.loads((folder / "build.json").read_text()) if verb == "check" else {}
    for name, case in chosen(path, rest[0] if rest else "").items():
        said = build(case, folder / name) if verb in ("build", "quick") else built[name]
        if not said and verb in ("check", "quick"):
            said = check(case, folder / name)
        results[name] = said
    bad = {name: said for name, said in results.items() if said}
    for name, said in bad.items():
        print(f"{name}: {said}")
    print(f"{len(results) - len(bad)} of {len(results)} pass, {time.monotonic() - started:.0f} s")
    if verb != "quick":
        (folder / f"{verb}.json").write_text(json.dumps(results, indent=1))
    else:
        import shutil

        shutil.rmtree(folder)
        kinds = collections.Counter(
            m for said in bad.values() for m in re.findall(r"cannot be converted: ([^.]*)\.", said)
        )
        if kinds:
            print("missing:", kinds.most_common(60))


if __name__ == "__main__":
    import importlib.util

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
