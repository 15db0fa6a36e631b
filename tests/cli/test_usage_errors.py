"""Everything that people and disks get wrong: one clear line, the right exit code, and nothing lost or half-written."""

import json
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, process_arguments
from PIL import Image

from scratchgan.cli import main
from scratchgan.device import DeviceError, require_cuda
from scratchgan.train import Trainer
from scratchgan.train.checkpoint import checkpoint_path, checkpoint_steps, load_checkpoint


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of ten good pictures of 16 x 16."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(10):
        Image.fromarray(random.integers(0, 256, (16, 16), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of a run with checkpoints of steps 2, 4 and 6."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


# Data


def test_missing_data(failing, out, tmp_path):
    line = failing(1, "train", "--data", tmp_path / "no-such-folder", "--out", out)
    assert "no-such-folder: no such file or folder, nor one of the built-in data sets" in line
    assert not out.exists()


def test_an_empty_folder(failing, out, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no pictures in it" in failing(1, "train", "--data", tmp_path / "empty", "--out", out)
    assert not out.exists()


def test_a_truncated_picture_is_named_and_can_be_skipped(failing, scratchgan, pictures, out):
    whole = (pictures / "4.png").read_bytes()
    (pictures / "4.png").write_bytes(whole[: len(whole) // 2])
    line = failing(1, "train", "--data", pictures, "--out", out, "--quiet", *TINY)
    assert str(pictures / "4.png") in line
    assert not out.exists()
    result = scratchgan("train", "--data", pictures, "--out", out, *TINY, "--skip-bad", "--steps", 1)
    assert result.code == 0
    assert "skipped 1 of 10" in result.err
    assert "4.png" in result.err


def png_header(width: int, height: int) -> bytes:
    """A PNG file that claims a size and holds nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_decompression_bomb(failing, pictures, out):
    (pictures / "bomb.png").write_bytes(png_header(20_000, 20_000))
    line = failing(1, "train", "--data", pictures, "--out", out, "--quiet")
    assert str(pictures / "bomb.png") in line
    assert "20000" in line.replace(",", "")
    assert not out.exists()


@pytest.mark.parametrize(
    ("header", "body", "says"),
    [
        (struct.pack(">4B3I", 0, 0, 9, 3, 10, 16, 16), bytes(2560), "not an IDX file of unsigned bytes"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 10, 16, 16), bytes(2559), "cut short"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 10**4, 10**4, 10**4), bytes(2560), "1,000,000,000,000"),
    ],
    ids=["wrong magic", "short by a byte", "claims 10^12"],
)
def test_a_damaged_idx_file(failing, out, tmp_path, header, body, says):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(header + body)
    line = failing(1, "train", "--data", path, "--out", out)
    assert str(path) in line
    assert says in line
    assert not out.exists()


def test_a_batch_larger_than_the_data(failing, data, out):
    line = failing(1, "train", "--data", data, "--out", out, "--batch", 65)
    assert "has 64 images" in line
    assert "--batch 64 or less" in line
    assert not out.exists()


@pytest.mark.parametrize(("size", "says"), [(68, "64 and 80"), (4, "at least 8"), (0, "at least 8")])
def test_sizes_that_the_generator_cannot_reach(failing, data, out, size, says):
    assert says in failing(2, "train", "--data", data, "--out", out, "--size", size)
    assert not out.exists()


def test_points_for_images_and_images_for_points(failing, data, out):
    line = failing(1, "train", "gan", "--data", "ring8", "--out", out)
    assert "ring8 are points, and system gan is for images: train points on them" in line
    assert f"{data} are no points; there are ring8, grid25, swiss-roll" in failing(
        1, "train", "points", "--data", data, "--out", out
    )
    assert not out.exists()


def test_a_config_of_another_system(failing, finished, out):
    line = failing(2, "train", "points", "--config", finished / "config.json", "--out", out)
    assert "config.json is of system gan, not points: leave points out" in line
    assert not out.exists()


# Runs and checkpoints


def test_resume_where_there_is_no_run(failing, tmp_path):
    (tmp_path / "other").mkdir()
    assert "holds no run" in failing(1, "train", "--resume", tmp_path / "other")
    assert "is not a folder" in failing(1, "train", "--resume", tmp_path / "nothing")
    assert list((tmp_path / "other").iterdir()) == []


def test_resume_with_another_config(failing, run):
    before = (run / "config.json").read_bytes()
    line = failing(2, "train", "--resume", run, "--set", "width=8", "--steps", 8)
    assert "width=4" in line
    assert "width=8" in line
    assert (run / "config.json").read_bytes() == before
    # The same where somebody edited config.json in place.
    settings = json.loads(before)
    settings["width"] = 8
    (run / "config.json").write_text(json.dumps(settings))
    assert "width=4" in failing(2, "train", "--resume", run, "--steps", 8)
    assert checkpoint_steps(run / "checkpoints") == [2, 4, 6]


@pytest.mark.parametrize("damage", ["truncated", "bit flipped"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(scratchgan, run, finished, damage):
    path = checkpoint_path(run / "checkpoints", 6)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        del content[-100:]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)
    notice = f"{path}: damaged or cut short (its SHA-256 does not match); going back to the checkpoint before it\n"

    sampled = scratchgan("sample", run, "--n", 1, "--out", run / "one.png")
    assert sampled.code == 0
    assert sampled.err == f"scratchgan sample: {notice}"
    assert "from step 4" in sampled.out
    resumed = scratchgan("train", "--resume", run, "--quiet")
    assert resumed == (0, "", f"scratchgan train: {notice}")
    again, before = (load_checkpoint(checkpoint_path(folder / "checkpoints", 6)) for folder in (run, finished))
    assert all((again.arrays[name] == array).all() for name, array in before.arrays.items())


def test_when_every_checkpoint_is_damaged_nothing_is_overwritten(scratchgan, run):
    for step in (2, 4, 6):
        checkpoint_path(run / "checkpoints", step).write_bytes(b"no checkpoint")
    log = (run / "log.jsonl").read_bytes()
    result = scratchgan("train", "--resume", run, "--steps", 8)
    assert result.code == 1
    assert result.err.splitlines()[-1].endswith("none of the 3 checkpoints can be read; start the run again")
    assert (run / "log.jsonl").read_bytes() == log
    assert len(list((run / "checkpoints").iterdir())) == 3


def test_two_runs_in_one_folder(failing, data, run, tmp_path):
    line = failing(1, "train", "--data", data, "--out", run, *TINY)
    assert "holds a run already" in line
    assert f"--resume {run}" in line
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep me")
    assert "is not empty" in failing(1, "train", "--data", data, "--out", tmp_path / "notes", *TINY)
    with Trainer.resume(run):
        assert "is being trained in by process" in failing(1, "train", "--resume", run, "--steps", 8)
    assert main(["train", "--resume", str(run), "--steps", "7", "--quiet"]) == 0


def test_no_gpu(failing, data, out):
    try:
        require_cuda()
    except DeviceError:
        line = failing(1, "train", "--data", data, "--out", out, "--device", "cuda")
        assert "device 'cuda'" in line
        assert "'cpu'" in line
        assert not out.exists()
    else:
        pytest.skip("there is a GPU here")


# Disks


def test_a_full_disk(isolated, data):
    arguments = ["train", "--data", str(data), "--quiet", "--out", "disk/run", *TINY]
    # Room for nothing; for a run before its first checkpoint; for a run with its first checkpoint.
    nothing, before, after = isolated(f"""
        for size in ("4k", "40k", "130k"):
            mount(f"size={{size}}")
            code, out, err = scratchgan(*{arguments})
            left = [path.name for path in Path("disk").iterdir()]
            partial = [str(path) for path in Path("disk").rglob("*.partial")]
            subprocess.run(["mount", "-o", "remount,size=10m", "disk"], check=True)
            again = scratchgan("train", "--resume", "disk/run", "--quiet") if left else scratchgan(*{arguments})
            checkpoints = sorted(path.name for path in Path("disk/run/checkpoints").iterdir())
            say([code, out, err, left, partial, again[0], checkpoints])
            subprocess.run(["umount", "disk"], check=True)
    """)
    for code, out, err, _, partial, again, checkpoints in (nothing, before, after):
        assert (code, out, partial, again) == (1, "", [], 0)
        assert checkpoints == [f"step-{step:06}.safetensors" for step in (2, 4, 6)]
        assert err.startswith("scratchgan train: disk/run")
        assert err.count("\n") == 1
        assert "No space left on device" in err
    assert "choose another folder" in nothing[2]
    assert "it has no checkpoint yet. Make room, then: scratchgan train --resume disk/run" in before[2]
    assert "its last checkpoint is of step 2. Make room, then: scratchgan train --resume disk/run" in after[2]
    assert [nothing[3], before[3], after[3]] == [[], ["run"], ["run"]]


def test_a_read_only_disk_for_runs_and_pictures(isolated, data, finished):
    results = isolated(f"""
        mount("ro")
        say(scratchgan("train", "--data", "{data}", "--out", "disk/run", *{TINY}, "--quiet"))
        say(scratchgan("sample", "{finished}", "--out", "disk/grid.png"))
        say(scratchgan("interpolate", "{finished}", "--frames", "2", "--out", "disk/new/walk.gif"))
    """)
    assert results == [
        [1, "", f"scratchgan {line}\n"]
        for line in (
            "train: disk/run cannot be written (Read-only file system): choose another folder with --out",
            "sample: disk/grid.png: that file system is read-only: write to another folder",
            "interpolate: disk/new: that file system is read-only: write to another folder",
        )
    ]


def test_a_read_only_cache_is_warned_of_once_and_does_not_stop(isolated):
    # It ends at the missing data, before anything is compiled, which would take a minute.
    script = """
        mount("ro")
        say(scratchgan("train", "--threads", "1", "--data", "missing"))
    """
    ((code, _, err),) = isolated(script, SCRATCHGAN_CACHE_DIR="disk")
    assert code == 1
    warning, error = err.splitlines()
    assert warning.startswith("scratchgan: warning: compiled kernels cannot be kept")
    assert "set SCRATCHGAN_CACHE_DIR to a folder that can be written" in warning
    assert error.startswith("scratchgan train: missing: no such file or folder")


def test_a_full_disk_keeps_the_picture_that_was_there(failing, finished, tmp_path, monkeypatch):
    out = tmp_path / "grid.png"
    out.write_bytes(b"an older picture")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for name in ("grid.png", "grid.npz"):
        line = failing(1, "sample", finished, "--n", 1, "--out", tmp_path / name)
        assert line == f"scratchgan sample: {tmp_path / name}: the disk is full: make room, or write to another disk\n"
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]
    assert out.read_bytes() == b"an older picture"


def test_no_bad_input_shows_a_traceback_in_a_process_of_its_own(tmp_path):
    done = subprocess.run(
        process_arguments("train", "--data", "missing"), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
