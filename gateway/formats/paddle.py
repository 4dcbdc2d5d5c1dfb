"""Paddle: a program and its parameters, exported to ONNX by paddle2onnx, judged by Paddle's predictor, or run by it.

Three spellings of one thing: NAME.pdmodel and NAME.pdiparams, __model__ and __params__ or a file for each parameter
(both the older ProgramDesc), NAME.json and NAME.pdiparams (PIR). paddle2onnx wants files that are called alike; they
are copied to such names first.

Rule 1: paddle2onnx ends its process over an operator that it lacks: it runs in a fork, and then all of them are named.
Rule 2: the predictor runs without oneDNN and without rewriting the graph: as Paddle's own kernels are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import NATIVE, ONNX, Fact
from gateway.core.dtypes import Array, Tensors
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError, CorruptModel, UnsupportedOps
from gateway.formats import paddle_records
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised

OPSET = 17
ONE = "one dimension"
NATIVELY = 'target = "native" in model.toml serves it as it is, by Paddle itself.'
PIR = "paddle-pir"
TYPES = {
    "FLOAT32": "float32", "FLOAT64": "float64", "FLOAT16": "float16", "BFLOAT16": "bfloat16", "INT8": "int8",
    "INT16": "int16", "INT32": "int32", "INT64": "int64", "UINT8": "uint8", "BOOL": "bool",
}  # fmt: skip
EDGES = ("pd_op.data", "pd_op.feed")
OLDER = {
    "subtract": "elementwise_sub", "multiply": "elementwise_mul", "divide": "elementwise_div",
    "maximum": "elementwise_max", "minimum": "elementwise_min", "floor_divide": "elementwise_floordiv",
    "remainder": "elementwise_mod", "flatten": "flatten_contiguous_range", "embedding": "lookup_table_v2",
    "hardswish": "hard_swish", "hardsigmoid": "hard_sigmoid", "topk": "top_k_v2", "argmax": "arg_max",
    "argmin": "arg_min", "full": "fill_constant", "full_int_array": "fill_constant", "full_like": "fill_any_like",
    "full_with_tensor": "fill_constant", "arange": "range", "assign_value": "assign_value", "einsum": "einsum",
    "nonzero": "where_index", "depthwise_conv2d": "depthwise_conv2d", "logsigmoid": "logsigmoid", "shape64": "shape",
    "full_batch_size_like": "fill_constant_batch_size_like", "split_with_num": "split", "swish": "swish",
    "leaky_relu": "leaky_relu", "increment": "increment", "grid_sample": "grid_sampler", "where": "where",
}  # fmt: skip
"""Operators of PIR by the names that ProgramDesc had, where these are no regular ones."""
ACTS_OUTSIDE = (
    "py_func",
    "save",
    "save_combine",
    "load",
    "load_combine",
    "read_file",
    "print",
    "c_broadcast",
    "send_v2",
)
"""Operators that run Python or touch files: refused by name."""


class Paddle(Format):
    name = "paddle"
    title = "Paddle"
    suffixes = (".pdmodel", ".json", "__model__")
    recognises = (PIR,)
    environment = "paddle"
    targets = (ONNX, NATIVE)
    native = "paddle"
    falls_back = True
    address_space = False
    revision = 2

    def match(self, source: Source) -> Match | None:
        return recognised(self, source)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        program = Program(source, match)
        return Inspection(program.inputs, program.outputs, program.operators(), tuple(program.facts()))

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        program = Program(source, match)
        program.refuse_outside()
        if self.check_target(target) == NATIVE:
            return _native(program, options)
        return _convert(program, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
        return Predictor(source, match, signature)

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        return Predictor(source, match, signature)


@lru_cache(maxsize=1)
def framework() -> Any:
    """The package paddle, set up once a process."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import paddle
    paddle.set_device("cpu")
    return paddle


def line(error: BaseException) -> str:
    """Paddle's own sentence: it stands behind the C++ stack, in front of a [Hint: ...]."""
    lines = [text.strip() for text in str(error).splitlines() if text.strip()]
    said = [text for text in lines if "Error:" in text or text.startswith(("InvalidArgument", "NotFound"))]
    return (said[-1] if said else lines[-1] if lines else type(error).__name__)[:300]


def files_of(match: Match) -> tuple[str, tuple[str, ...]]:
    """(program, files of parameters) of a match. Errors: ConversionError where none lies beside the program."""
    weights = tuple(name for name in match.used if name != match.main and not name.endswith(".info"))
    if not weights:
        stem = match.main.rpartition("/")[2].rpartition(".")[0]
        wanted = f"{stem}.pdiparams" if stem else "__params__"
        raise ConversionError(
            f"{match.main} is a program, and no file of parameters lies beside it.",
            hint=f"Add {wanted}: paddle.jit.save and save_inference_model write both.",
        )
    return match.main, weights


