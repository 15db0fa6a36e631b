"""Paints draw lists: signed-distance shapes, supersampled, image, mask, alpha and depth in one pass.

Importing this module imports Numba; only ``renderer.py`` does, inside the function that needs it.

The kernels are compiled without fast-math, unlike those of ``scratchgan.kernels``: they use only additions,
multiplications, divisions, square roots and comparisons, which IEEE 754 defines to the last bit, so a face has
the same bits on every processor, and golden hashes can hold it. They all stand in this one file, because Numba's
cache notices an edit only of the file that a compiled function is in.

A shape's distance is exact or first order (f / |grad f|), negative inside, in units of its local frame:

    screen point --(head map)--> point on the face --(affine)--> local point --> distance --> coverage
                  only HEAD shapes

Everything goes a row of samples at a time through small buffers, in loops that the compiler can vectorise.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import prange
from numba.core import config

from scratchgan.data.toyfaces import drawlist as dl
from scratchgan.data.toyfaces import head as hd
from scratchgan.kernels import jit


def _exact(function: Callable[..., Any] | None = None, *, parallel: bool = False) -> Any:
    """Compile without fast-math, into the folder where all compiled kernels are kept."""
    if function is None:
        return lambda f: _exact(f, parallel=parallel)
    folder = jit.cache_folder()
    keep = os.access(folder, os.W_OK)
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder) if keep else before
    try:
        return numba.njit(cache=keep, parallel=parallel, error_model="numpy", nogil=True)(function)
    finally:
        config.CACHE_DIR = before


# Constants of columns as plain integers, which Numba freezes into the code.
SHAPE, SPACE, CLASS, CLIP = dl.SHAPE, dl.SPACE, dl.CLASS, dl.CLIP
ON_SURFACE, OPAQUE = dl.ON_SURFACE, dl.OPAQUE
ELLIPSE, TRAPEZOID, STROKE, LENS, LOBES = dl.ELLIPSE, dl.TRAPEZOID, dl.STROKE, dl.LENS, dl.LOBES
STRIPES, DOTS, RINGS, SHELL = dl.STRIPES, dl.DOTS, dl.RINGS, dl.SHELL
HEAD, KEEP, N_CLASSES = dl.HEAD, dl.KEEP, len(dl.CLASSES)
P0, SCALE, HOLLOW = dl.PARAMS.start, dl.SCALE, dl.HOLLOW
RED, LINE_RED, LINE = dl.COLOUR.start, dl.LINE_COLOUR.start, dl.LINE
OPACITY, FEATHER, DEPTH, BOX0 = dl.OPACITY, dl.FEATHER, dl.DEPTH, dl.BOX.start
LIGHT_X, LIGHT_Y = dl.LIGHT_X, dl.LIGHT_Y
CX, CY, COS, SIN, HALF_WIDTH, HALF_HEIGHT = hd.CX, hd.CY, hd.COS, hd.SIN, hd.HALF_WIDTH, hd.HALF_HEIGHT
TAPER, SQUARE, TURN0, GRAIN = hd.TAPER, hd.SQUARE, hd.TURN.start, hd.GRAIN
GRAIN_CELLS = 64

F = np.float32
ZERO, HALF, ONE, TWO, FOUR = F(0), F(0.5), F(1), F(2), F(4)
TINY, FAR, EDGE = F(1e-9), F(9), F(1.2)


@_exact
def _face_point(head, x, y, grow):  # type: ignore[no-untyped-def]
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
def _shell_row(p, head, xs, y, out):  # type: ignore[no-untyped-def]
    """SHELL: the head grown by p[0] and cut along a curve on its surface. Kept is where

    g = p[1] V + p[2] W + p[3] U + p[4] |U| + p[5] zigzag(p[6] U) - p[7] <= 0
    """
    height = head[HALF_HEIGHT] * p[0]
    for i in range(xs.size):
        u, v, w, _, r = _face_point(head, xs[i], y, p[0])
        wave = p[6] * u
        zigzag = FOUR * abs(wave - np.floor(wave + HALF)) - ONE
        g = p[1] * v + p[2] * w + p[3] * u + p[4] * abs(u) + p[5] * zigzag - p[7]
        out[i] = max(r - ONE, g) * height


@_exact
def _distance_row(shape, p, xs, ys, out):  # type: ignore[no-untyped-def]
    """Write the distances of the local points (xs, ys) to a shape; p holds its parameters."""
    n = xs.size
    if shape == ELLIPSE:
        for i in range(n):
            x, y = xs[i] / p[0], ys[i] / p[1]
            x2, y2 = x * x, y * y
            two = np.sqrt(x2 + y2) + TINY
            four = np.sqrt(np.sqrt(x2 * x2 + y2 * y2)) + TINY
            cube = four * four * four
            s = p[2]
            r = (ONE - s) * two + s * four
            gx = ((ONE - s) * x / two + s * x2 * x / cube) / p[0]
            gy = ((ONE - s) * y / two + s * y2 * y / cube) / p[1]
            out[i] = (r - ONE) / (np.sqrt(gx * gx + gy * gy) + TINY)
    elif shape == TRAPEZOID:
        slope = (p[1] - p[0]) / (TWO * p[2])
        lean = np.sqrt(ONE + slope * slope)
        middle = HALF * (p[0] + p[1])
        for i in range(n):
            side = (abs(xs[i]) - middle - slope * ys[i]) / lean + p[3]
            end = abs(ys[i]) - p[2] + p[3]
            a, b = max(side, ZERO), max(end, ZERO)
            out[i] = min(max(side, end), ZERO) + np.sqrt(a * a + b * b) - p[3]
    elif shape == STROKE:
        for i in range(n):
            x = min(max(xs[i], -p[0]), p[0])
            slope = TWO * p[1] * x
            across = (ys[i] - p[1] * x * x) / np.sqrt(ONE + slope * slope)
            along = xs[i] - x
            out[i] = np.sqrt(across * across + along * along) - p[2] * (ONE - p[3] * abs(x) / p[0])
    elif shape == LENS:
        for i in range(n):
            q = xs[i] / p[0]
            q2 = q * q
            top = p[3] * q2 - p[1] * (ONE - q2)
            bottom = p[3] * q2 + p[2] * (ONE - q2)
            slope_top = TWO * q / p[0] * (p[3] + p[1])
            slope_bottom = TWO * q / p[0] * (p[3] - p[2])
            above = (top - ys[i]) / np.sqrt(ONE + slope_top * slope_top)
            below = (ys[i] - bottom) / np.sqrt(ONE + slope_bottom * slope_bottom)
            out[i] = max(above, below)
    elif shape == LOBES:
        radius = min(p[0], p[1])
        count = int(p[3])
        for i in range(n):
            x, y = xs[i] / p[0], ys[i] / p[1]
            r = np.sqrt(x * x + y * y) + TINY
            # cos(count * angle) is the real part of ((x + iy) / r) ** count: three or four squarings
            a, b = x / r, y / r
            a, b = a * a - b * b, TWO * a * b
            a, b = a * a - b * b, TWO * a * b
            a4, b4 = a, b
            if count >= 8:
                a, b = a * a - b * b, TWO * a * b
            if count == 12:
                a = a * a4 - b * b4
            if count == 16:
                a = a * a - b * b
            # a sharp bump falls off linearly from its tip, a round one meets its neighbour in a notch
            bump = (
                TWO * np.sqrt(max(HALF + HALF * a, ZERO)) - ONE
                if p[4] == ZERO
                else ONE - TWO * np.sqrt(max(HALF - HALF * a, ZERO))
            )
            out[i] = (r - ONE - p[2] * bump) * radius
    elif shape == STRIPES:
        for i in range(n):
            out[i] = abs(xs[i] - p[0] * np.floor(xs[i] / p[0] + HALF)) - p[1]
    elif shape == DOTS:
        for i in range(n):
            row = np.floor(ys[i] / p[0] + HALF)
            y = ys[i] - p[0] * row
            x = xs[i] + HALF * p[0] * (
                row - TWO * np.floor(HALF * row)
            )  # every other row moves half a period
            x = x - p[0] * np.floor(x / p[0] + HALF)
            out[i] = np.sqrt(x * x + y * y) - p[1]
    elif shape == RINGS:
        for i in range(n):
            r = np.sqrt(xs[i] * xs[i] + ys[i] * ys[i])
            out[i] = abs(r - p[0] * np.floor(r / p[0] + HALF)) - p[1]


@_exact
def _slot_row(record, slot, head, xs, y, face_x, face_y, local_x, local_y, out):  # type: ignore[no-untyped-def]
    """Write a slot's distances along one row of samples, in screen units."""
    params = record[P0 : P0 + 8]
    if slot[SHAPE] == SHELL:
        _shell_row(params, head, xs, y, out)
        return
    for i in range(xs.size):
        if slot[SPACE] == HEAD:
            dx, dy = face_x[i] - record[4], face_y[i] - record[5]
        else:
            dx, dy = xs[i] - record[4], y - record[5]
        local_x[i] = record[0] * dx + record[1] * dy
        local_y[i] = record[2] * dx + record[3] * dy
    _distance_row(slot[SHAPE], params, local_x, local_y, out)
    scale, hollow = record[SCALE], record[HOLLOW]
    for i in range(xs.size):
        d = out[i]
        out[i] = (abs(d) - hollow if hollow > ZERO else d) * scale


