"""Each plane of each image scaled and shifted by numbers of its own, and the gradient: conditional normalisation.

Images are N,C and any further axes, float32 or float64; scales and shifts are N,C. Sums are float64 whatever the arrays
are, and do not depend on the number of threads.
"""

from __future__ import annotations

import math

import numpy as np

from ..arguments import arrays, empty, run, slope_option


def _check(operator: str, x: np.ndarray, **per_plane: np.ndarray) -> None:
    if x.ndim < 2:
        raise ValueError(f"{operator}: x must have at least 2 axes (N,C,...), got shape {x.shape}")
    for name, array in per_plane.items():
        if array.shape != x.shape[:2]:
            raise ValueError(f"{operator}: {name}.shape={array.shape} but x is {x.shape}; {name} must be {x.shape[:2]}")


def _planes(x: np.ndarray) -> np.ndarray:
    return x.reshape(x.shape[0] * x.shape[1], math.prod(x.shape[2:]))


def scale_shift(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, slope: float = 1.0) -> np.ndarray:
    """Return ``x`` (N,C,...) * ``scale`` (N,C) + ``shift`` (N,C), plane by plane.

    Where that is not positive it is multiplied by ``slope``: a leaky ReLU in the same pass, for 0 a ReLU, for 1 none.
    Raises TypeError or ValueError for dtypes or shapes that do not fit, or a negative slope.
    """
    slope = slope_option("scale_shift", slope)
    x, scale, shift = arrays("scale_shift", x=x, scale=scale, shift=shift)
    _check("scale_shift", x, scale=scale, shift=shift)
    y = empty(x.shape, x)
    if x.size:
        run(
            __package__, "scale_shift", x.size, _planes(x), scale.reshape(-1), shift.reshape(-1), x.dtype.type(slope),
            _planes(y),
        )  # fmt: skip
    return y


def scale_shift_grad(
    gy: np.ndarray, x: np.ndarray, scale: np.ndarray, shift: np.ndarray, slope: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (gx, gscale, gshift), the gradients of ``scale_shift``; gy and x have one shape.

    ::

        g = gy where x * scale + shift is positive, slope * gy elsewhere
        gx = g * scale        gscale = sum of g * x over a plane        gshift = sum of g over a plane

    Raises TypeError or ValueError for dtypes or shapes that do not fit, or a negative slope.
    """
    name = "scale_shift_grad"
    slope = slope_option(name, slope)
    gy, x, scale, shift = arrays(name, gy=gy, x=x, scale=scale, shift=shift)
    _check(name, x, scale=scale, shift=shift)
    if gy.shape != x.shape:
        raise ValueError(f"{name}: gy.shape={gy.shape} but x.shape={x.shape}; they must be equal")
    gx, gscale, gshift = empty(x.shape, x), empty(scale.shape, scale), empty(shift.shape, shift)
    if x.size == 0:
        gscale[...] = gshift[...] = 0
        return gx, gscale, gshift
    run(
        __package__, name, x.size, _planes(gy), _planes(x), scale.reshape(-1), shift.reshape(-1), x.dtype.type(slope),
        _planes(gx), gscale.reshape(-1), gshift.reshape(-1),
    )  # fmt: skip
    return gx, gscale, gshift
