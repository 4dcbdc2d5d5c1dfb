"""config.pbtxt: its text form, what is read of it, what is refused, and where it must agree with the model."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core import textproto, tritonconfig
from gateway.core.policy import Versions
from gateway.core.signature import Signature, parse_spec
from gateway.core.textproto import Word
from gateway.errors import InvalidRequest, TritonConfigError

TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "scalars": ('a: "x" b: 3 c: -1.5 d: TYPE_FP32 e: 0x10', {"a": ["x"], "b": [3], "c": [-1.5], "d": ["TYPE_FP32"],
                                                              "e": [16]}),
    "nothing": ("", {}),
    "comments and separators": ("# c\na: 1, b: 2; # d\n", {"a": [1], "b": [2]}),
    "a field again": ("a: 1 a: 2", {"a": [1, 2]}),
    "a message, with a colon and without": ("m { x: 1 } n: { y: 2 } o < z: 3 >", {"m": [{"x": [1]}], "n": [{"y": [2]}],
                                                                                  "o": [{"z": [3]}]}),
    "a list": ("a: [ 1, -1 ] b: []", {"a": [1, -1], "b": []}),
    "a list of messages without a colon": ("i [ { x: 1 }, { x: 2 } ]", {"i": [{"x": [1]}, {"x": [2]}]}),
    "strings side by side": ("a: 'x' \"y\"", {"a": ["xy"]}),
    "escapes": (r'a: "\n\"\101\x42"', {"a": ['\n"AB']}),
    "floats of C": ("a: 1.5f b: 1e3", {"a": [1.5], "b": [1000.0]}),
}  # fmt: skip


@pytest.mark.parametrize("row", TEXTS.values(), ids=TEXTS.keys())
def test_texts(row: tuple[str, dict[str, Any]]) -> None:
    assert textproto.parse(row[0]) == row[1]


def test_words_are_told_from_strings() -> None:
    found = textproto.parse('a: true b: "true"')
    assert (type(found["a"][0]), type(found["b"][0])) == (Word, str)


BROKEN = {
    "no value": ("a:", "line 1, column 3: found the end, expected a value"),
    "no colon": ("a 1", "line 1, column 3: found '1', expected ':' or '{'"),
    "no name": (": 1", "line 1, column 1: found ':', expected the name of a field"),
    "not closed": ("\n m { a: 1", "line 2, column 10: found the end, expected the name of a field or '}'"),
    "closed twice": ("m { } }", "found '}', expected the name of a field"),
    "a list that is not closed": ("a: [ 1 2 ]", "found '2', expected ',' or ']'"),
    "a string over two lines": ('a: "x\ny"', "found '\"', expected a character that has no meaning here"),
    "another character": ("a: 1 ?", "found '?'"),
    "too deep": ("m {" * 40, "expected at most 32 levels"),
}


@pytest.mark.parametrize("row", BROKEN.values(), ids=BROKEN.keys())
def test_broken_texts_name_the_place(row: tuple[str, str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        textproto.parse(row[0])
    assert row[1] in caught.value.message


def test_what_is_read() -> None:
    found = tritonconfig.parse(
        'name: "m" platform: "onnxruntime_onnx" max_batch_size: 8 dynamic_batching { preferred_batch_size: [ 4, 8 ] }\n'
        "input [ { name: 'x' data_type: TYPE_FP32 dims: [ -1, 16 ] } ]\n"
        "output { name: 'y' data_type: TYPE_STRING dims: 4 label_filename: 'labels.txt' }\n"
        "version_policy: { specific { versions: [ 1, 3 ] } } instance_group [ { kind: KIND_CPU count: 2 } ]",
        model="m",
    )
    assert (found.name, found.max_batch_size, found.versions) == ("m", 8, Versions(specific=(1, 3)))
    assert found.inputs == (tritonconfig.TensorFact("x", "float32", (-1, 16)),)
    assert found.outputs == (tritonconfig.TensorFact("y", "string", (4,), "labels.txt"),)
    assert found.labels == ("y", "labels.txt")


POLICIES = {
    "all": ("all { }", Versions(all=True)),
    "the newest two": ("latest { num_versions: 2 }", Versions(latest=2)),
    "the newest, by default": ("latest { }", Versions(latest=1)),
    "by number": ("specific { versions: [ 7 ] }", Versions(specific=(7,))),
}


@pytest.mark.parametrize("row", POLICIES.values(), ids=POLICIES.keys())
def test_version_policies(row: tuple[str, Versions]) -> None:
    assert tritonconfig.parse(f"version_policy {{ {row[0]} }}").versions == row[1]


REFUSED = {
    "sequences": ("sequence_batching { }", "sequence_batching: sequence models are not served"),
    "sequences, by a strategy": (
        "sequence_batching { oldest { max_candidate_sequences: 4 } }",
        "sequence_batching: sequence models are not served",
    ),
    "ensembles": ("ensemble_scheduling { step [ { } ] }", "ensemble_scheduling: ensembles are not served"),
    "decoupled": ("model_transaction_policy { decoupled: true }", "decoupled models are not served"),
    "another name": ('name: "n"', "name is 'n', expected 'm': a model's name is that of its folder"),
    "an unknown field names the nearest": ("max_batch_sizes: 8", "no such field 'max_batch_sizes'. Did you mean"),
    "an unknown field of a tensor": (
        "input { name: 'x' dim: 1 }",
        "input 1: no such field 'dim'. Did you mean 'dims'?",
    ),
    "a negative batch": ("max_batch_size: -1", "max_batch_size is -1, expected 0 or more"),
    "a batch of text": ('max_batch_size: "8"', "max_batch_size is '8', expected a whole number"),
    "a word for a name": ("name: m", "name is 'm', expected text in quotes"),
    "a data type that is none": (
        "input { name: 'x' data_type: TYPE_FLOAT }",
        "data_type is 'TYPE_FLOAT', which is none",
    ),
    "dims of 0": ("input { name: 'x' dims: [ 0 ] }", "dims is [0], expected numbers above 0, or -1"),
    "no name": ("input { dims: [ 1 ] }", "input 1 has no name"),
    "a name twice": ("input { name: 'x' } input { name: 'x' }", "input 'x' stands there twice"),
    "an input that is a number": ("input: 3", "input 1 is 3, expected { ... }"),
    "reshape": ("input { name: 'x' reshape { shape: [ ] } }", "input 1: reshape is not served"),
    "an optional input": ("input { name: 'x' optional: true }", "input 1: optional is not served"),
    "ragged batches": ("input { name: 'x' allow_ragged_batch: true }", "allow_ragged_batch is not served"),
    "labels elsewhere": (
        "output { name: 'y' label_filename: '../x' }",
        "label_filename is '../x', expected the name of a file beside config.pbtxt",
    ),
    "labels of two outputs": (
        "output { name: 'y' label_filename: 'a' } output { name: 'z' label_filename: 'b' }",
        "label_filename of more than one output is not served",
    ),
    "fields without a value": (
        "input { data_type: [ ] optional: [ ] } version_policy: [ ] max_batch_size: [ ]",
        "input 1 has no name",
    ),
    "no version policy": ("version_policy { newest { } }", "version_policy is not one of"),
    "no versions": ("version_policy { specific { } }", "version_policy is not one of"),
    "no text form": ("max_batch_size 8", "line 1, column 16: found '8', expected ':' or '{'"),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED.keys())
def test_refusals(row: tuple[str, str]) -> None:
    with pytest.raises(TritonConfigError) as caught:
        tritonconfig.parse(row[0], where="m/config.pbtxt", model="m")
    assert caught.value.message.startswith("m/config.pbtxt: ")
    assert row[1] in caught.value.message


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(TritonConfigError) as caught:
        tritonconfig.parse("sequence_batching { } max_batch_size: -1 nothing: 1")
    assert len(caught.value.problems) == 3


def test_what_is_off_is_no_refusal() -> None:
    text = "input { name: 'x' optional: false } model_transaction_policy { decoupled: false }"
    assert tritonconfig.parse(text).inputs[0].name == "x"


MODEL = Signature((parse_spec("x:float32[?,16]"),), (parse_spec("y:float32[?,?]"),))
FIXED = Signature((parse_spec("x:float32[1,16]"),), (parse_spec("y:float32[1,16]"),))
FACTS = {
    "they agree": ("max_batch_size: 8 input { name: 'x' data_type: TYPE_FP32 dims: 16 }", MODEL, ""),
    "they agree, without a batch": ("input { name: 'x' dims: [ -1, 16 ] }", MODEL, ""),
    "stricter than the model": ("max_batch_size: 8 output { name: 'y' dims: 16 }", MODEL, ""),
    "nothing said": ("", MODEL, ""),
    "another name": ("input { name: 'z' }", MODEL, "input 'z' is not one of the model's: x."),
    "another dtype": ("input { name: 'x' data_type: TYPE_INT8 }", MODEL, "data_type is int8, the model's is float32"),
    "other dims": (
        "max_batch_size: 8 input { name: 'x' dims: 4 }",
        MODEL,
        "dims make the shape [?,4] (max_batch_size is above 0: a batch stands before the dims), the model's is [?,16]",
    ),
    "the batch in the dims": ("max_batch_size: 8 input { name: 'x' dims: [ -1, 16 ] }", MODEL, "the shape [?,?,16]"),
    "freer than the model": ("input { name: 'x' dims: [ -1, -1 ] }", MODEL, "dims make the shape [?,?], the model's"),
    "a batch that the model has not": (
        "max_batch_size: 8",
        FIXED,
        "max_batch_size is 8, but input 'x' of the model has the shape [1,16]: its first dimension is not free",
    ),
}


@pytest.mark.parametrize("row", FACTS.values(), ids=FACTS.keys())
def test_facts_are_held_against_the_model(row: tuple[str, Signature, str]) -> None:
    text, signature, expected = row
    found = tritonconfig.disagreements(tritonconfig.parse(text), signature)
    assert expected in "; ".join(found)
    assert bool(found) == bool(expected)


def test_the_owner_may_restrict_what_the_model_leaves_free() -> None:
    config = tritonconfig.parse("max_batch_size: 8 output { name: 'y' dims: 16 }")
    found = tritonconfig.narrowed(config, MODEL)
    assert [spec.shape for spec in (*found.inputs, *found.outputs)] == [(None, 16), (None, 16)]
