"""Every error of Model Gateway, one tree, drawn before it is defined.

    GatewayError
     +-- UsageError              the command line or an argument of api.py is wrong
     |    +-- SettingsError      settings: every problem, together
     +-- RequestError            a client's request is wrong
     |    +-- InvalidRequest     malformed body or call
     |    |    +-- InvalidTensor wrong name, shape, dtype or value of a tensor
     |    |    +-- UnknownLabel  a version label that nobody assigned
     |    +-- TooLarge           a limit of the gateway (body, depth, elements)
     |    +-- UnsupportedType    a dtype that this protocol cannot carry
     |    +-- ModelNotFound      no such model, or no such version of it
     |    +-- UnknownSignature   the model has no signature of that name
     |    +-- Unauthenticated    no credential that is known came with it
     |    +-- DownloadFailed     a model could not be fetched from its URL
     |    +-- Forbidden          the caller is known, or is where it is, and may not do this
     |    +-- ModelExists        the name or the version is taken
     |    +-- LabelUnavailable   a label for a version that does not serve
     |    +-- RegionExists       a shared memory region of that name is registered already
     +-- Unavailable             right request, wrong moment: try again
     |    +-- ModelNotReady      the model exists and is not served now
     |    +-- MemberMissing      a pipeline waits for a model that does not serve
     |    +-- Overloaded         a bounded queue is full
     |    +-- ShuttingDown       the gateway drains
     |    +-- ControlForbids     load and unload are not allowed in this model_control mode
     +-- DeadlineExceeded        the client's deadline passed before the answer
     +-- DropError               what lies in the folder is wrong
     |    +-- ModelTomlError     model.toml: every problem, together
     |    +-- TritonConfigError  config.pbtxt: every problem, together
     |    +-- PipelineTomlError  pipeline.toml: every problem, together
     |    +-- EdgeMismatch       a pipeline's ends do not fit: every edge, together
     |    +-- UnknownFormat      no format recognises the files
     |    +-- UnsupportedFormat  recognised by name, and not converted: the hint is the way out
     |    +-- AmbiguousFormat    two formats do, or two models share one folder
     |    +-- UnsafeDrop         links that escape, special files, hard links
     |    |    +-- UnsafeArchive an archive that would write elsewhere, hides something or is a bomb
     |    +-- DropTooLarge       more bytes than max_drop_bytes
     |    +-- DropChanged        files changed while they were copied: settle again
     +-- ConversionError         the model was read and could not be converted
     |    +-- CorruptModel       the bytes break the format's own rules
     |    |    +-- CorruptArchive  an archive cannot be followed to its end
     |    +-- UnsupportedOps     operators without a converter: all of them, counted
     |    +-- NeedsInputShape    the file does not say what an input is; proposes candidates
     |    +-- MissingHop         no road from this format to that target yet
     |    +-- UnsafeArtifact     what the converter wrote did not pass when it was read again
     +-- VerificationFailed      converted, and its numbers are not the oracle's
     +-- ModelRunError           a runtime refused to load or run an artifact
     |    +-- WorkerDied         the process that ran the model is gone
     +-- JobError                a child process did not give a result
     |    +-- JobCrashed         it died: exit code or signal, last line of its log
     |    +-- JobTimeout         it ran past its wall clock and was killed
     |    +-- JobOutOfMemory     it went past its memory limit and was killed
     |    +-- JobCancelled       nobody wants its result any more
     |    +-- SandboxTooWeak     this machine cannot hold the Job as tightly as asked
     |    +-- BadFrame           bytes between two processes break the rules of process/wire.py
     |         +-- PeerGone      the other end of the connection is closed
     +-- EnvironmentMissing      a pinned Environment is not built; says the command
     +-- EnvironmentBroken       building it failed; says at which step
     +-- EnvironmentInUse        it is not removed while processes run from it
     +-- RepositoryUnreadable    the watched folder cannot be listed: not a deletion
     +-- StoreError              the store cannot be read or written (disk full ...)
     +-- IllegalTransition       a bug of ours: an event that this state does not know

Rule 1: this file imports nothing of ours and knows no HTTP, no gRPC; `protocols/status.py`
        is the one place that maps these classes to codes.
Rule 2: a message is one sentence with subject, what was found, what was expected, where.
        The next step goes into `hint`.
Rule 3: an error can cross a process: `to_json` / `from_json` keep class, message, hint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar


class GatewayError(Exception):
    """Base of all. `hint` is the next step for the person who reads it; may be empty."""

    hint: str = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        if hint:
            self.hint = hint

    def __str__(self) -> str:
        return self.message

    def explain(self) -> str:
        """Message and hint, as a person should read them."""
        return f"{self.message} {self.hint}".strip()

    def to_json(self) -> dict[str, str]:
        return {"error": type(self).__name__, "message": self.message, "hint": self.hint}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> GatewayError:
        """The same class again, without running its own constructor.

        An unknown class name (a child of another version) becomes a plain GatewayError.
        """
        cls = _by_name().get(str(data.get("error", "")), GatewayError)
        error = cls.__new__(cls)
        GatewayError.__init__(error, str(data.get("message", "")), hint=str(data.get("hint", "")))
        return error


def _by_name() -> dict[str, type[GatewayError]]:
    found: dict[str, type[GatewayError]] = {}
    waiting: list[type[GatewayError]] = [GatewayError]
    while waiting:
        cls = waiting.pop()
        found[cls.__name__] = cls
        waiting.extend(cls.__subclasses__())
    return found


class _Problems(GatewayError):
    """An error that lists all problems at once, one a line."""

    subject: ClassVar[str] = ""

    def __init__(self, problems: Iterable[str], *, where: str = "", hint: str = "") -> None:
        self.problems = tuple(problems)
        head = where or self.subject
        super().__init__(f"{head}: " + "; ".join(self.problems), hint=hint)


class UsageError(GatewayError):
    """The command line or an argument of api.py is wrong."""


class SettingsError(_Problems, UsageError):
    """Settings are wrong: lists every problem, not the first."""

    subject = "settings"


class RequestError(GatewayError):
    """A client's request is wrong; the same request will fail again."""


