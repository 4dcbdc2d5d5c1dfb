"""Putting together what is known of an artifact: provenance, files, and gateway.json itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from gateway.core.artifact import FILE, Artifact, Fact, Provenance
from gateway.errors import StoreError
from gateway.formats.base import Conversion, Match


def provenance(
    match: Match,
    conversion: Conversion,
    *,
    source_digest: str,
    converter: str,
    environment: str,
    sandbox: str,
    seconds: Mapping[str, float],
) -> Provenance:
    """Where the artifact came from. Weights that nothing reads become a fact and a warning."""
    facts, warnings = conversion.facts, conversion.warnings
    if conversion.unused:
        shown = ", ".join(conversion.unused[:20])
        more = f" and {len(conversion.unused) - 20} more" if len(conversion.unused) > 20 else ""
        facts += (Fact("unused weights", shown + more, "graph"),)
        warnings += (f"{len(conversion.unused)} weights are read by nothing: {shown}{more}",)
    return Provenance(
        format=match.format,
        format_version=match.version,
        evidence=match.evidence,
        source_digest=source_digest,
        converter=converter,
        environment=environment,
        sandbox=sandbox,
        facts=facts,
        warnings=warnings,
        versions=conversion.versions,
        seconds={stage: round(value, 3) for stage, value in seconds.items()},
    )


def file_sizes(folder: Path) -> dict[str, int]:
    """Relative path -> bytes of every file of the artifact but gateway.json."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and name != FILE:
            found[name] = path.stat().st_size
    return found


def write(artifact: Artifact, folder: Path) -> None:
    """gateway.json, whole or not at all. Errors: StoreError."""
    beside = folder / (FILE + ".part")
    try:
        with beside.open("w", encoding="utf-8") as stream:
            json.dump(artifact.to_json(), stream, indent=1, allow_nan=False)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(folder / FILE)
    except OSError as error:
        raise StoreError(f"{FILE} could not be written: {error.strerror}.") from error
