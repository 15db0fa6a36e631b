"""The convolutions that bilinear algorithms compute with fewer multiplications: which, and where their tiles lie.

    conv2d           3x3 kernel, stride 1      SINGLE       36 products for 144
                     4x4 kernel, stride 2      STRIDED     100 for 256
    upsample_conv2d  3x3 kernel, scale 2       UPSAMPLED    25 for 144

and both gradients of each, for any padding. ``saving`` is how many multiplications remain, all waste counted: a tile
that overhangs the image is computed, and so are missing images where a register has more lanes than there are.

The functions fill their result and return whether it is finite. If it is not, they may have spread an infinity or a NaN
too far (0 * infinity), and the caller computes it again in the plain way. Sums of large pixels can also overflow where
products would not.
"""

from __future__ import annotations

import numpy as np

from ..simd import lanes
from . import bilinear
from .memory import up
from .plan import Pair, made_once
from .products import weight_strides
from .tiled import Placed, convolve, correlate

_SINGLE, _SINGLE_GRAD, _STRIDED, _STRIDED_GRAD, _UPSAMPLED, _UPSAMPLED_GRAD = bilinear.SQUARES


@made_once
def _placed(kernel: Pair, padding: Pair) -> Placed:
    """conv2d: tile 0 begins with output 0."""
    return Placed(_SINGLE if kernel == (3, 3) else _STRIDED, (-padding[0], -padding[1]))


@made_once
def _placed_grad(kernel: Pair, padding: Pair) -> Placed:
    """The input gradient. With a 4x4 kernel, tile t of the algorithm holds the pixels 8t+1-p ... 8t+8-p."""
    if kernel == (3, 3):
        return Placed(_SINGLE_GRAD, (padding[0] - 2, padding[1] - 2))
    side = _STRIDED_GRAD.side
    first = ((padding[0] - 1) // side * side // 2 - 1, (padding[1] - 1) // side * side // 2 - 1)
    return Placed(_STRIDED_GRAD, first, ((padding[0] - 1) % side, (padding[1] - 1) % side))


@made_once
def _placed_upsampled(padding: Pair) -> Placed:
    """upsample_conv2d: with padding p, pixel q gives the outputs 2q+p-1 and 2q+p, and the first q whose outputs do not
    all lie before output 0 is (1-p)//2."""
    first = ((1 - padding[0]) // 2 - 1, (1 - padding[1]) // 2 - 1)
    return Placed(_UPSAMPLED, first, ((1 - padding[0]) % 2, (1 - padding[1]) % 2))


@made_once
def _placed_upsampled_grad(padding: Pair) -> Placed:
    return Placed(_UPSAMPLED_GRAD, (padding[0] - 2, padding[1] - 2))


def conv2d(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, slope: np.floating, y: np.ndarray, stride: Pair, padding: Pair,
    dilation: Pair, groups: int,
) -> bool:  # fmt: skip
    """Fill y; return whether it is finite."""
    o, c, _, _ = weight_strides(w.shape)
    return convolve(_placed(w.shape[2:], padding), x, w, (o, c), w.shape[2:], bias, slope, y)


def conv2d_input_grad(
    gy: np.ndarray, w: np.ndarray, bias: np.ndarray, gx: np.ndarray, stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> bool:  # fmt: skip
    """Fill gx; return whether it is finite."""
    o, c, _, _ = weight_strides(w.shape)
    return convolve(_placed_grad(w.shape[2:], padding), gy, w, (c, o), w.shape[2:], bias, gy.dtype.type(1), gx)


def conv2d_weight_grad(
    x: np.ndarray, gy: np.ndarray, gw: np.ndarray, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> bool:
    """Fill gw; return whether it is finite."""
    o, c, _, _ = weight_strides(gw.shape)
    return correlate(_placed(gw.shape[2:], padding), x, gy, gw, (o, c), gw.shape[2:])


def upsample_conv2d(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, slope: np.floating, y: np.ndarray, scale: Pair, padding: Pair
) -> bool:
    """Fill y; return whether it is finite."""
    o, c, _, _ = weight_strides(w.shape)
    return convolve(_placed_upsampled(padding), x, w, (o, c), w.shape[2:], bias, slope, y)


def upsample_conv2d_input_grad(gy: np.ndarray, w: np.ndarray, gx: np.ndarray, scale: Pair, padding: Pair) -> bool:
    """Fill gx; return whether it is finite."""
    o, c, _, _ = weight_strides(w.shape)
    return convolve(
        _placed_upsampled_grad(padding), gy, w, (c, o), w.shape[2:], np.empty(0, gy.dtype), gy.dtype.type(1), gx
    )


def upsample_conv2d_weight_grad(x: np.ndarray, gy: np.ndarray, gw: np.ndarray, scale: Pair, padding: Pair) -> bool:
    """Fill gw; return whether it is finite."""
    o, c, _, _ = weight_strides(gw.shape)
    return correlate(_placed_upsampled(padding), x, gy, gw, (o, c), gw.shape[2:])


def conv2d_fits(kernel: Pair, stride: Pair, dilation: Pair, groups: int) -> bool:
    """Say whether there is an algorithm for such a convolution."""
    return groups == 1 and dilation == (1, 1) and (kernel, stride) in (((3, 3), (1, 1)), ((4, 4), (2, 2)))


def upsample_conv2d_fits(kernel: Pair, scale: Pair) -> bool:
    """Say whether there is an algorithm for such an upsampling convolution."""
    return kernel == (3, 3) and scale == (2, 2)


def _remaining(placed: Placed, images: int, out_hw: Pair, itemsize: int, plain: int) -> float:
    lane = lanes(itemsize)
    products = placed.algorithm.products * placed.algorithm.kinds
    tiles = [-(-(size + crop) // placed.algorithm.side) for size, crop in zip(out_hw, placed.crop, strict=True)]
    return up(images, lane) * tiles[0] * tiles[1] * products / plain


@made_once
def conv2d_saving(images: int, y_hw: Pair, gx_hw: Pair | None, kernel: Pair, padding: Pair, itemsize: int) -> float:
    """Return the multiplications that remain, as a fraction of those of the matrix product: of conv2d and its weight
    gradient, or with ``gx_hw``, the size of the image, of the input gradient."""
    plain = images * y_hw[0] * y_hw[1] * kernel[0] * kernel[1]
    if gx_hw is None:
        return _remaining(_placed(kernel, padding), images, y_hw, itemsize, plain)
    return _remaining(_placed_grad(kernel, padding), images, gx_hw, itemsize, plain)


@made_once
def upsample_conv2d_saving(images: int, x_hw: Pair, y_hw: Pair, padding: Pair, itemsize: int) -> float:
    """As above, for upsample_conv2d and both gradients."""
    return _remaining(_placed_upsampled(padding), images, y_hw, itemsize, 16 * images * x_hw[0] * x_hw[1])
