"""torchvision's ResNet written from the architecture, as an independent reference in PyTorch."""

import torch
from torch import nn


def _conv(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)


class Basic(nn.Module):
    expansion = 1

    def __init__(self, inputs, planes, stride, groups, base_width):
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, planes, 3, stride), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = _conv(planes, planes, 3), nn.BatchNorm2d(planes)
        self.downsample = _downsample(inputs, planes, stride)

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs, planes, stride, groups, base_width):
        super().__init__()
        inner, outputs = int(planes * (base_width / 64.0)) * groups, 4 * planes
        self.conv1, self.bn1 = _conv(inputs, inner, 1), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = _conv(inner, inner, 3, stride, groups), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = _conv(inner, outputs, 1), nn.BatchNorm2d(outputs)
        self.downsample = _downsample(inputs, outputs, stride)

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


def _downsample(inputs, outputs, stride):
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """Pooled features; `maps` keeps the unpooled ones of the last forward."""

    def __init__(self, block, depths, *, width=64, channels=3, stem="imagenet", groups=1, base=64):
        super().__init__()
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
        else:
            stride, padding = {"cifar": (1, 2), "cifar_stride2": (2, 1)}[stem]
            self.conv1 = nn.Conv2d(channels, width, 3, stride, padding, bias=False)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for stage, depth in enumerate(depths):
            blocks = []
            for index in range(depth):
                stride = 2 if stage and not index else 1
                blocks.append(block(inputs, width * 2**stage, stride, groups, base))
                inputs = width * 2**stage * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        self.maps = [x]
        x = self.maxpool(x)
        for stage in range(4):
            x = getattr(self, f"layer{stage + 1}")(x)
            self.maps.append(x)
        return x.mean((2, 3))


def randomise(module, generator):
    """Random weights and statistics, so that no term of the forward is trivially 0 or 1."""
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
                value.uniform_(0.5, 1.5, generator=generator)
            elif value.ndim == 1 and value.is_floating_point():
                value.uniform_(-0.5, 0.5, generator=generator)
            elif value.ndim == 4:
                value.normal_(0, value[0].numel() ** -0.5, generator=generator)
    return module
