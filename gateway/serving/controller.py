"""Control over the manager: load, unload, register, reload, defaults, labels, the index.

    change a source -> write it -> look -> advance -> wait

Rule 1: what is refused has changed nothing; a model that was to be added and failed is taken out again.
Rule 2: calls that change sources run one at a time; whoever waits for a model lets the others go on.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.core.names import check_model_name
from gateway.core.policy import Versions
from gateway.core.version import State
from gateway.errors import (
    ControlForbids,
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    LabelUnavailable,
    ModelExists,
    ModelNotFound,
    ModelNotReady,
    ShuttingDown,
)
from gateway.serving import views
from gateway.serving.control import CONFIG, LOAD, MANAGEMENT, RELOAD, REPOSITORY, IndexRow, Wanted
from gateway.serving.generation import Generation
from gateway.serving.manager import Manager
from gateway.serving.predict import ModelStatus
from gateway.serving.uploads import Uploads
from gateway.serving.waiting import Waiting

log = logging.getLogger("gateway.serving")


class Controller:
    """Implements serving.control.Control."""

    def __init__(self, manager: Manager, uploads: Path) -> None:
        self._manager = manager
        self._uploads = Uploads(uploads)
        self._waiting = Waiting(manager)
        self._one_at_a_time = asyncio.Lock()

    @property
    def mode(self) -> str:
        return self._manager.settings.model_control

    # -- load and unload, model_control = "explicit"

    async def load(
        self,
        name: str,
        *,
        files: Mapping[str, bytes] | None = None,
        versions: Versions | None = None,
        extra: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> ModelStatus:
        self._explicit("load", name)
        check_model_name(name)
        async with self._one_at_a_time:
            old = self._manager.sources.get(name)
            if old is not None and old.source not in (LOAD, REPOSITORY):
                raise _taken(old)
            path = await asyncio.to_thread(self._uploads.keep, name, files) if files else ""
            row = Wanted(name, LOAD, path, versions=versions or Versions(), extra=dict(extra or {}))
            self._manager.sources.put(row)
            await self._save()
        self._manager.failures.begin_again(name)
        await self._manager.refresh(name)
        look = self._manager.look
        if not self._manager.fleet.of(name) and name not in look.unreadable:
            await self._take_back(row, old)
            raise look.unread or ModelNotFound(f"no model '{name}' lies in the repository.", hint=self._near(name))
        self._manager.advance(name)
        status = await self.wait(name, deadline=deadline)
        await asyncio.to_thread(self._uploads.sweep, name, path)
        return status

    async def unload(self, name: str, *, deadline: float | None = None) -> None:
        self._explicit("unload", name)
        async with self._one_at_a_time:
            row = self._manager.sources.get(name)
            if row is None:
                return
            if row.source not in (LOAD, REPOSITORY):
                raise _taken(row)
            self._manager.sources.remove(LOAD, name)
            self._manager.sources.remove(REPOSITORY, name)
            await self._save()
        await self._manager.refresh()
        await self._waiting.gone(name, None, deadline)
        await asyncio.to_thread(self._uploads.sweep, name, "")

    def _explicit(self, what: str, name: str) -> None:
        if self.mode != "explicit":
            raise ControlForbids(
                f"{what} of '{name}': explicit {what} is not allowed, for model_control is {self.mode}.",
                hint='Start the gateway with model_control = "explicit".',
            )

    # -- register and unregister, in every mode

    async def register(
        self,
        name: str,
        path: str,
        *,
        version: int | None = None,
        versions: Versions | None = None,
        labels: Mapping[str, int] | None = None,
        extra: Mapping[str, Any] | None = None,
        wait: bool = True,
        deadline: float | None = None,
    ) -> ModelStatus:
        check_model_name(name)
        real = os.path.realpath(path)
        if not await asyncio.to_thread(os.path.exists, real):
            raise ModelNotFound(f"nothing lies at {path}, where '{name}' is to be.")
        async with self._one_at_a_time:
            old = self._manager.sources.get(name)
            row = self._registered(name, real, version, labels, extra)
            chosen = versions or (Versions(all=True) if version is not None else row.versions)
            row = replace(row, versions=chosen)
            self._manager.sources.put(row)
            await self._save()
        self._manager.failures.begin_again(name)
        await self._manager.refresh(name)
        self._manager.advance(name)
        if not wait:
            return views.model_status(name, self._manager.fleet.of(name))
        try:
            return await self.wait(name, version=version, deadline=deadline)
        except (DeadlineExceeded, ShuttingDown):
            raise  # it goes on being tried
        except GatewayError:
            await self._take_back(row, old, version)
            raise

    def _registered(
        self,
        name: str,
        path: str,
        version: int | None,
        labels: Mapping[str, int] | None,
        extra: Mapping[str, Any] | None,
    ) -> Wanted:
        """The row with the new place in it. Errors: ModelExists."""
        old = self._manager.sources.get(name)
        if old is None and any(g.present for g in self._manager.fleet.of(name)):
            raise _taken(self._manager.row(name))
        if old is not None and not old.off:
            if old.source != MANAGEMENT or version is None or not old.at or version in old.at:
                raise _taken(old, version)
            return replace(
                old,
                at={**old.at, version: path},
                labels={**old.labels, **(labels or {})},
                extra=dict(extra or old.extra),
            )
        if version is None:
            return Wanted(name, MANAGEMENT, path, labels=dict(labels or {}), extra=dict(extra or {}))
        return Wanted(name, MANAGEMENT, at={version: path}, labels=dict(labels or {}), extra=dict(extra or {}))

    async def unregister(self, name: str, version: int | None = None) -> None:
        async with self._one_at_a_time:
            row = self._manager.sources.get(name)
            there = self._manager.fleet.of(name)
            if (row is None or row.off) and not any(g.present for g in there):
                raise ModelNotFound(f"no model '{name}'.", hint=views.known_names(self._manager.fleet.models, name))
            row = row or self._manager.row(name)
            if row.source in (CONFIG, RELOAD):
                raise InvalidRequest(f"'{name}' belongs to {row.source}.", hint="Take it out of that list.")
            if version is not None and not any(g.version == version for g in there) and version not in row.at:
                raise ModelNotFound(f"Could not find version {version} of model {name}")
            self._remove(row, version)
            await self._save()
        await self._manager.refresh(name)
        self._manager.advance(name)
        await self._waiting.gone(name, version, None)

    def _remove(self, row: Wanted, version: int | None) -> None:
        sources = self._manager.sources
        if version is not None and row.at and set(row.at) != {version}:
            sources.put(replace(row, at={n: path for n, path in row.at.items() if n != version}, default=None))
            return
        if version is not None and not row.at:
            raise InvalidRequest(
                f"version {version} of '{row.name}' was not registered by number: it lies below {row.path or 'REPO'}.",
                hint="Remove its folder, or unregister the whole model.",
            )
        sources.remove(row.source, row.name)
        if row.in_repository and self.mode != "explicit":
            sources.put(Wanted(row.name, MANAGEMENT, off=True))

    # -- models.config and reload

    async def configure(self, models: Sequence[Wanted], digest: str) -> None:
        """What models.config says, where `digest` is of its text. A reload that replaced that text stands."""
        sources = self._manager.sources
        async with self._one_at_a_time:
            names = sources.of(CONFIG).keys() | sources.of(RELOAD).keys()
            if not sources.configured(models, digest):
                log.info("models.config is the one that a reload has replaced: what was reloaded stands")
                return
            await self._save()
        await self._manager.refresh()
        self._manager.advance_all(names | {row.name for row in models})

    async def follow(self, read: Callable[[], tuple[Sequence[Wanted], str]], every_s: float, digest: str) -> None:
        """Read models.config again and again; a file that is wrong changes nothing and is said once.

        `digest` is that of the text that was read at the start.
        """
        said = ""
        while True:
            await asyncio.sleep(every_s)
            try:
                rows, now = await asyncio.to_thread(read)
                if now != digest:
                    await self.configure(rows, now)
                said, digest = "", now
            except GatewayError as error:
                if str(error) != said:
                    log.error("models.config: %s What is served stays served.", error.explain())
                said = str(error)

    async def reload(self, models: Sequence[Wanted], *, deadline: float | None = None) -> None:
        rows = [replace(row, source=RELOAD) for row in models]
        sources = self._manager.sources
        async with self._one_at_a_time:
            before = {**sources.of(CONFIG), **sources.of(RELOAD)}
            self._check_list(rows, before)
            sources.reloaded(rows)
            await self._save()
            names = before.keys() | {row.name for row in rows}
        await self._manager.refresh()
        self._manager.advance_all(names)
        await self._wait_for_all([row.name for row in rows if row.name not in before], deadline)

    def _check_list(self, rows: Sequence[Wanted], before: Mapping[str, Wanted]) -> None:
        """Errors: ModelExists when a call has the name; LabelUnavailable, as TensorFlow Serving says it."""
        for row in rows:
            held = self._manager.sources.get(row.name)
            if held is not None and held.source in (MANAGEMENT, LOAD):
                raise _taken(held)
            moved = row.name in before and (before[row.name].path, before[row.name].at) != (row.path, row.at)
            self._check_labels(row.name, row.labels, () if moved else self._manager.fleet.of(row.name))

    def _check_labels(self, name: str, labels: Mapping[str, int], generations: Sequence[Generation]) -> None:
        old = self._manager.routing.labels(name)
        for label, version in labels.items():
            if any(g.version == version and g.state is State.AVAILABLE for g in generations):
                continue
            allowed = self._manager.settings.tfserving.labels_for_unavailable
            if not (allowed and old.get(label, version) == version):
                raise LabelUnavailable(
                    f"Request to assign label to version {version} of model {name}, "
                    "which is not currently available for inference"
                )

    async def _wait_for_all(self, names: Sequence[str], deadline: float | None) -> None:
        failed: list[str] = []
        for name in names:
            try:
                await self.wait(name, deadline=deadline)
            except (DeadlineExceeded, ShuttingDown):
                raise
            except GatewayError as error:
                failed.append(f"{{{name} due to error: {error.explain()}}}")
        if failed:
            raise ModelNotReady(f"{len(failed)} servable(s) did not become available: {{{', '.join(failed)}}}")

    # -- defaults and labels

    async def set_default(self, name: str, version: int) -> None:
        self._version_that_serves(name, version)
        self._manager.sources.say(name, default=version)
        await self._save()
        self._manager.advance(name)

    def _version_that_serves(self, name: str, version: int) -> None:
        generations = [g for g in self._manager.fleet.of(name) if g.version == version]
        if not generations:
            self._manager.status(name)
            raise ModelNotFound(f"Could not find version {version} of model {name}")
        if not any(g.answers for g in generations):
            why = views.version_status(generations)
            raise ModelNotReady(f"version {version} of model {name} does not serve: {why.reason or why.state.value}.")

    async def set_labels(self, name: str, labels: Mapping[str, int]) -> None:
        self._manager.status(name)
        self._check_labels(name, labels, self._manager.fleet.of(name))
        self._manager.sources.say(name, labels=labels)
        await self._save()
        self._manager.advance(name)

    async def wait(self, name: str, *, version: int | None = None, deadline: float | None = None) -> ModelStatus:
        return await self._waiting.served(name, version, deadline)

    # -- reading

    def index(self, *, ready: bool = False) -> Sequence[IndexRow]:
        found: list[IndexRow] = []
        for status in self._manager.models():
            source = self._manager.row(status.name).source
            for version in sorted(status.versions, key=lambda v: v.version):
                if not ready or version.state is State.AVAILABLE:
                    reason = f"{version.reason} {version.hint}".strip()
                    found.append(IndexRow(status.name, version.version, version.state, reason, source))
        if not ready:
            look, known = self._manager.look, self._manager.fleet.models
            for name in look.listed.keys() - known.keys():
                found.append(IndexRow(name, None, None, "", REPOSITORY))
            for name, error in look.unreadable.items():
                if name not in known:
                    found.append(IndexRow(name, None, None, error.explain(), self._manager.row(name).source))
        return sorted(found, key=lambda row: (row.name, row.version or 0))

    def wanted(self, name: str) -> Wanted | None:
        row = self._manager.sources.get(name)
        if row is None and (name in self._manager.fleet.models or name in self._manager.look.listed):
            return self._manager.row(name)
        return row

    # -- shared

    async def _save(self) -> None:
        sources = self._manager.sources
        await asyncio.to_thread(sources.write, sources.dump())

    async def _take_back(self, row: Wanted, old: Wanted | None, version: int | None = None) -> None:
        """Undo a row that was put, and nothing that other calls have done meanwhile."""
        sources = self._manager.sources
        async with self._one_at_a_time:
            now = sources.of(row.source).get(row.name)
            if now is None:
                return
            others = {number: path for number, path in now.at.items() if number != version}
            if version is not None and others:
                sources.put(replace(now, at=others))
            elif old is not None and old.source == row.source:
                sources.put(old)
            else:
                sources.remove(row.source, row.name)
            await self._save()
        await self._manager.refresh(row.name)

    def _near(self, name: str) -> str:
        return views.known_names(dict.fromkeys(self._manager.look.listed, ()), name)


def _taken(row: Wanted, version: int | None = None) -> ModelExists:
    if version is not None and version in row.at:
        return ModelExists(f"version {version} of '{row.name}' is registered already.")
    return ModelExists(
        f"'{row.name}' is served already: it belongs to {row.source}.",
        hint="A model belongs to one source: take it out there first, or use another name.",
    )
