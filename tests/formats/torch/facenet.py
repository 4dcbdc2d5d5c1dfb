"""The three nets of MTCNN under the names of facenet-pytorch's weights: the class file of rows in zoo.toml."""

import torch  # noqa: TID251  a class file, imported in Environment torch
from torch import Tensor, nn  # noqa: TID251


def body(net: nn.Module, widths: list[tuple[int, int, int]]) -> None:
    """conv1, prelu1, ...: (channels in, out, window) a layer."""
    for number, (before, after, window) in enumerate(widths, start=1):
        setattr(net, f"conv{number}", nn.Conv2d(before, after, window))
        setattr(net, f"prelu{number}", nn.PReLU(after))


class PNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        body(self, [(3, 10, 3), (10, 16, 3), (16, 32, 3)])
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_2(x), torch.softmax(self.conv4_1(x), 1)


class RNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        body(self, [(3, 28, 3), (28, 48, 3), (48, 64, 2)])
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pool(self.prelu1(self.conv1(x)))
        x = self.pool(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x)).permute(0, 3, 2, 1).flatten(1)
        x = self.prelu4(self.dense4(x))
        return self.dense5_2(x), torch.softmax(self.dense5_1(x), 1)


class ONet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        body(self, [(3, 32, 3), (32, 64, 3), (64, 64, 3), (64, 128, 2)])
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.pool(self.prelu1(self.conv1(x)))
        x = self.pool(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x)).permute(0, 3, 2, 1).flatten(1)
        x = self.prelu5(self.dense5(x))
        return self.dense6_2(x), self.dense6_3(x), torch.softmax(self.dense6_1(x), 1)