@_exact
def _first(edge, samples):  # type: ignore[no-untyped-def]
    """Return the first sample at or after a screen coordinate."""
    return min(max(int((edge + ONE) * HALF * F(samples)), 0), samples)


@_exact
def _paint(records, slots, head, samples, colour, alpha, depth, klass, face):  # type: ignore[no-untyped-def]
    """Paint one face's slots, in order, onto its samples (arrays (samples, samples), colour (3, ...))."""
    pitch = TWO / F(samples)
    xs = np.empty(samples, np.float32)
    for i in range(samples):
        xs[i] = (F(i) + HALF) * pitch - ONE
    for j in range(samples):
        y = (F(j) + HALF) * pitch - ONE
        for i in range(samples):
            u, v, w, view_w, r = _face_point(head, xs[i], y, ONE)
            seen = w > ZERO and r <= ONE
            face[0, j, i] = u * head[HALF_WIDTH] if seen else FAR
            face[1, j, i] = v * head[HALF_HEIGHT] if seen else FAR
            face[2, j, i] = view_w * head[HALF_WIDTH]
    local_x, local_y = np.empty(samples, np.float32), np.empty(samples, np.float32)
    distance, clip = np.empty(samples, np.float32), np.empty(samples, np.float32)
    for s in range(slots.shape[0]):
        slot, record = slots[s], records[s]
        opacity = record[OPACITY]
        if opacity <= ZERO:
            continue
        lo, hi = _first(record[BOX0], samples), _first(record[BOX0 + 2] + pitch, samples)
        width = hi - lo
        if width <= 0:
            continue
        row_x, row_lx, row_ly = xs[lo:hi], local_x[:width], local_y[:width]
        row, row_clip = distance[:width], clip[:width]
        edge = ONE / (pitch + record[FEATHER])
        for j in range(_first(record[BOX0 + 1], samples), _first(record[BOX0 + 3] + pitch, samples)):
            y = xs[j]
            fx, fy, fw = face[0, j, lo:hi], face[1, j, lo:hi], face[2, j, lo:hi]
            _slot_row(record, slot, head, row_x, y, fx, fy, row_lx, row_ly, row)
            nearest = FAR
            for i in range(width):
                nearest = min(nearest, row[i])
            if nearest * edge >= HALF:
                continue
            if slot[CLIP] >= 0:
                c = slot[CLIP]
                _slot_row(records[c], slots[c], head, row_x, y, fx, fy, row_lx, row_ly, row_clip)
                for i in range(width):
                    row[i] = max(row[i], row_clip[i])
            _blend_row(record, slot, row, row_x, y, pitch, edge, fw, colour[:, j, lo:hi], alpha[j, lo:hi],
                       depth[j, lo:hi], klass[j, lo:hi])  # fmt: skip


