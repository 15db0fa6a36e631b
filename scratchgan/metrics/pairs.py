"""How near an image is to the one that it should be: PSNR, SSIM; landmarks and masks against the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .checks import MetricError

_WINDOW, _SIGMA, _K1, _K2 = 11, 1.5, 0.01, 0.03


def psnr(images: np.ndarray, truth: np.ndarray, data_range: float | None = None) -> NDArray[np.float64]:
    """Return each pair's peak signal-to-noise ratio in dB, (N,): 10 log10(data_range^2 / mean squared error).

    Images (N,C,H,W), both uint8 (``data_range`` 255) or both float (2, for [-1, 1], unless given). Equal images: inf.
    """
    x, y, span = _image_pairs("psnr", images, truth, data_range)
    error = ((x - y) ** 2).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(span * span / error))


def ssim(images: np.ndarray, truth: np.ndarray, data_range: float | None = None) -> NDArray[np.float64]:
    """Return each pair's structural similarity, (N,), at most 1: the mean over channels and places of

        (2 mx my + c1) (2 cxy + c2) / ((mx^2 + my^2 + c1) (vx + vy + c2)),   c1 = (0.01 range)^2, c2 = (0.03 range)^2

    with means m, variances v and covariance c under a Gaussian window of 11 x 11 pixels and sigma 1.5, wherever it
    lies inside the image (Wang et al., 2004, section III.B). Arguments as for `psnr`. MetricError below 11 pixels.
    """
    x, y, span = _image_pairs("ssim", images, truth, data_range)
    if min(x.shape[2:]) < _WINDOW:
        raise MetricError(f"ssim: images are {x.shape[2]} x {x.shape[3]} pixels; the window needs {_WINDOW} at least")
    mx, my = _blur(x), _blur(y)
    vx, vy, cov = _blur(x * x) - mx * mx, _blur(y * y) - my * my, _blur(x * y) - mx * my
    c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
    similarity = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return np.asarray(similarity.mean(axis=(1, 2, 3)))


def landmark_error(
    predicted: np.ndarray, truth: np.ndarray, visible: np.ndarray, eyes: tuple[int, int]
) -> NDArray[np.float64]:
    """Return each face's mean distance of visible landmarks from the truth, over the distance of the eyes, (N,).

    ``predicted`` and ``truth`` (N,L,2) in pixels, ``visible`` (N,L) bool, ``eyes`` the two landmarks whose distance
    normalises (the "inter-ocular" normalised mean error of the 300-W challenge, Sagonas et al., 2016). A face without
    a visible landmark gives NaN. MetricError for other shapes, or NaN.
    """
    if predicted.shape != truth.shape or truth.ndim != 3 or truth.shape[2] != 2 or visible.shape != truth.shape[:2]:
        raise MetricError(
            "landmark_error: predicted and truth must be (N,L,2) and visible (N,L), "
            f"got {predicted.shape}, {truth.shape} and {visible.shape}"
        )
    if not (np.isfinite(predicted).all() and np.isfinite(truth).all()):
        raise MetricError("landmark_error: a coordinate is NaN or infinite")
    distances = np.linalg.norm(predicted.astype(np.float64) - truth, axis=2)
    between = np.linalg.norm(truth[:, eyes[0]].astype(np.float64) - truth[:, eyes[1]], axis=1)
    count = visible.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(count > 0, (distances * visible).sum(1) / count / between, np.nan)


def segmentation_agreement(predicted: np.ndarray, truth: np.ndarray, classes: int) -> tuple[float, NDArray[np.float64]]:
    """Return (share of pixels that agree, intersection over union of each class (classes,)) of masks (N,H,W).

    Intersection and union are over all images together (the "IoU" of Everingham et al., 2010, section 5); a class
    that neither has gives NaN. MetricError for masks of different shapes or labels beyond ``classes``.
    """
    if predicted.shape != truth.shape or truth.ndim != 3:
        raise MetricError(f"segmentation_agreement: masks must be (N,H,W), got {predicted.shape} and {truth.shape}")
    for mask in (predicted, truth):
        if mask.dtype.kind not in "iu" or (mask.size and not 0 <= mask.min() <= mask.max() < classes):
            raise MetricError(f"segmentation_agreement: labels must be whole numbers from 0 to {classes - 1}")
    joint = np.bincount(truth.ravel().astype(np.int64) * classes + predicted.ravel(), minlength=classes**2)
    joint = joint.reshape(classes, classes)
    both, union = np.diag(joint), joint.sum(0) + joint.sum(1) - np.diag(joint)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(both.sum() / joint.sum()), np.where(union > 0, both / union, np.nan)


def _image_pairs(
    metric: str, images: np.ndarray, truth: np.ndarray, data_range: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    if images.shape != truth.shape or images.ndim != 4 or images.dtype != truth.dtype:
        raise MetricError(
            f"{metric}: both must be N,C,H,W of one shape and type, "
            f"got {images.dtype} {images.shape} and {truth.dtype} {truth.shape}"
        )
    for part in (images, truth):
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            raise MetricError(f"{metric}: there are NaN or infinite pixels")
    if data_range is None:
        data_range = 255.0 if images.dtype == np.uint8 else 2.0
    return images.astype(np.float64), truth.astype(np.float64), float(data_range)


def _blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve (N,C,H,W) with the Gaussian window, rows and then columns, where it lies inside: (N,C,H-10,W-10)."""
    place = np.arange(_WINDOW) - _WINDOW // 2
    window = np.exp(-(place**2) / (2 * _SIGMA**2))
    window /= window.sum()
    for axis in (2, 3):
        length = x.shape[axis] - _WINDOW + 1
        x = sum(weight * x[(slice(None),) * axis + (slice(i, i + length),)] for i, weight in enumerate(window))
    return x
