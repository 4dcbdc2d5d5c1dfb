"""The first run of an artifact, in a child: one that crashes its runtime costs a Job, not the gateway."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.core.artifact import FILE, FROZEN, MAX_WARMUP_BYTES, NATIVE, ONNX, SAVEDMODEL, Artifact
from gateway.core.compare import compare
from gateway.core.dtypes import Tensors
from gateway.core.hints import Hint
from gateway.core.layout import of_source, to_public, to_source
from gateway.core.probes import BATCH, KINDS, Probe, probes
from gateway.core.signature import united
from gateway.errors import GatewayError, ModelRunError
from gateway.formats.savedmodel import warmup
from gateway.formats.tasks import Job, settle
from gateway.process import wire
from gateway.runtimes.base import Runtime
from gateway.runtimes.rows import filled

RUNTIMES = {
    ONNX: "gateway.runtimes.ort:OrtRuntime",
    NATIVE: "gateway.runtimes.native:NativeRuntime",
    SAVEDMODEL: "gateway.runtimes.tensorflow:TensorflowRuntime",
    FROZEN: "gateway.runtimes.tensorflow:TensorflowRuntime",
}
"""By kind of artifact; imported when needed: the Environments differ in what they have."""
WARM, LEAST_CALLS, MOST_CALLS = 2, 3, 400  # calls, when one is timed
UNJUDGED_S = 5.0  # what all kinds of input may cost where nobody judges the answers; beyond, one kind shows the batch


def run(job: Job) -> dict[str, Any]:
    """`folder` (of the artifact), `cases` ([{"name", "inputs": file}]) -> the artifact's answers.

    `timed_s` > 0 times one call, on the first case or on the inputs in the file `timed_on`: "timed": {"ms", "calls"}.
    `warmup` names the file of warm-up requests that a SavedModel gets, made from the first case; "" for others.
    With no `cases` the probes are made here (`seed`, `hints`): that is for a model nobody judges.
    {"cases": [{"name", "kind", "row", "inputs", "outputs", "seconds", "error"}], "placement", "unstable", "why"}.
    A case's `error` is in the runtime's words, and `outputs` then "". `unstable` names outputs that differ
    when the same call is made twice. Errors: ModelRunError when the artifact does not load.
    """
    folder = Path(job.arguments["folder"])
    artifact = Artifact.from_json(json.loads((folder / FILE).read_text()))
    runtime = load(artifact, folder)
    public = artifact.signatures[0]
    called = [s for s in artifact.signatures if s is public or (artifact.kind == ONNX and s.inputs == public.inputs)]
    signature = of_source(united(called))

    def call(inputs: Tensors) -> Tensors:
        given = to_public(inputs, public.inputs)
        found: Tensors = {}
        for one in called:
            found = to_source(runtime.run(one.name, given), one.outputs) | found
        return {spec.name: found[spec.name] for spec in signature.outputs}

    answer: dict[str, Any] = {"cases": [], "placement": runtime.placement(), "unstable": [], "why": ""}
    answer |= {"timed": None, "warmup": ""}
    given = [
        (case["name"], case.get("kind", "given"), case.get("row"), case["inputs"]) for case in job.arguments["cases"]
    ]
    if not given:
        refused: list[dict[str, str]] = []
        hints = {name: Hint.from_json(hint) for name, hint in job.arguments["hints"].items()}
        seed = int(job.arguments["seed"])
        sizing, seconds = settle(signature, hints, seed, call, refused)
        if sizing is None:
            return answer | {"why": f"the artifact accepted none of the inputs tried: {refused[-1]['why']}"}
        kinds = KINDS if seconds * 2 * BATCH * len(KINDS) <= UNJUDGED_S else KINDS[:1]
        for probe in probes(signature, sizing, hints, seed, kinds=kinds):
            given.append((probe.name, probe.kind, probe.row, _saved(job, len(given), probe)))
    for number, (name, kind, row, file) in enumerate(given):
        inputs = wire.load(Path(file))
        found = {"name": name, "kind": kind, "row": row, "inputs": file, "outputs": "", "error": ""}
        started = time.monotonic()
        try:
            outputs = call(inputs)
        except GatewayError as error:
            found["error"] = error.message
        else:
            found["outputs"] = f"{number:03}.outputs"
            wire.save(job.out / f"{number:03}.outputs", outputs)
            if number == 0:
                again = call(inputs)
                answer["unstable"] = [n for n in outputs if not compare(outputs[n], again[n]).passed]
        answer["cases"].append(found | {"seconds": time.monotonic() - started})
        job.progress("run", (number + 1) / len(given))
    taken = next((case["inputs"] for case in answer["cases"] if not case["error"]), "")
    if job.arguments.get("timed_s") and taken:
        inputs = to_public(wire.load(Path(job.arguments["timed_on"] or taken)), public.inputs)
        answer["timed"] = timed(lambda: runtime.run(public.name, inputs), float(job.arguments["timed_s"]))
    if taken and artifact.kind == SAVEDMODEL and Path(taken).stat().st_size <= MAX_WARMUP_BYTES:
        answer["warmup"] = warmup.FILE
        warmup.write(job.out / warmup.FILE, public.name, to_public(wire.load(Path(taken)), public.inputs))
    runtime.close()
    return answer


def timed(call: Callable[[], object], seconds: float) -> dict[str, Any]:
    """Call it for so long, a few times at least: the lower quartile, which other work on the machine moves least."""
    end = time.monotonic() + seconds
    for _ in range(WARM):
        call()
    took: list[float] = []
    while len(took) < LEAST_CALLS or (len(took) < MOST_CALLS and time.monotonic() < end):
        started = time.perf_counter()
        call()
        took.append((time.perf_counter() - started) * 1e3)
    return {"ms": sorted(took)[len(took) // 4], "calls": len(took)}


def load(artifact: Artifact, folder: Path) -> Runtime:
    """The artifact on the runtime of its kind. Errors: ModelRunError."""
    if artifact.kind not in RUNTIMES:
        raise ModelRunError(f"no runtime runs an artifact of kind {artifact.kind!r}, only {', '.join(RUNTIMES)}.")
    module, _, name = RUNTIMES[artifact.kind].partition(":")
    runtime: type[Runtime] = getattr(importlib.import_module(module), name)
    return filled(runtime.load(artifact, folder), artifact)


def _saved(job: Job, number: int, probe: Probe) -> str:
    path = job.out / f"{number:03}.inputs"
    wire.save(path, probe.inputs)
    return str(path)
