"""Networks: modules with PyTorch's names, arguments and defaults.

What differs from PyTorch: everything random takes an explicit ``generator`` (`numpy.random.Generator`), so that a
network is a function of its seed and of nothing else; `Parameter` arrays are replaced and never written to; there is
`UpsampleConv2d`, nearest upsampling and a convolution in one.
"""

from . import init
from .activation import Dropout, LeakyReLU, ReLU, Sigmoid, Softplus, Tanh
from .containers import Flatten, Identity, ModuleList, Sequential, Unflatten
from .conv import Conv2d, ConvTranspose2d, UpsampleConv2d, set_precision
from .conv1d import Conv1d
from .equalized import EqualizedConv2d, EqualizedLinear
from .gated import ELU, GELU, Hardtanh, PixelNorm, PReLU, SiLU
from .linear import Embedding, Linear
from .module import LoadReport, Module, Parameter
from .norm import BatchNorm1d, BatchNorm2d, GroupNorm, InstanceNorm2d, LayerNorm
from .pixels import AdaptiveAvgPool2d, PixelShuffle, PixelUnshuffle, ReflectionPad2d, ReplicationPad2d, ZeroPad2d
from .pooled_conv import ConvAvgPool2d
from .resample import AvgPool2d, MaxPool2d, Upsample
from .spectral_norm import spectral_norm

__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "ConvAvgPool2d",
    "ConvTranspose2d",
    "Dropout",
    "Embedding",
    "EqualizedConv2d",
    "EqualizedLinear",
    "Flatten",
    "GroupNorm",
    "Hardtanh",
    "Identity",
    "InstanceNorm2d",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LoadReport",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "PReLU",
    "Parameter",
    "PixelNorm",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReLU",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "Unflatten",
    "Upsample",
    "UpsampleConv2d",
    "ZeroPad2d",
    "init",
    "set_precision",
    "spectral_norm",
]  # fmt: skip
