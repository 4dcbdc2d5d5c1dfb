"""MMdnn's commands, for those who have them in scripts; mmdownload says what to do instead.

    mmconvert -sf mxnet -in model-symbol.json -iw model-0000.params -df tensorflow -om resnet100 --inputShape 3,112,112

What was MMdnn's IR is ONNX here: `mmtoir -d NAME` writes the folder NAME/, `mmtomodel -in NAME` takes it. The IR
itself, NAME.pb or NAME.json and NAME.npy, is read too. Results are proven as everything is, and the verdict is printed.

Rule 1: an option means what it meant, or is refused by name with its reason; all that is wrong is said at once; exit 2.
Rule 2: code is written for people to read; none that is given is run, and nothing is downloaded.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from gateway.core.artifact import Verdict
from gateway.errors import GatewayError, UsageError

DONE, MODEL_FAILED, WRONG_USAGE = 0, 1, 2
SERVING, TRAINING = "SERVING", "TRAINING"
TARGETS = {"tensorflow": "savedmodel", "tf": "savedmodel", "onnx": "onnx"}
"""MMdnn's destination -> ours."""
CODE = {"tensorflow": "tensorflow", "tf": "tensorflow", "pytorch": "pytorch"}
"""MMdnn's destination -> the framework that code is written for."""
FORMATS: dict[str, tuple[str, ...]] = {
    "mxnet": ("mxnet",), "onnx": ("onnx",), "caffe": ("caffe",), "caffe2": ("caffe2",), "cntk": ("cntk", "cntk-v1"),
    "keras": ("keras-h5", "keras"), "tensorflow": ("tf-metagraph", "tf-graphdef"), "tf": ("tf-graphdef",),
    "torch": ("torch7",), "torch7": ("torch7",), "darknet": ("darknet",), "coreml": ("coreml",),
    "pytorch": ("torch-module", "torchscript"),
}  # fmt: skip
"""MMdnn's source -> our Formats; one that none of them converts is refused."""
IR = (".pb", ".json")
UNTOLD = {
    "phase": "the graph for training is --dump_tag TRAINING of mmconvert and mmtomodel",
    "inNodeName": "inputs are where the source has them",
    "caffePhase": "the TEST phase is what is served",
    "darknetStart": "where the weights start is found by reading them to their end",
}
"""Options without a meaning here, and why."""


def mmconvert(argv: Sequence[str] | None = None) -> int:
    parser = _Parser("mmconvert")
    parser.option("-sf", "--srcFramework", required=True)
    parser.option("-df", "--dstFramework", required=True)
    parser.option("-in", "--inputNetwork", "--network", "-n", required=True)
    parser.option("-iw", "--inputWeight", "--weights", "-w")
    parser.option("-om", "--outputModel", "-o", required=True)
    parser.shared()
    parser.option("--dump_tag", choices=(SERVING, TRAINING), default=SERVING)
    return _run(parser, argv, _converted)


def mmtoir(argv: Sequence[str] | None = None) -> int:
    parser = _Parser("mmtoir")
    parser.option("-f", "--srcFramework", required=True)
    parser.option("-n", "-in", "--network", dest="inputNetwork", required=True)
    parser.option("-w", "-iw", "--weights", dest="inputWeight")
    parser.option("-d", "-o", "--dstPath", dest="outputModel", required=True)
    parser.shared()
    parser.set_defaults(dstFramework="onnx", dump_tag=SERVING)
    return _run(parser, argv, _converted)


def mmtomodel(argv: Sequence[str] | None = None) -> int:
    parser = _Parser("mmtomodel")
    parser.option("-f", "--framework", dest="dstFramework", required=True)
    parser.option("-in", "--inputNetwork", required=True)
    parser.option("-iw", "--inputWeight")
    parser.option("-o", "-om", "--outputModel", required=True)
    parser.option("--dump_tag", choices=(SERVING, TRAINING), default=SERVING)
    parser.set_defaults(srcFramework="onnx", inputShape=None, dstNodeName=None)
    return _run(parser, argv, _from_ir)


def mmtocode(argv: Sequence[str] | None = None) -> int:
    parser = _Parser("mmtocode")
    parser.option("-f", "--framework", dest="dstFramework", required=True)
    parser.option("-n", "-in", "--IRModelPath", dest="inputNetwork", required=True)
    parser.option("-w", "-iw", "--IRWeightPath", dest="inputWeight")
    parser.option("-d", "--dstModelPath", dest="code", required=True)
    parser.option("-dw", "--dstWeightPath", dest="weights")
    parser.option("-p", "--phase", choices=("test", "train"), default="test")
    return _run(parser, argv, _to_code)


def mmdownload(argv: Sequence[str] | None = None) -> int:
    return _refuse(
        "mmdownload",
        "models are not downloaded: most of MMdnn's addresses are gone.",
        "Get the file from where it is published, and give it to `gateway convert` or drop it into the repository.",
    )


