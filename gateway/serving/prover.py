"""From settled files to a proven artifact in the store: ingest, detect, convert, verify, publish.

All methods block; the manager calls them from threads. Each writes how far it is into the
Progress it is handed and looks at `cancel` between steps.

Rule 1: the store is asked first: what it has is not converted again, not even by a second
        gateway on the same store (one lock a key).
Rule 2: an artifact whose verification failed is stored too, with its report, and a conversion
        that can only fail is remembered: the answer to the same drop is known after a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event as Cancel

from gateway.convert import auto
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.artifact import Artifact, Verdict
from gateway.core.modeltoml import ModelOptions
from gateway.core.pipeline import KIND as PIPELINE
from gateway.errors import ConversionError, GatewayError, JobCancelled, VerificationFailed
from gateway.formats.base import Format, Match, all_formats
from gateway.repository.detect import detect
from gateway.repository.drop import Drop
from gateway.repository.source import Repository, Seen
from gateway.repository.store import Store, Stored

log = logging.getLogger("gateway.serving")

Report = Callable[[str, float | None], None]
"""(stage, fraction or None): how far a conversion is."""


@dataclass(frozen=True)
class Proven:
    """What the store holds for a drop."""

    digest: str
    options: ModelOptions
    stored: Stored
    was_there: bool  # True: nothing had to be converted


class Prover:
    def __init__(self, repository: Repository, store: Store, converter: Converter) -> None:
        self._repository = repository
        self._store = store
        self._converter = converter

    def recall(self, seen: Seen) -> Proven | None:
        """What the store already knows of exactly these files, without reading them; else None."""
        known = self._repository.known(seen)
        if known is None:
            return None
        for name in all_formats():
            key = self._key(name, known.digest, known.options)
            stored = self._store.find(key) if key else None
            if stored is not None:
                return Proven(known.digest, known.options, stored, was_there=True)
        return None

    def prove(self, seen: Seen, report: Report, cancel: Cancel) -> Proven:
        """Errors: DropError, ConversionError, JobError, EnvironmentMissing, StoreError, JobCancelled."""
        report("copy", None)
        drop = self._repository.ingest(seen, self._store, cancel)
        try:
            return self._prove(drop, report, cancel)
        finally:
            self._store.release_drop(drop.digest)

    def _prove(self, drop: Drop, report: Report, cancel: Cancel) -> Proven:
        _check(cancel)
        report("detect", None)
        match = detect(drop.source)
        key = self._key(match.format, drop.digest, drop.options)
        if key is None:  # refuse now, with the reason
            all_formats()[match.format].check_target(drop.options.target)
            raise AssertionError("check_target refuses what _key has no key for")
        with self._store.lock(key, cancel):
            stored = self._store.find(key)
            if stored is not None:
                return Proven(drop.digest, drop.options, stored, was_there=True)
            known = self._store.failure(key)
            if known is not None:
                raise GatewayError.from_json(known)
            _check(cancel)
            return Proven(drop.digest, drop.options, self._convert(drop, match, key, report, cancel), was_there=False)

    def _convert(self, drop: Drop, match: Match, key: str, report: Report, cancel: Cancel) -> Stored:
        request = ConvertRequest(
            source=drop.source,
            match=match,
            options=drop.options,
            labels=drop.labels,
            vectors=drop.vectors,
            digest=key,
            source_digest=drop.digest,
            verify=drop.options.verify != "off",
        )
        with self._store.stage() as folder:
            try:
                artifact = self._converter.convert(request, folder, progress=report, cancel=cancel)
            except ConversionError as error:  # the same files give the same answer: no second try, ever
                self._store.remember_failure(key, error.to_json())
                raise
            return self._store.publish(key, folder, artifact)

    def _key(self, format_name: str, digest: str, options: ModelOptions) -> str | None:
        """The store's key, or None when the format has no road to the wanted target."""
        chosen: Format = all_formats()[format_name]
        try:
            target = auto.wanted(chosen, options)
        except GatewayError:
            return None
        return self._store.key(digest, options.digest_text(), target, self._converter.identity(chosen, target))


def _check(cancel: Cancel) -> None:
    if cancel.is_set():
        raise JobCancelled("the drop changed or disappeared while it was being converted.")


_HINTS = {
    Verdict.UNVERIFIED: 'Put vectors beside the model (test/input_0.npy, test/output_0.npy), or verify = "auto".',
    Verdict.NATIVE: 'verify = "auto" serves it and shows the verdict; a target that is converted to can be proven.',
}


def refused(proven: Proven) -> GatewayError | None:
    """Why this artifact is not to be served, or None. The owner's `serve_failed` is the only override."""
    return refused_by(proven.stored.artifact, proven.options)


def refused_by(artifact: Artifact, options: ModelOptions, *, loaded: bool = False) -> GatewayError | None:
    """As `refused`; a pipeline is proven when it is `loaded`, and not refused before."""
    verification = artifact.verification
    if artifact.kind == PIPELINE and not loaded:
        return None
    if verification.verdict is Verdict.FAILED and not options.serve_failed:
        where = f" First diverging node: {verification.diverges_at}." if verification.diverges_at else ""
        return VerificationFailed(
            f"verification failed: {verification.reason}{where}",
            hint="The report has the worst element; `serve_failed = true` in model.toml would serve it all the same.",
        )
    if options.verify == "required" and verification.verdict in (Verdict.UNVERIFIED, Verdict.NATIVE):
        return VerificationFailed(
            f'the verdict is {verification.verdict.value} and model.toml says verify = "required": '
            f"{verification.reason}",
            hint=_HINTS[verification.verdict],
        )
    return None
