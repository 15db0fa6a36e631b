"""What can be done with a finished StyleGAN: mix two sources, find the styles of a picture, find directions in w.

Sources: T. Karras et al., "A style-based generator architecture for generative adversarial networks", 2019, section 3.1
(mixing); T. Karras et al., "Analyzing and improving the image quality of StyleGAN", 2020, section 5 and appendix D
(projection); R. Abdal et al., "Image2StyleGAN", 2019 (a style for each layer); Y. Shen and B. Zhou, "Closed-form
factorization of latent semantics in GANs", 2021 (directions).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from .. import ops
from ..autograd import grad
from ..metrics.evaluators import FactorRegressor, open_evaluator
from ..metrics.evaluators.factors import HEADS
from ..models.stylegan import StyleGenerator
from ..optim import Adam
from ..recording import no_grad
from ..tensor import Tensor
from ..train import ConfigError, Inputs, LoadedRun
from .stylegan import Stylegan

_STATISTICS: Final = 1_000  # latent vectors by which the spread of w is estimated


def _parts(run: LoadedRun) -> tuple[Stylegan, StyleGenerator]:
    """Return a run's system and generator. Raises ConfigError if it is of another system."""
    if not isinstance(run.system, Stylegan):
        raise ConfigError(
            f"that run is of system {run.system.name}, and only stylegan has styles: scratchgan train stylegan"
        )
    return run.system, run.networks["generator"]  # type: ignore[return-value]


def _known(system: Stylegan, g: StyleGenerator) -> np.ndarray:
    """Return some w, float32 (n,w), by which the spread of all is estimated."""
    z = np.random.default_rng(0).standard_normal((_STATISTICS, system.own.latent), np.float32)
    with no_grad():
        return np.asarray(g.mapping(Tensor(z)).data)


def styles_of(run: LoadedRun, inputs: Inputs) -> np.ndarray:
    """Return the styles of inputs, float32 (n,layers,w)."""
    system, _ = _parts(run)
    with no_grad():
        return system.styles(run.networks, inputs).data


def layers_named(run: LoadedRun, text: str) -> np.ndarray:
    """Return which layers are meant, bool (layers,): "coarse", "middle", "fine", a number or a range such as 4-7.

    Raises ConfigError for anything else, with the layers that there are.
    """
    _, g = _parts(run)
    chosen = np.zeros(g.layers, bool)
    if text in g.ranges:
        chosen[list(g.ranges[text])] = True
        return chosen
    first, dash, last = text.partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        raise ConfigError(f"layers {text!r} must be {', '.join(g.ranges)}, a number, or a range such as 2-3")
    low, high = int(first), int(last or first)
    if not 0 <= low <= high < g.layers:
        raise ConfigError(f"layers {text!r}: the network has layers 0 to {g.layers - 1}")
    chosen[low : high + 1] = True
    return chosen


def mixed(run: LoadedRun, a: Inputs, b: Inputs, layers: np.ndarray) -> np.ndarray:
    """Return the pictures of all pairs, uint8 (A,B,H,W,C): the styles of b in ``layers``, bool (layers,), else of a.

    A picture has the noise of its a.
    """
    of_a, of_b = styles_of(run, a), styles_of(run, b)
    count_a, count_b = len(of_a), len(of_b)
    ws = np.where(layers[:, None], of_b[None], of_a[:, None]).reshape(count_a * count_b, *of_a.shape[1:])
    pictures = run.draw({"ws": ws.astype(np.float32), "noise": np.repeat(a["noise"], count_b, 0)})
    return pictures.reshape(count_a, count_b, *pictures.shape[1:])


@dataclass(frozen=True)
class Projection:
    """The styles of a picture, and how near the network comes to it with them.

    Attributes:
        w: float32 (w,), the best style for all layers; ws: (layers,w), the best for each; noise: (noise_size,).
        psnr_w, psnr: what is reached with w and with ws, in dB, of pixels from -1 to 1.
        film: uint8 (frames,H,W,C), pictures of the search.
    """

    w: np.ndarray
    ws: np.ndarray
    noise: np.ndarray
    psnr_w: float
    psnr: float
    film: np.ndarray