@_exact
def _blend_row(record, slot, row, xs, y, pitch, edge, surface, colour, alpha, depth, klass):  # type: ignore[no-untyped-def]
    """Lay one row of a slot over what is there."""
    red, green, blue = record[RED], record[RED + 1], record[RED + 2]
    line_red, line_green, line_blue = record[LINE_RED], record[LINE_RED + 1], record[LINE_RED + 2]
    opacity, line, opaque = record[OPACITY], record[LINE], F(slot[OPAQUE])
    light_y = ONE + record[LIGHT_Y] * (y - record[5])
    for i in range(row.size):
        cover = min(max(HALF - row[i] * edge, ZERO), ONE) * opacity
        ink = min(max(HALF + (row[i] + line) / pitch, ZERO), ONE) if line > ZERO else ZERO
        light = light_y + record[LIGHT_X] * (xs[i] - record[4])
        r = red * light
        g = green * light
        b = blue * light
        colour[0, i] += cover * (r + ink * (line_red - r) - colour[0, i])
        colour[1, i] += cover * (g + ink * (line_green - g) - colour[1, i])
        colour[2, i] += cover * (b + ink * (line_blue - b) - colour[2, i])
        alpha[i] += cover * opaque * (ONE - alpha[i])
    if slot[CLASS] != KEEP:
        base, lift = F(slot[ON_SURFACE]), record[DEPTH]
        for i in range(row.size):
            if min(max(HALF - row[i] * edge, ZERO), ONE) * opacity >= HALF:
                klass[i] = slot[CLASS]
                depth[i] = base * surface[i] + lift


