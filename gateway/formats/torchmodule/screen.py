"""What stands in the way before torch is started: the owner's leave, and the file with the classes.

Rule 1: every condition that is not met has its own sentence; all of them are told together, with the way out.
"""

from __future__ import annotations

from gateway.core.modeltoml import ModelOptions
from gateway.core.names import did_you_mean
from gateway.errors import ConversionError
from gateway.formats.base import Match, Source
from gateway.formats.torchmodule.listing import Listing, read

SHOWN = 8
LINES = '`class = "net.py:Net"` and `trusted = true`'
AWAY = (
    "Or, in Python, where the class is: torch.export.save(torch.export.export(model, (example,)), 'model.pt2') makes a "
    "file that needs neither."
)


def kind_of(source: Source, match: Match) -> str:
    """ "safetensors" or "pickle": by content, as the recogniser does."""
    head = source.head(match.main, 9)
    return "safetensors" if head[8:9] == b"{" and not head.startswith((b"PK", b"\x80")) else "pickle"


def screen(source: Source, match: Match, options: ModelOptions) -> Listing:
    """What the file holds. Errors: ConversionError with all that is missing, CorruptModel."""
    found = read(source.path(match.main), kind_of(source, match))
    file = match.main.rpartition("/")[2]
    if found.strange:
        more = f" and {len(found.strange) - SHOWN} more" if len(found.strange) > SHOWN else ""
        raise ConversionError(
            f"{file} is a PyTorch pickle that names {', '.join(found.strange[:SHOWN])}{more}, which no model needs: "
            "it is not opened, whoever trusts it.",
            hint="If it is yours, save the state_dict() alone; if it is not, do not open it.",
        )
    problems = list(missing(source, options))
    if not problems:
        return found
    what = (
        f"{file} is a PyTorch module in a pickle (class {found.module}; {found}): opening it runs its author's code"
        if found.module
        else f"{file} holds weights of PyTorch and no graph ({found}): only the code of their class can run them"
    )
    theirs = ", ".join(found.classes[:SHOWN]) or "the network's class"
    raise ConversionError(
        f"{what}. {' '.join(problems)}",
        hint=f"Put the Python file that defines {theirs} beside it, and write {LINES} into model.toml: it is then run "
        f"in the sandbox, at level L2 or above. {AWAY}",
    )


def missing(source: Source, options: ModelOptions) -> list[str]:
    """A sentence for each condition that is not met."""
    said = []
    if not options.trusted:
        said.append("model.toml does not say `trusted = true`: no code of a model's author runs without it.")
    if not options.class_:
        said.append("model.toml names no `class`: the file holds no code, and nothing is guessed.")
        return said
    wanted = options.class_.partition(":")[0]
    beside = [name for name in source.files if name.endswith(".py")]
    if wanted not in beside:
        there = f"there is {', '.join(beside[:SHOWN])}" if beside else "no Python file does"
        said.append(f"`class` names {wanted}, which does not lie beside it; {there}.{did_you_mean(wanted, beside)}")
    return said
