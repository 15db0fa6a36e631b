import numpy as np
import pytest
import scipy.ndimage

from scratchgan.metrics import MetricError, landmark_error, psnr, segmentation_agreement, ssim


def images(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = scipy.ndimage.gaussian_filter(rng.uniform(0, 255, (3, 3, 24, 20)), (0, 0, 2, 2))
    noisy = truth + rng.normal(0, [[[[2]]], [[[10]]], [[[40]]]], truth.shape)
    return noisy.clip(0, 255).astype(np.uint8), truth.astype(np.uint8)


def test_psnr_by_its_definition() -> None:
    noisy, truth = images(0)
    expected = [
        20 * np.log10(255) - 10 * np.log10(np.mean((a.astype(float) - b) ** 2))
        for a, b in zip(noisy, truth, strict=True)
    ]
    np.testing.assert_allclose(psnr(noisy, truth), expected, rtol=1e-12)
    assert psnr(truth, truth).tolist() == [np.inf] * 3
    floats = noisy / 127.5 - 1, truth / 127.5 - 1
    np.testing.assert_allclose(psnr(*floats), expected, rtol=1e-9)


def test_ssim_against_scipys_gaussian_filter() -> None:
    noisy, truth = images(1)

    def blur(x: np.ndarray) -> np.ndarray:  # truncate: 5 pixels to each side
        return scipy.ndimage.gaussian_filter(x, 1.5, truncate=3.5)[5:-5, 5:-5]

    expected = []
    for pair in zip(noisy, truth, strict=True):
        maps = []
        for x, y in zip(*(image.astype(float) for image in pair), strict=True):
            mx, my = blur(x), blur(y)
            vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
            c1, c2 = 2.55**2, 7.65**2
            maps.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
        expected.append(np.mean(maps))
    np.testing.assert_allclose(ssim(noisy, truth), expected, rtol=1e-9)
    assert expected[0] > expected[1] > expected[2]
    np.testing.assert_allclose(ssim(truth, truth), 1)


def test_ssim_and_psnr_refuse() -> None:
    noisy, truth = images(2)
    with pytest.raises(MetricError, match="10 x 20 pixels; the window needs 11"):
        ssim(noisy[:, :, :10], truth[:, :, :10])
    with pytest.raises(MetricError, match="one shape and type"):
        psnr(noisy, truth.astype(np.float32))
    broken = truth.astype(np.float32) / 255
    broken[1, 0, 0, 0] = np.nan
    with pytest.raises(MetricError, match="ssim: there are NaN"):
        ssim(broken, broken)


def test_landmark_error() -> None:
    truth = np.array([[[0, 0], [10, 0], [5, 5]], [[0, 0], [0, 4], [1, 1]]], np.float32)
    visible = np.array([[True, True, True], [False, False, True]])
    predicted = truth + np.array([3, 4], np.float32)  # 5 pixels off, everywhere
    np.testing.assert_allclose(landmark_error(predicted, truth, visible, (0, 1)), [0.5, 5 / 4])
    predicted[1, 0] = 1000  # which nobody sees
    np.testing.assert_allclose(landmark_error(predicted, truth, visible, (0, 1)), [0.5, 5 / 4])
    assert np.isnan(landmark_error(predicted, truth, np.zeros((2, 3), bool), (0, 1))).all()
    with pytest.raises(MetricError, match=r"\(N,L,2\)"):
        landmark_error(predicted[:, :2], truth, visible, (0, 1))
    predicted[0, 0, 0] = np.nan
    with pytest.raises(MetricError, match="NaN"):
        landmark_error(predicted, truth, visible, (0, 1))


def test_segmentation_agreement_by_sets_of_pixels() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, (2, 6, 5)).astype(np.uint8)
    predicted = np.where(rng.uniform(size=truth.shape) < 0.7, truth, rng.integers(0, 4, truth.shape)).astype(np.uint8)
    agreement, iou = segmentation_agreement(predicted, truth, 5)
    assert agreement == (predicted == truth).mean()
    for k in range(4):
        a, b = (set(np.flatnonzero(mask.ravel() == k)) for mask in (predicted, truth))
        np.testing.assert_allclose(iou[k], len(a & b) / len(a | b))
    assert np.isnan(iou[4])
    with pytest.raises(MetricError, match="whole numbers from 0 to 2"):
        segmentation_agreement(predicted, truth, 3)
    with pytest.raises(MetricError, match=r"\(N,H,W\)"):
        segmentation_agreement(predicted[0], truth, 4)
