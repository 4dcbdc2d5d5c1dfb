"""A Predictor over plain numpy functions, and servers around it: what the protocol tests talk to."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gateway.config import Limits, Settings
from gateway.core.dtypes import Tensors
from gateway.core.preprocess import Preprocess
from gateway.core.signature import SERVING_DEFAULT, Signature, TensorSpec
from gateway.core.version import State
from gateway.errors import GatewayError, ModelNotFound, Overloaded, UnknownLabel, UnknownSignature
from gateway.protocols.servers import Servers
from gateway.serving import statistics as stats
from gateway.serving.control import IndexRow, Wanted
from gateway.serving.predict import Lease, ModelSpec, ModelStatus, PredictCall, PredictResponse, VersionStatus
from gateway.serving.statistics import Statistics

Run = Callable[[Tensors], Tensors | Awaitable[Tensors]]


@dataclass(frozen=True)
class Model:
    run: Run
    signature: Signature
    versions: tuple[int, ...] = (1,)
    signatures: Mapping[str, Signature] = field(default_factory=dict)
    max_rows: int | None = None

    def all_signatures(self) -> dict[str, Signature]:
        return {SERVING_DEFAULT: self.signature, **self.signatures}


def model(run: Run, inputs: Sequence[str], outputs: Sequence[str], versions: tuple[int, ...] = (1,)) -> Model:
    from gateway.core.signature import parse_spec

    return Model(run, Signature(tuple(map(parse_spec, inputs)), tuple(map(parse_spec, outputs))), versions)


class DoubleLease(Lease):
    def __init__(self, predictor: Double, found: Model, name: str, version: int, signature: Signature) -> None:
        self._predictor, self._found = predictor, found
        self.model, self.version, self.signature, self.artifact = name, version, signature, "double"
        self.max_rows, self.labels_for = found.max_rows, ""
        predictor.leases += 1

    async def predict(self, call: PredictCall) -> PredictResponse:
        self._predictor.calls.append(call)
        statistics = self._predictor.statistics(self.model, self.version)
        try:
            self.signature.check(call.inputs)
            answer = self._found.run(call.inputs)
            outputs = answer if isinstance(answer, dict) else await answer
        except BaseException as error:
            statistics.failed(error, 1)
            raise
        statistics.ran(stats.Run(1, 1, waited_ns=2, input_ns=3, infer_ns=4, output_ns=5))
        statistics.answered(20)
        wanted = self.signature.select(call.outputs)
        return PredictResponse(
            {spec.name: outputs[spec.name] for spec in wanted},
            self.model,
            self.version,
            self.signature.name,
            self.artifact,
        )

    def release(self) -> None:
        self._predictor.leases -= 1


class Double:
    """Implements Predictor. `calls` are the PredictCalls that arrived; `leases` those not given back."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = dict(models)
        self.calls: list[PredictCall] = []
        self.leases = 0
        self.ready = True
        self._statistics: dict[tuple[str, int], Statistics] = {}

    def _find(self, spec: ModelSpec) -> tuple[Model, int]:
        if spec.label is not None:
            raise UnknownLabel(f"Unrecognized servable version label: {spec.label}")
        found = self._models.get(spec.name)
        if found is None or (spec.version is not None and spec.version not in found.versions):
            raise ModelNotFound(f"Servable not found for request: {spec}")
        return found, max(found.versions) if spec.version is None else spec.version

    def lease(self, spec: ModelSpec, signature: str = SERVING_DEFAULT) -> Lease:
        found, version = self._find(spec)
        known = found.all_signatures()
        if signature not in known:
            raise UnknownSignature("no such signature", hint=f"The model has: {', '.join(known)}.")
        return DoubleLease(self, found, spec.name, version, known[signature])

    def signatures(self, spec: ModelSpec) -> tuple[str, int, Mapping[str, Signature]]:
        found, version = self._find(spec)
        return spec.name, version, found.all_signatures()

    def status(self, name: str, version: int | None = None) -> ModelStatus:
        found = self._models.get(name)
        versions = sorted(found.versions, reverse=True) if found else []
        shown = [VersionStatus(v, State.AVAILABLE, "passed") for v in versions if version in (None, v)]
        if name == "broken":
            shown = [
                VersionStatus(7, State.FAILED, "failed", "graph.onnx ends at byte 12.", "Copy it again.", "convert")
            ]
        if not shown:
            raise ModelNotFound(f"no model {name}")
        return ModelStatus(name, shown)

    def models(self) -> Sequence[ModelStatus]:
        return [self.status(name) for name in self._models]

    def statistics(self, name: str, version: int) -> Statistics:
        self.status(name, version)
        return self._statistics.setdefault((name, version), Statistics())

    def describe(self, name: str, version: int) -> dict[str, Any]:
        self.status(name, version)
        report = {"verdict": "passed", "oracle": "numpy"} if name != "broken" else None
        return {"name": name, "version": version, "verification": report}


