"""Other people's right operators: torch's and JAX's own, and SciPy's filters. None may be refused."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scratchgan.gradcheck import Kinks, Op, Verdict, check

rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


IMAGES, FILTERS = normal(2, 4, 7, 6), normal(6, 2, 3, 2)
#: Where the samples of grid_sample lie: off the pixel centres, where bilinear interpolation has its kinks.
GRID = rng.uniform(-0.9, 0.9, (2, 3, 5, 2))

TORCH: dict[str, tuple[Callable[[Any], Callable[..., Any]], tuple[np.ndarray, ...], dict[str, Any]]] = {
    "conv2d": (
        lambda f: lambda x, w, b: f.conv2d(x, w, b, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
        (IMAGES, FILTERS, normal(6)),
        {"linear_in": ("x", "w", "b")},
    ),
    "conv_transpose2d": (
        lambda f: lambda x, w: f.conv_transpose2d(x, w, stride=(2, 3), padding=1, output_padding=(1, 0)),
        (normal(2, 3, 4, 3), normal(3, 2, 3, 4)),
        {"linear_in": ("x", "w")},
    ),
    "batch_norm": (
        lambda f: lambda x, w, b: f.batch_norm(x, None, None, w, b, training=True),
        (IMAGES, normal(4), normal(4)),
        {"linear_in": ("w", "b")},
    ),
    "layer_norm": (
        lambda f: lambda x, w, b: f.layer_norm(x, (6,), w, b),
        (IMAGES, normal(6), normal(6)),
        {"linear_in": ("w", "b")},
    ),
    "softmax": (lambda f: lambda x: f.softmax(x, -1), (normal(3, 5),), {}),
    "gelu": (lambda f: lambda x: f.gelu(x), (normal(3, 5),), {}),
    "gelu, tanh": (lambda f: lambda x: f.gelu(x, approximate="tanh"), (normal(3, 5),), {}),
    "silu": (lambda f: lambda x: f.silu(x), (normal(3, 5),), {}),
    "leaky_relu": (
        lambda f: lambda x: f.leaky_relu(x, 0.2),
        (normal(3, 5),),
        {"kinks": Kinks(at=(0.0,), rule="left")},
    ),
    "bilinear": (
        lambda f: lambda x: f.interpolate(x, (11, 9), mode="bilinear", align_corners=False),
        (IMAGES,),
        {"linear_in": ("x",)},
    ),
    "nearest": (lambda f: lambda x: f.interpolate(x, (11, 9), mode="nearest"), (IMAGES,), {"linear_in": ("x",)}),
    "grid_sample": (
        lambda f: lambda x, grid: f.grid_sample(x, grid, align_corners=False),
        (IMAGES, GRID),
        {"linear_in": ("x",)},
    ),
    "avg_pool2d": (lambda f: lambda x: f.avg_pool2d(x, 3, 2, 1), (IMAGES,), {"linear_in": ("x",)}),
    "max_pool2d": (lambda f: lambda x: f.max_pool2d(x, 3, 2, 1), (IMAGES,), {}),
    "index_select": (
        lambda f: lambda table: table.index_select(0, importlib.import_module("torch").tensor([4, 0, 4, 2])),
        (normal(5, 3),),
        {"linear_in": ("table",)},
    ),
    "logsumexp": (lambda f: lambda x: x.logsumexp(1), (normal(4, 5),), {}),
    "bce with logits": (
        lambda f: lambda x, t: f.binary_cross_entropy_with_logits(x, t),
        (normal(4, 5), rng.uniform(0, 1, (4, 5))),
        {"constant": ("t",)},
    ),
}

JAX: dict[str, tuple[Callable[[Any], Callable[..., Any]], tuple[np.ndarray, ...], dict[str, Any]]] = {
    "softmax": (lambda jax: lambda x: jax.nn.softmax(x), (normal(3, 5),), {}),
    "gelu": (lambda jax: lambda x: jax.nn.gelu(x), (normal(3, 5),), {}),
    "logsumexp": (lambda jax: lambda x: jax.nn.logsumexp(x, axis=0), (normal(3, 5),), {}),
    "standardize": (lambda jax: lambda x: jax.nn.standardize(x), (normal(3, 5),), {}),
    "lax.conv": (
        lambda jax: (
            lambda x, w: jax.lax.conv_general_dilated(
                x, w, (2, 1), [(1, 1), (0, 2)], rhs_dilation=(1, 2), feature_group_count=2
            )
        ),
        (IMAGES, FILTERS),
        {"linear_in": ("x", "w")},
    ),
    "lax.conv_transpose": (
        lambda jax: (
            lambda x, w: jax.lax.conv_transpose(x, w, (2, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"))
        ),
        (normal(2, 3, 4, 3), normal(2, 3, 3, 4)),
        {"linear_in": ("x", "w")},
    ),
    "lax.cumsum": (lambda jax: lambda x: jax.lax.cumsum(x, 1), (normal(3, 5),), {"linear_in": ("x",)}),
    "lax.reduce_window": (
        lambda jax: lambda x: jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 1, 3, 2), (1, 1, 2, 2), "VALID"),
        (IMAGES,),
        {"linear_in": ("x",)},
    ),
}

each_dtype = pytest.mark.parametrize("dtype", ["f4", "f8"])


def checked(op: Op, args: tuple[np.ndarray, ...], dtype: str, order: int) -> None:
    report = check(op, *[a.astype(dtype) for a in args], order=order)
    assert report.verdict is Verdict.PASS, str(report)


@pytest.mark.peer
@each_dtype
@pytest.mark.parametrize("name", TORCH)
def test_torch(name: str, dtype: str) -> None:
    make, args, claims = TORCH[name]
    function = make(pytest.importorskip("torch").nn.functional)
    checked(Op.from_torch(function, name=name, **claims), args, dtype, order=2)


@pytest.mark.peer
@each_dtype
@pytest.mark.parametrize("name", JAX)
def test_jax(name: str, dtype: str) -> None:
    make, args, claims = JAX[name]
    checked(Op.from_jax(make(pytest.importorskip("jax")), name=name, **claims), args, dtype, order=2)


@each_dtype
def test_scipy_correlation(dtype: str) -> None:
    """Zeros outside, odd kernel: the transpose of a correlation is the convolution."""
    ndimage = pytest.importorskip("scipy.ndimage")

    def forward(x: Any, w: Any) -> Any:
        return ndimage.correlate(x, w, mode="constant")

    def vjp(gy: Any, x: Any, w: Any) -> Any:
        # The checker's find: SciPy 1.17.1 gives wrong sums for an array whose strides are 0, as those of
        # np.broadcast_to(1.0, (6, 7)) are, and of the gradient of a sum.
        gy = np.ascontiguousarray(gy)
        wide = np.pad(x, [(n // 2, n // 2) for n in w.shape])
        seen = np.lib.stride_tricks.sliding_window_view(wide, x.shape)
        return ndimage.convolve(gy, w, mode="constant"), np.einsum("ijkl,kl->ij", seen, gy)

    op = Op(forward, vjp, linear_in=("x", "w"), name="ndimage.correlate")
    checked(op, (normal(6, 7), normal(3, 5)), dtype, order=1)
    wrong = op.but(vjp=lambda gy, x, w: (ndimage.correlate(gy, w, mode="constant"), vjp(gy, x, w)[1]))
    assert "exact adjoint" in check(wrong, normal(6, 7), normal(3, 5)).failing_layers


@each_dtype
def test_scipy_gaussian_blur(dtype: str) -> None:
    """With mirrored edges a symmetric filter is not its own transpose; with periodic ones it is."""
    ndimage = pytest.importorskip("scipy.ndimage")
    blur = Op(
        lambda x: ndimage.gaussian_filter(x, 1.0, mode="wrap"),
        lambda gy, x: ndimage.gaussian_filter(gy, 1.0, mode="wrap"),
        linear_in=("x",),
        name="gaussian_filter",
    )
    checked(blur, (normal(8, 9),), dtype, order=1)
    mirrored = Op(
        lambda x: ndimage.gaussian_filter(x, 1.0, mode="mirror"),
        lambda gy, x: ndimage.gaussian_filter(gy, 1.0, mode="mirror"),
        linear_in=("x",),
    )
    assert check(mirrored, normal(8, 9).astype(dtype)).verdict is Verdict.FAIL
