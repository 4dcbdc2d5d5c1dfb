"""Binary files with a magic number, and those whose first numbers follow a structure.

Each function takes a Blob and gives the Findings that its bytes speak for; `main` is filled in by the caller.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

from gateway.recognise import flat
from gateway.recognise.answer import Finding
from gateway.recognise.blob import Blob
from gateway.recognise.wire import varint

Say = Callable[[Blob], str]


def _u32(at: int, form: str = "{}") -> Say:
    def say(blob: Blob) -> str:
        raw = blob.read(at, 4)
        return form.format(struct.unpack("<I", raw)[0]) if len(raw) == 4 else ""

    return say


def _text(at: int, length: int) -> Say:
    return lambda blob: blob.read(at, length).decode("latin-1")


def _nothing(_: Blob) -> str:
    return ""


MAGICS: tuple[tuple[int, bytes, str, Say, int], ...] = (
    # place, bytes, kind, version, least size of a whole file
    (0, bytes.fromhex("12010000000000000000000000000000"), "mxnet", lambda b: "weights alone", 32),
    (0, b"GGUF", "gguf", _u32(4, "version {}"), 24),
    (0, b"lmgg", "ggml", lambda b: "ggml", 32),
    (0, b"fmgg", "ggml", lambda b: "ggmf", 32),
    (0, b"tjgg", "ggml", lambda b: "ggjt", 32),
    (0, b"algg", "ggml", lambda b: "ggla (an adapter)", 32),
    (4, b"ORTM", "ort", _nothing, 32),
    (4, b"CIR0", "circle", _nothing, 32),
    (4, b"ET11", "executorch", _text(4, 4), 32),
    (4, b"ET12", "executorch", _text(4, 4), 32),
    (4, b"MSL0", "mslite", _text(4, 4), 32),
    (4, b"MSL1", "mslite", _text(4, 4), 32),
    (4, b"MSL2", "mslite", _text(4, 4), 32),
    (4, b"TOSA", "tosa", _nothing, 32),
    (4, b"RKNN", "rknn", lambda b: "flatbuffer", 32),
    (4, b"KaNN", "kann", _nothing, 32),
    (4, b"mgv2", "megengine", lambda b: "2", 32),
    (8, b"mgv2", "megengine", lambda b: "2", 32),
    (0, b"CBM1", "catboost", lambda b: "cbm 1", 16),
    (0, b"RKNN", "rknn", _u32(8, "container {}"), 24),
    (0, b"RKNX", "rknn", lambda b: "rknx", 24),
    (0, b"CYPTRKNN", "rknn", lambda b: "encrypted", 24),
    (0, b"VPMN", "openvx", _nothing, 24),
    (0, b"IMOD", "om", _u32(8, "header {:#x}"), 256),
    (0, b"PICO", "om", lambda b: "PICO", 256),
    (0, b"EDL1", "espdl", lambda b: "1", 16),
    (0, b"EDL2", "espdl", lambda b: "2", 16),
    (0, b"LITERTLM", "litertlm", _u32(8, "{}"), 32),
    (0, b"IMGDNN", "imgdnn", _nothing, 16),
    (0, b"ptrt", "tensorrt", _nothing, 24),
    (0, b"ftrt", "tensorrt", _nothing, 24),
    (0, b"LDMK", "kmodel", _u32(4, "{}"), 16),
    (0, b"mgb0001", "megengine", lambda b: "1", 16),
    (0, b"mgb0000a", "megengine", lambda b: "0", 16),
    (0, b"mgbtest0", "megengine", lambda b: "with test data", 16),
    (0, b"MGBS", "megengine", _nothing, 16),
    (0, b"MGBC", "megengine", _nothing, 16),
    (4, b"NETD", "dlc", lambda b: "1, model alone", 16),
    (4, b"NETP", "dlc", lambda b: "1, parameters alone", 16),
    (4, b"NR64", "dlc", lambda b: "1, parameters alone", 16),
    (0, b"CviModel", "cvimodel", _nothing, 32),
    (0, b"\xee\xaa\x55\xff", "bmodel", _nothing, 32),
    (0, b"\xdd\x85\x76\x00", "ncnn", lambda b: "binary param", 12),
    (0, b"\x02\x00\xbc\xfa", "tnn", lambda b: "weights alone", 12),
    (0, b"\x04\x00\xbc\xfa", "tnn", lambda b: "weights alone", 12),
    (0, b"B\0C\0N\0\0\0", "cntk-v1", lambda b: "1", 32),
    (0, b"kntc", "cntk", lambda b: "2, above 2 GB", 32),
    (0, b"\xba\x16\x4f\x2f", "fasttext", _u32(4, "{}"), 64),
    (0, b"MATLAB 5.0 MAT-file", "matlab", lambda b: "5", 128),
    (0, b"ML\xefR", "mlir-bytecode", lambda b: str(b.read(4, 1)[0] >> 1) if b.size > 4 else "", 16),
    (0, b"\xb7\x9c\x04\x05\x4f\x8d\xe5\xf7", "tvm-params", _nothing, 32),
    (0, b"\x4e\xef", "nnef", lambda b: "tensor file", 128),
    (0, b"\x01HEF", "hailo", lambda b: "HEF", 32),
    (64, b"\xef\xbe\xad\xde", "coreml-weights", _u32(4, "blob format {}"), 128),
    (0, b"\x7fELF", "elf", _nothing, 64),
    (0, b"\xcf\xfa\xed\xfe", "mach-o", _nothing, 64),
    (0, b"\x28\xb5\x2f\xfd", "zstd", _nothing, 12),
    (0, b"7z\xbc\xaf\x27\x1c", "7z", _nothing, 32),
    (0, b"Rar!\x1a\x07", "rar", _nothing, 20),
    (0, b"\x04\x22\x4d\x18", "lz4", _nothing, 12),
    (0, b"RDX2\n", "r-data", lambda b: "RData 2", 8),
    (0, b"RDX3\n", "r-data", lambda b: "RData 3", 8),
    (0, b"X\n\x00\x00\x00\x02", "r-data", lambda b: "RDS 2", 8),
    (0, b"X\n\x00\x00\x00\x03", "r-data", lambda b: "RDS 3", 8),
)  # fmt: skip
_TABLED = {"TFL3", "ORTM", "CIR0", "TOSA", "MSL0", "MSL1", "MSL2", "ET11", "ET12", "KaNN"}


def magics(blob: Blob) -> Iterator[Finding]:
    for place, magic, kind, version, least in MAGICS:
        if blob.head[place : place + len(magic)] != magic:
            continue
        where = f"the bytes {_shown(magic)} at {place}"
        finding = Finding(kind, version(blob), 0.9 if len(magic) < 4 else 1.0, where)
        if magic.decode("latin-1") in _TABLED and place == 4 and flat.root(blob) is None:
            yield finding.cut("no root table where it should be")
        elif blob.size < least:
            yield finding.cut(f"only {blob.size} bytes")
        else:
            yield finding


def _shown(magic: bytes) -> str:
    text = magic.decode("latin-1")
    return repr(text) if text.isprintable() and text.isascii() else magic.hex(" ")


def tflite(blob: Blob) -> Iterator[Finding]:
    """ "TFL3" at 4, then Model {version 0, operator_codes 1, subgraphs 2, description 3}."""
    if blob.head[4:8] != b"TFL3":
        return
    table = flat.root(blob)
    if table is None:
        yield Finding("tflite", "", 0.7, "'TFL3' at 4").cut("no root table where it should be")
        return
    version = table.number(0, "<I")
    graphs, operators = table.count(2), table.count(1)
    said = table.text(3)
    evidence = f"'TFL3' at 4, {graphs or 0} subgraph(s), {operators or 0} operator code(s)" + (
        f", {said!r}" if said else ""
    )
    finding = Finding("tflite", str(version or ""), 1.0, evidence)
    if not graphs or not table.tables(2, 1):
        finding = finding.cut("its subgraphs are not there")
    custom = next((name for code in table.tables(1, 64) if (name := code.text(1))), "")
    if custom == "edgetpu-custom-op":
        finding = Finding("edgetpu", finding.version, finding.confidence, evidence + ", operator edgetpu-custom-op")
    yield finding


def gguf_name(blob: Blob) -> str:
    """general.architecture of a GGUF, when it stands near its beginning."""
    found = re.search(rb"general\.architecture\x08\0\0\0(.)\0\0\0\0\0\0\0([a-z0-9_.-]{1,40})", blob.head, re.DOTALL)
    return found[2][: found[1][0]].decode() if found else ""


def numpy_array(blob: Blob) -> Iterator[Finding]:
    if blob.head[:6] != b"\x93NUMPY":
        return
    major = blob.head[6] if len(blob.head) > 6 else 0
    header = re.search(rb"\{'descr':\s*(.{1,60}?),\s*'fortran_order'.{1,20}'shape':\s*(\([0-9, L]*\))", blob.head)
    if header is None:
        yield Finding("npy", str(major or ""), 0.9, "the bytes 93 'NUMPY' at 0").cut("no header behind them")
        return
    said = f"the bytes 93 'NUMPY' at 0, dtype {header[1].decode('latin-1')}, shape {header[2].decode('latin-1')}"
    if b"O" in header[1]:
        said += ": Python objects, which only a pickle can hold"
    yield Finding("npy", f"{major}.{blob.head[7]}", 1.0, said)


def safetensors(blob: Blob) -> Iterator[Finding]:
    """u64 length of the header, a JSON object of {dtype, shape, data_offsets}."""
    head = blob.head
    if len(head) < 10 or head[8:9] != b"{":
        return
    length = int.from_bytes(head[:8], "little")
    if not 2 <= length <= 100 << 20:
        return
    names = re.findall(rb'"([^"]{1,200})":\s*\{"dtype":\s*"(\w+)",\s*"shape":\s*\[', head)
    empty = length <= 64 and head[8 : 8 + length].rstrip() == b"{}"
    if not names and b'"__metadata__"' not in head and not empty:
        return
    said = f"a header of {length} bytes of JSON at 8"
    if names:
        listed = ", ".join(f"{key.decode('utf-8', 'replace')} {kind.decode('latin-1')}" for key, kind in names[:8])
        said += f", tensors {listed}" + (" and more" if len(names) > 8 else "")
    finding = Finding("safetensors", "", 1.0, said)
    if 8 + length > blob.size:
        yield finding.cut("the file ends inside the header")
        return
    ends = re.findall(rb'"data_offsets":\s*\[\d+,\s*(\d+)\]', blob.read(8, min(length, 4 << 20)))
    last = max((int(end) for end in ends if len(end) < 20), default=0)
    yield finding.cut(f"its data should go to byte {8 + length + last}") if 8 + length + last > blob.size else finding


def leveldb(blob: Blob) -> Iterator[Finding]:
    """A TensorFlow checkpoint: a LevelDB table, its magic in the last 8 bytes; version 2 has a BundleHeader first."""
    if blob.size < 48 or blob.tail(8) != b"\x57\xfb\x80\x8b\x24\x75\x47\xdb":
        return
    first = blob.read(0, 512)  # shared 0, key length 0, value length, value
    if len(first) > 4 and first[0] == 0 and first[1] == 0:
        if first[3] == 0x08 and b"\x1a\x02\x08" in first[3 : 3 + max(first[2], 4)]:
            yield Finding(
                "tf-checkpoint", "2", 1.0, f"the table magic at the end, a bundle header of {first[4]} shard(s)"
            )
            return
        if first[2] >= 1:
            yield Finding(
                "tf-checkpoint-v1", "1", 0.95, "the table magic at the end, and tensor slices behind an empty key"
            )
            return
    yield Finding("tf-checkpoint-v1", "", 0.6, "the table magic of LevelDB at the end; no key of a checkpoint was seen")


def tfrecord(blob: Blob) -> Iterator[Finding]:
    if len(blob.head) >= 24 and int.from_bytes(blob.head[:8], "little") < 200 and b"brain.Event:" in blob.head[12:64]:
        version = re.search(rb"brain\.Event:(\d+)", blob.head)
        yield Finding("tf-events", version[1].decode() if version else "", 1.0, "a first record with 'brain.Event'")


def torch7(blob: Blob) -> Iterator[Finding]:
    """Objects by type number; a class is type 4: index, "V 1", name. In binary int32, or the same as lines of text."""
    head = blob.head
    names = rb"(?:nn|cunn|cudnn|torch|nngraph|inn|graph)\.[A-Za-z_]\w{1,60}"
    binary = re.match(rb"[\x03\x04]\0\0\0\x01\0\0\0", head)
    if binary:
        found = re.search(rb"\x04\0\0\0.{4}\x03\0\0\0V 1(.)\0\0\0(" + names + rb")", head, re.DOTALL)
        if found and found[1][0] == len(found[2]):
            yield Finding("torch7", "binary", 1.0, f"an object of class {found[2].decode()} behind 'V 1'")
        elif head[0] == 3 and blob.base.endswith((".t7", ".net")):
            yield Finding("torch7", "binary", 0.6, "starts as a table of Torch7; no class was seen")
        elif blob.base.endswith((".t7", ".net")) and len(head) < 64:
            yield Finding("torch7", "binary", 0.6, "starts as an object of Torch7").cut(f"only {blob.size} bytes")
        return
    found = re.match(rb"[34]\n1\n(?:.{0,400}?4\n\d+\n)?3\nV 1\n(\d+)\n(" + names + rb")\n", head, re.DOTALL)
    if found:
        yield Finding("torch7", "text", 1.0, f"an object of class {found[2].decode()} behind 'V 1'")


def darknet_weights(blob: Blob) -> Iterator[Finding]:
    """i32 major, minor, revision, then `seen` and floats: nothing that proves it without its .cfg."""
    if len(blob.head) < 20:
        return
    major, minor, revision = struct.unpack_from("<iii", blob.head)
    if not (major == 0 and minor in (1, 2) and 0 <= revision <= 5):
        return
    start = 20 if minor >= 2 else 16
    floats = struct.unpack_from("<8f", blob.read(start, 32).ljust(32, b"\0"))
    sane = all(f == f and abs(f) < 1e4 for f in floats) and any(abs(f) > 1e-12 for f in floats)
    if sane and (blob.size - start) % 4 == 0:
        sure = 0.65 if blob.base.endswith(".weights") else 0.3
        yield Finding(
            "darknet",
            f"weights {major}.{minor}.{revision}",
            sure,
            f"a header of version {major}.{minor}.{revision}, then floats; no .cfg with it",
        )


def xgboost_binary(blob: Blob) -> Iterator[Finding]:
    """ "binf" or nothing, 136 bytes of parameters, then two texts: the objective and the booster."""
    head = blob.head
    if head[:4] == b"bs64":
        yield Finding("xgboost", "old binary as base64", 1.0, "'bs64' at 0", next=_OLD_XGBOOST)
        return
    start = 4 if head[:4] == b"binf" else 0
    place = start + 136
    if len(head) < place + 24:
        if start:
            yield Finding("xgboost", "old binary", 0.9, "'binf' at 0", next=_OLD_XGBOOST).cut(f"only {blob.size} bytes")
        return
    (length,) = struct.unpack_from("<Q", head, place)
    objective = head[place + 8 : place + 8 + min(length, 64)]
    rest = head[place + 8 + min(length, 64) :][:24]
    booster = next((name for name in (b"gbtree", b"gblinear", b"dart") if rest[8 : 8 + len(name)] == name), None)
    if not 3 <= length <= 64 or not re.fullmatch(rb"[a-z]+(:[a-z0-9_]+)?", objective) or booster is None:
        if start:
            yield Finding("xgboost", "old binary", 0.9, "'binf' at 0", next=_OLD_XGBOOST).cut(
                "no objective where it should be"
            )
        return
    said = f"objective {objective.decode()} and booster {booster.decode()} at {place}"
    yield Finding("xgboost", "old binary", 1.0, said, next=_OLD_XGBOOST)


_OLD_XGBOOST = (
    "XGBoost 3 does not read the old binary form any more; with XGBoost 2.1 or older load it and save it again: "
    "model.save_model('model.ubj')."
)


def ubjson(blob: Blob) -> Iterator[Finding]:
    """{ L and a key's length in 8 bytes, big-endian: XGBoost's "learner" and "version"."""
    if blob.head[:2] != b"{L" or len(blob.head) < 10:
        return
    length = int.from_bytes(blob.head[2:10], "big")
    key = blob.head[10 : 10 + min(length, 32)]
    if key not in (b"learner", b"version", b"Config"):
        return
    whole = b"version" in blob.tail(256) and blob.tail(1) in (b"}", b"]")
    version = re.search(rb"version\[#L\0{7}\x03i(.)i(.)i(.)", blob.tail(256), re.DOTALL)
    said = ".".join(str(part[0]) for part in version.groups()) if version else ""
    finding = Finding("xgboost", f"UBJSON {said}".strip(), 1.0, f"UBJSON whose first key is {key.decode()!r}")
    yield finding if whole else finding.cut("it does not end as it should")


def paddle_params(blob: Blob) -> Iterator[Finding]:
    """u32 0, u64 0, u32 0, i32 n, n bytes of TensorDesc {data_type 1, dims 2}."""
    head = blob.head
    if len(head) < 24 or any(head[:16]):
        return
    (length,) = struct.unpack_from("<i", head, 16)
    desc = head[20 : 20 + max(length, 0)]
    if not 4 <= length <= 256 or len(desc) < length or desc[0] != 0x08 or desc[1] > 40 or desc[2] not in (0x10, 0x12):
        return
    dims, at = [], 2
    while at < length and desc[at] == 0x10:
        value, at = varint(desc, at + 1)
        dims.append(value)
    finding = Finding("paddle-params", "", 1.0, f"16 zero bytes, then a TensorDesc of type {desc[1]} and shape {dims}")
    items, size = 1, {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2}.get(desc[1], 0)
    for dim in dims:
        items *= max(dim, 0)
    yield finding if 20 + length + items * size <= blob.size else finding.cut("its first tensor is not all there")


def paddle_lite(blob: Blob) -> Iterator[Finding]:
    """u16 meta version 0 to 2, 16 bytes of the opt tool's version: "v2.10" or a commit."""
    head = blob.head
    if len(head) >= 32 and head[0] <= 2 and head[1] == 0:
        said = head[2:18].split(b"\0")[0]
        if re.fullmatch(rb"v\d+\.\d+(\.\d+)?(-\w+)?", said):
            yield Finding("paddle-lite", said.decode(), 1.0, f"meta version {head[0]}, opt {said.decode()}")
        elif re.fullmatch(rb"[0-9a-f]{7,12}", said) and blob.base.endswith(".nb"):
            yield Finding("paddle-lite", said.decode(), 0.8, f"meta version {head[0]}, opt commit {said.decode()}")


def barracuda(blob: Blob) -> Iterator[Finding]:
    """i32 version, i32 0, i32 count, then per input: i32 length, name, i32 rank, dims."""
    head = blob.head
    if len(head) < 24 or not 6 <= head[0] <= 0x20 or any(head[1:8]):
        return
    count, length = struct.unpack_from("<ii", head, 8)
    name = head[16 : 16 + max(length, 0)]
    if not 1 <= count <= 64 or not 1 <= length <= 128 or not re.fullmatch(rb"[\w./:-]+", name):
        return
    rank = head[16 + length : 20 + length]
    if len(rank) == 4 and struct.unpack("<i", rank)[0] in (4, 8):
        yield Finding(
            "barracuda", str(head[0]), 0.95, f"version {head[0]}, {count} input(s), the first is {name.decode()!r}"
        )


def tengine(blob: Blob) -> Iterator[Finding]:
    """u16 major 2, u16 minor 0, u16 compile version, 2 bytes, u32 place of the root table."""
    if len(blob.head) < 16:
        return
    major, minor, _, _, root = struct.unpack_from("<HHHHI", blob.head)
    if major == 2 and minor <= 3 and 12 <= root <= blob.size - 12:
        source, _, graphs = struct.unpack("<iiI", blob.read(root, 12).ljust(12, b"\0"))
        if 0 <= source < 14 and 0 < graphs < blob.size:
            sure = 0.9 if blob.base.endswith(".tmfile") else 0.55
            yield Finding("tengine", f"{major}.{minor}", sure, f"version {major}.{minor} and a root table at {root}")


def named_guesses(blob: Blob) -> Iterator[Finding]:
    """What has no magic of its own: the bytes do not contradict, and the name says it. Low confidence on purpose."""
    head, base = blob.head, blob.base
    if base.endswith(".kmodel") and head[:4] == b"\x03\0\0\0":
        yield Finding("kmodel", "3", 0.8, "the number 3 at 0, and the name")
    if re.match(rb"\0\0\0\x02\0\0\0[\x01-\x03]\0\0\0\0", head) and base.endswith((".bin", ".serialized")):
        yield Finding("qnn", "serialised", 0.6, "the first 16 bytes are those of a QNN context, and the name")
    for suffix, kind in (
        (".cambricon", "cambricon"),
        (".vnnmodel", "vnnmodel"),
        (".nnc", "nnc"),
        (".sentis", "sentis"),
    ):
        if base.endswith(suffix) and head:
            yield Finding(kind, "", 0.5, "the name alone: no mark of this format is known")
    version = re.match(rb"([\x05-\x0c])\0\0\0(\d+\.\d+\.\d+)\0", head)
    if version and base.endswith((".vw", ".model", ".bin", ".reg")):
        yield Finding("vowpal-wabbit", version[2].decode(), 0.7, "a version as text behind its length, and the name")
    net = re.match(rb"\x01\x01\x01(.)(loss_\w{2,40})", head, re.DOTALL)
    if net and net[1][0] <= len(net[2]):
        said = net[2][: net[1][0]].decode()
        yield Finding("dlib", "network", 1.0, f"version 1 in dlib's form, then the text {said!r}")
    elif base.endswith((".dat", ".svm")) and _dlib(head):
        yield Finding("dlib", "", 0.6, "numbers in dlib's form (a count of bytes, then the bytes), and the name")
    if head[:2] == b"MZ" and b"PE\0\0" in head[:1024]:
        yield Finding("pe", "", 1.0, "'MZ' at 0 and a PE header")
    if token := re.match(rb"\0B(<[A-Z]\w+>) ", head):
        yield Finding("kaldi", "binary", 0.95, f"'\\0B' and the token {token[1].decode()}")


def _dlib(head: bytes) -> bool:
    """dlib::serialize of an int: one byte that counts (the high bit is the sign), then that many bytes."""
    at, seen = 0, 0
    while at < len(head) and seen < 3:
        count = head[at] & 0x0F
        if (
            head[at] & 0x70
            or not 1 <= count <= 8
            or at + 1 + count > len(head)
            or (count > 1 and head[at + count] == 0)
        ):
            return False
        at, seen = at + 1 + count, seen + 1
    return seen == 3


def tensorrt_shifted(blob: Blob) -> Iterator[Finding]:
    """Ultralytics writes u32 length and JSON before the engine."""
    head = blob.head
    if len(head) >= 24 and head[3] == 0 and head[4] == 0x7B:
        start = int.from_bytes(head[:4], "little") + 4
        if blob.read(start, 4) in (b"ptrt", b"ftrt"):
            yield Finding("tensorrt", "", 1.0, f"'ptrt' or 'ftrt' at {start}, behind JSON")


def java(blob: Blob) -> Iterator[Finding]:
    """AC ED 00 05, TC_OBJECT, TC_CLASSDESC, the class's name."""
    if blob.head[:4] != b"\xac\xed\x00\x05":
        return
    found = re.search(rb"[sr]r\0(.)([\w.$\[;]{3,200})", blob.head, re.DOTALL)
    name = found[2][: found[1][0]].decode("latin-1") if found else ""
    kind = "weka" if name.startswith("weka.") else "java-serialised"
    yield Finding(kind, "5", 1.0, f"the bytes ac ed 00 05 at 0, class {name or 'not seen'}")


def mnn(blob: Blob) -> Iterator[Finding]:
    """No file identifier: Net {oplists 3, outputName 4, tensorName 7}, Op {.. name ..}."""
    table = flat.root(blob)
    if table is None or len(table.slots) < 8:
        return
    operators, names = table.count(3), table.first_text(7)
    if operators and names and table.tables(3, 1) and blob.head[4:8] not in (b"TFL3",):
        sure = 0.9 if blob.base.endswith(".mnn") else 0.6
        yield Finding("mnn", "", sure, f"a flatbuffer with {operators} operators and tensor names from {names!r} on")


def armnn(blob: Blob) -> Iterator[Finding]:
    if blob.base.endswith(".armnn") and (table := flat.root(blob)) is not None:
        yield Finding(
            "armnn", "", 0.6, f"a flatbuffer of {len(table.slots)} fields, and the name: it has no mark of its own"
        )


def jax_export(blob: Blob) -> Iterator[Finding]:
    """Exported: serialization_version, function_name, ... mlir_module_serialized with MLIR bytecode inside."""
    table = flat.root(blob) if blob.head[:1] != b"\0" else None
    if (
        table is not None
        and len(table.slots) >= 8
        and (name := table.text(1))
        and b"jax" in (blob.head + blob.tail(4096)).lower()
    ):
        yield Finding(
            "jax-export", str(table.number(0, "<H") or ""), 0.7, f"a flatbuffer that names the function {name!r}"
        )


def bson(blob: Blob) -> Iterator[Finding]:
    """i32 length of the document, elements, 0."""
    head = blob.head
    if len(head) < 8 or int.from_bytes(head[:4], "little") != blob.size or blob.tail(1) != b"\0":
        return
    found = re.match(rb"[\x01-\x13]([\w.]{1,80})\0", head[4:])
    if found and head[4] in (2, 3, 4, 5, 8, 16, 18):
        sure = 0.9 if b"_backrefs" in head + blob.tail(8192) or blob.base.endswith(".bson") else 0.55
        yield Finding(
            "flux", "", sure, f"a BSON document of {blob.size} bytes whose first key is {found[1].decode()!r}"
        )


def msgpack(blob: Blob) -> Iterator[Finding]:
    """A map whose arrays are extension type 1 {shape, dtype, bytes}, as Flax writes them."""
    head = blob.head
    start = {0xDE: 3, 0xDF: 5}.get(head[0], 1) if head and (0x80 < head[0] <= 0x8F or head[0] in (0xDE, 0xDF)) else 0
    if not start or len(head) < 16:
        return
    key = re.match(rb"(?:[\xa1-\xbf]|\xd9.)([\w./ -]{1,80})", head[start:], re.DOTALL)
    dtype = re.search(
        rb"(float32|float16|bfloat16|float64|int32|int64|uint8)\xc4|(float32|float16|bfloat16|float64|int32|int64|uint8)[\xc5\xc6]",
        head,
    )
    if key and dtype:
        name = re.sub(rb"[^\w./-].*", b"", key[1]).decode()
        yield Finding(
            "flax", "", 0.9, f"a msgpack map whose first key is {name!r}, arrays of {(dtype[1] or dtype[2]).decode()}"
        )


BINARIES = (
    magics, tflite, numpy_array, safetensors, leveldb, tfrecord, torch7, darknet_weights, xgboost_binary, ubjson,
    paddle_params, paddle_lite, barracuda, tengine, named_guesses, tensorrt_shifted, java, mnn, armnn, jax_export,
    bson, msgpack,
)  # fmt: skip
