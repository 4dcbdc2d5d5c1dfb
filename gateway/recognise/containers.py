"""HDF5, zip, tar and gzip: containers that are a format of their own, or hold a model of another.

Rule 1: a zip is what its members' names say; only what tells two apart is looked into.
Rule 2: an archive of an unknown kind is looked into as a folder would be, once: `inside` says what it holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from gateway.recognise import archives, hdf5, opcodes, skim
from gateway.recognise.answer import Finding
from gateway.recognise.archives import Listing, member
from gateway.recognise.blob import Blob
from gateway.recognise.pickles import torch_pickle


def hdf(blob: Blob) -> Iterator[Finding]:
    file = hdf5.of(blob)
    if file is None:
        return
    attributes, names = file.attributes, file.names
    keras = attributes.get("keras_version", "")[:20]
    where = "the HDF5 signature" + (f" at {file.base}" if file.base else "")
    if "model_config" in attributes:
        said = f"{where}, root attributes model_config" + (" and keras_version" if keras else "")
        finding = Finding("keras-h5", keras, 1.0 if "model_weights" in names or not names else 0.9, said)
    elif "layer_names" in attributes:
        finding = Finding("keras-h5-weights", keras, 1.0, f"{where}, a root attribute layer_names and no model_config")
    elif _keras_3(names):
        finding = Finding(
            "keras-h5-weights",
            "Keras 3",
            0.95,
            f"{where}, root groups {', '.join(sorted(names)[:4])} and no model_config",
        )
    elif "model_weights" in names:
        finding = Finding("keras-h5-weights", keras, 0.9, f"{where}, a group model_weights and no model_config")
    elif attributes.get("CLASS") == "hickle" or "HICKLE_VERSION" in attributes:
        finding = Finding(
            "hickle", attributes.get("HICKLE_VERSION", "")[:20], 1.0, f"{where}, root attributes of hickle"
        )
    elif not file.complete and (found := re.search(rb"model_config|layer_names|keras_version", blob.read(0, 1 << 18))):
        kind = "keras-h5-weights" if found[0] == b"layer_names" else "keras-h5"
        finding = Finding(kind, "", 0.6, f"{where}; the text {found[0].decode()} stands in it")
    else:
        seen = ", ".join([*list(names)[:4], *list(attributes)[:4]]) or "nothing"
        finding = Finding("hdf5", str(file.version), 0.9, f"{where}; at its root: {seen}")
    if file.end > blob.size:
        finding = finding.cut(f"it says that it has {file.end} bytes and has {blob.size}")
    yield finding


_KERAS_3 = frozenset(  # what Keras 3 writes at the root of a .weights.h5
    (
        "layers",
        "_layer_checkpoint_dependencies",
        "optimizer",
        "vars",
        "metrics",
        "seed_generator",
        "_functional",
        "loss",
    )
)


def _keras_3(names: dict[str, int]) -> bool:
    return bool({"layers", "_layer_checkpoint_dependencies"} & set(names)) and set(names) <= _KERAS_3


# -- zip -----------------------------------------------------------------------------------------


def zipped(blob: Blob) -> Iterator[Finding]:
    """A zip that is a format of its own. What it holds else is `engine`'s to see."""
    listing = archives.of_zip(blob)
    if listing is None:
        return
    finding = next(_zip_kinds(blob, listing), None)
    if finding is not None:
        yield finding if listing.whole else finding.cut("the zip has no end: it is cut short")


def _zip_kinds(blob: Blob, listing: Listing) -> Iterator[Finding]:
    names = set(listing.names)
    for look in (_archives_of_servers, _keras, _torch, _skops, _arrays):
        yield from look(blob, listing, names)
    for kind, sure, said, holds in _HOLDS:
        if names and holds(names, blob.base):
            yield Finding(kind, "", sure, f"a zip {said}")


def _tops(names: set[str]) -> set[str]:
    return {name.split("/")[0] for name in names if "/" in name}


def _ends(names: set[str], suffix: str) -> bool:
    return any(name.endswith(suffix) for name in names)