def mmvismeta(argv: Sequence[str] | None = None) -> int:
    parser = _Parser("mmvismeta")
    parser.option("inputNetwork", metavar="FILE")
    parser.option("folder", metavar="DIR", nargs="?", default=".")
    return _run(parser, argv, _to_tensorboard)


class _Parser(argparse.ArgumentParser):
    """MMdnn's options; what is wrong is raised."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog=prog, allow_abbrev=False, description=f"{prog} of MMdnn, as docs/from-mmdnn.md says.")

    def option(self, *names: str, **more: Any) -> None:
        self.add_argument(*names, **more)

    def shared(self) -> None:
        self.option("--inputShape", nargs="+", metavar="C,H,W", help="of each input, without the batch")
        self.option("-node", "--dstNodeName", "--dstNode", nargs="+", metavar="NAME", help="outputs")
        self.option("-inode", "--inNodeName", nargs="+", help=argparse.SUPPRESS)
        for name in ("--phase", "--caffePhase", "--darknetStart"):
            self.option(name, help=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}.", hint="docs/from-mmdnn.md lists what each option does here.")


def _run(parser: _Parser, argv: Sequence[str] | None, work: Callable[[argparse.Namespace], int]) -> int:
    try:
        return work(parser.parse_args(argv))
    except GatewayError as error:
        sys.stderr.write(f"{parser.prog}: {error.message}\n" + (f"  {error.hint}\n" if error.hint else ""))
        return WRONG_USAGE if isinstance(error, UsageError) else MODEL_FAILED


def _refuse(command: str, what: str, instead: str) -> int:
    sys.stderr.write(f"{command}: {what}\n  {instead}\n")
    return WRONG_USAGE


def _converted(arguments: argparse.Namespace) -> int:
    problems = [f"--{name}: {why}" for name, why in UNTOLD.items() if getattr(arguments, name, None)]
    problems += _unread(arguments.srcFramework)
    problems += _unwritten(arguments.dstFramework)
    if arguments.inputWeight and arguments.srcFramework not in ("mxnet", "caffe", "darknet"):
        problems.append(f"--inputWeight: of {arguments.srcFramework} the network's file or folder is enough")
    for name in (arguments.inputNetwork, arguments.inputWeight):
        problems += [f"{name} is not a file"] if name and not Path(name).exists() else []
    if problems:
        raise UsageError("; ".join(problems) + ".", hint="docs/from-mmdnn.md lists what each option does here.")
    with tempfile.TemporaryDirectory(prefix="model-gateway-") as scratch:
        return _convert(_source(arguments, Path(scratch)), arguments)


def _from_ir(arguments: argparse.Namespace) -> int:
    """What mmtoir wrote is a folder with an ONNX model; what MMdnn's wrote are two files of its IR."""
    path, problems = Path(arguments.inputNetwork), _unwritten(arguments.dstFramework)
    if _is_ir(path) and not problems:
        with tempfile.TemporaryDirectory(prefix="model-gateway-") as scratch:
            return _convert(_ir_folder(path, arguments.inputWeight, Path(scratch)), arguments)
    if path.suffix == ".py":
        problems.append(f"{path} is Python code, which is not run; give the folder that mmtoir has written")
    elif not path.exists():
        problems.append(f"{path} does not exist; expected the folder that mmtoir has written")
    if arguments.inputWeight:
        problems.append("--inputWeight: weights are in the folder that mmtoir has written")
    if problems:
        raise UsageError("; ".join(problems) + ".", hint="mmtomodel -f tensorflow -in NAME -o OUT")
    return _convert(path, arguments)


def _to_code(arguments: argparse.Namespace) -> int:
    """MMdnn's IR is two files of one stem; here it is the folder of that name."""
    from gateway import api

    own = Path(arguments.inputNetwork)
    path, problems = own if _is_ir(own) else _ir(own), []
    if not path.is_dir() and not _is_ir(path):
        problems.append(f"{arguments.inputNetwork}: {path} is no folder; expected the one that mmtoir has written")
    if arguments.inputWeight and not _is_ir(path) and _ir(Path(arguments.inputWeight)) != path:
        problems.append(f"--IRWeightPath {arguments.inputWeight}: weights are in {path}, as mmtoir has written them")
    if arguments.dstFramework not in CODE:
        problems.append(f"--framework {arguments.dstFramework}: not written here; expected one of {', '.join(CODE)}")
    if arguments.phase == "train":
        problems.append("--phase train: the graph for training is --dump_tag TRAINING of mmconvert and mmtomodel")
    if problems:
        raise UsageError("; ".join(problems) + ".", hint="mmtocode -f tensorflow -n NAME -d CODE.py")
    code = Path(arguments.code)
    weights = Path(arguments.weights) if arguments.weights else code.with_suffix(".npz")
    with tempfile.TemporaryDirectory(prefix="model-gateway-") as scratch:
        source = _ir_folder(path, arguments.inputWeight, Path(scratch) / "ir") if _is_ir(path) else path
        made = api.code(source, Path(scratch) / "code", to=CODE[arguments.dstFramework])
        text = made.code.read_text("utf-8").replace("weights.npz", weights.name)
        code.write_text(text, "utf-8")
        shutil.copyfile(made.weights, weights)
    worst = max(comparison.max_abs for comparison in made.comparisons)
    sys.stdout.write(f"{code}, {weights}: {CODE[arguments.dstFramework]}, run and compared: max error {worst:.3g}\n")
    return DONE


