"""toyfaces: the same bits everywhere, truth that agrees with the pixels, splits that stay apart, a cache that heals."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from scratchgan.data import toyfaces
from scratchgan.data.dataset import DataError
from scratchgan.data.toyfaces import pairs, sheets, training_set
from scratchgan.data.toyfaces.drawlist import (
    BACKGROUND,
    BEARD,
    BROWS,
    EYES,
    GLASSES,
    HAIR,
    HAT,
    MOUTH,
    NOSE,
    SKIN,
)
from scratchgan.data.toyfaces.factors import GROUPS, TABLE, in_held_out_cell
from scratchgan.data.toyfaces.head import Head, sin_cos
from scratchgan.data.toyfaces.trajectories import trajectory
from scratchgan.kernels import jit

ARRAYS = ("image", "alpha", "mask", "depth", "landmarks", "visibility")


def landmark(faces, name):
    return faces.landmarks[:, toyfaces.LANDMARKS.index(name)]


def digest(*arrays):
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()[:16]


# --- bits ------------------------------------------------------------------------------------------------------

GOLDEN = {
    16: "a5678d4a7ef5e758",
    32: "c98bfd679370da3c",
    64: "5ff6865af8a4820e",
    128: "a26eb26a37987a9c",
}


@pytest.mark.parametrize("size", GOLDEN)
def test_golden_hashes(size):
    """A change here is a new RENDERER_VERSION."""
    faces = toyfaces.render(toyfaces.sample_factors(24, seed=7), size)
    assert digest(*(getattr(faces, name) for name in ARRAYS)) == GOLDEN[size]


def test_golden_hash_of_sampling_and_pairs():
    factors = toyfaces.sample_factors(12, seed=7)
    faces = toyfaces.render(factors, 32)
    fallen = pairs.weather(faces, pairs.sample_weather(12, seed=7))
    film = trajectory(12, identity=3, seed=7)
    assert digest(*factors.values(), *film.values()) == "c1159a2c7d90ea99"
    assert (
        digest(fallen.image, pairs.pixel_art(faces.image, 16).index, pairs.landmark_drawing(faces))
        == "70c2bb4b607ee32e"
    )


def test_a_face_alone_in_a_batch_or_among_threads_has_the_same_bits(monkeypatch):
    factors = toyfaces.sample_factors(70, seed=3)
    together = toyfaces.render(factors, 32)
    alone = [toyfaces.render(toyfaces.take(factors, slice(i, i + 1)), 32) for i in (0, 15, 16, 69)]
    with ThreadPoolExecutor(4) as pool:
        crowd = list(pool.map(lambda _: toyfaces.render(factors, 32), range(4)))
    for threads in (1, 5):
        monkeypatch.setattr(jit, "get_num_threads", lambda threads=threads: threads)
        crowd.append(toyfaces.render(factors, 32))
    for name in ARRAYS:
        expected = getattr(together, name)
        for i, one in zip((0, 15, 16, 69), alone, strict=True):
            assert np.array_equal(getattr(one, name)[0], expected[i]), name
        assert all(np.array_equal(getattr(other, name), expected) for other in crowd), name


def test_a_sample_does_not_depend_on_how_many_are_drawn():
    few, many = toyfaces.sample_factors(5, seed=2), toyfaces.sample_factors(50, seed=2)
    assert all(np.array_equal(few[name], many[name][:5]) for name in TABLE)
    assert not np.array_equal(many["yaw"], toyfaces.sample_factors(50, seed=3)["yaw"])


def test_sine_and_cosine():
    degrees = np.linspace(-45, 45, 181)
    sine, cosine = sin_cos(degrees)
    assert np.allclose(sine, np.sin(np.radians(degrees)), rtol=0, atol=1e-11)
    assert np.allclose(cosine, np.cos(np.radians(degrees)), rtol=0, atol=1e-11)


# --- factors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ({"yaw": 36.0}, ("'yaw'", "36", "-35 to 35")),
        ({"yaw": [0.0, np.nan]}, ("'yaw'", "nan", "-35 to 35")),
        ({"smile": "big"}, ("'smile'", "big")),
        ({"hat": "bowler"}, ("'hat'", "'bowler'", "beanie, cap, straw, party")),
        ({"hair_style": 8}, ("'hair_style'", "8", "0 to 7")),
        ({"hair_style": 1.5}, ("'hair_style'", "1.5", "0 to 7")),
        ({"hair_style": -1}, ("'hair_style'", "-1")),
        ({"yawn": 0.0}, ("'yawn'", "yaw, pitch")),
        ({"yaw": np.zeros(3), "roll": np.zeros(2)}, ("'roll'", "2 values", "3")),
        ({"yaw": np.zeros((2, 2))}, ("'yaw'", "(2, 2)")),
    ],
)
def test_bad_factors_are_named_with_value_and_range(factors, words):
    with pytest.raises(DataError) as error:
        toyfaces.render(factors)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("size", [15, 129, 32.0, True])
def test_bad_size(size):
    with pytest.raises(DataError, match=r"16 to 128"):
        toyfaces.render({}, size)


def test_samples_cover_the_table_and_stay_in_range():
    for portrait in (False, True):
        sample = toyfaces.sample_factors(4_000, seed=1, portrait=portrait)
        assert all(np.array_equal(sample[name], array) for name, array in toyfaces.validate(sample).items())
        for name, f in TABLE.items():
            if f.categories and f.probability is None:
                counts = np.bincount(sample[name], minlength=len(f.categories)) / 4_000
                # 1,000 persons: their own share of a category strays by sqrt(p / 1000), three of which are allowed
                assert np.all(np.abs(counts - 1 / len(f.categories)) < 3.5 / np.sqrt(1_000 * len(f.categories))), name
            elif not f.categories:
                low, high = f.portrait if portrait and f.portrait else (f.low, f.high)
                assert low <= sample[name].min() < low + 0.02 * (high - low), name
                assert high - 0.02 * (high - low) < sample[name].max() <= high, name


def test_json_goes_there_and_back_and_keeps_to_the_schema():
    sample = toyfaces.sample_factors(3, seed=5)
    schema = json.loads(json.dumps(toyfaces.schema()))
    faces = json.loads(json.dumps(toyfaces.to_json(sample)))
    for i, face in enumerate(faces):
        assert set(face) == set(schema["properties"])
        for name, value in face.items():
            entry = schema["properties"][name]
            assert value in entry["enum"] if "enum" in entry else entry["minimum"] <= value <= entry["maximum"]
        back = toyfaces.validate(face)
        assert all(np.array_equal(back[name][0], sample[name][i]) for name in TABLE)
    assert toyfaces.to_vector(sample).shape == (3, len(TABLE))


# --- splits ----------------------------------------------------------------------------------------------------


def test_splits_share_no_person():
    persons = {split: set(toyfaces.sample_identities(20_000, 0, split).tolist()) for split in ("train", "test")}
    assert persons["train"] == set(range(1_000))
    assert persons["test"] == set(range(1_000, 1_100))
    table = toyfaces.identity_factors(np.arange(1_100))
    vectors = np.stack(list(table.values()), axis=1)
    assert len(np.unique(vectors, axis=0)) == 1_100
    sample = toyfaces.sample_factors(100, seed=4, split="test")
    who = toyfaces.sample_identities(100, 4, "test")
    assert all(np.array_equal(sample[name], array[who]) for name, array in table.items())


def test_the_held_out_cell_is_only_in_its_split():
    for split, inside in (("train", False), ("test", False), ("cell", True)):
        assert np.all(in_held_out_cell(toyfaces.sample_factors(5_000, 0, split)) == inside)
    train = toyfaces.sample_factors(5_000)
    for name, category in toyfaces.HELD_OUT_CELL.items():  # each alone is there to be learnt
        worn = (train[f"{name}_present"] == 1) & (train[name] == TABLE[name].categories.index(category))
        assert worn.sum() > 100


def test_correlation_of_hat_and_background():
    free, bound = (toyfaces.sample_factors(2_000, correlation=c) for c in (0.0, 1.0))
    assert np.array_equal(bound["hat_present"] == 1, bound["background_a"] < 4)
    assert abs(np.corrcoef(free["hat_present"], free["background_a"] < 4)[0, 1]) < 0.08


def test_unknown_split():
    with pytest.raises(DataError, match=r"'validation'.*train, test, cell"):
        toyfaces.sample_factors(1, split="validation")


# --- truth -----------------------------------------------------------------------------------------------------


def test_every_class_occurs_and_alpha_agrees_with_the_mask():
    faces = toyfaces.render(toyfaces.sample_factors(200, seed=1), 48)
    assert set(np.unique(faces.mask)) == set(range(len(toyfaces.CLASSES)))
    person = faces.mask != BACKGROUND
    assert np.all(faces.alpha[person] > 96)
    assert np.all(faces.alpha[~person] < 160)
    assert np.all(faces.depth[~person] == -1)
    assert np.all(faces.depth[person] > -1)


def middle(pixels):
    """Where a feature's pixels (S, S) bool are in the mean, as x, y."""
    ys, xs = np.nonzero(pixels)
    return np.array([xs.mean(), ys.mean()])