# kind, confidence, what is seen, asked of (names of the members, the archive's own name)
_HOLDS: tuple[tuple[str, float, str, Callable[[set[str], str], bool]], ...] = (
    ("dlc", 0.95, "with dlc.metadata, or with model and model.params",
     lambda n, _: "dlc.metadata" in n or {"model", "model.params"} <= n),
    ("mlnet", 0.95, "with the folder TransformerChain or Predictor",
     lambda n, _: bool(_tops(n) & {"TransformerChain", "Predictor"})),
    ("h2o-mojo", 0.95, "with model.ini and trees, domains or features",
     lambda n, _: "model.ini" in n and bool(_tops(n) & {"trees", "domains", "experimental", "features"})),
    ("dl4j", 1.0, "with configuration.json and coefficients.bin",
     lambda n, _: {"configuration.json", "coefficients.bin"} <= n),
    ("nnabla", 1.0, "with nnp_version.txt and a .nntxt",
     lambda n, _: _ends(n, "nnp_version.txt") and _ends(n, ".nntxt")),
    ("pnnx", 0.7, "called .pnnx.bin", lambda _, base: base.endswith(".pnnx.bin")),
    ("mediapipe-task", 0.95, "of .tflite files called .task",
     lambda n, base: base.endswith(".task") and _ends(n, ".tflite")),
)  # fmt: skip


def _skops(blob: Blob, listing: Listing, names: set[str]) -> Iterator[Finding]:
    if "schema.json" not in names:
        return
    data = _json(blob, listing, "schema.json")
    if data is not None and (data.has("__class__", "__module__") or data.has("_skops_version")):
        said = f"a zip with schema.json, class {data.text('__module__')}.{data.text('__class__')}"
        yield Finding("skops", data.text("_skops_version"), 1.0, said)
    elif data is None and not listing.whole:
        yield Finding("skops", "", 0.6, "a zip with schema.json")


def _arrays(blob: Blob, listing: Listing, names: set[str]) -> Iterator[Finding]:
    if not names or not all(name.endswith(".npy") for name in names):
        return
    layers = all(re.match(r"(__root__|layers/|_layer_checkpoint_dependencies/)", name) for name in names)
    chainer = any(re.match(r"updater/|predictor/.*/(W|b)\.npy$", name) for name in names)
    kind = "keras-h5-weights" if layers else "chainer" if chainer else "npz"
    said = f"a zip of {len(names)} arrays, such as {sorted(names)[0][:80]}"
    yield Finding(kind, "npz" if layers else "", 0.95, said)


def _json(blob: Blob, listing: Listing, name: str) -> skim.Json | None:
    inner = member(blob, listing, name)
    return skim.of(inner) if inner is not None else None


def _archives_of_servers(blob: Blob, listing: Listing, names: set[str]) -> Iterator[Finding]:
    if "MAR-INF/MANIFEST.json" in names:
        yield mar_manifest(_json(blob, listing, "MAR-INF/MANIFEST.json"), "a zip with MAR-INF/MANIFEST.json")
    elif "WAR-INF/MANIFEST.json" in names:
        yield Finding("war", "", 1.0, "a zip with WAR-INF/MANIFEST.json")
    elif (
        "MANIFEST.json" in names
        and (data := _json(blob, listing, "MANIFEST.json")) is not None
        and data.has("Engine", "Model")
    ):
        yield mar_manifest(data, "a zip with MANIFEST.json of Engine and Model")


def mar_manifest(data: skim.Json | None, where: str) -> Finding:
    if data is None:
        return Finding("mar", "", 0.9, where)
    if data.has("Engine"):
        engine = next(iter(data["Engine"]), "") if isinstance(data["Engine"], dict) else ""
        return Finding("mar", "0.1", 1.0, f"{where}, engine {str(engine)[:40] or 'unknown'}")
    handler, engine = data.text("model", "handler"), data.text("engine", "engineName")
    said = "".join(f", {what} {value!r}" for what, value in (("engine", engine), ("handler", handler)) if value)
    version = data.text("specificationVersion") or ("TorchServe" if data.has("archiverVersion") else "")
    return Finding("mar", version, 1.0, where + said)


def _keras(blob: Blob, listing: Listing, names: set[str]) -> Iterator[Finding]:
    weights = {name for name in names if re.fullmatch(r"model\.weights\.(h5|npz|json)|model\.weights_\d+\.h5", name)}
    if "config.json" not in names or not (weights or "metadata.json" in names):
        return
    about = _json(blob, listing, "metadata.json") if "metadata.json" in names else None
    config = _json(blob, listing, "config.json")
    version = about.text("keras_version") if about is not None else ""
    if version or (config is not None and config.has("class_name", "config")):
        said = "a zip with config.json" + (f" (class {config.text('class_name')})" if config is not None else "")
        yield Finding(
            "keras",
            version,
            1.0,
            said
            + (", metadata.json with keras_version" if version else "")
            + (f", {sorted(weights)[0]}" if weights else ""),
        )
    elif not listing.whole and about is None and config is None:
        return


