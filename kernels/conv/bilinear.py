"""Bilinear algorithms: convolutions of small pieces with fewer multiplications than their definition has.

A convolution multiplies every weight that meets a pixel with it. An algorithm of the form

    product[p] = (sum of some weights)[p] * (sum of some pixels)[p]           p = 0, 1, ... P-1
    output[j]  = a sum of some products

may need fewer: the sums before the products are additions, and they are few, because the sums of pixels serve all
output channels and the sums of weights all images. Only the P products are made for each pair of channels.

This file holds the algorithms in one dimension, as data: which pixels, weights and products are summed, and with which
coefficients. In two dimensions an algorithm is applied to the rows and to the columns, and all that takes is to
multiply the coefficients (``square``). ``tile_products.py`` and ``tile_weights.py`` execute any of them.

    name            what it computes, in one dimension                products   definition   in two dimensions
    UPSAMPLED       2 outputs of nearest upsampling by 2 + 3 taps         3            6            9 : 36
    UPSAMPLED_GRAD  1 pixel of its input gradient                         3            6            9 : 36
    STRIDED         2 outputs of 4 taps with stride 2                     6            8           36 : 64
    STRIDED_GRAD    4 pixels of its input gradient                        6            8           36 : 64
    SINGLE          2 outputs of 3 taps with stride 1                     4            6           16 : 36
    SINGLE_GRAD     2 pixels of its input gradient                        4            6           16 : 36

UPSAMPLED. Filter (a, b, c), small image x. The two outputs at pixel q are

    y[2q]   = a*x[q-1] + (b+c)*x[q]    =  (a+b+c)*x[q]  -  a*(x[q] - x[q-1])
    y[2q+1] = (a+b)*x[q] + c*x[q+1]    =  (a+b+c)*x[q]  +  c*(x[q+1] - x[q])

STRIDED. Split the pixels and the taps into even and odd ones: then it is two filters of 2 taps with stride 1, whose
outputs are added. Two outputs of a filter (g, h) on pixels d0, d1, d2 need three products, not four:

    m0 = g*(d0 - d1)    m1 = (g+h)*d1    m2 = h*(d2 - d1)         y0 = g*d0 + h*d1 = m0 + m1
                                                                  y1 = g*d1 + h*d2 = m1 + m2

The even and the odd pixels' products are added before the outputs are formed, by the same sum that goes over the
channels. The input gradient is four such filters, one for each parity of the pixel's row and column, over one gy.

SINGLE. F(2, 3) of Winograd (*Arithmetic Complexity of Computations*, 1980), which Lavin and Gray applied to
convolutions (*Fast Algorithms for Convolutional Neural Networks*, CVPR 2016). Its halves are exact in binary.

What the algorithms have in common: a pixel that no output's window contains has no part in that output, so what the
coefficients multiply are pixels of the window and no others.

The weight gradient is the same algorithm with the roles turned: if the output is Y(Gw * Tx), with matrices Y, G and T
of coefficients and the products between, then sum(gy * y) = sum over p of (Y'gy)[p] * (Gw)[p] * (Tx)[p], and its
derivative by w is G'(Y'gy * Tx). The P products per tile are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

Sum = Mapping[int, float]  # index -> coefficient


class Line(NamedTuple):
    """An algorithm in one dimension. A tile is what it computes at once; pixels and outputs count from its first.

    A source channel may be looked at in several ways, its *kinds* (the even and the odd pixels): their products are
    summed as those of different channels are.
    """

    source: list[list[Sum]]  # [product][kind]: of pixels
    weights: list[list[Sum]]  # [product][kind]: of kernel elements
    outputs: list[Sum]  # [output]: of products
    step: int  # pixels from one tile to the next; as many outputs as there are in a tile


UPSAMPLED = Line(
    source=[[{1: 1}], [{1: 1, 0: -1}], [{2: 1, 1: -1}]],
    weights=[[{0: 1, 1: 1, 2: 1}], [{0: 1}], [{2: 1}]],
    outputs=[{0: 1, 1: -1}, {0: 1, 2: 1}],
    step=1,
)

# Transposed and put in order by pixels of x:  gx[q] = (a+b+c)*(gy[2q] + gy[2q+1]) + a*(gy[2q+2] - gy[2q])
#                                                                                 + c*(gy[2q-1] - gy[2q+1])
# The products are all added, so they are one product of three kinds. Pixel 0 of a tile is gy[2q-1].
UPSAMPLED_GRAD = Line(
    source=[[{1: 1, 2: 1}, {3: 1, 1: -1}, {0: 1, 2: -1}]],
    weights=[[{0: 1, 1: 1, 2: 1}, {0: 1}, {2: 1}]],
    outputs=[{0: 1}],
    step=2,
)

STRIDED = Line(
    source=[
        [{parity: 1, 2 + parity: -1} for parity in range(2)],
        [{2 + parity: 1} for parity in range(2)],
        [{4 + parity: 1, 2 + parity: -1} for parity in range(2)],
    ],
    weights=[
        [{parity: 1} for parity in range(2)],
        [{parity: 1, 2 + parity: 1} for parity in range(2)],
        [{2 + parity: 1} for parity in range(2)],
    ],
    outputs=[{0: 1, 1: 1}, {1: 1, 2: 1}],
    step=4,
)

# Pixel i of the image padded by 1 was read by the taps i%2 and i%2 + 2, so in one dimension
#     gx[2t]   = w[1]*gy[t]   + w[3]*gy[t-1]         two filters of two taps on gy
#     gx[2t+1] = w[0]*gy[t+1] + w[2]*gy[t]
# A tile is t and t+1, so that it begins at an even pixel, and pixel 0 of it is gy[t-1].
STRIDED_GRAD = Line(
    source=[[{0: 1, 1: -1}], [{1: 1}], [{2: 1, 1: -1}], [{1: 1, 2: -1}], [{2: 1}], [{3: 1, 2: -1}]],
    weights=[[{3: 1}], [{3: 1, 1: 1}], [{1: 1}], [{2: 1}], [{2: 1, 0: 1}], [{0: 1}]],
    outputs=[{0: 1, 1: 1}, {3: 1, 4: 1}, {1: 1, 2: 1}, {4: 1, 5: 1}],
    step=2,
)

SINGLE = Line(
    source=[[{0: 1, 2: -1}], [{1: 1, 2: 1}], [{2: 1, 1: -1}], [{1: 1, 3: -1}]],
    weights=[[{0: 1}], [{0: 0.5, 1: 0.5, 2: 0.5}], [{0: 0.5, 1: -0.5, 2: 0.5}], [{2: 1}]],
    outputs=[{0: 1, 1: 1, 2: 1}, {1: 1, 2: -1, 3: -1}],
    step=2,
)

# A convolution with the kernel turned round.
SINGLE_GRAD = SINGLE._replace(
    weights=[[{2 - u: value for u, value in kind.items()} for kind in kinds] for kinds in SINGLE.weights]
)

Place = tuple[int, int]
Terms = Mapping[Place, float]


class Square(NamedTuple):
    """An algorithm in two dimensions: a ``Line`` along the rows and along the columns. As there; places are pairs."""

    source: list[list[Terms]]
    weights: list[list[Terms]]
    outputs: list[dict[int, float]]  # of the tile's outputs, row by row
    step: int
    side: int  # a tile has side x side outputs
    span: int  # and sees span x span pixels


def _times(rows: Sum, columns: Sum) -> dict[Place, float]:
    return {(i, j): a * b for i, a in rows.items() for j, b in columns.items()}


def square(line: Line) -> Square:
    """Apply an algorithm to the rows and to the columns."""
    count = len(line.source)
    return Square(
        source=[[_times(a, b) for a, b in product(rows, columns)] for rows, columns in product(line.source, repeat=2)],
        weights=[[_times(a, b) for a, b in product(*pair)] for pair in product(line.weights, repeat=2)],
        outputs=[
            {i * count + j: value for (i, j), value in _times(rows, columns).items()}
            for rows, columns in product(line.outputs, repeat=2)
        ],
        step=line.step,
        side=len(line.outputs),
        span=1 + max(max(kind) for p in line.source for kind in p),
    )