def top(pixels):
    return np.array([0, np.nonzero(pixels)[0].min()])


def bottom(pixels):
    return np.array([0, np.nonzero(pixels)[0].max()])


LEFT, RIGHT = np.s_[:, :, 64:], np.s_[:, :, :64]  # what to blank out to be left with one side


@pytest.mark.parametrize(
    ("factor", "low", "high", "point", "klass", "measure", "blank", "axis"),
    [
        ("yaw", -20.0, 20.0, "nose_tip", NOSE, middle, None, 0),
        ("pitch", -15.0, 15.0, "nose_tip", NOSE, middle, None, 1),
        ("roll", -10.0, 10.0, "mouth_top", MOUTH, middle, None, 0),
        ("shift_x", -0.1, 0.1, "mouth_top", MOUTH, middle, None, 0),
        ("shift_y", -0.1, 0.1, "mouth_top", MOUTH, middle, None, 1),
        ("mouth_open", 0.2, 1.0, "mouth_bottom", MOUTH, bottom, None, 1),
        ("smile", 1.0, 0.2, "mouth_left", MOUTH, top, None, 1),
        ("brow_raise", -1.0, 1.0, "brow_right_middle", BROWS, middle, RIGHT, 1),
        ("eye_open_left", 0.3, 1.0, "eye_left_top", EYES, top, LEFT, 1),
        ("eye_spacing", 0.9, 1.1, "pupil_left", EYES, middle, LEFT, 0),
    ],
)
def test_moving_a_factor_moves_its_landmark_and_its_pixels_alike(factor, low, high, point, klass, measure, blank, axis):
    still = {"hair_style": "buzz", "line_width": 0.2}
    faces = toyfaces.render({**still, factor: np.array([low, high])}, 128)
    expected = np.diff(landmark(faces, point)[:, axis])[0]
    pixels = faces.mask == klass
    if blank is not None:
        pixels[blank] = False
    shown = (measure(pixels[1]) - measure(pixels[0]))[axis]
    assert abs(expected) > 1.5
    assert abs(shown - expected) < 1.5 + 0.1 * abs(expected)


