"""Bilinear algorithms: convolutions of small pieces with fewer multiplications than their definition has.

A convolution multiplies every weight that meets a pixel with it. An algorithm of the form

    product[p] = (sum of some weights)[p] * (sum of some pixels)[p]           p = 0, 1, ... P-1
    output[j]  = a sum of some products

may need fewer: the sums before the products are additions, and they are few, because the sums of pixels serve all
output channels and the sums of weights all images. Only the P products are made for each pair of channels.

This file holds the algorithms in one dimension, as data: which pixels, weights and products are summed, and with which
coefficients. In two dimensions an algorithm is applied to the rows and then to the columns.
``tile_products.py`` and ``tile_weights.py`` execute any of them.

    name            what it computes, in one dimension                products   definition   in two dimensions
    UPSAMPLED       4 outputs of nearest upsampling by 2 + 3 taps         5           12           25 : 144
    UPSAMPLED_GRAD  2 pixels of its input gradient                        5           12           25 : 144
    STRIDED         4 outputs of 4 taps with stride 2                    10           16          100 : 256
    STRIDED_GRAD    8 pixels of its input gradient                       10           16          100 : 256
    SINGLE          4 outputs of 3 taps with stride 1                     6           12           36 : 144
    SINGLE_GRAD     4 pixels of its input gradient                        6           12           36 : 144

UPSAMPLED. Filter (a, b, c), small image x. The four outputs at the pixels q and r = q + 1 are

    y[2q]   = a*x[q-1] + (b+c)*x[q]     y[2q+1] = (a+b)*x[q] + c*x[r]
    y[2r]   = a*x[q]   + (b+c)*x[r]     y[2r+1] = (a+b)*x[r] + c*x[r+1]

two filters of two taps, in each of which the sum of the taps is s = a+b+c. With m = s * (x[q] + x[r]) / 2 in common,

    u = (b+c-a)/2 * (x[q] - x[r])       v = (c-a-b)/2 * (x[q] - x[r])

    y[2q]   = m + u + a*(x[q-1] - x[r])                   y[2q+1] = m - v
    y[2r]   = m - u                                       y[2r+1] = m + v + c*(x[r+1] - x[q])

SINGLE is Winograd's F(4, 3), four outputs of three taps by six products: ``winograd`` says how.

STRIDED. Split the pixels and the taps into even and odd ones: then it is two filters of 2 taps with stride 1, F(4, 2)
each, whose outputs are added. The even and the odd pixels' products are added before the outputs are formed, by the
same sum that goes over the channels. The input gradient is four such filters, one for each parity of the pixel's row
and column, over one gy.

What the algorithms have in common: every output's products contain all pixels of its window, so that none which is not
finite is lost. There may be some pixels more, whose terms cancel.

The weight gradient is the same algorithm with the roles turned: if the output is Y(Gw * Tx), with matrices Y, G and T
of coefficients and the products between, then sum(gy * y) = sum over p of (Y'gy)[p] * (Gw)[p] * (Tx)[p], and its
derivative by w is G'(Y'gy * Tx). The P products per tile are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

Sum = dict[int, float]  # index -> coefficient
Matrix = list[Sum]


class Line(NamedTuple):
    """An algorithm in one dimension. A tile is what it computes at once; pixels and outputs count from its first.

    With two *kinds*, the even and the odd pixels and kernel elements are looked at apart, each in the same way: place i
    of kind v is pixel (or element) 2i + v. Their products are summed as those of different channels are.
    """

    source: Matrix  # [product]: of pixels of one kind
    weights: Matrix  # [product]: of kernel elements of one kind
    outputs: Matrix  # [output]: of products
    step: int  # pixels from one tile to the next; as many outputs as there are in a tile
    kinds: int = 1


# Pixels 1 and 2 of a tile are q and r of the docstring; the products are m, the one with a, u, v, the one with c.
UPSAMPLED = Line(
    source=[{1: 1, 2: 1}, {0: 1, 2: -1}, {1: 1, 2: -1}, {1: 1, 2: -1}, {3: 1, 1: -1}],
    weights=[{0: 0.5, 1: 0.5, 2: 0.5}, {0: 1}, {0: -0.5, 1: 0.5, 2: 0.5}, {0: -0.5, 1: -0.5, 2: 0.5}, {2: 1}],
    outputs=[{0: 1, 1: 1, 2: 1}, {0: 1, 3: -1}, {0: 1, 2: -1}, {0: 1, 3: 1, 4: 1}],
    step=2,
)

# Transposed, gx[q] = (b+c)*gy[2q] + a*gy[2q+2] + (a+b)*gy[2q+1] + c*gy[2q-1]. Again with s = a+b+c in common,
#     gx[q] = s*(gy[2q+1] + gy[2r])  +  (b+c)*(gy[2q] - gy[2r])  +  c*(gy[2q-1] - gy[2q+1])
#     gx[r] = s*(gy[2q+1] + gy[2r])  +  a*(gy[2r+2] - gy[2r])  +  (a+b)*(gy[2r+1] - gy[2q+1])
# Pixel 0 of a tile is gy[2q-1].
UPSAMPLED_GRAD = Line(
    source=[{2: 1, 3: 1}, {1: 1, 3: -1}, {0: 1, 2: -1}, {5: 1, 3: -1}, {4: 1, 2: -1}],
    weights=[{0: 1, 1: 1, 2: 1}, {1: 1, 2: 1}, {2: 1}, {0: 1}, {0: 1, 1: 1}],
    outputs=[{0: 1, 1: 1, 2: 1}, {0: 1, 3: 1, 4: 1}],
    step=4,
)


def winograd(outputs: int, taps: int, points: tuple[float, ...]) -> Line:
    """Return F(outputs, taps), the filter y[j] = sum over k of w[k] * x[j + k], in outputs + taps - 1 products.

    Winograd, *Arithmetic Complexity of Computations*, 1980; for convolutions, Lavin and Gray, *Fast Algorithms for
    Convolutional Neural Networks*, CVPR 2016. The transpose of this filter multiplies two polynomials, whose product is
    known when its values are known at as many ``points`` as it has coefficients, infinity among them (for the leading
    one). So with the values w(t) of the filter and with Lagrange's polynomials L_t, which are 1 at t and 0 at the other
    points,

        product[t] = w(t) * sum over i of L_t's coefficient i * x[i]             y[j] = sum over t of t**j * product[t]

    L_t's denominator is a factor of the weights instead, so that the sums of pixels have few digits. The points decide
    how errors grow (Barabasz, Anderson, Soodhalter and Gregg, *Error Analysis and Improving the Accuracy of Winograd
    Convolution for Deep Neural Networks*, 2020). Of all sets from 0, 1/3, 1/2, 2/3, 3/4, 1, 3/2, 2 and their negatives,
    the ones below came out within a tenth of the least, and they are exact in binary. The usual 0, 1, -1, 2, -2 has
    twice their error.
    """
    finite = [Fraction(point) for point in points]
    line = Line([], [], [], step=outputs)
    for point in [*finite, None]:
        polynomial, denominator = [Fraction(1)], Fraction(1)  # the lowest coefficient first
        for other in finite:
            if other != point:
                shifted, scaled = [Fraction(0), *polynomial], [*(-other * c for c in polynomial), Fraction(0)]
                polynomial = [a + b for a, b in zip(shifted, scaled, strict=True)]
                denominator *= 1 if point is None else point - other
        line.source.append(_sum(polynomial))
        line.weights.append(_sum(_powers(point, taps, denominator)))
    by_point = [_powers(point, outputs, Fraction(1)) for point in [*finite, None]]
    line.outputs.extend(_sum([powers[j] for powers in by_point]) for j in range(outputs))
    return line


def _powers(point: Fraction | None, count: int, denominator: Fraction) -> list[Fraction]:
    """The powers of a point; of infinity (None), where only the leading coefficient counts, 0 ... 0 1."""
    if point is None:
        return [Fraction(0)] * (count - 1) + [Fraction(1)]
    return [point**k / denominator for k in range(count)]


def _sum(coefficients: list[Fraction]) -> Sum:
    return {i: float(value) for i, value in enumerate(coefficients) if value}


SINGLE = winograd(4, 3, (0, 0.75, -0.75, 1.5, -1.5))

# A convolution with the kernel turned round.
SINGLE_GRAD = SINGLE._replace(weights=[{2 - u: value for u, value in row.items()} for row in SINGLE.weights])

_TWO_TAPS = winograd(4, 2, (0.5, -0.5, 1.5, -1.5))

STRIDED = _TWO_TAPS._replace(step=8, kinds=2)

# Pixel i of the image padded by 1 was read by the taps i%2 and i%2 + 2, so in one dimension
#     gx[2t]   = w[3]*gy[t-1] + w[1]*gy[t]         two filters of two taps on gy
#     gx[2t+1] = w[2]*gy[t]   + w[0]*gy[t+1]
# A tile begins at an even pixel, and pixel 0 of it is gy[t-1].
STRIDED_GRAD = Line(
    source=[{i + odd: value for i, value in row.items()} for odd in range(2) for row in _TWO_TAPS.source],
    weights=[{3 - odd - 2 * k: value for k, value in row.items()} for odd in range(2) for row in _TWO_TAPS.weights],
    outputs=[
        {p + odd * len(_TWO_TAPS.source): value for p, value in row.items()}
        for row in _TWO_TAPS.outputs
        for odd in range(2)
    ],
    step=4,
)

#: All that can be executed; an algorithm's number is its place.
LINES = (SINGLE, SINGLE_GRAD, STRIDED, STRIDED_GRAD, UPSAMPLED, UPSAMPLED_GRAD)


def transposed(matrix: Matrix) -> Matrix:
    """Return the matrix with rows and columns exchanged."""
    return [
        {row: terms[column] for row, terms in enumerate(matrix) if column in terms}
        for column in range(1 + max(max(terms) for terms in matrix))
    ]


@dataclass(frozen=True, eq=False)  # equal to itself alone: a key of what follows from it
class Square:
    """An algorithm in two dimensions: a ``Line`` along the rows and along the columns."""

    number: int  # in LINES
    line_products: int  # in one dimension
    line_kinds: int
    pixels: Matrix  # the sums of pixels that differ, in one dimension
    pixels_of: list[int]  # of each product, its sum of pixels
    step: int
    side: int  # a tile has side x side outputs
    span: int  # and sees span x span pixels

    @property
    def products(self) -> int:
        """The products of the two dimensions."""
        return self.line_products**2

    @property
    def kinds(self) -> int:
        """The kinds of the two dimensions."""
        return self.line_kinds**2


def _square(number: int, line: Line) -> Square:
    pixels = [row for at, row in enumerate(line.source) if line.source.index(row) == at]
    of = [pixels.index(row) for row in line.source]
    return Square(
        number=number,
        line_products=len(of),
        line_kinds=line.kinds,
        pixels=pixels,
        pixels_of=[a * len(pixels) + b for a in of for b in of],
        step=line.step,
        side=len(line.outputs),
        span=line.kinds * (1 + max(max(row) for row in line.source)),
    )


SQUARES = tuple(_square(number, line) for number, line in enumerate(LINES))
