"""Every differentiable operator, as functions on Tensors: one Function each, forward on arrays, backward on Tensors."""

import sys

from .. import tensor
from .activation import leaky_relu, relu, sigmoid, softplus, tanh
from .attention import scaled_dot_product_attention
from .conv import conv2d, conv_transpose2d, upsample_conv2d
from .convert import astype, to_device
from .distances import huber_loss, kl_div, total_variation
from .einsum import einsum
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
from .functions import atan2, cos, erf, floor, round, rsqrt, sin
from .gated import elu, gelu, hardtanh, prelu, silu
from .grid import affine_grid, grid_sample
from .indexing import argmax, argmin, chunk, gather, one_hot, scatter_add, sort, split, topk
from .interpolate import adaptive_avg_pool2d, interpolate
from .loss import binary_cross_entropy_with_logits, cross_entropy, l1_loss, mse_loss
from .matmul import linear, matmul
from .modulate import scale_shift
from .normalize import batch_norm, group_norm, instance_norm, layer_norm
from .padding import pad
from .pixels import fold, pixel_shuffle, pixel_unshuffle, unfold
from .reduce import log_softmax, logsumexp, max, mean, min, softmax, sum, var
from .resample import avg_pool2d, max_pool2d, upsample_bilinear2d, upsample_nearest2d
from .select import dropout, embedding
from .shape import broadcast_to, concatenate, flatten, flip, getitem, reshape, stack, sum_to, transpose
from .spectral import spectral_normalize
from .statistics import cumsum, norm, prod, std
from .upfirdn import downsample_fir2d, upfirdn2d, upsample_fir2d

__all__ = [
    "abs", "adaptive_avg_pool2d", "add", "affine_grid", "argmax", "argmin", "astype", "atan2", "avg_pool2d",
    "batch_norm", "binary_cross_entropy_with_logits", "broadcast_to", "chunk", "clip", "concatenate", "conv2d",
    "conv_transpose2d", "cos", "cross_entropy", "cumsum", "divide", "downsample_fir2d", "dropout", "einsum", "elu",
    "embedding", "erf", "exp", "flatten", "flip", "floor", "fold", "gather", "gelu", "getitem", "grid_sample",
    "group_norm", "hardtanh", "huber_loss", "instance_norm", "interpolate", "kl_div", "l1_loss", "layer_norm",
    "leaky_relu", "linear", "log", "log_softmax", "logsumexp", "matmul", "max", "max_pool2d", "maximum", "mean", "min",
    "minimum", "mse_loss", "multiply", "negative", "norm", "one_hot", "pad", "pixel_shuffle", "pixel_unshuffle",
    "power", "prelu", "prod", "relu", "reshape", "round", "rsqrt", "scale_shift", "scaled_dot_product_attention",
    "scatter_add", "sigmoid", "silu", "sin", "softmax", "softplus", "sort", "spectral_normalize", "split", "sqrt",
    "stack", "std", "subtract", "sum", "sum_to", "tanh", "to_device", "topk", "total_variation", "transpose", "unfold",
    "upfirdn2d", "upsample_bilinear2d", "upsample_conv2d", "upsample_fir2d", "upsample_nearest2d", "var", "where",
]  # fmt: skip

tensor.ops = sys.modules[__name__]  # what Tensor's operators and methods delegate to
