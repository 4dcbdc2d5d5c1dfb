"""Genuine files of formats that are only recognised: run by the Python of Environment `writers`, writes into argv[1].

Each function makes one sample in a folder of its own; its name is the sample's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")


def coreml_network(out: Path) -> None:
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder
    from coremltools.models.utils import save_spec

    builder = NeuralNetworkBuilder([("x", datatypes.Array(4))], [("y", datatypes.Array(3))])
    builder.add_inner_product("fc", np.ones((3, 4)), np.zeros(3), 4, 3, True, "x", "y")
    save_spec(builder.spec, str(out / "m.mlmodel"))


def coreml_renamed(out: Path) -> None:
    coreml_network(out)
    (out / "m.mlmodel").rename(out / "m.pb")


def coreml_package(out: Path) -> None:
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 4))])
    def program(x: object) -> object:
        return mb.relu(x=mb.matmul(x=x, y=np.ones((4, 3), np.float32)))

    ct.convert(program, convert_to="mlprogram", skip_model_load=True).save(str(out / "m.mlpackage"))


def coreml_scaler(out: Path) -> None:
    from coremltools.proto import Model_pb2

    model = Model_pb2.Model()
    model.specificationVersion = 1
    feature = model.description.input.add()
    feature.name = "x"
    feature.type.doubleType.SetInParent()
    model.scaler.shiftValue.append(1.0)
    model.scaler.scaleValue.append(2.0)
    (out / "s.mlmodel").write_bytes(model.SerializeToString())


def onnx_file(path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, 6])],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)


def mnn(out: Path) -> None:
    onnx_file(out / "m.onnx")
    tool = Path(sys.executable).with_name("mnnconvert")
    command = [
        str(tool),
        "-f",
        "ONNX",
        "--modelFile",
        str(out / "m.onnx"),
        "--MNNModel",
        str(out / "m.mnn"),
        "--bizCode",
        "b",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (out / "m.onnx").unlink()


def mnn_renamed(out: Path) -> None:
    mnn(out)
    (out / "m.mnn").rename(out / "m.bin")


def gguf(out: Path) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(str(out / "m.gguf"), "llama")
    writer.add_block_count(1)
    writer.add_tensor("token_embd.weight", np.ones((8, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def hickle(out: Path) -> None:
    import hickle as hkl

    hkl.dump({"w": np.ones(3)}, str(out / "w.hkl"))


def fasttext(out: Path) -> None:
    import fasttext as ft

    (out / "train.txt").write_text("__label__a good day\n__label__b bad night\n" * 20)
    ft.train_supervised(str(out / "train.txt"), dim=4, bucket=50, verbose=0).save_model(str(out / "m.bin"))
    (out / "train.txt").unlink()


def libsvm(out: Path) -> None:
    from libsvm.svmutil import svm_save_model, svm_train

    model = svm_train([1, -1, 1, -1], [{1: 1}, {1: -1}, {1: 2}, {1: -2}], "-q")
    svm_save_model(str(out / "svm.model"), model)


def jax_function() -> object:
    import jax

    return jax.jit(lambda x: jax.numpy.tanh(x @ np.ones((4, 3), np.float32)))


def jax_export(out: Path) -> None:
    from jax import export

    data = export.export(jax_function())(np.ones((2, 4), np.float32)).serialize()
    (out / "m.jax").write_bytes(bytes(data))


def mlir_text(out: Path) -> None:
    (out / "m.mlir").write_text(str(jax_function().lower(np.ones((2, 4), np.float32)).compiler_ir("stablehlo")))


def mlir_bytecode(out: Path) -> None:
    from jax import export

    (out / "m.mlirbc").write_bytes(export.export(jax_function())(np.ones((2, 4), np.float32)).mlir_module_serialized)


def safetensors(out: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"fc.weight": np.ones((3, 4), np.float32), "fc.bias": np.zeros(3, np.float32)}, out / "m.safetensors")


def safetensors_renamed(out: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"fc.weight": np.ones((3, 4), np.float16)}, out / "m.bin", metadata={"format": "pt"})


def safetensors_empty(out: Path) -> None:
    from safetensors.numpy import save_file

    save_file({}, out / "m.safetensors")


def huggingface(out: Path) -> None:
    from safetensors.numpy import save_file

    settings = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "transformers_version": "4.40.0",
        "hidden_size": 8,
    }
    (out / "config.json").write_text(json.dumps(settings))
    save_file({"bert.pooler.dense.weight": np.ones((8, 8), np.float32)}, out / "model.safetensors")
    words().save(str(out / "tokenizer.json"))


def huggingface_shards(out: Path) -> None:
    from safetensors.numpy import save_file

    settings = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "transformers_version": "4.40.0"}
    (out / "config.json").write_text(json.dumps(settings))
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name in shards:
        save_file({name[:11]: np.ones((8, 8), np.float32)}, out / name)
    index = {"metadata": {"total_size": 512}, "weight_map": {name[:11]: name for name in shards}}
    (out / "model.safetensors.index.json").write_text(json.dumps(index))


def words() -> object:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(["good day", "bad night"], trainers.BpeTrainer(special_tokens=["[UNK]"]))
    return tokenizer


def tokenizer(out: Path) -> None:
    words().save(str(out / "tokenizer.json"))


def sentencepiece(out: Path) -> None:
    import sentencepiece as spm

    (out / "t.txt").write_text("good day bad night and more words to learn from\n" * 50)
    spm.SentencePieceTrainer.train(
        input=str(out / "t.txt"), model_prefix=str(out / "sp"), vocab_size=40, minloglevel=3, hard_vocab_limit=False
    )
    for name in ("t.txt", "sp.vocab"):
        (out / name).unlink()


def archive(out: Path, *more: str) -> None:
    safetensors(out)
    (out / "m.safetensors").rename(out / "net.pt")
    (out / "handler.py").write_text("def handle(data, context):\n    return data\n")
    tool = Path(sys.executable).with_name("torch-model-archiver")
    command = [str(tool), "--model-name", "net", "--version", "1.0", "--serialized-file", str(out / "net.pt")]
    command += ["--handler", str(out / "handler.py"), "--export-path", str(out), *more]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    for name in ("net.pt", "handler.py"):
        (out / name).unlink()


def mar_torchserve(out: Path) -> None:
    archive(out)


def mar_torchserve_tgz(out: Path) -> None:
    archive(out, "--archive-format", "tgz")


def mar_torchserve_folder(out: Path) -> None:
    archive(out, "--archive-format", "no-archive")


def vowpal(out: Path) -> None:
    import vowpalwabbit

    vw = vowpalwabbit.Workspace(quiet=True)
    vw.learn("1 | a b c")
    vw.save(str(out / "m.vw"))
    vw.finish()


def flax(out: Path) -> None:
    """As flax.serialization writes arrays: extension 1 of (shape, dtype's name, bytes)."""
    import msgpack

    def array(value: np.ndarray) -> object:
        return msgpack.ExtType(1, msgpack.packb((value.shape, value.dtype.name, value.tobytes()), use_bin_type=True))

    tree = {
        "params": {"Dense_0": {"kernel": array(np.ones((4, 3), np.float32)), "bias": array(np.zeros(3, np.float32))}}
    }
    (out / "flax_model.msgpack").write_bytes(msgpack.packb(tree, strict_types=True))


def _samples() -> list[str]:
    helpers = {"onnx_file", "jax_function", "words", "archive"}
    return [
        n
        for n, f in globals().items()
        if getattr(f, "__module__", "") == "__main__" and n[0] != "_" and n not in helpers
    ]


if __name__ == "__main__":
    for name in sorted(_samples()):
        folder = Path(sys.argv[1]) / name
        folder.mkdir()
        try:
            globals()[name](folder)
        except Exception as error:
            print("FAILED", name, repr(error)[:300])
