"""Probes: the inputs on which oracle and artifact are compared. Deterministic in the seed.

    normal   N(0, 1)                       uniform  in [0, 1)
    ramp     value = f(index), all different: shows transposed axes, swapped channels, flipped kernels
    corners, edges   impulses: show padding and the sides of SAME
    zeros    the bias path                 large    1e3 * N(0, 1), both signs

A model whose inputs all have a free first dimension gets each kind as a batch of three
different rows and as each row alone ("ramp, row 2"); any other gets each kind once.

Sizes of free dimensions are not written in a model: a Sizing is a guess, `sizings` lists
guesses in order, and whoever can run the model takes the first that is accepted. Dimensions of
one symbol have one size; "past + sequence" is a sum of symbols.

Rule 1: no clock and no global randomness: the same signature and seed give the same numbers.
Rule 2: probes are never all ones and never one picture: those hide transposed axes.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from gateway.core.dtypes import Array, Tensors, dtype, numpy_dtype
from gateway.core.hints import Hint, Resolve, Size, apart, pixels, structured
from gateway.core.signature import Signature, TensorSpec

KINDS = ("normal", "uniform", "ramp", "corners", "edges", "zeros", "large")
BATCH = 3
SIZES = (32, 24, 48, 64, 16, 8, 112, 224, 4, 5, 1, 2, 3, 96, 128, 256, 12, 80, 160, 320, 512)
INTEGER_BOUNDS = (100, 10, 2, 1)  # exclusive, of integer inputs about which the graph says nothing
RANKS = (2, 1, 4, 3, 0)  # tried for an input of unknown rank
MAX_ELEMENTS = 1 << 26  # of one input: a guess beyond is not tried
WORDS = (b"", b"0", b"word", "größe".encode(), b"two words", b"12")


@dataclass(frozen=True)
class Sizing:
    """A guess: the size of every free dimension that is not the batch, and of the values.

    `odd` makes free dimensions differ from each other: 33, 35 ... instead of 32, 32.
    """

    size: int = SIZES[0]
    integer_bound: int = INTEGER_BOUNDS[0]
    rank: int = RANKS[0]
    odd: bool = False


@dataclass(frozen=True)
class Probe:
    """One call. `name` is the case in the report; `row` is None for a whole batch or a model without one."""

    name: str
    kind: str
    row: int | None
    inputs: Tensors


@dataclass(frozen=True)
class Further:
    """Calls of a format's own, beside the kinds: what is hard about this very model. `said` goes into the report."""

    probes: tuple[Probe, ...] = ()
    said: str = ""


def batchable(signature: Signature) -> bool:
    """All inputs have a free first dimension: it may be a batch."""
    return bool(signature.inputs) and all(
        spec.shape is not None and len(spec.shape) > 0 and spec.shape[0] is None for spec in signature.inputs
    )


def sizings(signature: Signature, hints: Mapping[str, Hint]) -> Iterator[Sizing]:
    """Guesses in order, at most a hundred; exactly one where nothing is free."""
    ranks = RANKS if any(s.shape is None for s in signature.inputs) else (RANKS[0],)
    guessed = any(dtype(s.dtype).kind in "iu" and s.name not in hints for s in signature.inputs)
    bounds = INTEGER_BOUNDS if guessed else INTEGER_BOUNDS[:1]
    sizes = SIZES[:1] if fixed(signature) else SIZES
    for size, rank, bound in itertools.product(sizes, ranks, bounds):
        sizing = Sizing(size, bound, rank)
        if all(_count(shape) <= MAX_ELEMENTS for shape in _shapes(signature, sizing).values()):
            yield sizing


def fixed(signature: Signature) -> bool:
    """No dimension but the batch is free: there is nothing to guess."""
    skip = 1 if batchable(signature) else 0
    return all(spec.shape is not None and None not in spec.shape[skip:] for spec in signature.inputs)


def other_size(signature: Signature, sizing: Sizing) -> Sizing | None:
    """A second guess with odd and unequal free dimensions; None where none but the batch is free."""
    return None if fixed(signature) else replace(sizing, odd=True)


def first(signature: Signature, sizing: Sizing, hints: Mapping[str, Hint], seed: int) -> Probe:
    """The probe with which a sizing is tried: "normal", one row."""
    return next(probes(signature, sizing, hints, seed, kinds=("normal",), batches=False))


