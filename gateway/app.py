"""The composition root: builds every object, starts them in order, stops them in the other.

    settings -> store, repository, environments -> converter -> prover -> manager -> servers

Rule 1: nothing outside this file builds a server, a manager or a store for serving.
Rule 2: SIGTERM drains: not ready, then no new work, then out within `drain_s`. A second one
        ends at once. SIGHUP reads the settings again and says what needs a restart.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import orjson
import uvloop

from gateway import board, logs
from gateway.config import Settings
from gateway.convert.run import Converter
from gateway.errors import GatewayError
from gateway.pipelines.assembled import Pipelines
from gateway.process import sandbox_levels
from gateway.process.environments import Environments
from gateway.process.sandbox import NEEDED_BY_CODE, protect_gateway
from gateway.protocols import tfs_config
from gateway.protocols.servers import Servers
from gateway.repository.source import Repository
from gateway.repository.store import Store
from gateway.serving.control import CONFIG, Wanted
from gateway.serving.controller import Controller
from gateway.serving.manager import Manager
from gateway.serving.metrics import Metrics
from gateway.serving.prover import Prover
from gateway.serving.recorder import Recorder
from gateway.serving.registrar import Registrar, parse_models

log = logging.getLogger("gateway")

LIVE_SETTINGS = ("watch", "jobs", "batch", "runtime", "store_max_bytes", "drain_s")
"""What SIGHUP changes in a running gateway; the rest is said to need a restart."""


class App:
    """One gateway. `start` and `stop` may be called from tests; `serve` below is the command."""

    def __init__(self, settings: Settings, environments: Environments | None = None) -> None:
        self.settings = settings
        self._following: asyncio.Task[None] | None = None
        self.metrics = Metrics()
        self.environments = environments or Environments()
        self.store = Store(settings.store, settings.store_max_bytes)
        self.repository = Repository(settings.repository, settings.watch, self.store.index)
        self.converter = Converter(self.environments, settings, settings.store / "jobs")
        self.prover = Prover(self.repository, self.store, self.converter)
        watched = None if str(settings.repository) == "-" else self.repository
        self.manager = Manager(settings, watched, self.store, self.prover, self.metrics)
        self.manager.assemble_with(Pipelines(self.manager, self.metrics.step))
        self.control = Controller(self.manager, settings.store / "uploads")
        self.registrar = Registrar(settings, self.control)
        self.servers = Servers(
            settings, self.manager, self.metrics.page, Recorder(self.metrics), self.control, self.registrar
        )
        self.addresses: dict[str, str] = {}
        self._registering: asyncio.Task[None] | None = None
        self._trying: asyncio.Task[None] | None = None

    async def start(self) -> dict[str, str]:
        """Bind all listeners, then look at the repository. Returns protocol -> "host:port"."""
        tfs = self.settings.tfserving
        configured = self._models_config()
        rows, digest = configured() if configured else ((), "")
        self.store.open()
        self.addresses = addresses = await self.servers.start()
        self._trying = asyncio.create_task(self._try_the_sandbox())
        self.manager.start(rows, digest)
        self._registering = asyncio.create_task(self._register_models())
        if configured and tfs.models_config and tfs.models_config_poll_s:
            following = self.control.follow(configured, tfs.models_config_poll_s, digest)
            self._following = asyncio.create_task(following)
        return addresses

    async def _register_models(self) -> None:
        """The models of the settings (`management.models`). One that cannot be had costs no other."""
        for name, place in parse_models(self.settings.management.models):
            try:
                await self.registrar.at_start(name, place)
            except GatewayError as error:
                log.error("management.models: %s: %s", name or place, error.explain())

    def _models_config(self) -> Callable[[], tuple[Sequence[Wanted], str]] | None:
        """What reads the models that TensorFlow Serving's settings name; None when they name none."""
        tfs = self.settings.tfserving
        if tfs.models_config:
            path, said = Path(tfs.models_config), set[str]()

            def read() -> tuple[Sequence[Wanted], str]:
                models = tfs_config.read_models(path)
                for note in [note for note in models.notes if note not in said]:
                    log.warning("%s: %s", path, note)
                said.update(models.notes)
                return models.rows, models.digest

            return read
        if tfs.base_path:
            row = Wanted(tfs.base_name, CONFIG, str(Path(tfs.base_path).absolute()))
            return lambda: ((row,), f"{row.name} {row.path}")
        return None

    async def _try_the_sandbox(self) -> None:
        """Once, beside the start: what holds the children here goes to the log and the metrics."""
        most = self.settings.jobs.sandbox_max_level
        reached = await asyncio.to_thread(sandbox_levels.reached)
        level = min(reached.level, most)
        self.metrics.sandbox(level)
        said = f"sandbox {reached}" if level == reached.level else f"sandbox {reached}; L{level} is the most allowed"
        log.log(logging.INFO if level >= NEEDED_BY_CODE else logging.WARNING, "%s", said)
        for above, why in sorted(reached.missing.items()):
            log.info("sandbox L%d is not reached: %s", above, why)

    async def stop(self, grace_s: float | None = None) -> None:
        """Drain and stop: not ready, no new work, in-flight requests finish within `grace_s`."""
        if self._following is not None:
            self._following.cancel()
        if self._trying is not None:
            self._trying.cancel()
        self.manager.begin_drain()
        if self._registering is not None:
            self._registering.cancel()
        await self.servers.drain(self.settings.drain_s if grace_s is None else grace_s)
        await self.servers.stop()
        await self.manager.stop()
        self.store.close()

    def reload(self, settings: Settings) -> None:
        """Take over what can change in a running gateway; name what cannot."""
        changed = [f.name for f in fields(settings) if getattr(settings, f.name) != getattr(self.settings, f.name)]
        restart = [name for name in changed if name not in LIVE_SETTINGS]
        kept = {name: getattr(self.settings, name) for name in restart}
        self.settings = Settings(**{f.name: kept.get(f.name, getattr(settings, f.name)) for f in fields(settings)})
        self.manager.reconfigure(self.settings)
        self.servers.reread()
        live = [name for name in changed if name in LIVE_SETTINGS]
        log.info("settings read again: %s changed", ", ".join(live) or "nothing")
        if restart:
            log.warning("settings that need a restart to take effect: %s", ", ".join(restart))


