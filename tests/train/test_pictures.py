"""Grids, curves, and what the picture files say about themselves."""

import numpy as np
import pytest
from PIL import Image

from scratchgan.systems.two_player import game_panels
from scratchgan.train.curves import draw_curves
from scratchgan.train.losses import LOSSES
from scratchgan.train.pictures import image_grid, provenance, save_png, to_uint8


def test_floats_become_bytes_by_rounding():
    images = np.array([-2, -1, -0.5, 0, 0.999, 1, 3], np.float32).reshape(1, 1, 1, 7)
    assert to_uint8(images).ravel().tolist() == [0, 0, 64, 128, 255, 255, 255]
    assert to_uint8(np.zeros((2, 3, 4, 5), np.float32)).shape == (2, 4, 5, 3)


def test_every_image_is_in_its_place():
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1) * np.ones((5, 4, 6, 3), np.uint8)
    grid = image_grid(images, columns=3, scale=2)
    assert grid.shape == (2 * 10 + 2, 3 * 14 + 2, 3)
    for i in range(5):
        top, left = 2 + i // 3 * 10, 2 + i % 3 * 14
        assert (grid[top : top + 8, left : left + 12] == i).all()
    assert (grid[12:, 30:] == 255).all()  # the sixth place is empty


def test_small_images_are_enlarged_and_large_ones_are_not():
    assert image_grid(np.zeros((64, 28, 28, 1), np.uint8)).shape == (8 * 58 + 2, 8 * 58 + 2, 1)
    assert image_grid(np.zeros((4, 128, 128, 3), np.uint8)).shape == (2 * 130 + 2, 2 * 130 + 2, 3)


def test_a_grid_of_the_wrong_array_is_refused():
    with pytest.raises(ValueError, match="must be uint8 N,H,W,C"):
        image_grid(np.zeros((4, 3, 8, 8), np.float32))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_file_holds_the_pixels_and_says_that_they_are_synthetic(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, channels), dtype=np.uint8)
    save_png(tmp_path / "a.png", pixels, provenance("runs/fashion", 300))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == {1: "L", 3: "RGB"}[channels]
        assert np.array_equal(np.asarray(picture).reshape(pixels.shape), pixels)
        assert picture.text["Software"].startswith("scratchgan ")
        assert "generated (synthetic)" in picture.text["Source"]
        assert "'runs/fashion' at step 300" in picture.text["Source"]


def line(step, **values):
    return {"step": step, "loss_d": 1.0, "loss_g": 1.0, "d_real": 0.5, "d_fake": 0.5} | values


def has_colour(picture, rgb):
    return (np.abs(picture.astype(int) - rgb).sum(axis=2) < 30).any(axis=1)


def test_a_curve_is_drawn_where_its_values_are():
    log = [line(step, d_real=0.9, d_fake=0.1) for step in range(1, 101)]
    lower = draw_curves(log, "a run", game_panels(LOSSES["bce"]))[450:]  # the panel of D's answers, below its legend
    real, fake = (np.flatnonzero(has_colour(lower, rgb)) for rgb in [(31, 107, 176), (217, 95, 14)])
    assert real.max() < 100
    assert fake.min() > 200


@pytest.mark.parametrize(
    "log",
    [[], [line(1)], [line(5), line(6)], [line(s, loss_d=-1e6 * s, d_real=1e-9 * s) for s in range(300)]],
    ids=["nothing", "one step", "constant", "wild"],
)
def test_any_log_can_be_drawn(log):
    assert draw_curves(log, "a run", game_panels(LOSSES["hinge"])).shape == (802, 900, 3)
