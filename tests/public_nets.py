"""Nets for MNIST and CIFAR-10 the way people write them: functions in `forward`, branches, shortcuts, weights by hand.

Each is written anew, at its full depth or a part of it, after the public net that its docstring names.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MnistExample(nn.Module):
    """pytorch/examples: two convolutions, dropout, log-softmax."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = self.dropout2(x)
        return F.log_softmax(self.fc2(x), dim=1)


class LeNet(nn.Module):
    """kuangliu/pytorch-cifar, lenet: pools as functions, `out.view`."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 5 * 5, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        out = F.max_pool2d(F.relu(self.conv1(x)), 2)
        out = F.max_pool2d(F.relu(self.conv2(out)), 2)
        out = out.view(out.size(0), -1)
        out = F.relu(self.fc2(F.relu(self.fc1(out))))
        return self.fc3(out)


class BasicBlock(nn.Module):
    """kuangliu/pytorch-cifar, resnet: `out += self.shortcut(x)`."""

    def __init__(self, in_planes: int, planes: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != planes:
            self.shortcut = nn.Sequential(nn.Conv2d(in_planes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class PreActBlock(nn.Module):
    """kuangliu/pytorch-cifar, preact_resnet: norm and ReLU first, a shortcut that is there or not."""

    def __init__(self, in_planes: int, planes: int, stride: int):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(in_planes), nn.BatchNorm2d(planes)
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        if stride != 1 or in_planes != planes:
            self.shortcut = nn.Conv2d(in_planes, planes, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        return self.conv2(F.relu(self.bn2(self.conv1(out)))) + shortcut


class ResNet(nn.Module):
    """kuangliu/pytorch-cifar, resnet and preact_resnet."""

    def __init__(self, block: type[nn.Module], pre: bool = False):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16 if not pre else 64)
        self.layers = nn.Sequential(block(16, 16, 1), block(16, 16, 1), block(16, 32, 2), block(32, 64, 2))
        self.linear, self.pre = nn.Linear(64, 10), pre

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x) if self.pre else F.relu(self.bn1(self.conv1(x)))
        out = self.layers(out)
        out = F.avg_pool2d(F.relu(self.bn1(out)) if self.pre else out, 8)
        return self.linear(out.view(out.size(0), -1))


class DenseNet(nn.Module):
    """kuangliu/pytorch-cifar, densenet: norm, ReLU and convolution, put beside what there is."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 24, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(24 + 12 * i) for i in range(6))
        self.convs = nn.ModuleList(nn.Conv2d(24 + 12 * i, 12, 3, padding=1, bias=False) for i in range(6))
        self.bn, self.linear = nn.BatchNorm2d(96), nn.Linear(96, 10)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(x)
        for place, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            out = torch.cat([conv(F.relu(norm(out))), out], 1)
            if place == 2:
                out = F.avg_pool2d(out, 2)
        out = F.adaptive_avg_pool2d(F.relu(self.bn(out)), 1)
        return self.linear(out.flatten(1))


class Airbench(nn.Module):
    """KellerJordan/cifar10-airbench: whitening convolution that is frozen, GELU, norms without scale, scaled logits."""

    def __init__(self):
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2, bias=True)
        self.whiten.weight.requires_grad = False
        widths = (24, 64, 128)
        self.convs = nn.ModuleList()
        self.norms = nn.ModuleList()
        for before, width in pairwise(widths):
            self.convs += [nn.Conv2d(before, width, 3, padding="same", bias=False)]
            self.convs += [nn.Conv2d(width, width, 3, padding="same", bias=False)]
            self.norms += [nn.BatchNorm2d(width, momentum=0.4, eps=1e-12), nn.BatchNorm2d(width)]
            nn.init.dirac_(self.convs[-1].get_parameter("weight"))
        for norm in self.norms:
            norm.get_parameter("weight").requires_grad = False
        self.head = nn.Linear(128, 10, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.whiten(x))
        for place, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = conv(x)
            if place % 2 == 0:
                x = F.max_pool2d(x, 2)
            x = F.gelu(norm(x))
        x = F.max_pool2d(x, 3).amax((2, 3))
        return self.head(x) / 9