def project(
    run: LoadedRun,
    image: np.ndarray,
    *,
    steps: int = 400,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Projection:
    """Look for the styles that draw ``image``, float32 (C,S,S) in [-1, 1].

    The first half of the steps moves one w for all layers, from the average, with noise on it that fades; the second
    moves a style for each layer, held near each other, and the picture's noise, which is kept from drawing the picture
    itself: it must stay uncorrelated from pixel to pixel. The distance is the mean square of pixels at the full size,
    at half and at a quarter of it, so that shapes come before details. Raises ConfigError for another run or shape.
    """
    system, g = _parts(run)
    if image.shape != system.shape:
        raise ConfigError(f"the image is {image.shape}, and the run draws {system.shape}")
    if steps < 2:
        raise ConfigError(f"steps={steps} must be at least 2: one for w, and one for the styles of the layers")
    rng = np.random.default_rng(seed)
    known = _known(system, g)
    average, spread = known.mean(0), float(np.sqrt(((known - known.mean(0)) ** 2).sum(1).mean()))
    target = Tensor(image[None])
    g.requires_grad_(False)
    w = Tensor(average[None].astype(np.float32), requires_grad=True)
    noise = Tensor(g.synthesis.draw_noise(rng, 1), requires_grad=True)
    film: list[np.ndarray] = []
    first = steps // 2
    every = max(steps // 40, 1)

    def search(free: list[Tensor], count: int, start: int, ws_of: Callable[[float], Tensor]) -> None:
        optimizer = Adam(free, 0.1 * spread / math.sqrt(len(average)) + 1e-3, (0.9, 0.999))
        base = optimizer.lr
        for step in range(count):
            part = step / count
            optimizer.lr = base * min(1.0, (1 - part) / 0.3) * min(1.0, (part + 1 / count) / 0.05)
            drawn = g.synthesis(ws_of(part), noise)
            loss = _distance(drawn, target) + 0.01 * _correlation(g, noise)
            if len(free) > 1:
                loss = loss + 1e-3 * ops.mean((free[0] - w) ** 2)
            optimizer.step(grad(loss, free))
            if (start + step) % every == 0:
                film.append(system.finished(drawn.data)[0])
            if on_step is not None:
                on_step(start + step + 1, steps)

    def shaken(part: float) -> Tensor:
        strength = 0.05 * spread * max(0.0, 1 - part / 0.75) ** 2 / math.sqrt(len(average))
        return g.spread(w + Tensor(strength * rng.standard_normal(w.shape, np.float32)))

    search([w], first, 0, shaken)
    of_w = _psnr(_drawn(g, g.spread(w), noise), image)
    ws = Tensor(g.spread(w).data.copy(), requires_grad=True)
    search([ws, noise], steps - first, first, lambda part: ws)
    best = _drawn(g, ws, noise)
    film.append(system.finished(best[None])[0])
    return Projection(w.data[0], ws.data[0], noise.data[0], of_w, _psnr(best, image), np.stack(film))


def _drawn(g: StyleGenerator, ws: Tensor, noise: Tensor) -> np.ndarray:
    with no_grad():
        return np.asarray(g.synthesis(ws, noise).data[0])


def _psnr(drawn: np.ndarray, image: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of pixels in [-1, 1], in dB."""
    error = float(((drawn.clip(-1, 1) - image).astype(np.float64) ** 2).mean())
    return 10 * math.log10(4 / max(error, 1e-12))


def _distance(drawn: Tensor, target: Tensor) -> Tensor:
    """Return the mean square of the differences at three sizes, added up."""
    total: Any = 0.0
    difference = drawn - target
    for size in range(3):
        if size:
            if min(difference.shape[2:]) < 2 or difference.shape[2] % 2:
                break
            difference = ops.avg_pool2d(difference, 2)
        total = total + ops.mean(difference * difference)
    return total


def _correlation(g: StyleGenerator, noise: Tensor) -> Tensor:
    """Return how much noise (1,noise_size) resembles itself a pixel further, over all maps: 0 of good noise."""
    total: Any = 0.0
    for first, side in g.synthesis.noise_places:
        noise_map = ops.reshape(noise[:, first : first + side * side], (side, side))
        total = total + ops.mean(noise_map[1:] * noise_map[:-1]) ** 2
        total = total + ops.mean(noise_map[:, 1:] * noise_map[:, :-1]) ** 2
        total = total + (ops.mean(noise_map * noise_map) - 1.0) ** 2 * 0.1
    return total


def directions(run: LoadedRun, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``count`` directions in w that change the styles most, (count,w), and by how much, (count,).

    A step d in w changes the scales of all layers by A d, with A their affine maps one below the other. The unit
    vectors for which |A d| is largest are the first eigenvectors of A^T A: no picture needs to be drawn. Raises
    ConfigError for another run or count.
    """
    _, g = _parts(run)
    layers = [*g.synthesis.convolutions, *g.synthesis.to_image]
    maps = np.concatenate([layer.style.weight.data.astype(np.float64) for layer in layers])
    if not 1 <= count <= maps.shape[1]:
        raise ConfigError(f"n={count} directions: there are 1 to {maps.shape[1]}")
    _, sizes, rows = np.linalg.svd(maps, full_matrices=False)
    return rows[:count].astype(np.float32), sizes[:count].astype(np.float32)


def along(run: LoadedRun, inputs: Inputs, direction: np.ndarray, steps: int, reach: float = 3.0) -> np.ndarray:
    """Return pictures of each input moved along a direction, uint8 (n,steps,H,W,C).

    From -reach to +reach standard deviations of w in that direction.
    """
    system, g = _parts(run)
    deviation = float((_known(system, g) @ direction).std())
    places = np.linspace(-reach, reach, steps, dtype=np.float32) * deviation
    ws = styles_of(run, inputs)[:, None] + places[None, :, None, None] * direction
    n = len(ws)
    pictures = run.draw({"ws": ws.reshape(n * steps, *ws.shape[2:]), "noise": np.repeat(inputs["noise"], steps, 0)})
    return pictures.reshape(n, steps, *pictures.shape[1:])


def factor_moved(run: LoadedRun, direction: np.ndarray, count: int = 64) -> str:
    """Return which factor of toy faces changes most along a direction, as " (name, share)"; "" of other data.

    Read by the evaluator of toy faces off ``count`` pictures at either end: of a categorical factor, the share of
    pictures in which it differs; of a continuous one, its mean change as a part of its range.
    """
    if run.config.run.data != "toyfaces":
        return ""
    evaluator = FactorRegressor(_parts(run)[0].shape[1])
    open_evaluator(evaluator)
    ends = along(run, run.inputs(count, seed=1), direction, 2)
    low, high = (evaluator.predict(ends[:, i].transpose(0, 3, 1, 2)) for i in (0, 1))
    moved = {
        head.factor.name: float((low[head.factor.name] != high[head.factor.name]).mean())
        if head.factor.categories
        else float(abs((high[head.factor.name] - low[head.factor.name]).mean()) / (head.ends[1] - head.ends[0]))
        for head in HEADS
    }
    best = max(moved, key=moved.__getitem__)
    return f" ({best}, {moved[best]:.0%})"


def read_projection(run: LoadedRun, path: Path) -> Inputs:
    """Return the styles and noise that `project` found and the command wrote, as inputs. Raises ConfigError."""
    _, g = _parts(run)
    try:
        with np.load(path, allow_pickle=False) as file:
            ws, noise = file["ws"], file["noise"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{path}: not a file that scratchgan project wrote ({error})") from error
    wanted = g.layers, g.synthesis.w
    if ws.shape != wanted or noise.shape != (g.synthesis.noise_size,):
        raise ConfigError(f"{path}: its styles are {ws.shape}, and those of this run {wanted}: it is of another run")
    return {"ws": ws[None].astype(np.float32), "noise": noise[None].astype(np.float32)}