def staged(source: Source, match: Match) -> tuple[Path, Path]:
    """Copies of both files under one name in a folder of the Job's own; one file a parameter is put together."""
    program, weights = files_of(match)
    folder = Path(tempfile.mkdtemp())
    pir = match.main.endswith(".json") or source.head(program, 64).lstrip().startswith(b"{")
    copies = folder / ("m.json" if pir else "m.pdmodel"), folder / "m.pdiparams"
    for name in weights:
        paddle_records.check(source.path(name), name)
    shutil.copyfile(source.path(program), copies[0])
    if len(weights) == 1:
        shutil.copyfile(source.path(weights[0]), copies[1])
        return copies
    beside = {name.rpartition("/")[2]: name for name in weights}
    with copies[1].open("wb") as joined:  # as save_combine does: by name, one after the other
        for name in _parameters(source.path(program), beside):
            with source.path(beside[name]).open("rb") as one:
                shutil.copyfileobj(one, joined)
    return copies


def _parameters(program: Path, beside: Mapping[str, str]) -> list[str]:
    """Names of a program's parameters, sorted. Errors: ConversionError naming those without a file, CorruptModel."""
    paddle = framework()
    try:
        with paddle.pir_utils.OldIrGuard():
            variables = paddle.static.deserialize_program(program.read_bytes()).list_vars()
            names = sorted(v.name for v in variables if v.persistable and v.name not in ("feed", "fetch"))
    except Exception as error:  # whatever Paddle raises over a file
        raise CorruptModel(f"Paddle {paddle.__version__} does not load {program.name}: {line(error)}") from error
    absent = [name for name in names if name not in beside]
    if absent:
        more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
        raise ConversionError(
            f"{program.name} has {len(names)} parameters in files of their own; there is none for "
            f"{', '.join(absent[:8])}{more}.",
            hint="Copy the folder whole: each parameter is a file of its name.",
        )
    return names


class Program:
    """The program as PIR, whatever it was written as. Errors: ConversionError, CorruptModel."""

    def __init__(self, source: Source, match: Match) -> None:
        self.paddle, self.file = framework(), match.main.rpartition("/")[2]
        self.version = match.version
        self.files = staged(source, match)
        paddle = self.paddle
        executor = paddle.static.Executor(paddle.CPUPlace())
        prefix = str(self.files[0].with_suffix(""))
        self.pir = self.files[0].suffix == ".json"
        try:
            if self.pir:
                with paddle.pir_utils.IrGuard():
                    self.program, _, _ = paddle.static.load_inference_model(prefix, executor)
            else:
                with paddle.pir_utils.OldIrGuard():
                    old, _, _ = paddle.static.load_inference_model(prefix, executor)
                self.program = paddle.pir.translate_to_pir(old.desc)
        except Exception as error:  # whatever Paddle raises over a file
            raise CorruptModel(
                f"Paddle {paddle.__version__} does not load {self.file}: {line(error)}",
                hint="Copy both files again: one may be cut short, or of another model.",
            ) from error
        self.inputs = tuple(self._edges(EDGES))
        self.outputs = tuple(self._edges(("pd_op.fetch",)))
        if not self.outputs:
            raise ConversionError(f"{self.file} has no outputs.")

    def ops(self) -> Iterator[Any]:
        """Every operator, of inner blocks too."""
        waiting = [self.program.global_block()]
        while waiting:
            for op in waiting.pop(0).ops:
                yield op
                waiting += list(op.blocks())

    def operators(self) -> dict[str, int]:
        names = (op.name().removeprefix("pd_op.") for op in self.ops() if op.name().startswith("pd_op."))
        return dict(sorted(Counter(name for name in names if name not in ("data", "feed", "fetch")).items()))

    def _edges(self, kinds: Sequence[str]) -> Iterator[TensorSpec]:
        from gateway.formats.exported import free_name

        for op in self.program.global_block().ops:
            if op.name() not in kinds:
                continue
            value, name = op.results()[0], op.attrs()["name"]
            shape = tuple(None if size < 0 else int(size) for size in value.shape)
            kind = str(value.dtype).rpartition(".")[2].strip("<>: 0123456789") or str(value.dtype)
            known = next((ours for theirs, ours in TYPES.items() if f".{theirs}" in f".{value.dtype}".upper()), "")
            if not known:
                raise ConversionError(f"{name!r} is {kind}, which no client could be sent.")
            symbols = tuple("" if size is not None else free_name(shape, axis) for axis, size in enumerate(shape))
            if kinds != EDGES:
                symbols = tuple(symbol if symbol == "batch" else "" for symbol in symbols)
            yield TensorSpec(name, known, shape, name, symbols)

    def facts(self) -> list[Fact]:
        form = "PIR" if self.pir else "ProgramDesc"
        return [Fact("program", f"{form} {self.version}".strip(), self.file)]

    def refuse_outside(self) -> None:
        """Errors: ConversionError naming operators that run code or touch files."""
        found = sorted(set(self.operators()) & set(ACTS_OUTSIDE))
        if found:
            raise ConversionError(
                f"{self.file} holds {', '.join(found)}, which run code or touch files; nothing here runs them.",
                hint="Export the model for inference: paddle.jit.save of the layer alone.",
            )

    def unsupported(self) -> UnsupportedOps | None:
        """Everything that paddle2onnx lacks; it lists its operators by their older names."""
        import paddle2onnx

        known = set(paddle2onnx.paddle2onnx_cpp2py_export.get_all_supported_operators_pir())
        counts = {n: c for n, c in self.operators().items() if not {*_aliases(n.rstrip("_")), n} & known}
        return UnsupportedOps("paddle2onnx", counts, len(known), hint=NATIVELY) if counts else None


