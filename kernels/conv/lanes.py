"""Images side by side: one pixel of several images is one vector register.

In N,C,H,W the pixels of a row lie side by side, and whatever looks at every second pixel, at a pixel's neighbour or at
a row of 7 fights with the registers. Sixteen images (as many as a register has lanes) are as good a vector as sixteen
pixels. So what some tiles see of a channel is copied to

    stage[row][column][image]

with the zero padding written out, and from then on a pixel is a register: neighbours are 1 register apart, a stride is
a distance, and sums of pixels need no shuffles. Only the copy has them; it is a transpose of 16 x 16 numbers.
"""

from __future__ import annotations

from ..jit import kernel
from ..simd import UNIT
from ..simd_runs import transpose_square

REGISTER_BYTES = UNIT.register_bytes


@kernel
def stage_lanes(
    x, memory, to, first_image, images, channels, channel, height, width, first_row, rows, first_column, columns
):  # fmt: skip
    """memory[to:] = stage[row][column][image] of one channel, for these rows and columns, which may stick out.

    Images after the last are zeros. Up to a register's square of numbers more are written.
    """
    lanes = REGISTER_BYTES // x.itemsize
    image_pitch = channels * height * width
    present = min(lanes, images - first_image)
    begin, end = max(0, first_column), max(0, min(width, first_column + columns))
    left = begin - first_column
    inside = max(0, end - begin)
    plane = first_image * image_pitch + channel * height * width
    for row in range(first_row, first_row + rows):
        if row < 0 or row >= height or inside == 0:
            memory[to : to + columns * lanes] = 0
        else:
            source = plane + row * width + begin
            for j in range(0, inside, lanes):
                target = to + (left + j) * lanes
                if present == lanes and source + j + (lanes - 1) * image_pitch + lanes <= x.size:
                    transpose_square(memory, target, lanes, x, source + j, image_pitch)
                else:
                    for i in range(min(lanes, inside - j)):
                        for image in range(present):
                            memory[target + i * lanes + image] = x[source + j + i + image * image_pitch]
                        for image in range(present, lanes):
                            memory[target + i * lanes + image] = 0
            memory[to : to + left * lanes] = 0
            memory[to + (left + inside) * lanes : to + columns * lanes] = 0
        to += columns * lanes


@kernel
def stage_channels(
    x, memory, to, pitch, image, images, channels, height, width, first_row, rows, first_column, columns
):  # fmt: skip
    """memory[to:] = stage[row][column][channel] of one image, ``pitch`` numbers for a pixel; otherwise as above.

    The numbers after the last channel, up to a full register, are anything.
    """
    lanes = REGISTER_BYTES // x.itemsize
    size = height * width
    begin, end = max(0, first_column), max(0, min(width, first_column + columns))
    left = begin - first_column
    inside = max(0, end - begin)
    if image >= images or inside == 0:
        memory[to : to + rows * columns * pitch] = 0
        return
    for c in range(0, channels, lanes):  # as few planes at once as can be: each is on a page of its own
        for row in range(max(0, first_row), min(height, first_row + rows)):
            source = (image * channels + c) * size + row * width + begin
            target = to + ((row - first_row) * columns + left) * pitch + c
            for j in range(0, inside, lanes):
                if c + lanes <= channels and source + j + (lanes - 1) * size + lanes <= x.size:
                    transpose_square(memory, target + j * pitch, pitch, x, source + j, size)
                else:
                    for i in range(min(lanes, inside - j)):
                        for channel in range(min(lanes, channels - c)):
                            memory[target + (j + i) * pitch + channel] = x[source + j + i + channel * size]
    # A square may have been written beyond its row, so what is outside the image comes last.
    for row in range(first_row, first_row + rows):
        if row < 0 or row >= height:
            memory[to : to + columns * pitch] = 0
        else:
            memory[to : to + left * pitch] = 0
            memory[to + (left + inside) * pitch : to + columns * pitch] = 0
        to += columns * pitch
