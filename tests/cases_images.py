"""Cases of operators that resample, pad and rearrange images."""

from __future__ import annotations

from typing import Any

import numpy as np
from op_case import Array, OpCase

from scratchgan import Tensor, ops
from scratchgan.device import to_device
from scratchgan.kernels.resampling import reference as resampling
from scratchgan.kernels.sampling import reference as sampling
from scratchgan.kernels.upfirdn import reference as upfirdn

_UNEVEN = np.array([1.0, -2.0, 0.5, 3.0, 0.25])
_FILTER2D = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def _fir(filter1d: Any) -> Array:
    return np.array(filter1d) / np.sum(filter1d)


FIR = [
    OpCase(
        "upfirdn2d",
        [(2, 2, 3, 4)],
        lambda x: upfirdn.upfirdn2d(x, 1.5 * _UNEVEN, (3, 2), (2, 3), ((4, -1), (2, 3))),
        "separable",
        call=lambda x: ops.upfirdn2d(x, _UNEVEN, (3, 2), (2, 3), ((4, -1), (2, 3)), gain=2.25),
        linear_in=(0,),
    ),
    OpCase(
        "upfirdn2d",
        [(2, 2, 4, 5)],
        lambda x: upfirdn.upfirdn2d(x, 3 * _FILTER2D, (2, 1), (1, 2), ((1, 0), (-1, 2))),
        "full",
        call=lambda x: ops.upfirdn2d(x, _FILTER2D, (2, 1), (1, 2), ((1, 0), (-1, 2)), gain=3.0),
        linear_in=(0,),
    ),
    OpCase(
        "upsample_fir2d",
        [(2, 2, 3, 4)],
        lambda x: upfirdn.upfirdn2d(x, 2 * _fir([1, 3, 3, 1]), (2, 2), (1, 1), ((2, 1), (2, 1))),
        linear_in=(0,),
    ),
    OpCase(
        "downsample_fir2d",
        [(2, 2, 6, 4)],
        lambda x: upfirdn.upfirdn2d(x, _fir([1, 3, 3, 1]), (1, 1), (2, 2), ((1, 1), (1, 1))),
        linear_in=(0,),
    ),
]

_POINTS = np.stack(np.meshgrid([-0.93, -0.26, 1.17], [-1.34, 0.56]), -1)[None]  # away from pixel centres


def _beside(array: Any, x: Any) -> Any:
    """The array in x's dtype, and as a Tensor on x's device if x is one."""
    array = array.astype(x.dtype)
    return Tensor(to_device(array, x.device)) if isinstance(x, Tensor) else array


def _grid(g: Any) -> Any:
    return _beside(_POINTS, g) + 0.02 * g


def _grid_sample(mode: str, padding_mode: str, align_corners: bool) -> OpCase:
    options = (mode, padding_mode, align_corners)
    if mode == "nearest":
        points = np.repeat(_POINTS, 2, 0)
        return OpCase(
            "grid_sample",
            [(2, 3, 4, 5)],
            lambda x: sampling.grid_sample(x, points.astype(x.dtype), *options),
            "-".join((mode, padding_mode)),
            call=lambda x: ops.grid_sample(x, _beside(points, x), *options),
            linear_in=(0,),
        )
    return OpCase(
        "grid_sample",
        [(1, 2, 4, 5), (1, 2, 3, 2)],
        lambda x, g: sampling.grid_sample(x, _grid(g), *options),
        "-".join((mode, padding_mode, *["corners"] * align_corners)),
        call=lambda x, g: ops.grid_sample(x, _grid(g), *options),
        linear_in=(0,),
    )


def _interpolate(variant: str, shape: tuple[int, ...], **options: Any) -> OpCase:
    return OpCase(
        "interpolate",
        [shape],
        lambda x: resampling.interpolate(x, **options),
        variant,
        call=lambda x: ops.interpolate(x, **options),
        linear_in=(0,),
    )