def serve(settings: Settings, read_again: Callable[[], Settings | None]) -> int:
    """Serve until a signal. `read_again` is called on SIGHUP; None means that the settings were wrong."""
    logs.configure(settings.log)
    protect_gateway()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, read_again))


async def _serve(settings: Settings, read_again: Callable[[], Settings | None]) -> int:
    app = App(settings)
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    at_once = asyncio.Event()

    def end() -> None:
        (at_once if asked.is_set() else asked).set()

    def reload() -> None:
        again = read_again()
        if again is not None:
            app.reload(again)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, reload)
    addresses = await app.start()
    sys.stdout.write(orjson.dumps(addresses).decode() + "\n")
    sys.stdout.flush()
    shower = loop.create_task(_show(app)) if sys.stderr.isatty() else None
    log.info("serving %s", settings.repository, extra={"state": "serving"})
    await asked.wait()
    log.info("draining: %d s at most; a second signal ends at once", int(app.settings.drain_s))
    if shower is not None:
        shower.cancel()
    stopping = loop.create_task(app.stop())
    ending = loop.create_task(at_once.wait())
    await asyncio.wait({stopping, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if not stopping.done():
        stopping.cancel()
        log.warning("ended at once; requests in flight were dropped")
    elif stopping.exception() is not None:
        log.error("stopping failed", exc_info=stopping.exception())
    return 0


async def _show(app: App) -> None:
    """At a terminal: the table again whenever it changed."""
    shown = ""
    while True:
        now = board.table(app.manager.models())
        if now != shown:
            sys.stderr.write("\n" + now + "\n\n")
            sys.stderr.flush()
            shown = now
        await asyncio.sleep(0.5)
