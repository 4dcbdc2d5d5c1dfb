"""Where a model that is to be registered lies: below the owner's model store, or at an allowed URL.

Rule 1: no path leaves the model store, links included; what a client may name is relative to it.
Rule 2: what is downloaded is the gateway's own: it is deleted when its model is unregistered.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from gateway.config import Settings
from gateway.core.names import check_model_name
from gateway.errors import InvalidRequest, ModelNotFound
from gateway.repository import fetch
from gateway.serving.control import MANAGEMENT, Control, Wanted

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ARCHIVE = re.compile(r"\.mar$", re.IGNORECASE)
_SUFFIXES = re.compile(r"(?:\.(?:tar\.gz|[A-Za-z][A-Za-z0-9]{0,11}))?$")


@dataclass(frozen=True)
class Place:
    """`path` is absolute. `version` None: a folder of version folders."""

    name: str
    path: str
    version: int | None
    url: str


class Registrar:
    """`fetch_file` is what downloads; a test hands in one that may reach this machine."""

    def __init__(self, settings: Settings, control: Control, fetch_file: Callable[..., Path] = fetch.download) -> None:
        self._settings = settings
        self._control = control
        self._fetch = fetch_file
        self._allowed = fetch.allow_list(settings.management.allowed_urls)
        self._downloads = settings.store / "downloads"

    async def place(self, url: str, name: str, version: int | None, *, anywhere: bool = False) -> Place:
        """Find or fetch it. `anywhere`: the owner names it in the settings, so no model store holds it in.

        Errors: InvalidRequest, ModelNotFound, Forbidden, DownloadFailed, DropTooLarge.
        """
        remote = bool(_URL.match(url)) and not url.lower().startswith("file:")
        if remote:
            fetch.check(url, self._allowed)
        path = await asyncio.to_thread(self._local, url, anywhere) if not remote else None
        if _ARCHIVE.search(url.partition("?")[0]):
            raise InvalidRequest(
                f"{url[:256]} is a model archive (.mar), which is not read yet.",
                hint="Register the model's own file (ONNX, MXNet ...) or a folder of it.",
            )
        name = check_model_name(name or default_name(url))
        path = path or await self._download(url, name)
        if anywhere and not remote:
            url = path.name  # never a path of this machine: clients are shown it
        whole = version is None and await asyncio.to_thread(_has_versions, path)
        return Place(name, str(path), None if whole else (version or 1), url)

    def _local(self, url: str, anywhere: bool) -> Path:
        text = url.removeprefix("file://") if url.lower().startswith("file://") else url
        missing = f"Model not found {'at' if self._settings.management.torchserve else 'in model store'}: {url[:256]}"
        if "\0" in text or ".." in text.replace("\\", "/").split("/"):
            raise ModelNotFound(f"Relative path is not allowed in url: {url[:256]}")
        if anywhere:
            real = Path(text).expanduser().absolute()
            if not real.exists() and self._settings.management.model_store:
                real = Path(self._settings.management.model_store) / text
            real = real.resolve()
        else:
            if not self._settings.management.model_store:
                raise ModelNotFound(missing, hint="No folder is set as management.model_store.")
            store = Path(self._settings.management.model_store).resolve()
            real = (store / text).resolve()
            if not real.is_relative_to(store) or real == store:
                raise ModelNotFound(missing)
        if not real.exists():
            raise ModelNotFound(missing)
        return real

    async def _download(self, url: str, name: str) -> Path:
        folder = self._downloads / name / hashlib.sha256(url.encode()).hexdigest()[:16]
        return await asyncio.to_thread(
            partial(
                self._fetch,
                url,
                self._allowed,
                folder,
                max_bytes=self._settings.watch.max_drop_bytes,
                deadline=time.monotonic() + self._settings.management.fetch_s,
            )
        )

    async def forget(self, name: str) -> None:
        """Delete what was downloaded for a model that is gone."""
        if self._control.wanted(name) is None or self._control.wanted(name).source != MANAGEMENT:  # type: ignore[union-attr]
            await asyncio.to_thread(shutil.rmtree, self._downloads / check_model_name(name), ignore_errors=True)

    async def register(self, place: Place, extra: dict[str, Any], *, wait: bool, deadline: float | None) -> None:
        """Errors: those of Control.register."""
        await self._control.register(
            place.name,
            place.path,
            version=place.version,
            extra={"url": place.url, **extra},
            wait=wait,
            deadline=deadline,
        )

    async def at_start(self, name: str, url: str) -> None:
        """A model of the settings: registered as it stands there, whatever was registered before."""
        place = await self.place(url, name, None, anywhere=True)
        old = self._control.wanted(place.name)
        if old is not None and old.source == MANAGEMENT and not old.off:
            if place.path in (old.path, *old.at.values()):
                return
            await self._control.unregister(place.name)
        extra = {"at_start": True, "urls": {str(place.version): place.url}}
        await self.register(place, extra, wait=False, deadline=None)


def parse_models(text: str) -> list[tuple[str, str]]:
    """`NAME=PLACE, PLACE`: [(name or "", place)]."""
    found = []
    for entry in (part.strip() for part in text.split(",")):
        if entry:
            name, equals, place = entry.partition("=")
            found.append((name.strip(), place.strip()) if equals else ("", entry))
    return found


def default_name(url: str) -> str:
    """The file's name without its suffix, as the originals name a model."""
    last = PurePosixPath(url.partition("?")[0].rstrip("/")).name
    return _SUFFIXES.sub("", last)


def url_of(row: Wanted | None, name: str, version: int | None = None) -> str:
    """What a client gave as url, or the model's place in the repository; never a path of this machine."""
    if row is None or "url" not in row.extra:
        return name
    return str(row.extra.get("urls", {}).get(str(version), row.extra["url"]))


def _has_versions(path: Path) -> bool:
    return path.is_dir() and any(child.is_dir() and child.name.isdigit() for child in path.iterdir())