def _aliases(name: str) -> Iterator[str]:
    """What an operator of PIR was called before."""
    yield from (name, f"{name}2", f"{name}_v2", f"elementwise_{name}", f"reduce_{name}", *OLDER.get(name, "").split())
    yield name.replace("_interp", "_interp_v2")


def _native(program: Program, options: ModelOptions) -> Conversion:
    from gateway.formats import exported

    inputs = exported.aliased(program.inputs, options.inputs)
    preprocess = options.preprocess.to_json() if options.preprocess else None
    signature = Signature(inputs, exported.shown(program.outputs, options), preprocess=preprocess)
    versions = {"paddlepaddle": program.paddle.__version__, "numpy": np.__version__}
    return Conversion(NATIVE, (signature,), tuple(program.facts()), versions=versions)


def _convert(program: Program, options: ModelOptions, out: Path) -> Conversion:
    import onnx
    import paddle2onnx

    from gateway.formats import exported, paddle_inside

    model = _exported(program, out / exported.MODEL_FILE)
    exported.hoist(model.graph)
    lifted = _lift_scalars(model)
    inputs = exported.aliased(program.inputs, options.inputs)
    given = [value.name for value in model.graph.input]
    unread = [spec.tensor for spec in inputs if spec.tensor not in given]
    inputs = tuple(sorted((s for s in inputs if s.tensor in given), key=lambda spec: given.index(spec.tensor)))
    warnings = (f"no output depends on {', '.join(unread)}, which clients do not send",) if unread else ()
    outputs = program.outputs
    written = [value.name for value in model.graph.output]
    if len(written) != len(outputs):
        raise ConversionError(
            f"paddle2onnx wrote {len(written)} outputs, the program has {len(outputs)}.", hint=NATIVELY
        )
    exported.rename(model.graph, dict(zip(written, [spec.tensor for spec in outputs], strict=True)))
    paddle_inside.mark(model.graph, [spec.tensor for spec in outputs])
    facts = program.facts()
    if lifted:
        facts.append(Fact("shapes put together", f"{lifted} sizes that paddle2onnx left without a dimension", "graph"))
    signature, quantised = exported.finish(model, out, out, inputs, outputs, options, facts)
    versions = {
        "paddlepaddle": program.paddle.__version__,
        "paddle2onnx": str(getattr(paddle2onnx, "__version__", getattr(paddle2onnx, "version", "")) or ""),
        "onnx": onnx.__version__,
    }
    return Conversion(ONNX, (signature,), tuple(facts), warnings, (), quantised, versions)


def _lift_scalars(model: Any) -> int:
    """paddle2onnx joins sizes along axis 0, some of rank 0: each gets the one dimension that Concat needs."""
    import onnx

    known = onnx.shape_inference.infer_shapes(model).graph
    scalars = {
        value.name
        for value in (*known.value_info, *known.input)
        if value.type.tensor_type.HasField("shape") and not value.type.tensor_type.shape.dim
    } | {tensor.name for tensor in model.graph.initializer if not tensor.dims}
    nodes, count = [], 0
    for node in model.graph.node:
        if node.op_type == "Concat":
            for place, name in enumerate(node.input):
                if name in scalars:
                    one = f"{name}__one_{count}"
                    count += 1
                    nodes.append(onnx.helper.make_node("Reshape", [name, ONE], [one], one))
                    node.input[place] = one
        nodes.append(node)
    if count:
        copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(copies)
        model.graph.initializer.append(onnx.helper.make_tensor(ONE, onnx.TensorProto.INT64, [1], [1]))
    return count


