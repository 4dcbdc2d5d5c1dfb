"""The command `gateway`: thin over api.py and app.py.

Rule 1: with --json one document goes to stdout and nothing else; progress goes to stderr.
Rule 2: exit 0 done (`unverified` too), 1 the model failed, 2 wrong usage, 3 a fault of the
        gateway or a missing Environment.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from gateway import __version__, config
from gateway.core.artifact import Verdict, Verification
from gateway.core.signature import format_shape
from gateway.errors import (
    ConversionError,
    DropError,
    GatewayError,
    JobError,
    ModelRunError,
    RequestError,
    SettingsError,
    UnsupportedFormat,
    UsageError,
    VerificationFailed,
)
from gateway.logs import escape

DONE, MODEL_FAILED, WRONG_USAGE, OUR_FAULT = 0, 1, 2, 3
SHOWN_FINDINGS = 8

EXIT_CODES: tuple[tuple[type[GatewayError], int], ...] = (
    (UsageError, WRONG_USAGE),
    (DropError, MODEL_FAILED),
    (ConversionError, MODEL_FAILED),
    (VerificationFailed, MODEL_FAILED),
    (ModelRunError, MODEL_FAILED),
    (JobError, MODEL_FAILED),
    (RequestError, MODEL_FAILED),
)
"""First match wins; everything else is OUR_FAULT (Environments, store, no gateway there)."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    as_json = bool(getattr(arguments, "as_json", False))
    try:
        return int(arguments.run(arguments))
    except GatewayError as error:
        code = next((code for kind, code in EXIT_CODES if isinstance(error, kind)), OUR_FAULT)
        if as_json:
            _print_json({**error.to_json(), "exit": code})
        _say(f"gateway: {escape(error.message)}")
        if error.hint:
            _say(f"  {escape(error.hint)}")
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return OUR_FAULT


# -- commands ------------------------------------------------------------------------------


def serve(arguments: argparse.Namespace) -> int:
    gc.disable()  # importing makes many objects and no garbage: a tenth of the time to the first answer
    from gateway import app  # the whole server: only this command pays for it

    gc.freeze()
    gc.enable()

    flags = {name: getattr(arguments, name) for name in _SERVE_FLAGS}
    flags["compat.on"] = arguments.compat_ports or None
    flags |= _set(arguments.set)

    def read_again() -> config.Settings | None:
        try:
            return _settings(arguments.config, flags)
        except SettingsError as error:
            _say(f"gateway: settings unchanged: {error.message}")
            return None

    return app.serve(_settings(arguments.config, flags), read_again)


