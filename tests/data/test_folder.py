"""Folders of pictures: every mode and format, orders and labels, and the bad file named before it does harm."""

import contextlib
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scratchgan.data import DataError
from scratchgan.data.folder import MAX_PIXELS, SUFFIXES, decode, read_folder

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def picture(path: Path, array: np.ndarray = RGB, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def planes(array: np.ndarray) -> np.ndarray:
    """C,H,W of an H,W or H,W,C array."""
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


# --- modes and formats ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp"])
def test_grey_and_rgb_come_back_exactly(tmp_path: Path, suffix: str):
    options = {"lossless": True} if suffix == ".webp" else {}
    np.testing.assert_array_equal(decode(picture(tmp_path / f"a{suffix}", RGB, **options)), planes(RGB))
    np.testing.assert_array_equal(decode(picture(tmp_path / f"b{suffix}", GREY, **options)), GREY[None])


def test_jpeg_comes_back_nearly(tmp_path: Path):
    smooth = np.linspace(0, 255, 16 * 16 * 3).reshape(16, 16, 3).astype(np.uint8)
    np.testing.assert_allclose(decode(picture(tmp_path / "a.JPG", smooth, quality=95)), planes(smooth), atol=8)
    Image.fromarray(smooth).convert("CMYK").save(tmp_path / "cmyk.jpeg", quality=95)
    np.testing.assert_allclose(decode(tmp_path / "cmyk.jpeg"), planes(smooth), atol=8)


def test_rgb_that_says_the_same_thrice_is_grey(tmp_path: Path):
    np.testing.assert_array_equal(decode(picture(tmp_path / "a.png", np.dstack([GREY] * 3))), GREY[None])


def test_palettes(tmp_path: Path):
    colours = np.array([[250, 10, 20], [30, 240, 40], [50, 60, 230]], np.uint8)
    indices = RNG.integers(0, 3, (6, 9), dtype=np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(colours.tobytes())  # makes it mode P
    for name in ("a.png", "a.gif"):
        image.save(tmp_path / name)
        np.testing.assert_array_equal(decode(tmp_path / name), planes(colours[indices]))
    image.save(tmp_path / "clear.png", transparency=1)
    colours[1] = 255
    np.testing.assert_array_equal(decode(tmp_path / "clear.png"), planes(colours[indices]))


def test_an_animation_gives_its_first_frame(tmp_path: Path):
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(tmp_path / "a.gif"), np.full((1, 4, 4), 10))


@pytest.mark.parametrize("colour", [GREY[..., None], RGB], ids=["LA", "RGBA"])
def test_alpha_is_laid_on_white(tmp_path: Path, colour: np.ndarray):
    alpha = RNG.integers(0, 256, (6, 9, 1), dtype=np.uint8)
    path = picture(tmp_path / "a.png", np.concatenate([colour, alpha], axis=2))
    share = alpha / 255
    np.testing.assert_array_equal(decode(path), planes(np.rint(colour * share + 255 * (1 - share))))


def test_transparent_colour_of_grey_and_rgb(tmp_path: Path):
    grey = np.array([[7, 8], [9, 10]], np.uint8)
    path = picture(tmp_path / "grey.png", grey, transparency=8)
    np.testing.assert_array_equal(decode(path), [[[7, 255], [9, 10]]])
    rgb = np.dstack([grey, grey + 1, grey + 2])
    path = picture(tmp_path / "rgb.png", rgb, transparency=(9, 10, 11))
    np.testing.assert_array_equal(decode(path), planes(np.where(grey[..., None] == 9, 255, rgb)))


def test_sixteen_bits_become_eight(tmp_path: Path):
    deep = np.array([[0, 257, 128 * 257 + 100], [65535, 65535 - 128, 129]], np.uint16)
    np.testing.assert_array_equal(decode(picture(tmp_path / "a.png", deep)), [[[0, 1, 128], [255, 255, 1]]])


def test_one_bit(tmp_path: Path):
    bits = RNG.integers(0, 2, (6, 9)).astype(bool)
    np.testing.assert_array_equal(decode(picture(tmp_path / "a.png", bits)), bits[None] * 255)


# EXIF 2.3, tag 0x0112: where the stored picture's row 0 and column 0 belong.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = picture(tmp_path / "a.png", RGB, exif=exif)
    np.testing.assert_array_equal(decode(path), planes(UPRIGHT[orientation](RGB)))


def test_damaged_exif_does_not_matter(tmp_path: Path):
    path = picture(tmp_path / "a.png", RGB, exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff nonsense")
    np.testing.assert_array_equal(decode(path), planes(RGB))


# --- layout -----------------------------------------------------------------------------------------------


def test_a_flat_folder_is_unlabelled_and_in_order_of_name(tmp_path: Path, capsys: pytest.CaptureFixture):
    for value, name in enumerate(["a.png", "b10.png", "b2.jpg", "c.GIF"]):
        picture(tmp_path / name, np.full((2, 3), 60 * value, np.uint8))
    (tmp_path / ".hidden.png").write_bytes(b"not a picture")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "LICENSE").touch()
    dataset = read_folder(tmp_path)
    np.testing.assert_array_equal(dataset.pixels[:, 0, 0, 0], [0, 60, 120, 180])
    assert (dataset.shape, dataset.labels, dataset.classes, dataset.name) == ((1, 2, 3), None, (), tmp_path.name)
    assert "left out 2 other files (.txt, no suffix)" in capsys.readouterr().err
    read_folder(tmp_path, quiet=True)
    assert capsys.readouterr().err == ""


def test_subfolders_are_classes(tmp_path: Path):
    for name, value in [("yak/1.png", 1), ("owl/2.png", 2), ("yak/0.png", 3), ("emu/x.png", 4)]:
        picture(tmp_path / name, np.full((2, 2), value, np.uint8))
    (tmp_path / "empty").mkdir()
    picture(tmp_path / ".trash" / "a.png")
    dataset = read_folder(tmp_path, quiet=True)
    assert dataset.classes == ("emu", "owl", "yak")
    np.testing.assert_array_equal(dataset.labels, [0, 1, 2, 2])
    np.testing.assert_array_equal(dataset.pixels[:, 0, 0, 0], [4, 2, 3, 1])


def test_grey_only_when_every_picture_is(tmp_path: Path):
    picture(tmp_path / "a.png", GREY)
    assert read_folder(tmp_path).shape[0] == 1
    picture(tmp_path / "b.png", RGB)
    dataset = read_folder(tmp_path)
    np.testing.assert_array_equal(dataset.pixels, [planes(np.dstack([GREY] * 3)), planes(RGB)])


def test_sizes_must_agree_or_be_asked_for(tmp_path: Path):
    picture(tmp_path / "a.png", GREY)
    picture(tmp_path / "b.png", RGB[:5])
    with pytest.raises(DataError, match=r"b\.png: is 9x5 pixels but a\.png is 9x6: pass --size"):
        read_folder(tmp_path, quiet=True)
    assert read_folder(tmp_path, size=4, quiet=True).shape == (3, 4, 4)


def test_a_limit_is_a_seeded_choice_and_decodes_no_more(tmp_path: Path):
    for value in range(20):
        picture(tmp_path / f"{value:02}.png", np.full((2, 2), value, np.uint8))
    chosen = [read_folder(tmp_path, limit=5, seed=seed, quiet=True).pixels[:, 0, 0, 0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(chosen[0], chosen[1])
    assert not np.array_equal(chosen[0], chosen[2])
    assert len(chosen[0]) == 5
    assert (np.diff(chosen[0]) > 0).all()
    for value in set(range(20)) - set(chosen[0].tolist()):
        (tmp_path / f"{value:02}.png").write_bytes(b"damaged")
    np.testing.assert_array_equal(read_folder(tmp_path, limit=5, quiet=True).pixels[:, 0, 0, 0], chosen[0])


def test_folders_without_a_meaning_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"absent: can't be read \(No such file"):
        read_folder(tmp_path / "absent")
    with pytest.raises(DataError, match=r"no pictures in it nor in its subfolders \(png, jpg"):
        read_folder(tmp_path)
    picture(tmp_path / "train" / "owls" / "a.png")  # two levels down
    with pytest.raises(DataError, match="give the folder that holds them"):
        read_folder(tmp_path)
    picture(tmp_path / "train" / "b.png")
    picture(tmp_path / "c.png")
    with pytest.raises(DataError, match=r"has pictures \(c.png\) beside folders of pictures \(train\)"):
        read_folder(tmp_path)


# --- bad files --------------------------------------------------------------------------------------------


def test_the_first_bad_file_is_named_or_all_are_skipped(tmp_path: Path, capsys: pytest.CaptureFixture):
    for name in ("owl/a.png", "owl/b.png", "yak/c.png", "yak/d.png"):
        picture(tmp_path / name)
    content = (tmp_path / "owl/b.png").read_bytes()
    (tmp_path / "owl/b.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "yak/c.png").write_text("this is not a picture")
    with pytest.raises(DataError, match=r"owl/b\.png: can't be decoded \(.*truncated.*--skip-bad") as caught:
        read_folder(tmp_path, quiet=True)
    assert "\n" not in str(caught.value)
    dataset = read_folder(tmp_path, skip_bad=True)
    np.testing.assert_array_equal(dataset.labels, [0, 1])
    err = capsys.readouterr().err
    assert "skipped 2 of 4 pictures; the first: " in err
    assert "owl/b.png" in err
    for name in ("owl/a.png", "yak/d.png"):
        (tmp_path / name).write_text("this is not a picture either")
    with pytest.raises(DataError, match="none of its 4 pictures could be read; the first"):
        read_folder(tmp_path, skip_bad=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_truncation_gets_past_as_anything_but_a_data_error(tmp_path: Path, suffix: str):
    path = picture(tmp_path / f"a{suffix}", RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    content = path.read_bytes()
    for length in (*range(0, min(len(content), 300)), len(content) // 2):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=rf"a\{suffix}: .*--skip-bad"):
            decode(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_flipped_byte_gets_past_as_anything_but_a_data_error(tmp_path: Path, suffix: str):
    content = bytearray(picture(tmp_path / f"a{suffix}", RGB).read_bytes())
    path = tmp_path / f"b{suffix}"
    for position in range(len(content)):
        content[position] ^= 0xFF
        path.write_bytes(content)
        content[position] ^= 0xFF
        with contextlib.suppress(DataError):
            assert decode(path).dtype == np.uint8


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(kind: str, side: int) -> bytes:
    """A small file that claims side x side pixels, and would be a valid picture were it not so short."""
    if kind == "png":
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))
    if kind == "gif":
        frame = struct.pack("<BHHHHB", 0x2C, 0, 0, side, side, 0) + b"\x08\x01\x00\x00;"
        return b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6) + frame
    if kind == "bmp":
        return b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    if kind == "jpg":
        frame = struct.pack(">HHBHHB", 0xFFC0, 11, 8, side, side, 1) + b"\x01\x11\x00"
        return b"\xff\xd8" + frame + struct.pack(">HHB", 0xFFDA, 8, 1) + b"\x01\x00\x00\x3f\x00"
    extended = struct.pack("<I", 0) + (side - 1).to_bytes(3, "little") * 2
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + extended


@pytest.mark.parametrize(
    ("kind", "side"),
    # Pillow itself raises above 178 million pixels and warns above 89 million.
    [(kind, side) for kind in ("png", "gif", "bmp", "jpg") for side in (20_000, 9_500)] + [("webp", 20_000)],
)
def test_a_bomb_is_refused_with_its_size_before_decoding(tmp_path: Path, kind: str, side: int):
    assert side**2 > MAX_PIXELS
    (tmp_path / f"bomb.{kind}").write_bytes(bomb(kind, side))
    picture(tmp_path / "good.png")
    size = f"{side}x{side} pixels" if kind != "webp" else f"{side**2} pixels"
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with pytest.raises(DataError, match=rf"bomb\.{kind}: .*{size}.*--skip-bad"):
            read_folder(tmp_path, quiet=True)
        assert len(read_folder(tmp_path, skip_bad=True, quiet=True)) == 1
    assert heard == []