def test_the_gaze_moves_the_dark_of_the_eye():
    faces = toyfaces.render({"gaze_x": np.array([-0.6, 0.6]), "hair_style": "buzz", "eye_size": 1.18}, 128)
    places = []
    for i in range(2):
        y = int(landmark(faces, "pupil_right")[i, 1]) + 2
        row = (faces.mask[i, y] == EYES) & (faces.image[i, :, y].max(axis=0) < 90)
        row[:64] = False
        places.append(np.nonzero(row)[0].mean())
    assert np.diff(places)[0] == pytest.approx(np.diff(landmark(faces, "pupil_right")[:, 0])[0], abs=1.5)


def test_landmarks_lie_on_the_pixels_they_name():
    """In faces without cover, every visible landmark of a feature is on, or within two pixels of, its class."""
    sample = toyfaces.sample_factors(60, seed=9)
    for name in ("glasses_present", "hat_present", "beard_present"):
        sample[name][:] = 0
    sample["brow_thickness"][:] = 1.6
    sample["hair_style"][:] = 0
    faces = toyfaces.render(sample, 128)
    expected = {"brow": BROWS, "eye": EYES, "mouth": MOUTH, "lip": MOUTH}
    checked = 0
    for m, name in enumerate(toyfaces.LANDMARKS):
        klass = expected.get(name.split("_")[0])
        for i in np.flatnonzero(faces.visibility[:, m]) if klass is not None else ():
            x, y = np.floor(faces.landmarks[i, m]).astype(int)
            near = faces.mask[i, max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4]
            # the nose stands out of the face and may cover a mouth or an eye that is seen from the side
            assert klass in near or NOSE in near, (name, i)
            checked += 1
    assert checked > 800


