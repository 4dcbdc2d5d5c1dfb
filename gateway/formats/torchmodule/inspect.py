"""What a file of weights says of itself, without torch."""

from __future__ import annotations

from gateway.core.artifact import Fact
from gateway.core.modeltoml import ModelOptions
from gateway.formats.base import Inspection, Match, Source
from gateway.formats.torchmodule.listing import read
from gateway.formats.torchmodule.screen import kind_of, missing


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    """Errors: CorruptModel, UnsafeArchive."""
    found = read(source.path(match.main), kind_of(source, match))
    facts = [Fact("weights", str(found), match.main)]
    facts += [Fact("class", found.module, match.main)] if found.module else []
    facts += [Fact("classes of its author", ", ".join(found.classes[:20]), match.main)] if found.classes else []
    facts += [Fact("refused", f"it names {', '.join(found.strange[:8])}", match.main)] if found.strange else []
    facts += [Fact("refused", sentence, "model.toml") for sentence in missing(source, options)]
    return Inspection((), (), {}, tuple(facts))
