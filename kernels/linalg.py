"""Matrix products: BLAS on the CPU, and on a GPU the kernels of the convolutions.

A 1x1 convolution of images of one pixel is a product of matrices, and the three convolution kernels are the three
products of a linear layer, none of which has to transpose what it reads:

    y  = x @ w.T      x (N,K), w (O,K)      conv2d             images x (N,K,1,1), weights w (O,K,1,1)
    gw = gy.T @ x     gy (N,O), x (N,K)     conv2d_weight_grad gy (N,O,1,1), x (N,K,1,1)
    gx = gy @ w       gy (N,O), w (O,K)     conv2d             one image w (1,O,1,K), weights gy (N,O,1,1)

CuPy would call cuBLAS, and refuses to while a CUDA graph is captured. The sums of ours have a fixed order besides.
"""

from __future__ import annotations

from typing import Any

from . import blas
from .arguments import arrays, empty, is_gpu_array
from .conv import conv2d, conv2d_weight_grad

_FEW = 8  # rows up to which convolutions leave a sum to one thread: right for images, too slow for long sums


def matmul(a: Any, b: Any) -> Any:
    """Return ``a @ b``; on a GPU through the convolution kernels if both are matrices, else through CuPy.

    Matrices are (M,K) and (K,N), of one dtype, float32 or float64, and in one place; ValueError or TypeError if not.
    """
    if not (is_gpu_array(a) and is_gpu_array(b) and a.ndim == b.ndim == 2):
        return blas.matmul(a, b)
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"matmul: a is {a.shape} and b is {b.shape}; they must be (M,K) and (K,N)")
    (rows, terms), columns = a.shape, b.shape[1]
    if 0 in (rows, terms, columns):
        zeros = empty((rows, columns), a)
        zeros.fill(0)
        return zeros
    if not b.flags.c_contiguous and b.flags.f_contiguous:
        return _rows_by_rows(*arrays("matmul", a=a, b=b.T))
    if not a.flags.c_contiguous and a.flags.f_contiguous:
        gy, x = arrays("matmul", a=a.T, b=b)
        return conv2d_weight_grad(_images(x), _images(gy), (1, 1)).reshape(rows, columns)
    a, b = arrays("matmul", a=a, b=b)
    if columns == 1:
        return _rows_by_rows(a, b.reshape(1, terms))
    return conv2d(b.reshape(1, terms, 1, columns), _images(a)).reshape(rows, columns)


def _rows_by_rows(a: Any, b: Any) -> Any:
    """a (M,K) @ b.T, b (N,K)."""
    rows, columns = len(a), len(b)
    if columns <= _FEW < rows:
        return conv2d(_images(b), _images(a)).reshape(columns, rows).T
    return conv2d(_images(a), _images(b)).reshape(rows, columns)


def _images(rows: Any) -> Any:
    return rows.reshape(*rows.shape, 1, 1)
