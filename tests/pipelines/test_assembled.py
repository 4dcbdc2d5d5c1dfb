"""Pipelines over models that are plain functions: edges, members, rows, swaps, errors, golden vectors."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gateway.core.artifact import Verdict
from gateway.core.dtypes import Tensors
from gateway.core.preprocess import Preprocess
from gateway.errors import EdgeMismatch, GatewayError, InvalidTensor, MemberMissing, ModelRunError
from gateway.pipelines.assembled import Pipelines
from tests.pipelines.served import Net, Served, answered, asked, files, net, opened

PHOTO = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
PIXELS = '[[step]]\nname = "pixels"\nop = "decode"\nin = { files = "photo" }\n'
HEAD = '[inputs]\nphoto = "image"\n'
NET = '[[step]]\nname = "net"\nmodel = "m"\nin = { image = "pixels.images" }\n'
SCORES = '[outputs]\nscores = "net.scores"\n'
CLASSIFIER = HEAD + PIXELS + NET + SCORES


def png(pixels: Any = PHOTO) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def sums(rows: Any) -> Any:
    return rows.reshape(len(rows), -1).sum(1, keepdims=True).astype(np.float32)


def classifier(first: str = "?", *, batched: bool = True, artifact: str = "1", offset: float = 0.0) -> Net:
    """Gives the sum of each row's pixels."""
    return net(
        lambda tensors: {"scores": sums(tensors["image"]) + np.float32(offset)},
        f"image:float32[{first},3,8,6]",
        f"scores:float32[{first},1]",
        batched=batched,
        artifact=artifact,
        preprocess=Preprocess(),
    )


EXPECTED = np.asarray([[PHOTO.sum(dtype=np.float64)]], np.float32)


def test_a_picture_goes_in_by_the_members_own_record(tmp_path: Path) -> None:
    steps: list[str] = []
    served = Served(m=classifier())
    made = opened(served, tmp_path, CLASSIFIER, steps)
    assert [str(spec) for spec in made.signature.inputs] == ["photo:string[?]"]
    assert [str(spec) for spec in made.signature.outputs] == ["scores:float32[?,1]"]
    found = asked(made, photo=files(png()))
    np.testing.assert_array_equal(found["scores"], EXPECTED, strict=True)
    assert steps == ["pixels", "net"], "each step is measured"
    assert served.held == 0, "every lease is given back"


ROWS = {
    "a proven batch runs at once": ("?", True, [3]),
    "rows that are not proven a batch run one by one": ("?", False, [1, 1, 1]),
    "a fixed batch of two is padded and split": ("2", False, [2, 2]),
    "a fixed batch of one is split": ("1", False, [1, 1, 1]),
}


