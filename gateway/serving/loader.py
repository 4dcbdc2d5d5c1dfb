"""Loading: from a stored artifact to a warm runtime. Blocks; the manager calls it from a thread.

Rule 1: a version is AVAILABLE only after a run with inputs that verification has seen work; an
        artifact that brings none (unverified) is loaded without, and says so.
Rule 2: a framework never runs in this process: a native artifact has a worker of its own,
        whatever `isolation` says.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from gateway import config
from gateway.core.artifact import WARMUP_FILE, Artifact
from gateway.core.dtypes import Tensors
from gateway.errors import ModelRunError
from gateway.process import wire
from gateway.repository.store import Stored
from gateway.runtimes.base import Runtime
from gateway.runtimes.isolated import IsolatedRuntime, Worker
from gateway.runtimes.ort import OrtRuntime
from gateway.runtimes.rows import filled
from gateway.serving.batcher import UNKNOWN_US

log = logging.getLogger("gateway.serving")

RUNTIMES: tuple[type[Runtime], ...] = (OrtRuntime,)


@dataclass(frozen=True)
class Loaded:
    runtime: Runtime
    placement: dict[str, str]
    run_us: float  # of the second warm run; UNKNOWN_US without a warm-up
    seconds: float


def load(stored: Stored, *, isolated: bool, settings: config.Runtime, sandbox: tuple[int, int] = (0, 3)) -> Loaded:
    """`sandbox` are the lowest and the highest level. Errors: ModelRunError, WorkerDied, EnvironmentMissing."""
    started = time.monotonic()
    artifact = stored.artifact
    runtime = filled(_start(stored, isolated, settings, sandbox), artifact)
    try:
        run_us = _warm_up(runtime, artifact, stored)
    except BaseException:
        runtime.close()
        raise
    return Loaded(runtime, runtime.placement(), run_us, time.monotonic() - started)


def _start(stored: Stored, isolated: bool, settings: config.Runtime, sandbox: tuple[int, int]) -> Runtime:
    artifact = stored.artifact
    kind = next((r for r in RUNTIMES if r.accepts(artifact)), None)
    if kind is None and not IsolatedRuntime.accepts(artifact):
        raise ModelRunError(
            f"no runtime here loads an artifact of kind {artifact.kind!r}; "
            f"known are {', '.join(r.name for r in RUNTIMES)}, tensorflow, native."
        )
    providers = tuple(name.strip() for name in settings.providers.split(",") if name.strip())
    if isolated or kind is None:
        least, most = sandbox
        worker = Worker(load_s=settings.load_s, run_s=settings.run_s, min_level=least, max_level=most)
        worker = worker.for_artifact(artifact)
        return IsolatedRuntime.load(
            artifact, stored.folder, threads=settings.threads, providers=providers, worker=worker
        )
    return kind.load(artifact, stored.folder, threads=settings.threads, providers=providers)


def _warm_up(runtime: Runtime, artifact: Artifact, stored: Stored) -> float:
    path = stored.folder / WARMUP_FILE
    if WARMUP_FILE not in artifact.files or not path.exists():
        return UNKNOWN_US
    inputs: Tensors = wire.load(path)
    signature = artifact.signatures[0]
    runtime.run(signature.name, inputs)
    started = time.perf_counter()
    runtime.run(signature.name, inputs)
    return (time.perf_counter() - started) * 1e6
