"""Genuine files of PyTorch: run by the Python of Environment `torch`, writes into argv[1].

Each function makes one sample in a folder of its own; its name is the sample's.
"""

from __future__ import annotations

import collections
import pickle
import sys
import warnings
import zipfile
from pathlib import Path

import torch
from torch import nn

warnings.filterwarnings("ignore")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4 * 36, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.bn1(self.conv1(x))).flatten(1))


def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


X = torch.zeros(2, 3, 8, 8)


def state_dict(out: Path) -> None:
    torch.save(net().state_dict(), out / "m.pt")


def state_dict_pth_protocol_4(out: Path) -> None:
    torch.save(net().state_dict(), out / "m.pth", pickle_protocol=4)


def state_dict_legacy(out: Path) -> None:
    torch.save(net().state_dict(), out / "m.pth", _use_new_zipfile_serialization=False)


def state_dict_bin(out: Path) -> None:
    torch.save(dict(net().state_dict()), out / "pytorch_model.bin")


def state_dict_no_suffix(out: Path) -> None:
    torch.save(net().state_dict(), out / "weights")


def state_dict_checkpoint(out: Path) -> None:
    model = net()
    best = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.save({"epoch": 3, "model": model.state_dict(), "optimizer": best.state_dict()}, out / "last.ckpt")


def state_dict_half(out: Path) -> None:
    torch.save({name: t.half() for name, t in net().state_dict().items()}, out / "m.pt")


def state_dict_parameters(out: Path) -> None:
    torch.save(collections.OrderedDict(net().named_parameters()), out / "m.pt")


def state_dict_one_tensor(out: Path) -> None:
    torch.save(torch.arange(5), out / "t.pt")


def state_dict_quantised(out: Path) -> None:
    torch.save(
        torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 2)), {nn.Linear}).state_dict(), out / "q.pt"
    )


def module_sequential(out: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), out / "m.pt")


def module_of_its_author(out: Path) -> None:
    torch.save(net(), out / "m.pth")


def module_legacy(out: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), out / "m.pt", _use_new_zipfile_serialization=False)


def module_in_checkpoint(out: Path) -> None:
    """As YOLO keeps it: a dictionary with the module inside."""
    torch.save({"epoch": 1, "model": net(), "date": "2024"}, out / "best.pt")


def module_plain_pickle(out: Path) -> None:
    (out / "m.pkl").write_bytes(pickle.dumps(nn.Sequential(nn.Linear(4, 2))))


def module_lstm(out: Path) -> None:
    torch.save(nn.LSTM(4, 8, 2), out / "rnn.bin")


def script_traced(out: Path) -> None:
    torch.jit.trace(net(), X).save(out / "m.pt")


def script_scripted(out: Path) -> None:
    torch.jit.script(net()).save(out / "m.jit")


def script_renamed(out: Path) -> None:
    torch.jit.script(net()).save(out / "m.onnx")


def script_frozen(out: Path) -> None:
    torch.jit.freeze(torch.jit.script(net())).save(out / "m.torchscript")


def script_extra_files(out: Path) -> None:
    torch.jit.script(net()).save(out / "m.pt", _extra_files={"labels.txt": "a\nb\n"})


def mobile(out: Path) -> None:
    torch.jit.script(net())._save_for_lite_interpreter(str(out / "m.ptl"))


def mobile_named_pt(out: Path) -> None:
    torch.jit.trace(net(), X)._save_for_lite_interpreter(str(out / "m.pt"))


def exported(out: Path) -> None:
    torch.export.save(torch.export.export(net(), (X,)), out / "m.pt2")


def exported_dynamic(out: Path) -> None:
    batch = {0: torch.export.Dim("batch")}
    torch.export.save(torch.export.export(net(), (X,), dynamic_shapes=(batch,)), out / "m.pt2")


def exported_renamed(out: Path) -> None:
    torch.export.save(torch.export.export(net(), (X,)), out / "m.zip")


def package(out: Path) -> None:
    from torch.package import PackageExporter

    with PackageExporter(out / "p.pt") as exporter:
        exporter.extern("torch.**")
        exporter.save_pickle("model", "model.pkl", nn.Sequential(nn.Linear(4, 2)))


def onnx_dynamo(out: Path) -> None:
    torch.onnx.export(net(), (X,), dynamo=True, verbose=False).save(out / "m.onnx")


def onnx_torchscript(out: Path) -> None:
    torch.onnx.export(net(), (X,), str(out / "m.onnx"), dynamo=False)


def zip_of_script(out: Path) -> None:
    torch.jit.script(net()).save(out / "m.pt")
    with zipfile.ZipFile(out / "m.zip", "w") as archive:
        archive.write(out / "m.pt", "deploy/m.pt")
    (out / "m.pt").unlink()


PREFIXES = ("state_dict", "module", "script", "mobile", "exported", "package", "onnx", "zip_")

if __name__ == "__main__":
    for name, make in sorted(globals().items()):
        if callable(make) and getattr(make, "__module__", "") == "__main__" and name.startswith(PREFIXES):
            folder = Path(sys.argv[1]) / name
            folder.mkdir()
            make(folder)
