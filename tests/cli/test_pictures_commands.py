"""`scratchgan sample` and `scratchgan interpolate`: what they write, and the walk through latent space."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from scratchgan.systems.walk import closed_walk, slerp
from scratchgan.train import load_run

FROM_RUN = "generated (synthetic) images: drawn by the generator of run 'finished' at step 6"


def read_npz(path):
    with np.load(path, allow_pickle=False) as archive:
        assert archive.files == ["images"]
        return archive["images"]


def test_sample_writes_a_grid_that_says_what_it_is(scratchgan, finished, tmp_path):
    path = tmp_path / "new" / "grid.png"
    result = scratchgan("sample", finished, "--n", 6, "--seed", 1, "--columns", 3, "--out", path)
    assert result == (0, f"{path}: 6 images from step 6\n", "")
    with Image.open(path) as picture:
        assert (picture.mode, picture.size) == ("L", (3 * 66 + 2, 2 * 66 + 2))  # 16 px four times enlarged, gaps of 2
        assert picture.text["Source"] == FROM_RUN
        pixels = np.asarray(picture)
    images = load_run(finished).sample(6, seed=1)
    assert (pixels[2:66:4, 2:66:4] == images[0, :, :, 0]).all()
    assert (pixels[68:132:4, 134:198:4] == images[5, :, :, 0]).all()


def test_sample_writes_arrays_that_depend_on_the_options(scratchgan, finished, tmp_path):
    def sample(name, *options):
        assert scratchgan("sample", finished, "--n", 5, "--out", tmp_path / name, *options).code == 0
        return read_npz(tmp_path / name)

    images = sample("a.npz", "--seed", 3)
    assert (images.dtype, images.shape) == (np.uint8, (5, 16, 16, 1))
    assert (images == load_run(finished).sample(5, seed=3)).all()
    for options in (
        ["--seed", 4],
        ["--seed", 3, "--raw"],
        ["--seed", 3, "--checkpoint", 4],
        ["--seed", 3, "--truncation", 0.1],
    ):
        other = sample("other.npz", *options)
        assert other.shape == images.shape
        assert (other != images).any(), options
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert archive.comment.decode() == FROM_RUN


def test_sample_names_the_checkpoints_that_there_are(failing, finished, tmp_path):
    line = failing(1, "sample", finished, "--checkpoint", 5, "--out", tmp_path / "x.png")
    assert "no checkpoint of step 5; it has 2, 4, 6" in line
    assert "holds no run" in failing(1, "sample", tmp_path, "--out", tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_interpolate_writes_a_gif_that_loops(scratchgan, finished, tmp_path):
    path = tmp_path / "walk.gif"
    options = ("--frames", 12, "--points", 3, "--fps", 10, "--size-multiplier", 2, "--seed", 5, "--truncation", 0.9)
    result = scratchgan("interpolate", finished, "--out", path, *options)
    assert result == (0, f"{path}: 12 images between 3 latent vectors, from step 6\n", "")
    with Image.open(path) as gif:
        assert (gif.size, gif.info["loop"], gif.n_frames) == ((32, 32), 0, 12)
        assert gif.info["comment"].decode() == FROM_RUN
        frames = []
        for frame in range(12):
            gif.seek(frame)
            assert gif.info["duration"] == 100
            frames.append(np.asarray(gif.convert("L"))[::2, ::2])
    # Every fourth frame is the image of a latent vector itself.
    images = load_run(finished).sample(3, seed=5, truncation=0.9)
    assert (np.array(frames[::4]) == images[:, :, :, 0]).all()
    assert (frames[2] != frames[0]).any()


def test_interpolate_writes_a_strip(scratchgan, finished, tmp_path):
    path = tmp_path / "strip.png"
    result = scratchgan("interpolate", finished, "--out", path, "--frames", 8, "--points", 2, "--size-multiplier", 1)
    assert result.code == 0
    with Image.open(path) as picture:
        assert picture.size == (4 * 18 + 2, 2 * 18 + 2)
        assert picture.text["Source"] == FROM_RUN
        pixels = np.asarray(picture)
    # Each row starts at a latent vector's own image.
    images = load_run(finished).sample(2, seed=0)
    assert (pixels[2:18, 2:18] == images[0, :, :, 0]).all()
    assert (pixels[20:36, 2:18] == images[1, :, :, 0]).all()


def test_slerp_follows_the_circle():
    a, b = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    for t in (0.0, 0.25, 0.5, 1.0):
        np.testing.assert_allclose(slerp(a, b, t), [np.cos(t * np.pi / 2), np.sin(t * np.pi / 2)], atol=1e-12)
    np.testing.assert_allclose(slerp(a, 3 * a, 0.5), 2 * a)
    np.testing.assert_allclose(slerp(a, -a, 0.25), 0.5 * a)
    np.testing.assert_allclose(slerp(0 * a, b, 0.25), 0.25 * b)  # truncation 0 makes every vector 0


def test_a_walk_is_closed_and_its_steps_are_even():
    points = np.random.default_rng(0).standard_normal((5, 64)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    walk = closed_walk(points, 40)
    assert (walk.dtype, walk.shape) == (np.float32, (40, 64))
    np.testing.assert_allclose(walk[::8], points, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(walk, axis=1), 1, rtol=1e-5)
    around = np.concatenate([walk, walk[:1]])
    steps = np.linalg.norm(np.diff(around, axis=0), axis=1).reshape(5, 8)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[:, :1], steps.shape), rtol=1e-3)


@pytest.mark.parametrize("frames", [2, 7, 96])
def test_a_walk_has_as_many_frames_as_asked_for(frames):
    points = np.random.default_rng(0).standard_normal((6, 8))
    assert closed_walk(points, frames).shape == (frames, 8)
