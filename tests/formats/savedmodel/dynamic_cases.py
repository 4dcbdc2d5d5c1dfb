"""Small ONNX graphs with free sizes, each fed at several sizes: onnxruntime's numbers against TensorFlow's.

    python dynamic_cases.py GATEWAY reference FOLDER [RE]   in Environment `base`: writes models, feeds and references
    python dynamic_cases.py GATEWAY answer FOLDER [RE]      in Environment `tensorflow`: compares, writes answer.json

The rows are in dynamic_rows.py and microsoft_rows.py.
"""

from __future__ import annotations

import json
import re
import sys
import time
import zlib
from pathlib import Path
from typing import Any

from dynamic_rows import CASES, Case
from microsoft_rows import MICROSOFT


def seed_of(text: str) -> int:
    return zlib.crc32(text.encode())


def drawn(rng: Any, kind: str, shape: Any) -> Any:
    import numpy as np

    if kind in ("float32", "float64", "float16"):
        return rng.standard_normal(shape).astype(kind)
    if kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    low = 0 if kind.startswith("u") else -9
    return rng.integers(low, 10, shape).astype(np.dtype(kind))


def model_of(name: str, case: Case) -> Any:
    import numpy as np
    import onnx

    rng = np.random.default_rng(seed_of(name))
    text = case.graph.strip()
    head = f'<ir_version: 10, opset_import: ["" : {case.opset}, "com.microsoft": 1]>\nagraph {text}'
    model = onnx.parser.parse_model(head)
    for key, said in case.weights.items():
        if isinstance(said[0], str):
            array = np.asarray(said[1], said[0])
        else:
            array = rng.standard_normal(said).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, key))
    return model


def feeds_of(name: str, case: Case, model: Any, sizes: dict[str, int], run: int) -> dict[str, Any]:
    import numpy as np
    import onnx

    rng = np.random.default_rng(seed_of(name) + run + 1)
    found = {}
    for value in model.graph.input:
        shape = [
            d.dim_value if d.HasField("dim_value") else sizes[d.dim_param] for d in value.type.tensor_type.shape.dim
        ]
        kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
        if value.name in case.feeds:
            kind, low, high = case.feeds[value.name]
            found[value.name] = rng.integers(low, high, shape).astype(kind)
        else:
            found[value.name] = drawn(rng, kind, shape)
    return found


def reference(rows: dict[str, Case], folder: Path) -> dict[str, str]:
    """Writes what the other child needs. A row that onnxruntime refuses says why."""
    import numpy as np
    import onnxruntime

    said = {}
    for number, (name, case) in enumerate(rows.items()):
        try:
            model = model_of(name, case)
            (folder / f"{number}.onnx").write_bytes(model.SerializeToString())
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
            names = [output.name for output in session.get_outputs()]
            for run, sizes in enumerate(case.sizes):
                feeds = feeds_of(name, case, model, sizes, run)
                made = {f"out {n}": a for n, a in zip(names, session.run(None, feeds))}
                np.savez(folder / f"{number}-{run}.npz", **{f"in {n}": a for n, a in feeds.items()}, **made)
            said[name] = ""
        except Exception as error:
            said[name] = f"reference: {type(error).__name__}: {str(error)[:300]}"
    return said


def differs(want: Any, have: Any, rtol: float, steps: int) -> str:
    import numpy as np

    if want.shape != have.shape or want.dtype != have.dtype:
        return f"{have.dtype}{list(have.shape)}, expected {want.dtype}{list(want.shape)}"
    if want.dtype.kind not in "f":
        wide = want.astype(np.int64) - have.astype(np.int64) if want.dtype.kind in "iu" else want != have
        unlike = int((np.abs(wide) > steps).sum())
        return (
            f"{unlike} of {want.size} differ: {have.reshape(-1)[:6]}, expected {want.reshape(-1)[:6]}" if unlike else ""
        )
    if not want.size:
        return ""
    top = float(np.abs(want[np.isfinite(want)]).max(initial=1e-3))
    if (np.isfinite(want) != np.isfinite(have)).any():
        return "what is finite differs"
    gap = float(np.abs(np.where(np.isfinite(want), want - have, 0)).max())
    return f"max error {gap:.3g} of {top:.3g}" if gap > rtol * top else ""


def answer(rows: dict[str, Case], folder: Path, said: dict[str, str]) -> dict[str, str]:
    import numpy as np
    import tensorflow as tf  # noqa: TID251  this runs in Environment tensorflow

    from gateway.formats.savedmodel.build.save import Model, Wish

    found = {}
    for number, (name, case) in enumerate(rows.items()):
        found[name] = said[name]
        if said[name]:
            continue
        try:
            made = Model(folder / f"{number}.onnx", Wish())
            function = made.function()
            for run, sizes in enumerate(case.sizes):
                data = np.load(folder / f"{number}-{run}.npz")
                feeds = {key[3:]: tf.constant(data[key]) for key in data.files if key.startswith("in ")}
                answers = function(**feeds)
                for key in (key for key in data.files if key.startswith("out ")):
                    wrong = differs(data[key], answers[key[4:]].numpy(), case.rtol, case.steps)
                    if wrong and not found[name]:
                        found[name] = f"{key[4:]} at {sizes}: {wrong}"
            left = sum(node.type == "Transpose" for node in function.graph.get_operations())
            if case.transposes is not None and left > case.transposes and not found[name]:
                found[name] = f"{left} transposes left, expected at most {case.transposes}"
            held = sum(v.shape.num_elements() * v.dtype.size for v in made.weights.variables.values())
            consts = [node for node in function.graph.get_operations() if node.type == "Const"]
            held += sum(tf.make_ndarray(node.get_attr("value")).nbytes for node in consts)
            if case.stored is not None and held > case.stored and not found[name]:
                found[name] = f"{held} bytes of variables and constants, expected at most {case.stored}"
        except Exception as error:
            found[name] = f"{type(error).__name__}: {getattr(error, 'message', str(error))[:300]}"
    return found


def chosen(pattern: str) -> dict[str, Case]:
    """Rows whose name a regular expression finds; "every N": each Nth of all."""
    rows = CASES | MICROSOFT
    if pattern.startswith("every "):
        each = set(list(rows)[:: int(pattern.removeprefix("every "))])
        return {name: case for name, case in rows.items() if name in each or case.always}
    return {name: case for name, case in rows.items() if re.search(pattern, name)}


def main() -> None:
    verb, place, *rest = sys.argv[2:]
    folder, started = Path(place), time.monotonic()
    rows = chosen(rest[0] if rest else "")
    if verb == "reference":
        said = reference(rows, folder)
    else:
        said = answer(rows, folder, json.loads((folder / "reference.json").read_text()))
    (folder / f"{verb}.json").write_text(json.dumps(said, indent=1))
    for name, why in said.items():
        if why:
            print(f"{name}: {why}")
    print(f"{sum(not why for why in said.values())} of {len(said)}, {time.monotonic() - started:.0f} s")


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