@_exact
def _byte(value):  # type: ignore[no-untyped-def]
    return np.uint8(min(max(value, ZERO), ONE) * F(255) + HALF)


@_exact
def _resolve(k, grain, paper, colour, alpha, depth, klass, image, alpha_out, mask, depth_out):  # type: ignore[no-untyped-def]
    """Average k x k samples into each pixel; the mask takes their commonest class, and depth is its mean."""
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
            for c in range(1, N_CLASSES):
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


@_exact(parallel=True)
def paint(records, slots, heads, paper, k, points, image, alpha, mask, depth, under):  # type: ignore[no-untyped-def]
    """Paint a batch; each face is painted by one thread and depends on no other.

    Args:
        records, slots: the draw list; heads: (N, HEAD_RECORD) float32.
        paper: (64, 64) float32, the grain; k: samples along a pixel's side.
        points: (N, L, 2) float32, places on the screen to look up.
        image, alpha, mask, depth: outputs (N, 3, S, S) and (N, S, S).
        under: output (N, L) uint8, the class painted at each point; KEEP where it lies outside the frame.
    """
    size = mask.shape[1]
    samples = size * k
    for n in prange(records.shape[0]):
        colour = np.zeros((3, samples, samples), np.float32)
        covered = np.zeros((samples, samples), np.float32)
        deep = np.zeros((samples, samples), np.float32)
        klass = np.zeros((samples, samples), np.uint8)
        face = np.empty((3, samples, samples), np.float32)
        _paint(records[n], slots, heads[n], samples, colour, covered, deep, klass, face)
        _resolve(
            k, heads[n, GRAIN], paper, colour, covered, deep, klass, image[n], alpha[n], mask[n], depth[n]
        )
        for m in range(points.shape[1]):
            x = int(np.floor((points[n, m, 0] + ONE) * HALF * F(samples)))
            y = int(np.floor((points[n, m, 1] + ONE) * HALF * F(samples)))
            inside = 0 <= x < samples and 0 <= y < samples
            under[n, m] = klass[y, x] if inside else KEEP
