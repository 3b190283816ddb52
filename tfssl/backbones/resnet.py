"""ResNet and ResNeXt, version 1.5: the stride of a bottleneck is on its 3x3 convolution.

Layers are named as in torchvision ("layer1.0.conv1"), so weights travel by name.

References: He et al. 2015, arXiv 1512.03385; Xie et al. 2016, arXiv 1611.05431 (ResNeXt); Goyal et
al. 2017, arXiv 1706.02677 (zero gamma at the end of a residual branch).
"""

import dataclasses
from typing import Optional

import tensorflow as tf

from tfssl.backbones.convolution import convolution
from tfssl.backbones.stems import apply_stem, pool_stem
from tfssl.layers.normalization import batch_norm


@dataclasses.dataclass(frozen=True)
class Architecture:
    """One row of the family.

    Attributes:
        depths: number of blocks in each of the four stages.
        bottleneck: three-convolution blocks with four-fold expansion, or two-convolution blocks.
        groups: channel groups of the 3x3 convolution of a bottleneck.
        group_width: channels of one group where the stage has 64 channels.
    """

    depths: tuple[int, int, int, int]
    bottleneck: bool = True
    groups: int = 1
    group_width: int = 64

    @property
    def expansion(self) -> int:
        """Output channels of a block for each of its stage's channels."""
        return 4 if self.bottleneck else 1

    def inner_channels(self, channels: int) -> int:
        """Channels inside a bottleneck of a stage with `channels` channels."""
        return channels * self.group_width // 64 * self.groups


ARCHITECTURES = {
    "resnet18": Architecture((2, 2, 2, 2), bottleneck=False),
    "resnet34": Architecture((3, 4, 6, 3), bottleneck=False),
    "resnet50": Architecture((3, 4, 6, 3)),
    "resnet101": Architecture((3, 4, 23, 3)),
    "resnet152": Architecture((3, 8, 36, 3)),
    "resnext101_32x8d": Architecture((3, 4, 23, 3), groups=32, group_width=8),
    "resnext152_32x8d": Architecture((3, 8, 36, 3), groups=32, group_width=8),
}

# Image pixels per pixel of the last map, over those per pixel of the stem's output.
STAGES_STRIDE = 8


@dataclasses.dataclass(frozen=True)
class _Block:
    """One residual block: where it stands and how it normalises."""

    name: str
    channels: int
    stride: int
    zero_gamma: bool
    synchronized: Optional[bool]

    def unit(
        self, x, index: int, filters: int, kernel_size: int, *, stride=1, groups=1, last=False
    ):
        """Convolution and normalisation number `index`, with a ReLU unless it is the last."""
        prefix = f"{self.name}.conv{index}"
        x = convolution(x, filters, kernel_size, stride=stride, groups=groups, name=prefix)
        zero = last and self.zero_gamma
        norm = f"{self.name}.bn{index}"
        x = batch_norm(synchronized=self.synchronized, zero_gamma=zero, name=norm)(x)
        return x if last else tf.keras.layers.ReLU(name=f"{self.name}.relu{index}")(x)

    def shortcut(self, x, filters: int):
        """The input itself, or its projection where the size or the channels change."""
        if self.stride == 1 and x.shape[-1] == filters:
            return x
        prefix = f"{self.name}.downsample"
        x = convolution(x, filters, 1, stride=self.stride, padding=0, name=f"{prefix}.0")
        return batch_norm(synchronized=self.synchronized, name=f"{prefix}.1")(x)

    def apply(self, x, architecture: Architecture):
        """Residual branch plus shortcut, then ReLU."""
        filters = self.channels * architecture.expansion
        if architecture.bottleneck:
            inner = architecture.inner_channels(self.channels)
            y = self.unit(x, 1, inner, 1)
            y = self.unit(y, 2, inner, 3, stride=self.stride, groups=architecture.groups)
            y = self.unit(y, 3, filters, 1, last=True)
        else:
            y = self.unit(x, 1, filters, 3, stride=self.stride)
            y = self.unit(y, 2, filters, 3, last=True)
        y = tf.keras.layers.Add(name=f"{self.name}.add")([y, self.shortcut(x, filters)])
        return tf.keras.layers.ReLU(name=f"{self.name}.relu")(y)


def resnet_maps(
    images,
    name: str,
    *,
    stem: str,
    width: float,
    stem_channels: Optional[int],
    stem_padding: Optional[int],
    zero_init_residual: bool,
    synchronized: Optional[bool],
) -> dict[str, tf.Tensor]:
    """Builds the convolutional part of a ResNet on symbolic images.

    The arguments are those of `tfssl.backbones.build`, which checks them.

    Returns:
        The unpooled symbolic maps by name, first to last: "stem", "stage1" to "stage4".
    """
    architecture = ARCHITECTURES[name]
    base = round(64 * width)
    x = apply_stem(
        images, stem, stem_channels or base, padding=stem_padding, synchronized=synchronized
    )
    maps = {"stem": x}
    x = pool_stem(x, stem)
    for stage, depth in enumerate(architecture.depths):
        for index in range(depth):
            block = _Block(
                name=f"layer{stage + 1}.{index}",
                channels=base * 2**stage,
                stride=2 if stage > 0 and index == 0 else 1,
                zero_gamma=zero_init_residual,
                synchronized=synchronized,
            )
            x = block.apply(x, architecture)
        maps[f"stage{stage + 1}"] = x
    return maps