class Inception(nn.Module):
    """kuangliu/pytorch-cifar, googlenet: four branches side by side."""

    def __init__(self):
        super().__init__()
        self.pre = self.conv(3, 32, 3)
        self.b1 = self.conv(32, 16, 1)
        self.b2 = nn.Sequential(self.conv(32, 16, 1), self.conv(16, 24, 3))
        self.b3 = nn.Sequential(self.conv(32, 8, 1), self.conv(8, 8, 3), self.conv(8, 8, 3))
        self.b4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), self.conv(32, 8, 1))
        self.linear = nn.Linear(56, 10)

    @staticmethod
    def conv(before: int, width: int, kernel: int) -> nn.Module:
        layers = (nn.Conv2d(before, width, kernel, padding=kernel // 2), nn.BatchNorm2d(width), nn.ReLU(True))
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pre(x)
        x = torch.cat([self.b1(x), self.b2(x), self.b3(x), self.b4(x)], 1)
        return self.linear(x.mean(dim=(2, 3)))


class SqueezeNet(nn.Module):
    """forresti/SqueezeNet: squeeze to 1x1, expand by 1x1 and 3x3, no linear layer; ReLU behind the last convolution."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, stride=2)
        self.squeeze = nn.ModuleList([nn.Conv2d(32, 8, 1), nn.Conv2d(64, 16, 1)])
        self.expand1 = nn.ModuleList([nn.Conv2d(8, 32, 1), nn.Conv2d(16, 64, 1)])
        self.expand3 = nn.ModuleList([nn.Conv2d(8, 32, 3, padding=1), nn.Conv2d(16, 64, 3, padding=1)])
        self.conv10 = nn.Conv2d(128, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        for squeeze, one, three in zip(self.squeeze, self.expand1, self.expand3, strict=True):
            x = F.relu(squeeze(F.max_pool2d(x, 3, stride=2, ceil_mode=True)))
            x = torch.cat([F.relu(one(x)), F.relu(three(x))], 1)
        x = F.relu(self.conv10(F.dropout(x, 0.5, self.training)))
        return F.adaptive_avg_pool2d(x, (1, 1)).squeeze(3).squeeze(2)


class SqueezeExcite(nn.Module):
    """moskomule/senet.pytorch: a gate of the averages of all maps."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.fc1, self.fc2, self.classifier = nn.Linear(32, 2), nn.Linear(2, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        y = self.norm(self.conv2(x))
        gate = torch.sigmoid(self.fc2(F.relu(self.fc1(y.mean((2, 3))))))
        x = F.relu(x + y * gate[:, :, None, None])
        return self.classifier(F.max_pool2d(x, 4).flatten(1).view(len(x), 32, -1).mean(2))


class MobileBlock(nn.Module):
    """kuangliu/pytorch-cifar, mobilenetv2: expand, depthwise, project without activation, and a shortcut."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.expand = nn.Conv2d(16, 96, 1, bias=False)
        self.depthwise = nn.Conv2d(96, 96, 3, padding=1, groups=96, bias=False)
        self.project = nn.Conv2d(96, 16, 1, bias=False)
        self.bns = nn.ModuleList(nn.BatchNorm2d(width) for width in (16, 96, 96, 16))
        self.linear = nn.Linear(16 * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.bns[0](self.stem(x)))
        y = F.relu6(self.bns[1](self.expand(x)))
        y = F.relu6(self.bns[2](self.depthwise(y)))
        x = x + self.bns[3](self.project(y))
        return self.linear(F.avg_pool2d(x, 16).reshape(len(x), -1))


class Transformer(nn.Module):
    """kentaroy47/vision-transformers-cifar10, vit: patches, a learnt place, attention written out."""

    def __init__(self):
        super().__init__()
        self.patch, self.place = nn.Linear(48, 64), nn.Parameter(torch.randn(1, 65, 64))
        self.cls = nn.Parameter(torch.randn(1, 1, 64))
        self.norm1, self.norm2, self.last = nn.LayerNorm(64), nn.LayerNorm(64), nn.LayerNorm(64)
        self.to_qkv, self.to_out = nn.Linear(64, 192, bias=False), nn.Linear(64, 64)
        self.fc1, self.fc2, self.mlp_head = nn.Linear(64, 128), nn.Linear(128, 64), nn.Linear(64, 10)

    def forward(self, img: Tensor) -> Tensor:
        b, c, h, w = img.shape
        x = img.reshape(b, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(b, 64, 48)
        x = torch.cat((self.cls.expand(b, -1, -1), self.patch(x)), dim=1) + self.place
        q, k, v = (one.view(b, 65, 4, 16).transpose(1, 2) for one in self.to_qkv(self.norm1(x)).chunk(3, -1))
        weights = F.softmax(q @ k.transpose(-1, -2) * 16**-0.5, dim=-1)
        x = x + self.to_out((weights @ v).transpose(1, 2).reshape(b, 65, 64))
        x = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return self.mlp_head(self.last(x)[:, 0])