def test_turning_hides_what_is_behind():
    left, right = toyfaces.LANDMARKS.index("jaw_0"), toyfaces.LANDMARKS.index("jaw_6")
    seen = toyfaces.render({"yaw": np.array([-35.0, 35.0]), "hair_style": "bun"}, 64).visibility
    assert not seen[0, left]
    assert not seen[1, right]
    eyes = [toyfaces.LANDMARKS.index(f"pupil_{side}") for side in ("left", "right")]
    shades = toyfaces.render({"glasses_present": 1, "glasses": ["round", "sun"]}, 64).visibility
    assert shades[0, eyes].all()
    assert not shades[1, eyes].any()
    shut = toyfaces.render({"eye_open_left": 0.0}, 64).visibility
    assert shut[0, eyes].tolist() == [False, True]
    outside = toyfaces.render({"shift_x": -0.15, "yaw": -35.0, "roll": 20.0, "shift_y": 0.15}, 64)
    beyond = np.any((outside.landmarks < 0) | (outside.landmarks >= 64), axis=2)
    assert not np.any(outside.visibility & beyond)


def test_accessories_change_their_class_and_presence_bits_rule():
    base = {"hair_style": "parted"}
    none = toyfaces.render({**base, "hat": "straw", "glasses": "sun", "beard": "full"}, 64)
    assert not np.isin(none.mask, (GLASSES, HAT, BEARD)).any()
    assert np.array_equal(none.image, toyfaces.render(base, 64).image)
    worn = toyfaces.render({**base, "hat_present": 1, "hat": "beanie"}, 64)
    assert (worn.mask == HAT).sum() > 300
    assert (worn.mask == HAIR).sum() < (none.mask == HAIR).sum()


def test_depth_grows_toward_the_nose():
    faces = toyfaces.render({"hair_style": "buzz"}, 64)
    nose = tuple(np.floor(landmark(faces, "nose_tip")[0]).astype(int))
    cheek, edge = (nose[0] - 9, nose[1]), (nose[0] - 19, nose[1])
    depths = [faces.depth[0, y, x] for x, y in (nose, cheek, edge)]
    assert faces.mask[0, nose[1], nose[0]] == NOSE
    assert faces.mask[0, cheek[1], cheek[0]] == SKIN
    assert depths[0] > depths[1] > depths[2]


