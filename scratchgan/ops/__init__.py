"""Every differentiable operator, as functions on Tensors: one Function each, forward on arrays, backward on Tensors."""

import sys

from .. import tensor
from .activation import leaky_relu, relu, sigmoid, softplus, tanh
from .conv import conv2d, conv_transpose2d, upsample_conv2d
from .convert import astype, to_device
from .elementwise import (
    abs,
    add,
    clip,
    divide,
    exp,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    sqrt,
    subtract,
    where,
)
from .loss import binary_cross_entropy_with_logits, cross_entropy, l1_loss, mse_loss
from .matmul import linear, matmul
from .modulate import scale_shift
from .normalize import batch_norm, group_norm, instance_norm, layer_norm
from .reduce import log_softmax, logsumexp, max, mean, min, softmax, sum, var
from .resample import avg_pool2d, max_pool2d, upsample_bilinear2d, upsample_nearest2d
from .select import dropout, embedding
from .shape import broadcast_to, concatenate, flatten, flip, getitem, pad, reshape, stack, sum_to, transpose
from .spectral import spectral_normalize

__all__ = [
    "abs", "add", "astype", "avg_pool2d", "batch_norm", "binary_cross_entropy_with_logits", "broadcast_to", "clip",
    "concatenate", "conv2d", "conv_transpose2d", "cross_entropy", "divide", "dropout", "embedding", "exp", "flatten",
    "flip", "getitem", "group_norm", "instance_norm", "l1_loss", "layer_norm", "leaky_relu", "linear", "log",
    "log_softmax", "logsumexp", "matmul", "max", "max_pool2d", "maximum", "mean", "min", "minimum", "mse_loss",
    "multiply", "negative", "pad", "power", "relu", "reshape", "scale_shift", "sigmoid", "softmax", "softplus",
    "spectral_normalize", "sqrt", "stack", "subtract", "sum", "sum_to", "tanh", "to_device", "transpose",
    "upsample_bilinear2d", "upsample_conv2d", "upsample_nearest2d", "var", "where",
]  # fmt: skip

tensor.ops = sys.modules[__name__]  # what Tensor's operators and methods delegate to