def half_plus_two() -> Model:
    def run(inputs: Tensors) -> Tensors:
        return {"y": inputs["x"] * np.float32(0.5) + np.float32(2)}

    x = TensorSpec("x", "float32", (None, 1), tensor="x:0")
    y = TensorSpec("y", "float32", (None, 1), tensor="y:0")
    return Model(run, Signature((x,), (y,)), versions=(122, 123))


def identity(dtype: str, shape: str = "...") -> Model:
    spec = TensorSpec("x", dtype, None)
    return Model(lambda inputs: {"y": inputs["x"]}, Signature((spec,), (replace(spec, name="y", tensor="y"),)))


async def _slow(inputs: Tensors) -> Tensors:
    await asyncio.sleep(float(inputs["x"].reshape(-1)[0]))
    return {"y": inputs["x"]}


def _raise(error: Exception) -> Run:
    def run(inputs: Tensors) -> Tensors:
        raise error

    return run


def _picture(inputs: Tensors) -> Tensors:
    texts = np.array([b"caf\xc3\xa9", b"\xff\x00"], object)
    return {"label": texts, "raw_bytes": texts}


def all_models() -> dict[str, Model]:
    return models()


def with_labels(found: Model, labels: tuple[str, ...]) -> Model:
    return replace(found, signature=replace(found.signature, labels=labels))


def both() -> Model:
    """A classification and a regression over one input."""
    found = model(
        lambda t: {"scores": t["x"][:, None] + np.float32([0, 1]), "outputs": t["x"] * 2},
        ["x:float32[?]"],
        ["scores:float32[?,2]"],
    )
    regression = Signature(found.signature.inputs, (TensorSpec("outputs", "float32", (None,)),), name="regress")
    return replace(found, signatures={"regress": regression})


def _scores(inputs: Tensors) -> Tensors:
    p = inputs["b"][:, :1] * np.float32([1, 2, 3]) + inputs["b"][:, 1:] + inputs["a"][:, None]
    return {"p": p, "raw": -p}


def _named(inputs: Tensors) -> Tensors:
    x = inputs["x"].reshape(-1, 1)
    classes = np.array([[b"low", b"high"]] * len(x), object)
    return {"classes": classes, "scores": np.concatenate([1 - x, x], axis=1)}


def _lengths(inputs: Tensors) -> Tensors:
    return {"y": np.array([len(text) for text in inputs["examples"]], np.float32)}


