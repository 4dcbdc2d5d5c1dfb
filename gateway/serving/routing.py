"""Routing: which version answers a request that names a label, or nothing. Asked by every request.

Rule 1: a label points only to a version that serves; until its new version does, it stays where it was.
Rule 2: a default that was set by hand answers, or nothing does: another version has other numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.core.names import did_you_mean
from gateway.core.version import State
from gateway.errors import ModelNotFound, UnknownLabel
from gateway.serving import views
from gateway.serving.control import Wanted
from gateway.serving.generation import Generation
from gateway.serving.predict import ModelSpec


class Routing:
    def __init__(self) -> None:
        self._labels: dict[str, dict[str, int]] = {}
        self._defaults: dict[str, int] = {}

    def update(self, row: Wanted, generations: Sequence[Generation], *, unavailable: bool = False) -> None:
        """What is asked of a model, or what serves of it, has changed.

        `unavailable`: a new label may point to a version that does not serve.
        """
        if row.default is None:
            self._defaults.pop(row.name, None)
        else:
            self._defaults[row.name] = row.default
        serving = {g.version for g in generations if g.state is State.AVAILABLE}
        old = self._labels.pop(row.name, {})
        now = {
            label: version if version in serving or (unavailable and label not in old) else old[label]
            for label, version in row.labels.items()
            if version in serving or unavailable or label in old
        }
        if now:
            self._labels[row.name] = now

    def forget(self, name: str) -> None:
        self._labels.pop(name, None)
        self._defaults.pop(name, None)

    def labels(self, name: str) -> Mapping[str, int]:
        """Label -> version, as requests find it now."""
        return self._labels.get(name, {})

    def version(self, spec: ModelSpec) -> int | None:
        """The number that is meant; None is the newest that serves. Errors: UnknownLabel."""
        if spec.label is not None:
            labels = self._labels.get(spec.name, {})
            if spec.label not in labels:
                known = f"The labels are: {', '.join(labels)}.{did_you_mean(spec.label, labels)}" if labels else ""
                raise UnknownLabel(f"Unrecognized servable version label: {spec.label}", hint=known)
            return labels[spec.label]
        return self._defaults.get(spec.name) if spec.version is None else spec.version

    def choose(self, spec: ModelSpec, generations: Sequence[Generation]) -> Generation:
        """The generation that answers. Errors: UnknownLabel, ModelNotFound in TensorFlow Serving's words."""
        version = self.version(spec)
        able = [g for g in generations if g.answers and (version is None or g.version == version)]
        if able:
            return max(able, key=lambda g: (g.version, g.number))
        meant = ModelSpec(spec.name, version)
        raise ModelNotFound(f"Servable not found for request: {meant}", hint=views.why_not(generations, meant))