def probes(
    signature: Signature,
    sizing: Sizing,
    hints: Mapping[str, Hint],
    seed: int,
    *,
    kinds: tuple[str, ...] = KINDS,
    batches: bool = True,
) -> Iterator[Probe]:
    """Every probe of these kinds: for a batch its rows first, then the batch itself."""
    is_batch = batchable(signature)
    other = ", other sizes" if sizing.odd else ""
    shapes = _shapes(signature, sizing)

    def resolve(size: Size) -> int:
        if isinstance(size, int):
            return size
        # A row that is asked alone has a batch of one: what counts along the batch has to fit that too.
        return 1 if is_batch and size[1] == 0 else shapes[size[0]][size[1]]

    for kind in kinds:
        whole = {
            spec.name: _array(
                spec, shapes[spec.name], kind, sizing, hints.get(spec.name), resolve, _seed(seed, kind, spec.name)
            )
            for spec in signature.inputs
        }
        if not is_batch:
            yield Probe(kind + other, kind, None, whole)
            continue
        for row in range(BATCH if batches else 1):
            alone = {name: np.ascontiguousarray(array[row : row + 1]) for name, array in whole.items()}
            yield Probe(f"{kind}{other}, row {row}", kind, row, alone)
        if batches:
            yield Probe(f"{kind}{other}, batch of {BATCH}", kind, None, whole)


def _seed(seed: int, kind: str, name: str) -> int:
    return zlib.crc32(f"{seed} {kind} {name}".encode())


def _shapes(signature: Signature, sizing: Sizing) -> dict[str, tuple[int, ...]]:
    """Shape of each input; the first dimension of a batchable model is BATCH, and so is its symbol elsewhere."""
    is_batch = batchable(signature)
    known: dict[str, int] = {}
    if is_batch:
        known |= {spec.symbols[0]: BATCH for spec in signature.inputs if spec.symbols and spec.symbols[0]}
    odd = itertools.count(sizing.size + 1 + sizing.size % 2, 2)
    shapes = {}
    for spec in signature.inputs:
        sizes: list[int] = []
        given = spec.shape if spec.shape is not None else (None,) * sizing.rank
        for axis, size in enumerate(given):
            symbol = spec.symbols[axis] if axis < len(spec.symbols) else ""
            if size is not None:
                sizes.append(size)
            elif axis == 0 and is_batch:
                sizes.append(BATCH)
            else:
                sizes.append(_free(symbol, known, next(odd) if sizing.odd else sizing.size))
        shapes[spec.name] = tuple(sizes)
    return shapes


def _free(symbol: str, known: dict[str, int], fresh: int) -> int:
    if not symbol:
        return fresh
    if symbol not in known:
        parts = [part.strip() for part in symbol.split("+")]
        if len(parts) > 1 and all(parts):
            known[symbol] = sum(int(p) if p.isdigit() else known.setdefault(p, fresh) for p in parts)
        else:
            known[symbol] = fresh
    return known[symbol]


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _array(
    spec: TensorSpec,
    shape: tuple[int, ...],
    kind: str,
    sizing: Sizing,
    hint: Hint | None,
    resolve: Resolve,
    seed: int,
) -> Array:
    row = dtype(spec.dtype)
    random = np.random.default_rng(seed)
    if hint is not None and row.kind in "iuf":
        made = structured(hint, shape, kind, resolve, random)
        if made is not None:
            return made.astype(numpy_dtype(spec.dtype))
    if row.kind == "f" and hint is not None and hint.role in ("index", "length"):
        # Indices written as floats, as MXNet has them; a float16 counts to 2048 without gaps.
        whole = _integers("int64", shape, kind, sizing, hint, resolve, random)
        return (np.minimum(whole, 2047) if row.bits == 16 else whole).astype(numpy_dtype(spec.dtype))
    if row.kind == "f":
        values = _floats(shape, kind, random)
        if hint is not None and hint.role == "pixels":
            values = pixels(hint, values, kind)
        values = apart(values, random) if hint is not None and hint.role == "distinct" else values
        return values.astype(numpy_dtype(spec.dtype))
    if row.kind == "c":
        return (_floats(shape, kind, random) + 1j * _floats(shape, "normal", random)).astype(numpy_dtype(spec.dtype))
    if row.kind == "b":
        return random.random(shape) < (0.0 if kind == "zeros" else 0.5)
    if row.kind == "s":
        return _strings(shape, kind, random, hint.words if hint is not None else ())
    return _integers(spec.dtype, shape, kind, sizing, hint, resolve, random)