class InvalidRequest(RequestError):
    """Malformed body or call."""


class InvalidTensor(InvalidRequest):
    """A tensor of the request has the wrong name, shape, dtype or value."""


class UnknownLabel(InvalidRequest):
    """A version label that nobody assigned."""


class TooLarge(RequestError):
    """The request is beyond a limit of the gateway; the message names limit and setting."""


class UnsupportedType(RequestError):
    """A dtype that this protocol cannot carry."""


class ModelNotFound(RequestError):
    """No such model, or no such version of it."""


class UnknownSignature(RequestError):
    """The model has no signature of that name."""


class Unauthenticated(RequestError):
    """No credential that is known came with the request."""


class DownloadFailed(RequestError):
    """A model could not be fetched from its URL."""


class Forbidden(RequestError):
    """The caller may not do this: a scope is missing, or the call came from elsewhere than it is answered."""


class ModelExists(RequestError):
    """The name, or the version of it, belongs to another source already."""


class LabelUnavailable(RequestError):
    """A version label is to point to a version that is not AVAILABLE."""


class RegionExists(RequestError):
    """A shared memory region of that name is registered already."""


class Unavailable(GatewayError):
    """Right request, wrong moment: try again."""


class ModelNotReady(Unavailable):
    """The model exists and is not served now."""


class MemberMissing(Unavailable):
    """A pipeline waits for a model that does not serve now; says which, and why."""


class Overloaded(Unavailable):
    """A bounded queue is full."""


class ShuttingDown(Unavailable):
    """The gateway drains and takes no new work."""


class ControlForbids(Unavailable):
    """The setting model_control does not allow this call."""


class DeadlineExceeded(GatewayError):
    """The client's deadline passed before the answer."""


class DropError(GatewayError):
    """What lies in the model's folder is wrong."""


class ModelTomlError(_Problems, DropError):
    """model.toml is wrong: lists every problem, not the first."""

    subject = "model.toml"


class TritonConfigError(_Problems, DropError):
    """config.pbtxt is wrong, contradicts the model, or asks for what is not served: lists every problem."""

    subject = "config.pbtxt"


class PipelineTomlError(_Problems, DropError):
    """pipeline.toml is wrong: lists every problem, not the first."""

    subject = "pipeline.toml"


class EdgeMismatch(_Problems, DropError):
    """Two ends of a pipeline's edge do not fit, or pipelines wait for one another: lists every problem."""

    subject = "pipeline.toml"


class UnknownFormat(DropError):
    """No format recognises the files."""


class UnsupportedFormat(DropError):
    """The files are recognised by name and cannot be converted; the hint is the way out."""


class AmbiguousFormat(DropError):
    """Two formats recognise the files, or two models share one folder."""