def test_the_outline_and_its_inverse_agree():
    """The painted silhouette of a bald-like head ends where ``Head.outline`` says."""
    factors = toyfaces.validate({"hair_style": "buzz", "jaw": np.array([0.0, 0.5, 1.0]), "roll": 15.0})
    faces = toyfaces.render(factors, 128)
    head = Head.of(factors)
    for angle in np.radians([20, 60, 90, 120, 160]):  # below the ears' middle: sides and chin
        for radius, inside in ((0.96, True), (1.04, False)):
            x, y = head.outline(radius * np.cos(angle), radius * np.sin(angle))
            column, row = np.floor((x + 1) * 64).astype(int), np.floor((y + 1) * 64).astype(int)
            klass = faces.mask[np.arange(3), row, column]
            assert np.all((klass == SKIN) == inside) or (not inside and np.all(klass != SKIN)), (
                angle,
                radius,
            )


# --- pairs, films and sheets -----------------------------------------------------------------------------------


def test_pixel_art_is_the_look_up_of_its_index_and_the_nearest_colour():
    faces = toyfaces.render(toyfaces.sample_factors(4), 64)
    art = pairs.pixel_art(faces.image, 16)
    assert np.array_equal(pairs.PIXEL_ART_COLOURS[art.index].transpose(0, 3, 1, 2), art.image)
    means = faces.image.reshape(4, 3, 16, 4, 16, 4).mean(axis=(3, 5))
    gap = ((means[:, None] - pairs.PIXEL_ART_COLOURS[None, :, :, None, None].astype(float)) ** 2).sum(axis=2)
    chosen = np.take_along_axis(gap, art.index[:, None].astype(int), axis=1)[:, 0]
    # rounding moves a mean by up to sqrt(3) / 2, and so each of two distances
    assert np.all(np.sqrt(chosen) <= np.sqrt(gap.min(axis=1)) + np.sqrt(3))
    assert np.array_equal(pairs.pixel_art(art.image, 16).index, pairs.pixel_art(art.image, 16).index)
    with pytest.raises(DataError, match="multiple of 24"):
        pairs.pixel_art(faces.image, 24)


def test_weather_keeps_the_clean_image_and_changes_only_where_it_says():
    faces = toyfaces.render(toyfaces.sample_factors(6), 64)
    sky = pairs.sample_weather(6, seed=1)
    sky["haze"][:] = 0
    wet = pairs.weather(faces, sky)
    assert np.array_equal(wet.clean, faces.image)
    dry = np.repeat((wet.fall == 0)[:, None], 3, axis=1)
    assert np.array_equal(wet.image[dry], wet.clean[dry])
    assert np.all(wet.image >= wet.clean)
    assert np.all(wet.fall.reshape(6, -1).max(axis=1) > 60)
    sky["density"][:] = 1.0
    assert np.all(pairs.weather(faces, sky).fall >= wet.fall)
    seeds = [set(pairs.sample_weather(500, 0, split)["seed"].tolist()) for split in ("train", "test", "cell")]
    assert len(set.union(*seeds)) == sum(len(part) for part in seeds)


def test_films_are_smooth_and_keep_the_person():
    film = trajectory(150, identity=12, seed=1)
    longer = trajectory(200, identity=12, seed=1)
    person = toyfaces.identity_factors(12)
    for name, f in TABLE.items():
        assert np.array_equal(film[name], longer[name][:150]), name
        if f.group == "identity":
            assert np.all(film[name] == person[name]), name
        if f.group in ("pose", "expression") and name not in ("shift_x", "shift_y"):
            assert np.ptp(film[name]) > 0.2 * (f.high - f.low) * (0.4 if f.group == "pose" else 1.0), name
        step = 0.5 if name.startswith(("eye_open", "mouth")) else 0.15
        assert np.abs(np.diff(film[name])).max() <= step * (f.high - f.low), name
    assert film["eye_open_left"].min() < 0.05  # a blink shuts the eyes
    still = trajectory(20, identity=12, motions=())
    assert all(np.ptp(array) == 0 for array in still.values())
    with pytest.raises(DataError, match=r"'dance'.*talk, blink, nod"):
        trajectory(5, 0, motions=("dance",))