def _is_ir(path: Path) -> bool:
    """Whether it is a graph of MMdnn's own IR, and not the name of a folder that `mmtoir` has written."""
    return path.suffix in IR and path.is_file()


def _ir_folder(graph: Path, weights: str | None, scratch: Path) -> Path:
    """The graph and its weights in one folder, under one name. Errors: UsageError."""
    stored = Path(weights) if weights else graph.with_suffix(".npy")
    if weights and not stored.is_file():
        raise UsageError(f"{weights} is not a file.", hint="Give the .npy that was written with the graph.")
    scratch.mkdir(exist_ok=True)
    shutil.copyfile(graph, scratch / f"ir{graph.suffix}")
    if stored.is_file():
        shutil.copyfile(stored, scratch / "ir.npy")
    return scratch


def _ir(path: Path) -> Path:
    """What mmtoir calls NAME, MMdnn called NAME.pb and NAME.npy."""
    return path if path.is_dir() else path.with_suffix("")


def _to_tensorboard(arguments: argparse.Namespace) -> int:
    from gateway import api

    file, nodes = api.tensorboard(arguments.inputNetwork, arguments.folder)
    sys.stdout.write(f"{file}: {nodes} nodes; open it with: tensorboard --logdir {arguments.folder}\n")
    return DONE


def _unread(name: str) -> list[str]:
    from gateway.core.artifact import ONNX
    from gateway.formats.base import all_formats

    if name not in FORMATS:
        return [f"--srcFramework {name!r}: MMdnn knows {', '.join(FORMATS)}"]
    known = all_formats()
    if any(kind in known and ONNX in known[kind].targets for kind in FORMATS[name]):
        return []
    return [f"--srcFramework {name}: not converted yet; `gateway inspect FILE` says what to do instead"]


def _unwritten(name: str) -> list[str]:
    return [] if name in TARGETS else [f"--dstFramework {name}: not written here; expected one of {', '.join(TARGETS)}"]


def _source(arguments: argparse.Namespace, scratch: Path) -> Path:
    """The network's file where its weights are found beside it, else both in one folder under one name."""
    from gateway.repository.layout import SYMBOL, companions

    network = Path(arguments.inputNetwork)
    if not arguments.inputWeight:
        return network
    weights = Path(arguments.inputWeight)
    beside = companions(network.name, [path.name for path in network.parent.iterdir()])
    if weights.parent.resolve() == network.parent.resolve() and beside == (weights.name,):
        return network
    if arguments.srcFramework != "mxnet":
        for path in (network, weights):
            shutil.copyfile(path, scratch / path.name)
        return scratch
    stem = network.name.removesuffix(SYMBOL).removesuffix(".json")
    shutil.copyfile(network, scratch / f"{stem}{SYMBOL}")
    shutil.copyfile(weights, scratch / f"{stem}-0000.params")
    return scratch


def _convert(source: Path, arguments: argparse.Namespace) -> int:
    from gateway import api

    out, to = Path(arguments.outputModel), TARGETS[arguments.dstFramework]
    artifact = api.convert(
        source,
        out,
        to=to,
        inputs=_inputs(source, arguments.inputShape or ()),
        outputs=arguments.dstNodeName or (),
        trainable=to == "savedmodel" and arguments.dump_tag == TRAINING,
    )
    verification = artifact.verification
    shown = artifact.signatures[0]
    sys.stdout.write(
        f"{out}: {artifact.kind}, {', '.join(map(str, shown.inputs))} -> {', '.join(map(str, shown.outputs))}\n"
        f"  verdict: {verification.verdict.value}, {verification.reason}\n"
    )
    return MODEL_FAILED if verification.verdict is Verdict.FAILED else DONE


def _inputs(source: Path, shapes: Sequence[str]) -> list[str]:
    """`3,112,112` of each input in order, as NAME:DTYPE[?,3,112,112]. Errors: UsageError."""
    from gateway import api

    if not shapes:
        return []
    known = api.inspect(source)["inputs"]
    wrong = [shape for shape in shapes if not all(size.strip().isdigit() for size in shape.split(","))]
    if wrong or len(shapes) > len(known):
        names = ", ".join(spec["name"] for spec in known)
        raise UsageError(
            f"--inputShape {' '.join(shapes)}: expected sizes such as 3,112,112, without the batch, for: {names}."
        )
    return [f"{spec['name']}:{spec['dtype']}[?,{shape}]" for spec, shape in zip(known, shapes)]