SAMPLED = [
    _grid_sample("bilinear", "zeros", False),
    _grid_sample("bilinear", "border", True),
    _grid_sample("bilinear", "reflection", False),
    _grid_sample("nearest", "border", False),
    OpCase(
        "affine_grid",
        [(2, 2, 3)],
        lambda theta: np.einsum("nij,hwj->nhwi", theta, sampling.centres(3, 4)).astype(theta.dtype),
        call=lambda theta: ops.affine_grid(theta, (2, 1, 3, 4)),
        linear_in=(0,),
    ),
    _interpolate("nearest", (2, 2, 4, 5), size=(7, 3)),
    _interpolate("nearest-exact", (2, 3, 5), scale_factor=1.7, mode="nearest-exact"),
    _interpolate("bilinear", (2, 2, 4, 5), scale_factor=(1.6, 0.7), mode="bilinear"),
    _interpolate("corners", (2, 2, 4, 5), size=(7, 3), mode="bilinear", align_corners=True),
    _interpolate("whole", (2, 2, 3, 2), scale_factor=(2, 3), mode="bilinear"),
    _interpolate("bicubic", (2, 2, 4, 5), size=(7, 3), mode="bicubic"),
    _interpolate("trilinear", (1, 2, 2, 3, 2), size=(3, 2, 4), mode="trilinear"),
    _interpolate("antialiased", (2, 2, 7, 8), size=(3, 5), mode="bicubic", antialias=True),
    OpCase(
        "adaptive_avg_pool2d",
        [(2, 2, 5, 4)],
        lambda x: resampling.interpolate(x, (3, 3), mode="area"),
        call=lambda x: ops.adaptive_avg_pool2d(x, 3),
        linear_in=(0,),
    ),
]

PADS = [
    OpCase(
        "pad",
        [(3, 4)],
        lambda x: np.pad(x, ((2, 0), (1, 3)), mode="reflect"),
        "reflect",
        call=lambda x: ops.pad(x, [(2, 0), (1, 3)], mode="reflect"),
        linear_in=(0,),
    ),
    OpCase(
        "pad",
        [(2, 3, 4)],
        lambda x: np.pad(x, ((0, 0), (1, 4), (0, 0)), mode="edge")[..., 1:-2],
        "replicate",
        call=lambda x: ops.pad(x, [(0, 0), (1, 4), (-1, -2)], mode="replicate"),
        linear_in=(0,),
    ),
    OpCase(
        "pad",
        [(3, 4)],
        lambda x: np.pad(x, ((0, 2), (4, 1)), mode="wrap"),
        "circular",
        call=lambda x: ops.pad(x, [(0, 2), (4, 1)], mode="circular"),
        linear_in=(0,),
    ),
    OpCase(
        "pad",
        [(3, 4)],
        lambda x: np.pad(x[1:, :-2], ((0, 0), (3, 0))),
        "negative",
        call=lambda x: ops.pad(x, [(-1, 0), (3, -2)]),
        linear_in=(0,),
    ),
]


def _folded(x: Array) -> Array:
    y = np.zeros((1, 1, 3, 4), x.dtype)
    for a, b, i, j in np.ndindex(2, 2, 2, 3):
        y[0, 0, a + i, b + j] += x[0, 2 * a + b, 3 * i + j]
    return y


PIXELS = [
    OpCase(
        "pixel_shuffle",
        [(2, 8, 2, 3)],
        lambda x: x.reshape(2, 2, 2, 2, 2, 3).transpose(0, 1, 4, 2, 5, 3).reshape(2, 2, 4, 6),
        call=lambda x: ops.pixel_shuffle(x, 2),
        linear_in=(0,),
    ),
    OpCase(
        "pixel_unshuffle",
        [(1, 2, 4, 2)],
        lambda x: np.stack([x[:, c, i::2, j::2] for c in (0, 1) for i in (0, 1) for j in (0, 1)], 1),
        call=lambda x: ops.pixel_unshuffle(x, 2),
        linear_in=(0,),
    ),
    OpCase(
        "unfold",
        [(1, 2, 4, 3)],
        lambda x: np.stack(
            [
                np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))[0, :, 2 * i : 2 * i + 3, j : j + 2].ravel()
                for i in (0, 1)
                for j in (0, 1)
            ],
            1,
        )[None],
        call=lambda x: ops.unfold(x, (3, 2), padding=(1, 0), stride=(2, 1)),
        linear_in=(0,),
    ),
    OpCase(
        "fold",
        [(1, 4, 6)],
        lambda x: _folded(x),
        call=lambda x: ops.fold(x, (3, 4), 2),
        linear_in=(0,),
    ),
]

IMAGES = [*FIR, *SAMPLED, *PADS, *PIXELS]