@pytest.mark.parametrize(("first", "batched", "runs"), ROWS.values(), ids=ROWS.keys())
def test_rows(first: str, batched: bool, runs: list[int], tmp_path: Path) -> None:
    """No row of padding comes out, and each picture gets its own numbers."""
    one = classifier(first, batched=batched)
    made = opened(Served(m=one), tmp_path, CLASSIFIER)
    one.calls.clear()  # those that looked whether rows are independent
    photos = [PHOTO, PHOTO // 2, PHOTO // 3]
    found = asked(made, photo=files(*map(png, photos)))
    np.testing.assert_array_equal(found["scores"], np.concatenate([sums(p[None]) for p in photos]), strict=True)
    assert [len(call["image"]) for call in one.calls] == runs


def test_a_fixed_batch_whose_rows_mix_is_refused(tmp_path: Path) -> None:
    """A row's answer that depends on its neighbours cannot be padded: the numbers would be others."""

    def mixed(tensors: Tensors) -> Tensors:
        rows = sums(tensors["image"])
        return {"scores": rows - rows.mean(0, keepdims=True)}

    one = classifier("2")
    one.run = mixed
    with pytest.raises(EdgeMismatch, match="model m takes 2 rows at a time, and they were not seen to be independent"):
        opened(Served(m=one), tmp_path, CLASSIFIER)


MISFITS = {
    "pictures for a model that does not say how": (
        {"m": net(lambda t: t, "image:float32[?,3,8,6]", "scores:float32[?,1]")},
        CLASSIFIER,
        ["edge pixels.images -> net.image: pictures cannot be taken as image:float32[?,3,8,6]", "has no [preprocess]"],
    ),
    "another type": (
        {"m": net(lambda t: t, "x:float64[?,3]", "y:float64[?,3]")},
        '[inputs]\na = "float32[?,3]"\n[[step]]\nname = "net"\nmodel = "m"\nin = { x = "a" }\n[outputs]\ny = "net.y"\n',
        ["edge a -> net.x: float32[?,3] cannot be taken as float64[?,3]: nothing is cast"],
    ),
    "another shape": (
        {"m": net(lambda t: t, "x:float32[?,4]", "y:float32[?,4]")},
        '[inputs]\na = "float32[?,3]"\n[[step]]\nname = "net"\nmodel = "m"\nin = { x = "a" }\n[outputs]\ny = "net.y"\n',
        ["edge a -> net.x: float32[?,3] cannot be taken as float32[?,4]"],
    ),
    "an input that the model has not": (
        {"m": classifier()},
        CLASSIFIER.replace("{ image =", "{ images ="),
        ["edge pixels.images -> net.images: model m has no such input", "nothing flows into image:float32[?,3,8,6]"],
    ),
    "an output that the model has not": (
        {"m": classifier()},
        CLASSIFIER.replace("net.scores", "net.score"),
        ["edge net.score -> output scores: step net gives scores. Did you mean 'scores'?"],
    ),
    "a port that the step has not": (
        {"m": classifier()},
        CLASSIFIER.replace("{ files =", "{ file ="),
        ["edge photo -> pixels.file: decode has no such port. Did you mean 'files'?", "nothing flows into files"],
    ),
    "an option that is no number": (
        {"m": classifier()},
        HEAD + PIXELS + NET + '[[step]]\nname = "t"\nop = "top-k"\nin = { x = "net.scores" }\nk = "many"\n' + SCORES,
        ["step t: k is 'many', expected a whole number from 1 to 1000"],
    ),
    "a detector without its nets": (
        {"m": classifier()},
        HEAD + PIXELS + NET + '[[step]]\nname = "d"\nop = "detect-mtcnn"\nin = { image = "pixels.images" }\n' + SCORES,
        ["step d: models names no pnet", "step d: models names no rnet", "step d: models names no onet"],
    ),
}


@pytest.mark.parametrize(("nets", "text", "says"), MISFITS.values(), ids=MISFITS.keys())
def test_every_edge_that_does_not_fit_is_named(nets: Any, text: str, says: list[str], tmp_path: Path) -> None:
    with pytest.raises(EdgeMismatch) as found:
        opened(Served(**nets), tmp_path, text)
    assert all(part in found.value.message for part in says), found.value.message


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(MemberMissing, match=r"pipeline p waits for m \(Servable not found"):
        opened(Served(), tmp_path, CLASSIFIER)


def test_pipelines_that_wait_for_one_another(tmp_path: Path) -> None:
    pipelines = Pipelines(Served(), lambda *_: None)  # type: ignore[arg-type]
    for name, other in (("a", "b"), ("b", "c")):
        (tmp_path / "pipeline.toml").write_text(CLASSIFIER.replace('"m"', f'"{other}"'))
        with pytest.raises(MemberMissing):
            asyncio.run(pipelines.open(tmp_path, name, 1))
    (tmp_path / "pipeline.toml").write_text(CLASSIFIER.replace('"m"', '"a"'))
    with pytest.raises(EdgeMismatch, match="pipelines wait for one another: c -> a -> b -> c"):
        asyncio.run(pipelines.open(tmp_path, "c", 1))


TWICE = (
    HEAD + PIXELS + NET + NET.replace('"net"', '"again"') + '[outputs]\nfirst = "net.scores"\nsecond = "again.scores"\n'
)


def test_a_swap_is_atomic_for_a_request(tmp_path: Path) -> None:
    """The member is swapped while its first run is on the way: both runs of the request are of the old one."""
    served = Served(m=classifier())
    made = opened(served, tmp_path, TWICE)

    def swap(tensors: Tensors) -> Tensors:
        served.nets["m"] = classifier(artifact="2", offset=1000)
        return {"scores": sums(tensors["image"])}

    served.nets["m"].run = swap
    found = asked(made, photo=files(png()))
    np.testing.assert_array_equal(found["first"], EXPECTED, strict=True)
    np.testing.assert_array_equal(found["second"], EXPECTED, strict=True)
    assert made.changed(), "and serving learns that it is to be opened again"
    found = asked(made, photo=files(png()))
    np.testing.assert_array_equal(found["second"], EXPECTED + 1000, strict=True)


def test_a_swap_for_what_does_not_fit_is_an_error_and_no_number(tmp_path: Path) -> None:
    served = Served(m=classifier())
    made = opened(served, tmp_path, CLASSIFIER)
    served.nets["m"] = net(lambda t: t, "other:float32[?,3]", "scores:float32[?,1]", artifact="2")
    assert made.changed()
    with pytest.raises(EdgeMismatch, match="model m has no such input"):
        asked(made, photo=files(png()))
    assert served.held == 0


def test_an_error_of_a_step_is_the_requests_and_names_the_input(tmp_path: Path) -> None:
    served = Served(m=classifier())
    made = opened(served, tmp_path, CLASSIFIER)
    with pytest.raises(
        InvalidTensor, match=r"^photo: the file is not a picture that can be read: its format is not known"
    ):
        asked(made, photo=files(b"text"))
    with pytest.raises(InvalidTensor, match=r"^photo: file 2 is not"):
        asked(made, photo=files(png(), b"text"))

    def broken(_: Tensors) -> Tensors:
        raise ModelRunError("the net failed.")

    served.nets["m"].run = broken
    with pytest.raises(ModelRunError, match="the net failed"):
        asked(made, photo=files(png()))
    assert served.held == 0


def test_steps_that_do_not_wait_for_one_another_run_side_by_side(tmp_path: Path) -> None:
    """Each of the two runs waits until the other has begun."""
    served = Served(m=classifier())
    made = opened(served, tmp_path, TWICE)

    async def ask() -> Tensors:
        both = asyncio.Barrier(2)

        async def meet(tensors: Tensors) -> Tensors:
            await asyncio.wait_for(both.wait(), 10)
            return {"scores": sums(tensors["image"])}

        served.nets["m"].run = meet
        return await answered(made, {"photo": files(png())})

    np.testing.assert_array_equal(asyncio.run(ask())["second"], EXPECTED, strict=True)


def test_the_deadline_ends_it(tmp_path: Path) -> None:
    import time

    served = Served(m=classifier())
    made = opened(served, tmp_path, CLASSIFIER)

    async def ask() -> None:
        async def never(_: Tensors) -> Tensors:
            await asyncio.Event().wait()
            return {}

        served.nets["m"].run = never
        with made.hold() as held:
            await held.run({"photo": files(png())}, (), time.monotonic() + 0.2)

    with pytest.raises(GatewayError, match="no answer within the deadline"):
        asyncio.run(ask())
    assert served.held == 0


TOP = (
    HEAD
    + PIXELS
    + NET
    + """
[parameters]
k = 2
[[step]]
name = "top"
op = "top-k"
in = { x = "net.scores" }
k = "$k"
[outputs]
class = "top.labels"
score = "top.values"
"""
)


def test_top_k_with_labels_and_a_parameter(tmp_path: Path) -> None:
    one = net(
        lambda t: {"scores": np.repeat(np.float32([[0.1, 0.7, 0.2]]), len(t["image"]), 0)},
        "image:float32[?,3,8,6]", "scores:float32[?,3]", batched=True, preprocess=Preprocess(),
        labels=("cat", "dog", "owl"),
    )  # fmt: skip
    made = opened(Served(m=one), tmp_path, TOP)
    assert [(spec.name, spec.optional) for spec in made.signature.inputs] == [("photo", False), ("k", True)]
    found = asked(made, photo=files(png()))
    assert found["class"].tolist() == [[b"dog", b"owl"]]
    np.testing.assert_array_equal(found["score"], np.float32([[0.7, 0.2]]), strict=True)
    found = asked(made, photo=files(png()), k=np.float32([1]))
    assert found["class"].tolist() == [[b"dog"]]
    with pytest.raises(InvalidTensor, match=r"k is 1.5, expected a whole number from 1 to 1000"):
        asked(made, photo=files(png()), k=np.float32([1.5]))


VECTORS = {"the right ones": (0.0, Verdict.PASSED), "others": (1.0, Verdict.FAILED)}


@pytest.mark.parametrize(("offset", "verdict"), VECTORS.values(), ids=VECTORS.keys())
def test_golden_vectors(offset: float, verdict: Verdict, tmp_path: Path) -> None:
    made = opened(Served(m=classifier()), tmp_path, CLASSIFIER)
    assert asyncio.run(made.verify()).verdict is Verdict.UNVERIFIED, "without any"
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "input_photo.png").write_bytes(png())
    np.save(tmp_path / "test" / "output_scores.npy", EXPECTED + EXPECTED * np.float32(offset))
    assert asyncio.run(made.verify()).verdict is verdict
    (tmp_path / "test" / "output_score.npy").write_bytes(b"")
    with pytest.raises(GatewayError, match="belongs to no output"):
        asyncio.run(made.verify())
