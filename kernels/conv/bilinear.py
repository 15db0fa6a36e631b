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
    UPSAMPLED       4 outputs of nearest upsampling by 2 + 3 taps         5           12           25 : 144
    UPSAMPLED_GRAD  2 pixels of its input gradient                        5           12           25 : 144
    STRIDED         2 outputs of 4 taps with stride 2                     6            8           36 : 64
    STRIDED_GRAD    4 pixels of its input gradient                        6            8           36 : 64
    SINGLE          2 outputs of 3 taps with stride 1                     4            6           16 : 36
    SINGLE_GRAD     2 pixels of its input gradient                        4            6           16 : 36

UPSAMPLED. Filter (a, b, c), small image x. The four outputs at the pixels q and r = q + 1 are

    y[2q]   = a*x[q-1] + (b+c)*x[q]     y[2q+1] = (a+b)*x[q] + c*x[r]
    y[2r]   = a*x[q]   + (b+c)*x[r]     y[2r+1] = (a+b)*x[r] + c*x[r+1]

two filters of two taps, in each of which the sum of the taps is s = a+b+c. With m = s * (x[q] + x[r]) / 2 in common,

    u = (b+c-a)/2 * (x[q] - x[r])       v = (c-a-b)/2 * (x[q] - x[r])

    y[2q]   = m + u + a*(x[q-1] - x[r])                   y[2q+1] = m - v
    y[2r]   = m - u                                       y[2r+1] = m + v + c*(x[r+1] - x[q])

STRIDED. Split the pixels and the taps into even and odd ones: then it is two filters of 2 taps with stride 1, whose
outputs are added. Two outputs of a filter (g, h) on pixels d0, d1, d2 need three products, not four:

    m0 = g*(d0 - d1)    m1 = (g+h)*d1    m2 = h*(d2 - d1)         y0 = g*d0 + h*d1 = m0 + m1
                                                                  y1 = g*d1 + h*d2 = m1 + m2

The even and the odd pixels' products are added before the outputs are formed, by the same sum that goes over the
channels. The input gradient is four such filters, one for each parity of the pixel's row and column, over one gy.

SINGLE. F(2, 3) of Winograd (*Arithmetic Complexity of Computations*, 1980), which Lavin and Gray applied to
convolutions (*Fast Algorithms for Convolutional Neural Networks*, CVPR 2016). Its halves are exact in binary.

What the algorithms have in common: every output's products contain all pixels of its window, so that none which is not
finite is lost. In UPSAMPLED there may be a pixel more, the next one, whose terms cancel.

The weight gradient is the same algorithm with the roles turned: if the output is Y(Gw * Tx), with matrices Y, G and T
of coefficients and the products between, then sum(gy * y) = sum over p of (Y'gy)[p] * (Gw)[p] * (Tx)[p], and its
derivative by w is G'(Y'gy * Tx). The P products per tile are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


# Pixels 1 and 2 of a tile are q and r of the docstring; the products are m, the one with a, u, v, the one with c.
UPSAMPLED = Line(
    source=[[{1: 1, 2: 1}], [{0: 1, 2: -1}], [{1: 1, 2: -1}], [{1: 1, 2: -1}], [{3: 1, 1: -1}]],
    weights=[[{0: 0.5, 1: 0.5, 2: 0.5}], [{0: 1}], [{0: -0.5, 1: 0.5, 2: 0.5}], [{0: -0.5, 1: -0.5, 2: 0.5}], [{2: 1}]],
    outputs=[{0: 1, 1: 1, 2: 1}, {0: 1, 3: -1}, {0: 1, 2: -1}, {0: 1, 3: 1, 4: 1}],
    step=2,
)

# Transposed, gx[q] = (b+c)*gy[2q] + a*gy[2q+2] + (a+b)*gy[2q+1] + c*gy[2q-1]. Again with s = a+b+c in common,
#     gx[q] = s*(gy[2q+1] + gy[2r])  +  (b+c)*(gy[2q] - gy[2r])  +  c*(gy[2q-1] - gy[2q+1])
#     gx[r] = s*(gy[2q+1] + gy[2r])  +  a*(gy[2r+2] - gy[2r])  +  (a+b)*(gy[2r+1] - gy[2q+1])
# Pixel 0 of a tile is gy[2q-1].
UPSAMPLED_GRAD = Line(
    source=[[{2: 1, 3: 1}], [{1: 1, 3: -1}], [{0: 1, 2: -1}], [{5: 1, 3: -1}], [{4: 1, 2: -1}]],
    weights=[[{0: 1, 1: 1, 2: 1}], [{1: 1, 2: 1}], [{2: 1}], [{0: 1}], [{0: 1, 1: 1}]],
    outputs=[{0: 1, 1: 1, 2: 1}, {0: 1, 3: 1, 4: 1}],
    step=4,
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


@dataclass(frozen=True, eq=False)  # equal to itself alone: a key of what follows from it
class Square:
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
    """Apply an algorithm to the rows and to the columns. Products of the same pixels come one after the other."""
    count = len(line.source)
    alike = [line.source.index(kinds) for kinds in line.source]
    order = sorted(product(range(count), repeat=2), key=lambda pair: (alike[pair[0]], alike[pair[1]]))
    place = {pair: at for at, pair in enumerate(order)}
    return Square(
        source=[[_times(a, b) for a, b in product(line.source[i], line.source[j])] for i, j in order],
        weights=[[_times(a, b) for a, b in product(line.weights[i], line.weights[j])] for i, j in order],
        outputs=[
            {place[pair]: value for pair, value in _times(rows, columns).items()}
            for rows, columns in product(line.outputs, repeat=2)
        ],
        step=line.step,
        side=len(line.outputs),
        span=1 + max(max(kind) for p in line.source for kind in p),
    )