def models() -> dict[str, Model]:
    """Every model that the protocol tests call, by name."""
    found = {f"id_{name}": identity(name) for name in ("float32", "float64", "float16", "bfloat16", "int8", "int16")}
    found |= {f"id_{name}": identity(name) for name in ("int32", "int64", "uint8", "uint16", "uint32", "uint64")}
    found |= {f"id_{name}": identity(name) for name in ("bool", "string", "complex64", "complex128")}
    return found | {
        "half_plus_two": half_plus_two(),
        "flat": model(lambda t: {"y": t["x"] / 2 + 2}, ["x:float64[?]"], ["y:float64[?]"]),
        "two": model(
            lambda t: {"sum": t["a"] + t["b"], "difference": t["a"] - t["b"]},
            ["a:float32[?]", "b:float32[?]"],
            ["sum:float32[?]", "difference:float32[?]"],
        ),
        "scalar": model(lambda t: {"y": t["x"].sum()}, ["x:float32[?]"], ["y:float32[]"]),
        "uneven": model(lambda t: {"y": t["x"], "z": t["x"][:1]}, ["x:float32[?]"], ["y:float32[?]", "z:float32[?]"]),
        "strings": model(_picture, ["x:float32[?]"], ["label:string[?]", "raw_bytes:string[?]"]),
        "nan": model(
            lambda t: {"y": np.array([[np.nan, 1], [np.inf, -np.inf]], np.float32)},
            ["x:float32[?]"],
            ["y:float32[?,2]"],
        ),
        "pictures": labelled(),
        "ranked": Model(
            lambda t: {"y": t["x"]},
            Signature(
                (TensorSpec("x", "float32", (None, 3)),),
                (TensorSpec("y", "float32", (None, 3)),),
                labels=("a", "b", "c"),
            ),
        ),
        "classifier": with_labels(
            model(_scores, ["a:float32[?]", "b:float32[?,2]"], ["p:float32[?,3]", "raw:float32[?,3]"]),
            ("cat", "dog", "café"),
        ),
        "second": with_labels(
            model(
                lambda t: {"logits": -t["x"], "scores": t["x"]},
                ["x:float32[?,2]"],
                ["logits:float32[?,2]", "scores:float32[?,2]"],
            ),
            ("a", "b"),
        ),
        "named": model(_named, ["x:float32[?,1]"], ["classes:string[?,2]", "scores:float32[?,2]"]),
        "only_classes": model(lambda t: {"classes": _named(t)["classes"]}, ["x:float32[?]"], ["classes:string[?,2]"]),
        "regressor": model(lambda t: {"y": t["x"].sum(axis=1, keepdims=True)}, ["x:float32[?,2]"], ["y:float32[?,1]"]),
        "outputs": model(
            lambda t: {"extra": t["x"], "outputs": t["x"] * 2},
            ["x:float32[?]"],
            ["extra:float32[?]", "outputs:float32[?]"],
        ),
        "double_out": model(lambda t: {"y": t["x"].astype(np.float64)}, ["x:float32[?]"], ["y:float64[?]"]),
        "serialised": model(_lengths, ["examples:string[?]"], ["y:float32[?]"]),
        "ints": model(lambda t: {"y": t["x"].astype(np.float32)}, ["x:int8[?]"], ["y:float32[?]"]),
        "lists": model(lambda t: {"y": t["x"].sum(axis=1)}, ["x:float32[?,?]"], ["y:float32[?]"]),
        "square": model(lambda t: {"y": t["x"].sum(axis=(1, 2))}, ["x:float32[?,2,2]"], ["y:float32[?]"]),
        "texts": model(
            lambda t: {"y": np.array([len(s) for s in t["x"][:, 0]], np.float32)}, ["x:string[?,1]"], ["y:float32[?]"]
        ),
        "flags": model(lambda t: {"y": t["x"].astype(np.float32)}, ["x:bool[?]"], ["y:float32[?]"]),
        "both": both(),
        "slow": model(_slow, ["x:float32[?]"], ["y:float32[?]"]),
        "full": model(_raise(Overloaded("the queue of full has 1024 requests.")), ["x:float32[?]"], ["y:float32[?]"]),
        "bug": model(_raise(KeyError("secret inside")), ["x:float32[?]"], ["y:float32[?]"]),
    }


def labelled() -> Model:
    """Ten labels of an 8 x 8 picture: the share of each of the first ten pixels; scores are the pixels themselves."""

    def run(inputs: Tensors) -> Tensors:
        pixels = inputs["image"].reshape(-1, 64)[:, :10] + np.float32(1)
        return {"probabilities": pixels / pixels.sum(axis=1, keepdims=True), "scores": pixels}

    image = TensorSpec("image", "float32", (None, 1, 8, 8))
    outputs = (TensorSpec("probabilities", "float32", (None, 10)), TensorSpec("scores", "float32", (None, 10)))
    labels = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    preprocess = Preprocess(input="image", colour="gray").to_json()
    return Model(run, Signature((image,), outputs, labels=labels, preprocess=preprocess))


