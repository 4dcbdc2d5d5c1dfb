"""Who wants which model served: what protocols are handed to load, register and list models.

A model belongs to exactly one source. Of two that name it the first of SOURCES has it.

    management     POST /models of TorchServe and multi-model-server
    load           RepositoryModelLoad of Triton, model_control = "explicit"
    reload         HandleReloadConfigRequest of TensorFlow Serving
    models.config  the file of --model_config_file
    repository     the watched folder
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.core.policy import NEWEST, Versions
from gateway.core.version import State
from gateway.serving.predict import ModelStatus

CONFIG_PBTXT = "config_pbtxt"
"""Key of Wanted.extra: the text of a config.pbtxt that stands for the one beside the model."""

MANAGEMENT, LOAD, RELOAD, CONFIG, REPOSITORY = SOURCES = (
    "management",
    "load",
    "reload",
    "models.config",
    "repository",
)


@dataclass(frozen=True)
class Wanted:
    """What one source says of one model.

    `path` is a base path: a folder of version folders, a folder of files (version 1) or one file;
    "" is REPO/NAME. `at` names a place for each version instead. `labels` are label -> version.
    `default` answers requests without version and label, and stays loaded whatever `versions`
    says. `off`: its files lie in the repository and it is not served. `extra` is JSON that a
    protocol wants back; nothing here reads it.
    """

    name: str
    source: str
    path: str = ""
    at: Mapping[int, str] = field(default_factory=dict)
    versions: Versions = NEWEST
    labels: Mapping[str, int] = field(default_factory=dict)
    default: int | None = None
    off: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def in_repository(self) -> bool:
        return not self.path and not self.at

    def to_json(self) -> dict[str, Any]:
        versions = {"latest": self.versions.latest, "all": self.versions.all, "specific": list(self.versions.specific)}
        return {
            "name": self.name,
            "path": self.path,
            "at": {str(number): path for number, path in self.at.items()},
            "versions": versions,
            "labels": dict(self.labels),
            "default": self.default,
            "off": self.off,
            "extra": dict(self.extra),
        }

    @classmethod
    def from_json(cls, source: str, data: Mapping[str, Any]) -> Wanted:
        """Errors: KeyError, TypeError, ValueError for what is not a row."""
        versions = data["versions"]
        return cls(
            name=str(data["name"]),
            source=source,
            path=str(data["path"]),
            at={int(number): str(path) for number, path in data["at"].items()},
            versions=Versions(
                int(versions["latest"]), bool(versions["all"]), tuple(int(n) for n in versions["specific"])
            ),
            labels={str(label): int(number) for label, number in data["labels"].items()},
            default=None if data["default"] is None else int(data["default"]),
            off=bool(data["off"]),
            extra=dict(data["extra"]),
        )


@dataclass(frozen=True)
class IndexRow:
    """One line of a repository index. Never tried: `version` and `state` are None."""

    name: str
    version: int | None
    state: State | None
    reason: str
    source: str


class Control(Protocol):
    """Deadlines are in seconds of time.monotonic(). Every method may raise ShuttingDown."""

    @property
    def mode(self) -> str:
        """The setting model_control: "none", "poll" or "explicit"."""
        ...

    async def load(
        self,
        name: str,
        *,
        files: Mapping[str, bytes] | None = None,
        versions: Versions | None = None,
        extra: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> ModelStatus:
        """Serve REPO/NAME as it lies there now, or `files` ("1/model.onnx"), which are kept beside the store.

        Waits until it serves. Errors: ControlForbids unless the mode is explicit; ModelNotFound when no such
        model lies in the repository; ModelExists when another source has it; the model's own error.
        """
        ...

    async def unload(self, name: str, *, deadline: float | None = None) -> None:
        """Stop serving what was loaded; an absent model is no error. Returns once no new request gets it.

        Errors: ControlForbids; ModelExists when another source has it.
        """
        ...

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
        """Serve what lies at `path`, a base path, or with `version` the place of that one version.

        Errors: InvalidRequest (name), ModelNotFound (path), ModelExists; with `wait` the model's own error,
        and then nothing is kept.
        """
        ...

    async def unregister(self, name: str, version: int | None = None) -> None:
        """Take a model, or one version that was registered by number, out of service; no file is deleted.

        Errors: ModelNotFound; InvalidRequest when models.config or a reload lists it.
        """
        ...

    async def reload(self, models: Sequence[Wanted], *, deadline: float | None = None) -> None:
        """Replace what models.config and earlier reloads say; wait for the models that are new.

        Errors: InvalidRequest, ModelExists, LabelUnavailable: nothing has changed then. ModelNotReady: names
        the new models that did not come to serve, and why.
        """
        ...

    async def set_default(self, name: str, version: int) -> None:
        """Errors: ModelNotFound, ModelNotReady when that version does not serve."""
        ...

    async def set_labels(self, name: str, labels: Mapping[str, int]) -> None:
        """Replace the model's labels. Errors: ModelNotFound, LabelUnavailable."""
        ...

    async def wait(self, name: str, *, version: int | None = None, deadline: float | None = None) -> ModelStatus:
        """Until what is wanted of the model, or that version, serves. Errors: its own, DeadlineExceeded."""
        ...

    def index(self, *, ready: bool = False) -> Sequence[IndexRow]:
        """Every version known, and every model of the repository that was never tried; `ready`: those that serve."""
        ...

    def wanted(self, name: str) -> Wanted | None:
        """Who has this model and what is asked of it."""
        ...