def _floats(shape: tuple[int, ...], kind: str, random: np.random.Generator) -> Array:
    if kind == "normal":
        return random.standard_normal(shape)
    if kind == "uniform":
        return random.random(shape)
    if kind == "large":
        return 1e3 * random.standard_normal(shape)
    if kind == "ramp":
        # Not symmetric in any axis: squares grow along the index, and the end is not the start mirrored.
        index = np.arange(_count(shape), dtype=np.float64) / max(1, _count(shape) - 1)
        return np.asarray((2.0 * index**2 + index - 1.0).reshape(shape))
    out = np.zeros(shape)
    if kind in ("corners", "edges"):
        for position, at in enumerate(_spots(shape, kind)):
            out[at] = 1.0 + position
    return out


def _spots(shape: tuple[int, ...], kind: str) -> list[tuple[int, ...]]:
    """Corners of the last (at most three) axes, or middles of their edges, one each for every row of the first."""
    if not shape or 0 in shape:
        return []
    lead, tail = (shape[:1], shape[1:]) if len(shape) > 1 else ((1,), shape)
    tail = tail[-3:]
    ends = [(0, size - 1) for size in tail]
    if kind == "edges":
        spots = [
            tuple(size // 2 if axis == middle else end[axis] for axis, size in enumerate(tail))
            for middle in range(len(tail))
            for end in itertools.product(*ends)
        ]
    else:
        spots = list(itertools.product(*ends))
    spots = list(dict.fromkeys(spots))
    missing = len(shape) - len(lead) - len(tail) if len(shape) > 1 else 0
    found = []
    for row in range(lead[0]):
        mine = spots[row % len(spots) :: lead[0]] if len(spots) > lead[0] else spots[row % len(spots) :][:1]
        for spot in mine:
            found.append(((row,) if len(shape) > 1 else ()) + (0,) * missing + spot)
    return found


def _integers(
    name: str,
    shape: tuple[int, ...],
    kind: str,
    sizing: Sizing,
    hint: Hint | None,
    resolve: Resolve,
    random: np.random.Generator,
) -> Array:
    limits = np.iinfo(name)
    if hint is not None and hint.role in ("index", "length"):
        low = int(hint.role == "length")
        high = min(int(limits.max), max(low, resolve(hint.bound) - 1 + low))
        if hint.beyond and kind == "large":
            low, high = max(int(limits.min), low - 2), min(int(limits.max), high + 2)
    elif limits.bits == 8:
        low, high = int(limits.min), int(limits.max)  # pixels and quantised data use all of it
    else:
        low, high = 0, sizing.integer_bound - 1
    count = _count(shape)
    if kind == "zeros":
        flat = np.full(count, max(0, low), np.int64)
    elif kind == "ramp":
        flat = low + np.arange(count, dtype=np.int64) % (high - low + 1)
    elif kind == "large":
        flat = np.where(np.arange(count) % 3 == 0, low, high)  # the ends of the range
    elif kind in ("corners", "edges"):
        flat = np.full(shape, max(0, low), np.int64)
        for at in _spots(shape, kind):
            flat[at] = high
    else:
        flat = random.integers(low, high, count, endpoint=True)
    if hint is not None and hint.role == "divisor":
        flat = np.where(np.asarray(flat) == 0, 1, flat)
        flat = flat * np.where(np.arange(count).reshape(flat.shape) % 3 == 2, -1, 1) if limits.min < 0 else flat
    return np.asarray(flat).reshape(shape).astype(name)


def _strings(shape: tuple[int, ...], kind: str, random: np.random.Generator, known: tuple[str, ...] = ()) -> Array:
    """The words that a model knows, in "corners" others too.

    Where none are known: WORDS in "uniform", "corners" and "large"; digits elsewhere, which a model that casts to
    numbers takes too.
    """
    count = _count(shape)
    out = np.empty(count, dtype=object)
    for at, number in enumerate(random.integers(0, 100, count).tolist()):
        if known and not (kind == "corners" and at % 2):
            out[at] = known[(at if kind == "ramp" else number) % len(known)].encode()
        elif kind in ("uniform", "corners", "large"):
            out[at] = WORDS[number % len(WORDS)]
        else:
            out[at] = str({"zeros": 0, "ramp": at}.get(kind, number)).encode()
    return out.reshape(shape)