def _set(words: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE of --set. Errors: UsageError with all that are none."""
    wrong = [word for word in words if "=" not in word or word.startswith("=")]
    if wrong:
        raise UsageError(f"--set {', '.join(map(repr, wrong))}: expected NAME=VALUE, e.g. jobs.concurrency=4.")
    return dict(word.split("=", 1) for word in words)


def convert(arguments: argparse.Namespace) -> int:
    from gateway import api

    progress = _Progress()
    try:
        artifact = api.convert(
            arguments.source,
            arguments.out,
            to=arguments.to,
            inputs=arguments.input,
            outputs=arguments.output,
            signatures=arguments.signature,
            tags=arguments.tag,
            method=arguments.method_name,
            trainable=arguments.trainable,
            frozen=arguments.frozen,
            pictures=arguments.pictures,
            classify=arguments.classify,
            regress=arguments.regress,
            scores=arguments.scores,
            verify=not arguments.no_verify,
            progress=progress,
        )
    finally:
        progress.end()
    if arguments.as_json:
        _print_json(artifact.to_json() | {"out": str(arguments.out)})
    else:
        for signature in artifact.signatures:
            _print(f"{arguments.out}: {artifact.kind}, signature {signature.name}")
            for word, specs in (("input", signature.inputs), ("output", signature.outputs)):
                for spec in specs:
                    _print(f"  {word:6} {spec.name} {spec.dtype}{format_shape(spec.shape)}")
        for fact in artifact.provenance.facts:
            if fact.what == "target":  # chosen by measuring
                _print(f"  target: {escape(fact.value)}: {escape(fact.source)}")
        for warning in artifact.provenance.warnings:
            _print(f"  warning: {escape(warning)}")
        _print_verification(artifact.verification)
    return MODEL_FAILED if artifact.verification.verdict is Verdict.FAILED else DONE


def code(arguments: argparse.Namespace) -> int:
    from gateway import api

    progress = _Progress()
    try:
        made = api.code(
            arguments.source,
            arguments.out,
            to=arguments.to,
            inputs=arguments.input,
            outputs=arguments.output,
            progress=progress,
        )
    finally:
        progress.end()
    worst = max(made.comparisons, key=lambda comparison: comparison.severity)
    if arguments.as_json:
        _print_json(
            {
                "code": str(made.code),
                "weights": str(made.weights),
                "verdict": made.artifact.verification.verdict.value,
                "comparisons": [comparison.to_json() for comparison in made.comparisons],
                "versions": made.versions,
            }
        )
        return DONE
    _print(f"{made.code}: {arguments.to}, run with {', '.join(f'{k} {v}' for k, v in made.versions.items())}")
    _print(f"  answers as the proven model does: max error {worst.max_abs:.3g}, SNR {worst.snr_db:.1f} dB")
    _print_verification(made.artifact.verification)
    return DONE


def verify(arguments: argparse.Namespace) -> int:
    from gateway import api

    verification = api.verify(
        arguments.source, arguments.artifact, inputs=_npz(arguments.inputs), expected=_npz(arguments.expected)
    )
    if arguments.as_json:
        _print_json(verification.to_json())
    else:
        _print_verification(verification)
    return MODEL_FAILED if verification.verdict is Verdict.FAILED else DONE


def inspect(arguments: argparse.Namespace) -> int:
    from gateway import api

    if arguments.tensorboard is not None:
        file, nodes = api.tensorboard(arguments.source, arguments.tensorboard)
        if arguments.as_json:
            _print_json({"file": str(file), "nodes": nodes})
        else:
            _print(f"{file}: {nodes} nodes; open it with: tensorboard --logdir {arguments.tensorboard}")
        return DONE
    try:
        found = api.inspect(arguments.source)
    except UnsupportedFormat as error:
        return _not_converted(arguments.source, error, arguments.as_json)
    if arguments.as_json:
        _print_json(found)
        return DONE
    _print(f"{found['source']}: {found['format']} {found['version']}  (confidence {found['confidence']:.2f})")
    _print(f"  evidence: {escape(found['evidence'])}")
    for word, specs in (("input", found["inputs"]), ("output", found["outputs"])):
        for spec in specs:
            shape = None if spec["shape"] is None else tuple(None if s == "?" else s for s in spec["shape"])
            _print(f"  {word:6} {escape(spec['name'])} {spec['dtype']}{format_shape(shape)}")
    counts = ", ".join(f"{name} x{count}" for name, count in sorted(found["operators"].items()))
    _print(f"  operators: {escape(counts) or 'none'}")
    for fact in found.get("facts", ()):
        _print(f"  {escape(fact['what'])}: {escape(fact['value'])}  ({escape(fact['source'])})")
    for fact in found.get("artifact", {}).get("provenance", {}).get("facts", ()):
        if fact["what"] == "target":  # chosen by measuring
            _print(f"  target: {escape(fact['value'])}  ({escape(fact['source'])})")
    _print(f"  next: {escape(found['next'])}")
    return DONE


def conformance(arguments: argparse.Namespace) -> int:
    from gateway import conformance as tables

    found = tables.dialects()
    if arguments.as_json:
        _print_json([dialect.to_json() for dialect in found])
        return DONE
    if arguments.out is not None:
        arguments.out.write_text(tables.page(found), "utf-8")
    _print(tables.summary(found) if arguments.out is not None else tables.page(found))
    return DONE


def _not_converted(source: str, error: UnsupportedFormat, as_json: bool) -> int:
    """What is known by name: everything that was seen, and the way out."""
    from gateway import api

    seen = api.recognise(source)
    if as_json:
        _print_json({**seen, **error.to_json(), "exit": MODEL_FAILED})
        return MODEL_FAILED
    for row in seen["findings"][:SHOWN_FINDINGS]:
        name = f"{row['title']} {row['version']}".strip()
        _print(f"{escape(row['main'])}: {escape(name)}  (confidence {row['confidence']:.2f})")
        _print(f"  evidence: {escape(row['evidence'])}")
        _print(f"  next: {escape(row['next'])}")
    if (more := len(seen["findings"]) - SHOWN_FINDINGS) > 0:
        _print(f"and {more} more files that are known; --json lists them")
    return MODEL_FAILED


def formats(arguments: argparse.Namespace) -> int:
    from gateway.formats.base import all_formats
    from gateway.recognise import KINDS
    from gateway.repository.detect import takers

    rows: list[dict[str, Any]] = [
        {
            "name": f.name,
            "title": f.title,
            "suffixes": list(f.suffixes),
            "environment": f.environment,
            "targets": list(f.targets),
            "data_only": f.data_only,
        }
        for f in all_formats().values()
    ]
    named = [kind for kind in KINDS.values() if not takers(kind.name)]
    if arguments.as_json:
        _print_json(rows + [{**dataclasses.asdict(kind), "targets": []} for kind in named])
        return DONE
    for row in rows:
        _print(f"{row['title']:20} {' '.join(row['suffixes']):16} -> {', '.join(row['targets'])}")
    _print(f"\nKnown by name and not converted ({len(named)}; `gateway inspect FILE` says what to do instead):")
    for family in dict.fromkeys(kind.family for kind in named):
        titles = ", ".join(kind.title for kind in named if kind.family == family)
        _print(textwrap.fill(f"  {family}: {titles}", width=118, subsequent_indent="    ", break_on_hyphens=False))
    return DONE


def doctor(arguments: argparse.Namespace) -> int:
    from gateway import doctor as page

    settings = _settings(arguments.config, {})
    return page.run(arguments, settings, say=_say, show=_print, show_json=_print_json)


def predict(arguments: argparse.Namespace) -> int:
    from gateway import client
    from gateway.core.detections import BOXES

    gateway = client.Client(arguments.url)
    if arguments.json is not None:
        try:
            body = sys.stdin.buffer.read() if str(arguments.json) == "-" else arguments.json.read_bytes()
        except OSError as error:
            raise UsageError(f"--json {arguments.json}: {error.strerror}") from None
        _print_json(gateway.send(arguments.model, body))
        return DONE
    if arguments.image is not None:
        version, signature = gateway.signature(arguments.model, BOXES)
        files = client.picture_files(signature, arguments.image)
        outputs = gateway.predict(arguments.model, version, client.picture_inputs(signature, files), signature.name)
        [first, *further] = [path for paths in files.values() for path in paths]
        seen = "" if further else client.boxes(signature, outputs, first)
        _print(seen or client.describe(signature, outputs))
        return DONE
    version, signature = gateway.signature(arguments.model)
    inputs = client.array_inputs(arguments.npy)
    signature.check(inputs)
    _print(client.describe(signature, gateway.predict(arguments.model, version, inputs)))
    return DONE


# -- shared --------------------------------------------------------------------------------


def _settings(file: Path | None, flags: dict[str, Any]) -> config.Settings:
    try:
        return config.load(file, flags=flags)
    except config.BadSettings as error:
        raise SettingsError(error.problems, hint="README.md lists every setting.") from None


def _npz(path: Path | None) -> dict[str, Any] | None:
    import numpy as np

    if path is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is not an .npz file of plain arrays: {error}") from None


def _print_verification(verification: Verification) -> None:
    judge = f", judged by {verification.oracle}" if verification.oracle else ""
    _print(f"  verdict: {verification.verdict.value}{judge}")
    if verification.reason:
        _print(f"  {escape(verification.reason)}")
    worst = verification.worst
    if worst is not None:
        _print(
            f"  worst: {worst.case} / {worst.output}: max error {worst.max_abs:.3g}, SNR {worst.snr_db:.1f} dB"
            f" ({len(verification.comparisons)} comparisons)"
        )
    if verification.diverges_at:
        _print(f"  first diverging node: {escape(verification.diverges_at)}")
    if verification.batch:
        _print(f"  batch: {escape(verification.batch)}")


class _Progress:
    """One line a stage, with the seconds since the start; at a terminal the line counts up in place."""

    def __init__(self) -> None:
        self._stage = ""
        self._started = time.monotonic()
        self._moves = sys.stderr.isatty()

    def __call__(self, stage: str, fraction: float | None) -> None:
        if stage != self._stage:
            at = f"{time.monotonic() - self._started:6.1f} s"
            sys.stderr.write(("\n" if self._moves and self._stage else "") + f"  {at}  {escape(stage)}")
            sys.stderr.write("" if self._moves else "\n")
            self._stage = stage
        elif self._moves and fraction is not None:
            at = f"{time.monotonic() - self._started:6.1f} s"
            sys.stderr.write(f"\r  {at}  {escape(stage)} {fraction:4.0%}")
        sys.stderr.flush()

    def end(self) -> None:
        if self._moves and self._stage:
            sys.stderr.write("\n")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _print_json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


_SERVE_FLAGS = ("repository", "host", "grpc_port", "http_port", "admin_port", "metrics_port", "store")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gateway", description="Drop a model in, call it: converted, proven, served.")
    parser.add_argument("--version", action="version", version=f"gateway {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str, *, json: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        if json:
            sub.add_argument("--json", dest="as_json", action="store_true", help="one JSON document on stdout")
        return sub

    sub = command("serve", serve, "Serve a repository of models.", json=False)
    sub.add_argument("repository", nargs="?", metavar="REPO", help="default: model_repo")
    sub.add_argument("--host", help="address of all listeners; default: 127.0.0.1")
    for name, port in (("grpc", 8500), ("http", 8501), ("admin", 8081), ("metrics", 8002)):
        sub.add_argument(f"--{name}-port", type=int, metavar="N", help=f"default: {port}; 0 picks a free one")
    help_text = "listen on the usual ports of TensorFlow Serving, Triton and multi-model-server too"
    sub.add_argument("--compat-ports", action="store_true", help=help_text)
    sub.add_argument("--store", metavar="DIR", help="default: ~/.cache/model-gateway/store")
    sub.add_argument("--config", type=Path, metavar="gateway.toml")
    help_text = "any setting of docs/settings.md by its dotted name; wins over all else; may be repeated"
    sub.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=help_text)

    sub = command("convert", convert, "Convert a model and prove the result.")
    sub.add_argument("source", metavar="SOURCE", help="a file or a folder")
    help_text = "auto makes ONNX and a SavedModel and keeps the quicker; default: model.toml's, or the format's first"
    sub.add_argument("--to", choices=("onnx", "savedmodel", "frozen", "native", "auto"), default="", help=help_text)
    sub.add_argument("--out", type=Path, required=True, metavar="DIR")
    help_text = "? is a free dimension; clients call it ALIAS"
    sub.add_argument("--input", action="append", default=[], metavar="[ALIAS=]NAME:DTYPE[SHAPE]", help=help_text)
    help_text = "any internal tensor; clients call it ALIAS"
    sub.add_argument("--output", action="append", default=[], metavar="[ALIAS=]NAME", help=help_text)
    saved = sub.add_argument_group("of a SavedModel")
    saved.add_argument("--signature", action="append", default=[], metavar="KEY", help="default: serving_default")
    saved.add_argument("--tag", action="append", default=[], metavar="T", help="default: serve")
    saved.add_argument("--method-name", default="", metavar="TEXT", help="default: tensorflow/serving/predict")
    saved.add_argument("--trainable", action="store_true", help="weights are trainable; a MetaGraph for training too")
    help_text = "a further signature: encoded pictures, made ready as model.toml's [preprocess] says"
    saved.add_argument("--pictures", default="", metavar="KEY", help=help_text)
    saved.add_argument("--classify", default="", metavar="KEY", help="a further one: tf.Examples to classes and scores")
    saved.add_argument("--regress", default="", metavar="KEY", help="a further one: tf.Examples to outputs")
    saved.add_argument("--scores", default="", metavar="OUTPUT", help="what --classify and --regress show; the first")
    saved.add_argument("--frozen", action="store_true", help="weights are constants of the graph")
    sub.add_argument("--no-verify", action="store_true", help="the verdict is then 'unverified'")

    sub = command("code", code, "Write a model as Python code and its weights, run it, and compare.")
    sub.add_argument("source", metavar="SOURCE", help="a file or a folder")
    sub.add_argument("--to", choices=("tensorflow", "pytorch"), default="tensorflow")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR")
    sub.add_argument("--input", action="append", default=[], metavar="[ALIAS=]NAME:DTYPE[SHAPE]")
    sub.add_argument("--output", action="append", default=[], metavar="[ALIAS=]NAME")

    sub = command("verify", verify, "Compare an artifact with its source.")
    sub.add_argument("source", metavar="SOURCE")
    sub.add_argument("artifact", metavar="ARTIFACT")
    sub.add_argument("--inputs", type=Path, metavar="F.npz")
    sub.add_argument("--expected", type=Path, metavar="F.npz")

    sub = command("inspect", inspect, "Say what a model is.")
    sub.add_argument("source", metavar="SOURCE")
    help_text = "write its graph there instead, as TensorBoard opens it"
    sub.add_argument("--tensorboard", type=Path, metavar="DIR", help=help_text)
    sub = command("conformance", conformance, "What clients of other servers may rely on: one table a dialect.")
    sub.add_argument("--out", type=Path, metavar="FILE", help="write the page instead, e.g. docs/conformance.md")
    command("formats", formats, "List the formats that can be read.")
    sub = command("doctor", doctor, "Say what this machine has and what mends it; keep Environments in order.")
    sub.add_argument("--config", type=Path, metavar="gateway.toml", help="whose store and ports are looked at")
    what = sub.add_mutually_exclusive_group()
    what.add_argument("--install", nargs="+", metavar="ENV", help="build these Environments")
    what.add_argument("--verify", nargs="*", metavar="ENV", help="imports, versions and every file; all that are built")
    what.add_argument("--remove", nargs="+", metavar="ENV", help="delete these, unless a process runs from them")
    what.add_argument("--prune", action="store_true", help="delete those of earlier pins and interrupted builds")
    what.add_argument("--list", action="store_true", help="the Environments alone")
    sub.add_argument("--wheels", type=Path, metavar="DIR", help="with --install: packages from this folder, no network")

    sub = command("predict", predict, "Ask a running gateway.", json=False)
    sub.add_argument("model", metavar="MODEL")
    sub.add_argument("--url", default="http://127.0.0.1:8501", help="its HTTP port; default: %(default)s")
    given = sub.add_mutually_exclusive_group(required=True)
    given.add_argument(
        "--image",
        action="append",
        metavar="[NAME=]FILE",
        help="repeatable: rows of one input, or the inputs of a pipeline",
    )
    given.add_argument("--json", type=Path, metavar="FILE", help="a TensorFlow Serving predict body; - is stdin")
    given.add_argument("--npy", action="append", metavar="NAME=FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