class Seen:
    """An Observe that remembers."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def request(self, **told: Any) -> None:
        self.requests.append(told)


class Commands:
    """A Control that remembers what it was told. `error` is what the next call raises; `rows` what `wanted` knows."""

    def __init__(self, predictor: Double, mode: str = "explicit") -> None:
        self._predictor = predictor
        self.mode = mode
        self.calls: list[tuple[Any, ...]] = []
        self.rows: dict[str, Wanted] = {}
        self.error: GatewayError | None = None

    def _called(self, *what: Any) -> None:
        self.calls.append(what)
        error, self.error = self.error, None
        if error is not None:
            raise error

    async def load(self, name: str, *, deadline: float | None = None, **more: Any) -> ModelStatus:
        self._called("load", name, more)
        return self._predictor.status(name)

    async def unload(self, name: str, *, deadline: float | None = None) -> None:
        self._called("unload", name)

    async def register(self, name: str, path: str, *, deadline: float | None = None, **more: Any) -> ModelStatus:
        self._called("register", name, path, more)
        return ModelStatus(name, [VersionStatus(more.get("version") or 1, State.AVAILABLE)])

    async def unregister(self, name: str, version: int | None = None) -> None:
        self._called("unregister", name, version)

    async def reload(self, models: Sequence[Wanted], *, deadline: float | None = None) -> None:
        self._called("reload", list(models))

    async def set_default(self, name: str, version: int) -> None:
        self._called("set_default", name, version)

    async def set_labels(self, name: str, labels: Mapping[str, int]) -> None:
        self._called("set_labels", name, dict(labels))

    async def wait(self, name: str, *, version: int | None = None, deadline: float | None = None) -> ModelStatus:
        self._called("wait", name, version)
        return self._predictor.status(name, version)

    def index(self, *, ready: bool = False) -> Sequence[IndexRow]:
        rows = [
            IndexRow(model.name, v.version, v.state, f"{v.reason} {v.hint}".strip(), "repository")
            for model in self._predictor.models()
            for v in model.versions
            if not ready or v.state is State.AVAILABLE
        ]
        return rows if ready else [*rows, IndexRow("never-tried", None, None, "", "repository")]

    def wanted(self, name: str) -> Wanted | None:
        return self.rows.get(name)


@dataclass
class Running:
    """Live servers in a thread of their own."""

    addresses: dict[str, str]
    predictor: Double
    seen: Seen
    servers: Servers
    loop: asyncio.AbstractEventLoop
    control: Commands

    def url(self, path: str, listener: str = "http") -> str:
        return f"http://{self.addresses[listener]}{path}"

    def do(self, work: Any, timeout_s: float = 10.0) -> Any:
        """Run a coroutine in the servers' loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)


@contextlib.contextmanager
def running(
    settings: Settings | None = None,
    make: Callable[..., Servers] = Servers,
    *,
    models: Mapping[str, Model] | None = None,
    shared_memory: bool = False,
    **limits: Any,
) -> Iterator[Running]:
    """Servers over `models` (those of `models()` when None) on free ports, in a thread."""
    settings = replace(
        settings or Settings(),
        grpc_port=0,
        http_port=0,
        admin_port=0,
        metrics_port=0,
        limits=Limits(**limits),
        shared_memory=shared_memory,
    )
    predictor, seen = Double(all_models() if models is None else models), Seen()
    control = Commands(predictor)
    started: list[Running] = []
    up, done = threading.Event(), threading.Event()

    async def main() -> None:
        servers = make(settings, predictor, lambda: ("text/plain; version=0.0.4", b"up 1\n"), seen, control)
        addresses = await servers.start()
        started.append(Running(addresses, predictor, seen, servers, asyncio.get_running_loop(), control))
        up.set()
        while not done.is_set():
            await asyncio.sleep(0.01)
        await servers.stop()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert up.wait(20), "the servers did not start"
        yield started[0]
    finally:
        done.set()
        thread.join(20)
    assert not thread.is_alive()


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until `true()`; fails after `seconds`."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"not true after {seconds} s"
        time.sleep(0.01)