class UnsafeDrop(DropError):
    """Links that escape, special files, hard links."""


class UnsafeArchive(_Problems, UnsafeDrop):
    """An archive that would write elsewhere, hides something or is a bomb: lists every problem. Nothing is unpacked."""

    subject = "archive"


class DropTooLarge(DropError):
    """More bytes than `max_drop_bytes`."""


class DropChanged(DropError):
    """Files changed while they were copied; the drop has to settle again."""


class ConversionError(GatewayError):
    """The model was read and could not be converted."""


class CorruptModel(ConversionError):
    """The bytes break the format's own rules; the message says file and place."""


class CorruptArchive(_Problems, CorruptModel):
    """An archive cannot be followed to its end, or its bytes are not what it says."""

    subject = "archive"


class UnsupportedOps(ConversionError):
    """The graph uses operators that have no converter. Lists all of them, not the first."""

    def __init__(self, source_format: str, counts: Mapping[str, int], known: int, *, hint: str = "") -> None:
        listing = ", ".join(f"{name} (x{n})" for name, n in sorted(counts.items()))
        super().__init__(
            f"{source_format}: no converter for {listing}; {known} operators are supported.",
            hint=hint or f"Each one is a function in gateway/formats/{source_format}/: see docs/add-an-op.md.",
        )


class NeedsInputShape(ConversionError):
    """The model's files do not say the shapes of its inputs. Names all of them, and what they may be."""

    def __init__(self, file: str, inputs: Iterable[str], candidates: Iterable[str]) -> None:
        names, proposed = ", ".join(map(repr, inputs)), list(candidates)
        super().__init__(f"{file} does not say the shape of its input {names}, and its weights do not tell it either.")
        example = " or ".join(f"--input '{one}'" for one in proposed[:4]) or "--input 'NAME:float32[?,3,224,224]'"
        self.hint = f"Give it, for instance with {example}, or as [[inputs]] in model.toml."


class MissingHop(ConversionError):
    """No road from this format to that target yet."""

    def __init__(self, source_format: str, target: str, targets: Iterable[str]) -> None:
        known = ", ".join(sorted(targets)) or "nothing yet"
        super().__init__(f"{source_format} cannot be converted to {target}; it can become: {known}.")
        self.hint = "`gateway formats` lists every road."


class UnsafeArtifact(ConversionError):
    """What the converter wrote did not pass when a second process read it; it is not published."""


class VerificationFailed(GatewayError):
    """Converted, and its numbers are not the oracle's. The report has the worst element."""


class ModelRunError(GatewayError):
    """A runtime refused to load or run an artifact."""


class WorkerDied(ModelRunError):
    """The process that ran the model is gone; the request may be tried again."""


class JobError(GatewayError):
    """A child process did not give a result."""


class JobCrashed(JobError):
    """The child died: exit code or signal, last line of its log."""


class JobTimeout(JobError):
    """The child ran past its wall clock and was killed."""


class JobOutOfMemory(JobError):
    """The child went past its memory limit and was killed."""


class JobCancelled(JobError):
    """Nobody wants the result any more: the drop changed or disappeared."""


class SandboxTooWeak(JobError):
    """This machine cannot hold the Job as tightly as `sandbox_min_level` asks; nothing was started."""


class BadFrame(JobError):
    """Bytes between two of our processes, or in a file of tensors, break the rules of process/wire.py."""


class PeerGone(BadFrame):
    """The other end of the connection is closed, between two frames or within one."""


class EnvironmentInUse(GatewayError):
    """An Environment is not removed while processes run from it."""

    def __init__(self, name: str, uses: Sequence[str]) -> None:
        super().__init__(f"Environment '{name}' is in use and stays: {'; '.join(uses)}.")
        self.hint = "Stop the gateway or the processes named, then try again."


class EnvironmentMissing(GatewayError):
    """A pinned Environment is not built."""

    def __init__(self, name: str, *, why: str = "it has not been built") -> None:
        super().__init__(f"Environment '{name}' is missing: {why}.")
        self.hint = f"Build it with: gateway doctor --install {name}"


class EnvironmentBroken(GatewayError):
    """Building an Environment failed; the message says at which step."""


class RepositoryUnreadable(GatewayError):
    """The watched folder is not there, not mounted or not readable. What is served stays served."""


class StoreError(GatewayError):
    """The store cannot be read or written."""


class IllegalTransition(GatewayError):
    """A bug of ours: an event that this state does not know. Nothing has happened."""