def test_sheets():
    faces = toyfaces.render(toyfaces.sample_factors(5), 16).image
    sheet = sheets.contact_sheet(faces, columns=3, scale=2)
    assert sheet.shape == (64, 96, 3)
    assert np.array_equal(sheet[::2, ::2][16:, 16:32], faces[4].transpose(1, 2, 0))
    rows = sheets.factor_sheet(("yaw", "hat"), columns=4, size=32)
    assert rows.shape[0] == 64
    assert np.array_equal(
        rows[32:, -32:], toyfaces.render({"hat": 3, "hat_present": 1}, 32).image[0].transpose(1, 2, 0)
    )


# --- the data set ----------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setattr(training_set, "cache_folder", lambda: folder)
    return folder


def test_dataset_is_cached_and_a_damaged_cache_is_drawn_anew(cache, monkeypatch):
    first = toyfaces.dataset(40, size=16, quiet=True)
    assert first.shape == (3, 16, 16)
    assert first.classes == TABLE["hair_colour"].categories
    assert first.labels.tolist() == toyfaces.sample_factors(40)["hair_colour"].tolist()
    (file,) = cache.iterdir()
    whole = file.read_bytes()

    with monkeypatch.context() as patch:  # a good cache is read, not drawn
        patch.setattr(training_set, "render", None)
        assert toyfaces.dataset(40, size=16, quiet=True).fingerprint() == first.fingerprint()

    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damage in (bytes(flipped), whole[: len(whole) // 2], b"", b"not an archive"):
        file.write_bytes(damage)
        assert toyfaces.dataset(40, size=16, quiet=True).fingerprint() == first.fingerprint()
        assert file.read_bytes() == whole
    assert [path.name for path in cache.iterdir()] == [file.name]  # no temporary file is left


def test_dataset_without_a_writable_cache_warns_and_goes_on(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setattr(training_set, "cache_folder", lambda: blocked / "toyfaces")
    with pytest.warns(RuntimeWarning, match="SCRATCHGAN_CACHE_DIR"):
        assert len(toyfaces.dataset(3, size=16, quiet=True)) == 3


def test_a_bar_is_drawn_in_a_terminal_and_only_there(cache, monkeypatch, capsys):
    monkeypatch.setattr(training_set, "_BAR_AFTER_SECONDS", 0.0)
    toyfaces.dataset(600, size=16)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    toyfaces.dataset(601, size=16, quiet=True)
    assert capsys.readouterr() == ("", "")
    toyfaces.dataset(602, size=16)
    out, err = capsys.readouterr()
    assert out == ""
    assert "drawing toy faces" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0}, "n=0"),
        ({"n": 10**12}, "1000000000000 images .* GiB"),
        ({"size": 8}, "size=8"),
        ({"split": "dev"}, "'dev'"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**64}, r"2\*\*63"),
    ],
)
def test_dataset_refuses(cache, arguments, words):
    with pytest.raises(DataError, match=words):
        toyfaces.dataset(**{"n": 4, "size": 16, **arguments})
    assert not cache.exists()


def test_importing_is_light():
    code = "import scratchgan.data.toyfaces, sys; print({'numba', 'PIL', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_table_names_groups_of_the_specification():
    assert GROUPS == ("identity", "accessories", "pose", "expression", "style", "background")
    assert len(TABLE["hair_style"].categories) * len(TABLE["skin_tone"].categories) == 48


def test_the_page_lists_every_factor_with_its_values():
    page = (Path(__file__).parents[2] / "docs" / "toyfaces.md").read_text("utf-8")
    for f in toyfaces.FACTORS:
        values = ", ".join(f.categories) if f.categories else f"{f.low:g} to {f.high:g}"
        portrait = f"{f.portrait[0]:g} to {f.portrait[1]:g} |" if f.portrait else "|"
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{f.name}` |")]
        assert f"| {f.group} | {f.meaning} | {values}" in line
        assert line.endswith(portrait)
    assert f"renderer version {toyfaces.RENDERER_VERSION}" in page
