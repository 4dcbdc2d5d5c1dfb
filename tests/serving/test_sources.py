"""Who decides what is served: every source, what it may and may not, and what a restart keeps."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gateway.core.policy import Versions
from gateway.core.version import State
from gateway.errors import (
    ControlForbids,
    CorruptModel,
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    LabelUnavailable,
    ModelExists,
    ModelNotFound,
    ModelNotReady,
    RepositoryUnreadable,
    UnknownLabel,
)
from gateway.serving.control import RELOAD, Wanted
from gateway.serving.sources import Sources
from tests.e2e import affine
from tests.serving.living import living

BROKEN = affine.affine(1.0)[:60]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all: each content is converted once, for the file has the same name everywhere."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def place(tmp_path: Path, store: Path) -> Callable[..., Any]:
    return lambda **settings: living(tmp_path, store, **settings)


def play(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 150))


async def refused(call: Any, kind: type[GatewayError], *parts: str) -> None:
    with pytest.raises(kind) as caught:
        await call
    for part in parts:
        assert part in caught.value.explain()


# -- load and unload: model_control = "explicit" ------------------------------------------------


def test_explicit_nothing_is_served_until_it_is_loaded(place: Any) -> None:
    async def story() -> None:
        async with place(model_control="explicit") as gate:
            gate.drop("m/1/m.onnx", 1.0)
            await gate.manager.refresh()
            assert [(row.name, row.version, row.state) for row in gate.control.index()] == [("m", None, None)]
            status = await gate.control.load("m", extra={"config": "{}"}, deadline=gate.soon())
            assert [v.state for v in status.versions] == [State.AVAILABLE]
            assert await gate.k("m") == 1.0
            assert gate.control.wanted("m").extra == {"config": "{}"}
            gate.drop("m/1/m.onnx", 2.0)
            await asyncio.sleep(0.5)
            assert await gate.k("m") == 1.0, "changed files are taken when somebody asks, not before"
            await gate.control.load("m", deadline=gate.soon())
            assert await gate.k("m") == 2.0
            await gate.control.unload("m")
            await refused(gate.control.wait("m"), ModelNotFound)
            await gate.control.unload("m")  # twice is no error
            await gate.control.unload("nobody")
            assert (gate.repo / "m" / "1" / "m.onnx").exists()

    play(story())


def test_explicit_files_of_the_call_survive_a_restart(place: Any, store: Path) -> None:
    async def first() -> None:
        async with place(model_control="explicit") as gate:
            await gate.control.load("up", files={"1/m.onnx": affine.affine(1.0)}, deadline=gate.soon())
            await gate.control.load("up", files={"1/m.onnx": affine.affine(2.0)}, deadline=gate.soon())
            assert await gate.k("up") == 2.0
            assert len(list((store / "uploads" / "up").iterdir())) == 1, "what is not served is not kept"
            assert list(gate.repo.iterdir()) == []

    async def second() -> None:
        async with place(model_control="explicit") as gate:
            await gate.until_k("up", 2.0)
            await gate.control.unload("up")
            assert not list((store / "uploads" / "up").iterdir())

    async def third() -> None:
        async with place(model_control="explicit") as gate:
            await gate.manager.refresh()
            assert gate.control.index() == []

    for part in (first, second, third):
        play(part())


def test_explicit_what_cannot_be_loaded_says_so_and_the_old_one_serves(place: Any) -> None:
    async def story() -> None:
        async with place(model_control="explicit") as gate:
            gate.drop("m/1/m.onnx", 1.0)
            await refused(gate.control.load("n", deadline=gate.soon()), ModelNotFound, "no model 'n' lies in the rep")
            assert gate.control.wanted("n") is None
            await gate.control.load("m", deadline=gate.soon())
            (gate.repo / "m" / "1" / "m.onnx").write_bytes(BROKEN)
            await refused(gate.control.load("m", deadline=gate.soon()), CorruptModel, "m.onnx")
            assert await gate.k("m") == 1.0
            (row,) = [row for row in gate.control.index() if row.name == "m"]
            assert "its replacement" in row.reason
            for bad in ("../x.onnx", "/x.onnx", "1//m.onnx", "1/.hidden", ""):
                await refused(gate.control.load("m", files={bad: b"x"}), InvalidRequest, "is not a path for a file")
            await refused(gate.control.load("../m"), InvalidRequest, "is not a model name")
            gate.drop("late/1/m.onnx", 2.0)
            await refused(gate.control.load("late", deadline=time.monotonic()), DeadlineExceeded, "'late'")
            await gate.until_k("late", 2.0)

    play(story())


def test_load_and_unload_belong_to_explicit(place: Any) -> None:
    async def story() -> None:
        async with place() as gate:
            for call in (gate.control.load("m"), gate.control.unload("m")):
                await refused(call, ControlForbids, "model_control is poll", 'model_control = "explicit"')

    play(story())


def test_explicit_names_and_the_star_are_loaded_at_the_start(place: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        affine.write(tmp_path / "repo" / name / "m.onnx", 1.0)

    async def named() -> None:
        async with place(model_control="explicit", load_models="a") as gate:
            await gate.until_k("a", 1.0)
            assert gate.states("b") == {}
            await gate.control.unload("a")
            await gate.until_k("a", None)

    async def star() -> None:
        async with place(model_control="explicit", load_models="*") as gate:
            await gate.until_k("a", 1.0)
            await gate.until_k("b", 1.0)

    play(named())
    play(star())


def test_none_serves_what_lay_there_at_the_start(place: Any, tmp_path: Path) -> None:
    affine.write(tmp_path / "repo" / "a" / "m.onnx", 1.0)

    async def story() -> None:
        async with place(model_control="none") as gate:
            await gate.until_k("a", 1.0)
            gate.drop("a/m.onnx", 2.0)
            gate.drop("b/m.onnx", 2.0)
            await asyncio.sleep(0.5)
            assert await gate.k("a") == 1.0
            assert gate.states("b") == {}
            assert [row.name for row in gate.control.index() if row.state is None] == ["b"]

    play(story())


# -- register and unregister --------------------------------------------------------------------


def test_registered_by_version_with_a_default(place: Any, tmp_path: Path) -> None:
    one = affine.write(tmp_path / "models" / "m.onnx", 1.0)
    two = affine.write(tmp_path / "models" / "two" / "m.onnx", 2.0)

    async def story() -> None:
        async with place() as gate:
            await gate.control.register("m", str(one), version=1, deadline=gate.soon())
            await gate.control.register("m", str(two.parent), version=2, deadline=gate.soon())
            assert gate.states("m") == {1: "AVAILABLE", 2: "AVAILABLE"}
            assert await gate.k("m") == 2.0
            await gate.control.set_default("m", 1)
            assert await gate.k("m") == 1.0
            assert await gate.k("m", 2) == 2.0
            await refused(gate.control.set_default("m", 3), ModelNotFound, "Could not find version 3 of model m")
            again = gate.control.register("m", str(one), version=2)
            await refused(again, ModelExists, "version 2 of 'm' is registered already")
            await refused(gate.control.register("m", str(one)), ModelExists, "belongs to management")
            await gate.control.unregister("m", 2)
            assert gate.states("m").get(2) in (None, "DRAINING", "RETIRED")
            await refused(gate.control.unregister("m", 2), ModelNotFound, "version 2 of model m")
            assert two.exists()

    async def after_a_restart() -> None:
        async with place() as gate:
            await gate.until_k("m", 1.0)
            await gate.control.unregister("m")
            await refused(gate.control.unregister("m"), ModelNotFound, "no model 'm'")
            assert one.exists()

    play(story())
    play(after_a_restart())


def test_a_registration_that_fails_leaves_nothing(place: Any, tmp_path: Path) -> None:
    bad = tmp_path / "m.onnx"
    bad.write_bytes(BROKEN)

    async def story() -> None:
        async with place() as gate:
            await refused(gate.control.register("m", str(bad), deadline=gate.soon()), CorruptModel)
            assert gate.control.wanted("m") is None
            await gate.until(lambda: gate.states("m") == {})
            nowhere = gate.control.register("m", str(tmp_path / "nowhere"))
            await refused(nowhere, ModelNotFound, "nothing lies at")
            await refused(gate.control.register("a/b", str(bad)), InvalidRequest, "is not a model name")
            await gate.control.register("m", str(bad), wait=False)
            await gate.until(lambda: gate.states("m") == {1: "FAILED"})

    play(story())


def test_a_model_of_the_repository_is_unregistered_and_its_files_stay(place: Any, tmp_path: Path) -> None:
    file = affine.write(tmp_path / "repo" / "m" / "m.onnx", 1.0)

    async def story() -> None:
        async with place() as gate:
            await gate.until_k("m", 1.0)
            other = gate.control.register("m", str(file))
            await refused(other, ModelExists, "belongs to repository")
            await gate.control.unregister("m")
            await gate.until_k("m", None)
            assert file.exists()

    async def after_a_restart() -> None:
        async with place() as gate:
            await gate.manager.refresh()
            assert gate.states("m") == {}
            await gate.control.register("m", str(file), deadline=gate.soon())
            assert await gate.k("m") == 1.0

    play(story())
    play(after_a_restart())


# -- models.config and the reload ---------------------------------------------------------------


def base(root: Path, name: str, versions: dict[int, float]) -> str:
    for version, k in versions.items():
        affine.write(root / name / f"{version:08}" / "m.onnx", k)
    return str(root / name)


def test_a_reload_replaces_the_list_and_waits(place: Any, tmp_path: Path) -> None:
    a, b = base(tmp_path / "tf", "a", {1: 1.0, 2: 2.0}), base(tmp_path / "tf", "b", {1: 1.0})

    async def story() -> None:
        async with place(repository=False) as gate:
            await gate.control.reload([Wanted("a", RELOAD, a), Wanted("b", RELOAD, b)], deadline=gate.soon())
            assert (await gate.k("a"), await gate.k("b")) == (2.0, 1.0)
            await gate.control.reload([Wanted("a", RELOAD, a, versions=Versions(all=True))], deadline=gate.soon())
            await gate.control.wait("a", deadline=gate.soon())
            assert gate.states("a") == {1: "AVAILABLE", 2: "AVAILABLE"}
            await gate.until_k("b", None)
            await gate.control.reload([Wanted("a", RELOAD, a, versions=Versions(specific=(1,)))], deadline=gate.soon())
            await gate.until_k("a", 1.0)
            await gate.control.reload([Wanted("a", RELOAD, b)], deadline=gate.soon())  # another base path
            await gate.until(lambda: gate.control.wanted("a").path == b)
            await gate.until_k("a", 1.0)

    async def after_a_restart() -> None:
        async with place(repository=False) as gate:
            await gate.until_k("a", 1.0)
            assert gate.control.wanted("a").source == "reload"
            await refused(gate.control.unregister("a"), InvalidRequest, "'a' belongs to reload")

    play(story())
    play(after_a_restart())


def test_a_reload_takes_a_model_of_the_repository_over_and_gives_it_back(
    place: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    affine.write(tmp_path / "repo" / "m" / "1" / "m.onnx", 1.0)
    elsewhere = base(tmp_path / "tf", "m", {1: 2.0})

    async def story() -> None:
        async with place() as gate:
            await gate.until_k("m", 1.0)
            await gate.control.reload([Wanted("m", RELOAD, elsewhere)], deadline=gate.soon())
            await gate.until_k("m", 2.0)
            assert "repository: m is not served: the name belongs to reload, at another place." in caplog.text
            assert gate.control.wanted("m").source == "reload"
            await gate.control.reload([], deadline=gate.soon())
            await gate.until_k("m", 1.0)
            assert gate.control.wanted("m").source == "repository"

    play(story())


def test_new_base_path_costs_no_answer(place: Any, tmp_path: Path) -> None:
    old, new = base(tmp_path / "tf", "old", {5: 1.0}), base(tmp_path / "tf", "new", {1: 2.0})

    async def story() -> None:
        async with place(repository=False) as gate:
            await gate.control.reload([Wanted("m", RELOAD, old)], deadline=gate.soon())
            change = asyncio.create_task(gate.control.reload([Wanted("m", RELOAD, new)], deadline=gate.soon()))
            seen = {1.0}
            while 2.0 not in seen:
                seen.add(await gate.k("m"))
                await asyncio.sleep(0.01)
            await change
            assert seen == {1.0, 2.0}

    play(story())


def test_what_a_reload_may_not(place: Any, tmp_path: Path) -> None:
    a = base(tmp_path / "tf", "a", {1: 1.0})
    broken = tmp_path / "tf" / "broken" / "1" / "m.onnx"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(BROKEN)

    async def story() -> None:
        async with place(repository=False) as gate:
            await gate.control.register("mine", a, deadline=gate.soon())
            taken = gate.control.reload([Wanted("mine", RELOAD, a)])
            await refused(taken, ModelExists, "belongs to management")
            rows = [Wanted("b", RELOAD, str(broken.parents[1])), Wanted("c", RELOAD, str(tmp_path / "none"))]
            await refused(
                gate.control.reload(rows, deadline=gate.soon()),
                ModelNotReady,
                "2 servable(s) did not become available: {{b due to error: ",
                "the base path of 'c',",
            )
            await refused(gate.control.wait("c"), RepositoryUnreadable, "cannot be read")
            with pytest.raises(ModelNotFound) as caught:
                gate.manager.status("c")
            assert "the base path of 'c'" in caught.value.hint

    play(story())


def test_labels_point_only_to_what_serves(place: Any, tmp_path: Path) -> None:
    a = base(tmp_path / "tf", "a", {1: 1.0, 2: 2.0})

    def row(versions: Versions, **labels: int) -> Wanted:
        return Wanted("a", RELOAD, a, versions=versions, labels=labels)

    async def story() -> None:
        async with place(repository=False) as gate:
            text = "Request to assign label to version 2 of model a, which is not currently available for inference"
            await refused(gate.control.reload([row(Versions(), new=2)]), LabelUnavailable, text)
            assert gate.control.wanted("a") is None
            await gate.control.reload([row(Versions(all=True))], deadline=gate.soon())
            await gate.control.reload([row(Versions(all=True), stable=1, canary=2)], deadline=gate.soon())
            assert (await gate.k("a", label="stable"), await gate.k("a", label="canary")) == (1.0, 2.0)
            await gate.control.set_labels("a", {"stable": 2})
            assert await gate.k("a", label="stable") == 2.0
            await refused(gate.k("a", label="stabel"), UnknownLabel, "version label: stabel", "Did you mean 'stable'?")
            await refused(gate.control.set_labels("a", {"x": 3}), LabelUnavailable, "version 3 of model a")

    async def allowed() -> None:
        async with place(repository=False, tfserving={"labels_for_unavailable": True}) as gate:
            await gate.control.reload([Wanted("b", RELOAD, a, labels={"new": 2})], deadline=gate.soon())
            assert await gate.k("b", label="new") == 2.0
            moved = gate.control.reload([Wanted("b", RELOAD, a, labels={"new": 7})])
            await refused(moved, LabelUnavailable, "version 7 of model b")

    play(story())
    play(allowed())


# -- the file beside the store ------------------------------------------------------------------

DAMAGED = {
    "not JSON": b"{",
    "another shape": b'{"sources": []}',
    "a row without its name": b'{"sources": {"management": [{}]}, "said": {}, "config": ""}',
    "a version that is no number": json.dumps(
        {"sources": {"load": [Wanted("m", "load").to_json() | {"at": {"x": "y"}}]}, "said": {}, "config": ""}
    ).encode(),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_memory_is_a_warning(data: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "m.json").write_bytes(data)
    sources = Sources(tmp_path / "m.json")
    sources.read()
    assert sources.current() == {}
    assert "cannot be read" in caplog.text


def test_what_is_written_is_read(tmp_path: Path) -> None:
    row = Wanted("m", "management", at={3: "/x"}, versions=Versions(specific=(1, 3)), labels={"a": 1}, extra={"k": [1]})
    sources = Sources(tmp_path / "m.json")
    sources.put(row)
    sources.put(Wanted("r", "repository"))
    sources.say("m", default=3)
    sources.write(sources.dump())
    again = Sources(tmp_path / "m.json")
    again.read()
    assert again.current() == {"m": sources.get("m")}
    assert again.get("m").versions == Versions(specific=(1, 3), pinned=(3,))


def test_a_reload_holds_until_the_file_it_replaced_changes(tmp_path: Path) -> None:
    sources = Sources(tmp_path / "m.json")
    assert sources.configured([Wanted("a", "models.config", "/a")], "digest 1")
    sources.reloaded([Wanted("b", "reload", "/b")])
    assert not sources.configured([Wanted("a", "models.config", "/a")], "digest 1")
    assert list(sources.current()) == ["b"]
    assert sources.configured([Wanted("c", "models.config", "/c")], "digest 2")
    assert list(sources.current()) == ["c"]


def test_of_two_sources_the_call_has_the_name(tmp_path: Path) -> None:
    sources = Sources(tmp_path / "m.json")
    sources.put(Wanted("m", "models.config", "/a"))
    sources.put(Wanted("m", "management", "/b"))
    assert sources.get("m").source == "management"
    sources.remove("management", "m")
    assert sources.get("m").source == "models.config"