def _torch(blob: Blob, listing: Listing, names: set[str]) -> Iterator[Finding]:
    """torch.save, torch.jit.save, torch.export.save, torch.package: one root folder, told apart by what lies in it."""
    below = {name.partition("/")[2] for name in names} | names
    root = next((name.partition("/")[0] for name in names if name.endswith("/data.pkl") and name.count("/") == 1), None)
    prefix = f"{root}/" if root is not None else ""
    if "archive_format" in below or "serialized_exported_program.json" in below:
        yield _exported(blob, listing, names, below)
        return
    if any(name.startswith(".data/extern_modules") for name in below):
        yield Finding("torch-package", "", 1.0, "a zip with .data/extern_modules")
        return
    code = any(name.startswith("code/") and name.endswith(".py") for name in below)
    version = _text(blob, listing, f"{prefix}version")
    if "bytecode.pkl" in below:
        yield Finding("torch-mobile", version, 1.0, "a zip with bytecode.pkl" + (" and code/" if code else ""))
    elif "constants.pkl" in below and code:
        yield Finding("torchscript", version, 1.0, "a zip with code/*.py and constants.pkl")
    elif "data.pkl" in below and (pkl := member(blob, listing, f"{prefix}data.pkl")) is not None:
        found = opcodes.scan(pkl)
        script = [name for name in found.globals if name.startswith("__torch__")]
        if script:
            yield Finding(
                "torchscript",
                version,
                0.95 if code or "constants.pkl" in below else 0.8,
                f"data.pkl of class {script[0].replace(' ', '.')}",
            )
        elif code or "constants.pkl" in below:
            yield Finding(
                "torchscript", version, 0.9, "a zip with data.pkl and " + ("code/*.py" if code else "constants.pkl")
            )
        else:
            yield torch_pickle(found, f"a zip with {prefix}data.pkl" + (f", version {version}" if version else ""))
    elif "constants.pkl" in below or code:
        yield Finding("torchscript", version, 0.7, "a zip with constants.pkl or code/*.py")


def _exported(blob: Blob, listing: Listing, names: set[str], below: set[str]) -> Finding:
    where = "archive_format" if "archive_format" in below else "serialized_exported_program.json"
    name = next((n for n in sorted(names) if re.search(r"(^|/)(archive_version|version)$", n)), "")
    version = _text(blob, listing, name)
    compiled = any("data/aotinductor/" in n for n in names)
    if compiled:
        return Finding("torch-aoti", version, 1.0, f"a zip with {where} and data/aotinductor/")
    model = next((n for n in sorted(names) if re.search(r"models/[^/]+\.json$", n)), "")
    return Finding(
        "torch-exported",
        version,
        1.0,
        f"a zip with {where}" + (f" and {model.partition('/')[2] or model}" if model else ""),
    )


def _text(blob: Blob, listing: Listing, name: str) -> str:
    inner = member(blob, listing, name) if name else None
    said = inner.read(0, 40).decode("latin-1").strip() if inner is not None else ""
    return said if re.fullmatch(r"[\w.-]{1,20}", said) else ""


# -- tar -----------------------------------------------------------------------------------------


def tarred(blob: Blob) -> Iterator[Finding]:
    """A tar that is a format of its own."""
    listing = archives.of_tar(blob)
    if listing is None:
        return
    names = set(listing.names)
    finding = None
    if {"pickle", "storages", "tensors"} <= names:
        inner = member(blob, listing, "pickle")
        finding = (
            torch_pickle(opcodes.scan(inner), "a tar of pickle, storages and tensors (torch.save before 0.2)")
            if inner
            else None
        )
    elif names and all(name.endswith(".raw") for name in names):
        finding = Finding("qnn", "weights alone", 0.7, f"a tar of {len(names)} .raw files")
    elif "MAR-INF/MANIFEST.json" in names:
        inner = member(blob, listing, "MAR-INF/MANIFEST.json")
        finding = mar_manifest(skim.of(inner) if inner else None, "a tar with MAR-INF/MANIFEST.json")
    elif any(name.endswith((".hn", ".native.hn")) for name in names):
        finding = Finding("hailo", "har", 0.95, "a tar with a .hn")
    if finding is not None:
        yield finding if listing.whole else finding.cut("the tar has no end: it is cut short")