def _exported(program: Program, made: Path) -> Any:
    """The ModelProto. Errors: UnsupportedOps; ConversionError in paddle2onnx's words."""
    import onnx
    import paddle2onnx

    log = made.with_name("paddle2onnx.log")
    child = os.fork()
    if child == 0:  # it aborts where it could raise
        code = 3
        try:
            shown = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(shown, 1)
            os.dup2(shown, 2)
            program_file, weights_file = _as_pir(program, made.with_name("as-pir"))
            paddle2onnx.export(
                str(program_file), str(weights_file), str(made), opset_version=OPSET, enable_onnx_checker=False,
                enable_optimize=False, verbose=False,
            )  # fmt: skip
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    said = log.read_text(errors="replace") if log.exists() else ""
    log.unlink(missing_ok=True)
    shutil.rmtree(made.with_name("as-pir"), ignore_errors=True)
    if status != 0 or not made.exists():
        made.unlink(missing_ok=True)
        errors = [text.rpartition("[ERROR]")[2].strip() for text in said.splitlines() if "[ERROR]" in text]
        errors = [re.sub(r"\x1b\[[\d;]*m", "", text) for text in errors if "are supported" not in text]
        raise program.unsupported() or ConversionError(
            f"paddle2onnx does not export {program.file}: {errors[0] if errors else f'exit status {status}'}",
            hint=NATIVELY,
        )
    model = onnx.load(str(made))
    made.unlink()
    if not model.graph.node:
        raise ConversionError(f"paddle2onnx wrote an empty graph for {program.file}.", hint=NATIVELY)
    return model


def _as_pir(program: Program, folder: Path) -> tuple[Path, Path]:
    """The program as PIR in files, scales of resizings in float32: paddle2onnx 2.1 dies over float64 there."""
    folder.mkdir()
    wanted = folder / "m.json", folder / "m.pdiparams"
    if program.pir:
        for path, copy in zip(program.files, wanted, strict=True):
            shutil.copyfile(path, copy)
    else:
        from paddle2onnx.convert import load_parameter, save_program

        load_parameter(program.program)
        save_program(program.program, str(folder / "m"))
    told = json.loads(wanted[0].read_text())
    waiting: list[Any] = [told]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict) and str(item.get("#", "")).endswith("_interp"):
            for attribute in item.get("A", ()):
                if attribute.get("N") == "scale":
                    for number in attribute["AT"].get("D", ()):
                        number["#"] = number["#"].replace("a_f64", "a_f32")
        waiting += item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    wanted[0].write_text(json.dumps(told))
    return wanted


class Predictor(Oracle):
    """Paddle's inference engine over the files. Errors of the constructor: ConversionError, CorruptModel."""

    def __init__(self, source: Source, match: Match, signature: Signature) -> None:
        paddle = framework()
        from paddle import inference

        self.name = f"Paddle {paddle.__version__}"
        self._signature = signature
        self._files = staged(source, match)
        config = inference.Config(*(str(path) for path in self._files))
        config.disable_gpu()
        config.switch_ir_optim(False)
        config.disable_mkldnn()
        config.disable_glog_info()
        config.set_cpu_math_library_num_threads(1)
        try:
            self._predictor = inference.create_predictor(config)
        except Exception as error:  # whatever Paddle raises over a file
            raise CorruptModel(f"{self.name} does not load {match.main}: {line(error)}") from error
        self._inside: Any = None
        self._wanted = self._predictor.get_input_names()
        self._numbers: Mapping[str, int] = {n: at for at, n in enumerate(self._predictor.get_output_names())}

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: whatever Paddle raises for values that the program does not take."""
        given = {spec.tensor: inputs[spec.name] for spec in self._signature.inputs}
        for name in self._wanted:
            if name in given:
                array = np.ascontiguousarray(given[name]).reshape(given[name].shape)
                self._predictor.get_input_handle(name).copy_from_cpu(array)
        self._predictor.run()
        return {spec.name: self._answer(spec) for spec in self._signature.outputs}

    def nodes(self, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
        """What goes into Sigmoid, Softmax and Tanh at the outputs; the predictor shows nothing else of its inside."""
        from gateway.formats.paddle_inside import Inside

        if self._inside is None:
            order = [name for name, _ in sorted(self._numbers.items(), key=lambda pair: pair[1])]
            self._inside = Inside(framework(), self._files, order)
        given = {spec.tensor: inputs[spec.name] for spec in self._signature.inputs}
        for name, kind, found in self._inside.values(given):
            yield name, kind, dict(found)

    def _answer(self, spec: TensorSpec) -> Array:
        return np.array(self._predictor.get_output_handle(spec.tensor).copy_to_cpu())


FORMAT = Paddle()
