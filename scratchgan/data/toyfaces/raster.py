"""Paints draw lists: signed-distance shapes, supersampled, image, mask, alpha and depth in one pass.

Importing this module imports Numba; only ``renderer.py`` does, inside the function that needs it.

The kernels are compiled without fast-math, unlike most of ``scratchgan.kernels``: they use only additions,
multiplications, divisions, square roots and comparisons, which IEEE 754 defines to the last bit, so a face has
the same bits on every processor, and golden hashes can hold it.

A shape's distance is exact or first order (f / |grad f|), negative inside, in units of its local frame:

    screen point --(head map)--> point on the face --(affine)--> local point --> distance --> coverage
                  only HEAD shapes

Everything goes a row of samples at a time through small buffers, in loops that the compiler can vectorise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchgan.data.toyfaces import drawlist as dl
from scratchgan.data.toyfaces import head as hd
from scratchgan.kernels import jit

Array = NDArray[Any]


_exact = jit.kernel(exact=True, constants_from=(dl, hd))

# Constants of columns as plain integers, which Numba freezes into the code.
SHAPE, SPACE, CLASS, CLIP = dl.SHAPE, dl.SPACE, dl.CLASS, dl.CLIP
ON_SURFACE, OPAQUE = dl.ON_SURFACE, dl.OPAQUE
ELLIPSE, TRAPEZOID, STROKE, LENS, LOBES = dl.ELLIPSE, dl.TRAPEZOID, dl.STROKE, dl.LENS, dl.LOBES
STRIPES, DOTS, RINGS = dl.STRIPES, dl.DOTS, dl.RINGS
SHELL, OUTLINE = dl.SHELL, dl.OUTLINE
HEAD, KEEP, N_CLASSES = dl.HEAD, dl.KEEP, len(dl.CLASSES)
P0, SCALE, HOLLOW = dl.PARAMS.start, dl.SCALE, dl.HOLLOW
RED, LINE_RED, LINE = dl.COLOUR.start, dl.LINE_COLOUR.start, dl.LINE
OPACITY, FEATHER, DEPTH, BOX0 = dl.OPACITY, dl.FEATHER, dl.DEPTH, dl.BOX.start
LIGHT_X, LIGHT_Y = dl.LIGHT_X, dl.LIGHT_Y
CX, CY, COS, SIN, HALF_WIDTH, HALF_HEIGHT = hd.CX, hd.CY, hd.COS, hd.SIN, hd.HALF_WIDTH, hd.HALF_HEIGHT
TAPER, SQUARE, TURN0, GRAIN = hd.TAPER, hd.SQUARE, hd.TURN.start, hd.GRAIN
GRAIN_CELLS = 64
ROOM = 8  # float32 in a vector of AVX2, the widest that the compiler chooses by itself

F = np.float32
ZERO, HALF, ONE, TWO, FOUR = F(0), F(0.5), F(1), F(2), F(4)
EIGHT, TWELVE, FULL = F(8), F(12), F(255)
TINY, FAR, EDGE = F(1e-9), F(9), F(1.2)


@_exact
def _face_point(head, x, y, grow):
    """Invert ``Head.outline`` and ``Head.view`` for one sample.

    Returns U, V, W in the head frame, w in the view frame, and the radius r (1 on the outline) of the head grown
    by the factor ``grow``. Beyond the outline the point stays on it (w = 0).
    """
    dx, dy = x - head[CX], y - head[CY]
    v0 = (head[COS] * dy - head[SIN] * dx) / (head[HALF_HEIGHT] * grow)
    low = min(max(v0, ZERO), EDGE)
    width = head[HALF_WIDTH] * grow * (ONE - head[TAPER] * low * (ONE + low))
    u0 = (head[COS] * dx + head[SIN] * dy) / width
    u2, v2 = u0 * u0, v0 * v0
    two = np.sqrt(u2 + v2) + TINY
    r = (ONE - head[SQUARE]) * two + head[SQUARE] * np.sqrt(np.sqrt(u2 * u2 + v2 * v2))
    shrink = min(r, ONE) / two
    u, v = u0 * shrink, v0 * shrink
    w = np.sqrt(max(ONE - u * u - v * v, ZERO))
    t = TURN0  # the inverse of a rotation is its transpose
    big_u = head[t] * u + head[t + 3] * v + head[t + 6] * w
    big_v = head[t + 1] * u + head[t + 4] * v + head[t + 7] * w
    big_w = head[t + 2] * u + head[t + 5] * v + head[t + 8] * w
    return big_u, big_v, big_w, w, r


@_exact
def _scalars(head):
    """Return a head's record as a tuple: the compiler keeps it in registers, but would reload an array's items."""
    return (
        head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7], head[8],
        head[9], head[10], head[11], head[12], head[13], head[14], head[15], head[16],
    )  # fmt: skip


@_exact
def _shell_row(p, head, xs, y, out):
    """SHELL: the head grown by p[0] and cut along a curve on its surface. Kept is where

    g = p[1] V + p[2] W + p[3] U + p[4] |U| + p[5] zigzag(p[6] U) - p[7] <= 0
    """
    h = _scalars(head)
    grow, a_v, a_w, a_u, a_abs, zig, freq, t = p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
    height = h[HALF_HEIGHT] * grow
    for i in range(xs.size):
        u, v, w, _, r = _face_point(h, xs[i], y, grow)
        wave = freq * u
        zigzag = FOUR * abs(wave - np.floor(wave + HALF)) - ONE
        g = a_v * v + a_w * w + a_u * u + a_abs * abs(u) + zig * zigzag - t
        out[i] = max(r - ONE, g) * height


@_exact
def _distance_row(shape, p, xs, ys, out):
    """Write the distances of the local points (xs, ys) to a shape; p holds its parameters."""
    n = xs.size
    p0, p1, p2, p3, p4 = p[0], p[1], p[2], p[3], p[4]
    if shape == ELLIPSE:
        for i in range(n):
            x, y = xs[i] / p0, ys[i] / p1
            x2, y2 = x * x, y * y
            two = np.sqrt(x2 + y2) + TINY
            four = np.sqrt(np.sqrt(x2 * x2 + y2 * y2)) + TINY
            cube = four * four * four
            s = p2
            r = (ONE - s) * two + s * four
            gx = ((ONE - s) * x / two + s * x2 * x / cube) / p0
            gy = ((ONE - s) * y / two + s * y2 * y / cube) / p1
            out[i] = (r - ONE) / (np.sqrt(gx * gx + gy * gy) + TINY)
    elif shape == TRAPEZOID:
        slope = (p1 - p0) / (TWO * p2)
        lean = np.sqrt(ONE + slope * slope)
        middle = HALF * (p0 + p1)
        for i in range(n):
            side = (abs(xs[i]) - middle - slope * ys[i]) / lean + p3
            end = abs(ys[i]) - p2 + p3
            a, b = max(side, ZERO), max(end, ZERO)
            out[i] = min(max(side, end), ZERO) + np.sqrt(a * a + b * b) - p3
    elif shape == STROKE:
        for i in range(n):
            x = min(max(xs[i], -p0), p0)
            slope = TWO * p1 * x
            across = (ys[i] - p1 * x * x) / np.sqrt(ONE + slope * slope)
            along = xs[i] - x
            out[i] = np.sqrt(across * across + along * along) - p2 * (ONE - p3 * abs(x) / p0)
    elif shape == LENS:
        for i in range(n):
            q = xs[i] / p0
            q2 = q * q
            top = p3 * q2 - p1 * (ONE - q2)
            bottom = p3 * q2 + p2 * (ONE - q2)
            slope_top = TWO * q / p0 * (p3 + p1)
            slope_bottom = TWO * q / p0 * (p3 - p2)
            above = (top - ys[i]) / np.sqrt(ONE + slope_top * slope_top)
            below = (ys[i] - bottom) / np.sqrt(ONE + slope_bottom * slope_bottom)
            out[i] = max(above, below)
    elif shape == LOBES:
        radius = min(p0, p1)
        sign = ONE if p4 == ZERO else -ONE  # round bumps meet in notches; turned inside out, they are spikes
        for i in range(n):
            x, y = xs[i] / p0, ys[i] / p1
            r = np.sqrt(x * x + y * y) + TINY
            # cos(count * angle) is the real part of ((x + iy) / r) ** count, by squaring
            a1, b1 = x / r, y / r
            a2, b2 = a1 * a1 - b1 * b1, TWO * a1 * b1
            a4, b4 = a2 * a2 - b2 * b2, TWO * a2 * b2
            a8, b8 = a4 * a4 - b4 * b4, TWO * a4 * b4
            a12, a16 = a8 * a4 - b8 * b4, a8 * a8 - b8 * b8
            a = a8 if p3 == EIGHT else a12 if p3 == TWELVE else a16
            bump = sign * (TWO * np.sqrt(max(HALF + sign * HALF * a, ZERO)) - ONE)
            out[i] = (r - ONE - p2 * bump) * radius
    elif shape == STRIPES:
        for i in range(n):
            out[i] = abs(xs[i] - p0 * np.floor(xs[i] / p0 + HALF)) - p1
    elif shape == DOTS:
        for i in range(n):
            row = np.floor(ys[i] / p0 + HALF)
            y = ys[i] - p0 * row
            x = xs[i] + HALF * p0 * (row - TWO * np.floor(HALF * row))  # every other row moves half a period
            x = x - p0 * np.floor(x / p0 + HALF)
            out[i] = np.sqrt(x * x + y * y) - p1
    elif shape == RINGS:
        for i in range(n):
            r = np.sqrt(xs[i] * xs[i] + ys[i] * ys[i])
            out[i] = abs(r - p0 * np.floor(r / p0 + HALF)) - p1


@_exact
def _slot_row(record, slot, head, xs, y, face, local_x, local_y, out):
    """Write a slot's distances along one row of samples, in screen units; ``face`` is the row's `_map_face`."""
    if slot[SHAPE] == OUTLINE:
        radius = face[3]
        for i in range(xs.size):
            out[i] = (radius[i] - ONE) * head[HALF_HEIGHT]
        return
    params = record[P0 : P0 + 8]
    if slot[SHAPE] == SHELL:
        _shell_row(params, head, xs, y, out)
        return
    xx, xy, yx, yy, x0, y0 = record[0], record[1], record[2], record[3], record[4], record[5]
    if slot[SPACE] == HEAD:
        face_x, face_y = face[0], face[1]
        for i in range(xs.size):
            local_x[i] = xx * (face_x[i] - x0) + xy * (face_y[i] - y0)
            local_y[i] = yx * (face_x[i] - x0) + yy * (face_y[i] - y0)
    else:
        for i in range(xs.size):
            local_x[i] = xx * (xs[i] - x0) + xy * (y - y0)
            local_y[i] = yx * (xs[i] - x0) + yy * (y - y0)
    _distance_row(slot[SHAPE], params, local_x, local_y, out)
    scale, hollow = record[SCALE], record[HOLLOW]
    for i in range(xs.size):
        d = abs(out[i]) - hollow if hollow > ZERO else out[i]
        out[i] = d * scale


@_exact
def _first(edge, samples):
    """Return the first sample at or after a screen coordinate."""
    return min(max(int((edge + ONE) * HALF * F(samples)), 0), samples)


@_exact
def _touches(row, edge):
    """Return whether any distance of a row is short enough to cover something."""
    touched = 0  # an integer "or" is a vector loop, a minimum of floats is not
    for i in range(row.size):
        touched |= row[i] * edge < HALF
    return touched != 0


@_exact
def _blend_channel(cover, ink, light, fill, line, out):
    for i in range(out.size):
        lit = fill * light[i]
        out[i] += cover[i] * (lit + ink[i] * (line - lit) - out[i])


@_exact
def _map_face(head, xs, y, face):
    """Write what a row of samples shows of the head: X and Y on the face (FAR where there is none), depth, radius."""
    h = _scalars(head)
    face_x, face_y, surface, radius = face[0], face[1], face[2], face[3]
    for i in range(xs.size):
        u, v, w, view_w, r = _face_point(h, xs[i], y, ONE)
        seen = w > ZERO and r <= ONE
        face_x[i] = u * h[HALF_WIDTH] if seen else FAR
        face_y[i] = v * h[HALF_HEIGHT] if seen else FAR
        surface[i] = view_w * h[HALF_WIDTH]
        radius[i] = r


@_exact
def _paint(records, slots, head, colour, alpha, depth, klass, face, xs, buffers):
    """Paint one face's slots, in order, onto its samples (arrays (S, S + ROOM), colour (3, S, S + ROOM)).

    Each loop stands alone and touches few arrays: otherwise the compiler, which must allow for arrays that
    overlap, gives up on vectors. Rows are worked on in whole vectors, so each has ROOM for those that stick out of its
    right end. ``face`` (S, 4, S + ROOM), ``xs`` (S + ROOM) and ``buffers`` (7, S + ROOM) are room to work in.
    """
    records, slots, head, xs, buffers = (
        jit.unowned(records), jit.unowned(slots), jit.unowned(head), jit.unowned(xs), jit.unowned(buffers)
    )  # fmt: skip
    colour, alpha, depth, klass, face = (
        jit.unowned(colour), jit.unowned(alpha), jit.unowned(depth), jit.unowned(klass), jit.unowned(face)
    )  # fmt: skip
    samples = alpha.shape[0]
    pitch = TWO / F(samples)
    for i in range(xs.size):
        xs[i] = (F(i) + HALF) * pitch - ONE
    for j in range(samples):
        _map_face(head, xs, xs[j], face[j])
    for s in range(slots.shape[0]):
        slot, record = slots[s], records[s]
        opacity = record[OPACITY]
        lo, hi = _first(record[BOX0], samples), _first(record[BOX0 + 2] + pitch, samples)
        if opacity <= ZERO or lo >= hi:
            continue
        width = hi - lo
        end = lo + (width + ROOM - 1) // ROOM * ROOM
        local_x, local_y = buffers[0, lo:end], buffers[1, lo:end]
        row, cut = buffers[2, lo:end], buffers[3, lo:end]
        cover, ink, light = buffers[4, lo:end], buffers[5, lo:end], buffers[6, lo:end]
        x = xs[lo:end]
        edge, line = ONE / (pitch + record[FEATHER]), record[LINE]
        light_x, light_y, x0, y0 = record[LIGHT_X], record[LIGHT_Y], record[4], record[5]
        klass_here, base, lift = slot[CLASS], F(slot[ON_SURFACE]), record[DEPTH]
        for j in range(_first(record[BOX0 + 1], samples), _first(record[BOX0 + 3] + pitch, samples)):
            y = xs[j]
            face_row = face[j, :, lo:end]
            row[:width], row[width:] = -FAR, FAR
            touched = True
            part = s  # the slot, what it is cut to, what that is cut to
            while part >= 0 and touched:
                _slot_row(records[part], slots[part], head, x, y, face_row, local_x, local_y, cut)
                for i in range(row.size):
                    row[i] = max(row[i], cut[i])
                touched = _touches(row, edge)
                part = slots[part, CLIP]
            if not touched:
                continue
            for i in range(row.size):
                cover[i] = min(max(HALF - row[i] * edge, ZERO), ONE) * opacity
            for i in range(row.size):
                inner = min(max(HALF + (row[i] + line) / pitch, ZERO), ONE)
                ink[i] = inner if line > ZERO else ZERO
            here = ONE + light_y * (y - y0)
            for i in range(row.size):
                light[i] = here + light_x * (x[i] - x0)
            for c in range(3):
                _blend_channel(cover, ink, light, record[RED + c], record[LINE_RED + c], colour[c, j, lo:end])
            if slot[OPAQUE]:
                shade = alpha[j, lo:end]
                for i in range(row.size):
                    shade[i] += cover[i] * (ONE - shade[i])
            if klass_here != KEEP:
                k_row, d_row, surface = klass[j, lo:end], depth[j, lo:end], face[j, 2, lo:end]
                for i in range(row.size):
                    if cover[i] >= HALF:
                        k_row[i] = klass_here
                        # what is painted over something else is not behind it
                        d_row[i] = max(d_row[i], base * surface[i] + lift)


@_exact
def _byte(value):
    return np.uint8(min(max(value, ZERO), ONE) * FULL + HALF)


@_exact
def _resolve(k, grain, paper, colour, alpha, depth, klass, image, alpha_out, mask, depth_out):
    """Average k x k samples into each pixel.

    The mask is background where at least half of them are, else their commonest other class; depth is its mean.
    """
    size = mask.shape[0]
    share = ONE / F(k * k)
    cells = F(GRAIN_CELLS) / F(size * k)
    counts = np.empty(N_CLASSES, np.int64)
    for j in range(size):
        for i in range(size):
            red, green, blue, a = ZERO, ZERO, ZERO, ZERO
            counts[:] = 0
            for dj in range(j * k, j * k + k):
                for di in range(i * k, i * k + k):
                    speck = ONE + grain * paper[int(F(dj) * cells), int(F(di) * cells)]
                    red += colour[0, dj, di] * speck
                    green += colour[1, dj, di] * speck
                    blue += colour[2, dj, di] * speck
                    a += alpha[dj, di]
                    counts[klass[dj, di]] += 1
            best = 0
            if 2 * counts[0] < k * k:
                best = 1
                for c in range(2, N_CLASSES):
                    if counts[c] > counts[best]:
                        best = c
            total = ZERO
            for dj in range(j * k, j * k + k):
                for di in range(i * k, i * k + k):
                    if klass[dj, di] == best:
                        total += depth[dj, di]
            image[0, j, i] = _byte(red * share)
            image[1, j, i] = _byte(green * share)
            image[2, j, i] = _byte(blue * share)
            alpha_out[j, i] = _byte(a * share)
            mask[j, i] = best
            depth_out[j, i] = total / F(counts[best])


@_exact
def _paint_faces(
    records, slots, heads, paper, k, columns, image, alpha, mask, depth, under,
    colour, covered, deep, klass, face, xs, buffers,
):  # fmt: skip
    for n in range(records.shape[0]):
        colour[:], covered[:], deep[:], klass[:] = ZERO, ZERO, -FAR, 0
        _paint(records[n], slots, heads[n], colour, covered, deep, klass, face, xs, buffers)
        _resolve(k, heads[n, GRAIN], paper, colour, covered, deep, klass, image[n], alpha[n], mask[n], depth[n])
        for i in range(columns.shape[1]):
            x, y = columns[n, i]
            under[n, i] = klass[y, x] if x >= 0 else KEEP


def paint(
    records: Array,
    slots: Array,
    heads: Array,
    paper: Array,
    k: int,
    points: Array,
    image: Array,
    alpha: Array,
    mask: Array,
    depth: Array,
    under: Array,
) -> None:
    """Paint a batch on the calling thread, the kernels without Python's lock; no face depends on another.

    Args:
        records, slots: the draw list; heads: (N, HEAD_RECORD) float32.
        paper: (64, 64) float32, the grain; k: samples along a pixel's side.
        points: (N, L, 2) float32, places on the screen to look up.
        image, alpha, mask, depth: outputs (N, 3, S, S) and (N, S, S).
        under: output (N, L) uint8, the class painted at each point; KEEP where it lies outside the frame.
    """
    samples = mask.shape[1] * k
    row = samples + ROOM
    colour, face = np.empty((3, samples, row), np.float32), np.empty((samples, 4, row), np.float32)
    covered, deep = np.empty((2, samples, row), np.float32)
    klass = np.empty((samples, row), np.uint8)
    xs, buffers = np.empty(row, np.float32), np.empty((7, row), np.float32)
    columns = np.floor((points + 1) * (0.5 * samples)).astype(np.int64)
    columns[~np.all((columns >= 0) & (columns < samples), axis=2)] = -1
    room = (colour, covered, deep, klass, face, xs, buffers)
    _paint_faces(records, slots, heads, paper, k, columns, image, alpha, mask, depth, under, *room)
