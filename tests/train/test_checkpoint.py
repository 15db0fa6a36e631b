"""Checkpoint files: what they hold, and that no damage goes unnoticed. Also the log that goes with them."""

import os
import resource
from contextlib import contextmanager

import numpy as np
import pytest

from scratchgan.train.atomic import remove_partial, write_atomically
from scratchgan.train.checkpoint import (
    Checkpoint,
    CheckpointError,
    checkpoint_path,
    checkpoint_steps,
    load_checkpoint,
    newest_checkpoint,
    remove_old_checkpoints,
    save_checkpoint,
)
from scratchgan.train.log import RunLog, read_log


def example(step: int = 7) -> Checkpoint:
    rng = np.random.default_rng(step)
    arrays = {
        "generator.0.weight": rng.standard_normal((3, 4)).astype(np.float32),
        "generator.0.bias": np.array([-0.0, np.inf, 1e-45], np.float32),
        "optimizer_g.step": np.array(step),
    }
    return Checkpoint(arrays, {"step": step, "random": rng.bit_generator.state, "note": 'a "quoted" \\ name'})


def test_arrays_and_state_come_back_bit_for_bit(tmp_path):
    saved = example()
    save_checkpoint(tmp_path / "a.safetensors", saved)
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    assert loaded.state == saved.state
    assert loaded.arrays.keys() == saved.arrays.keys()
    for name, array in saved.arrays.items():
        assert loaded.arrays[name].dtype == array.dtype
        assert loaded.arrays[name].shape == array.shape
        assert loaded.arrays[name].tobytes() == array.tobytes()
    assert loaded.section("generator").keys() == {"0.weight", "0.bias"}


def test_the_same_checkpoint_gives_the_same_bytes_and_leaves_nothing_beside_it(tmp_path):
    save_checkpoint(tmp_path / "a.safetensors", example())
    save_checkpoint(tmp_path / "b.safetensors", example())
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.safetensors", "b.safetensors"]


def test_any_flipped_bit_and_any_cut_is_noticed(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, example())
    good = path.read_bytes()
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        path.write_bytes(bad)
        with pytest.raises(CheckpointError, match=r"a\.safetensors: "):
            load_checkpoint(path)
    for length in (0, 7, 100, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(CheckpointError, match=r"a\.safetensors: "):
            load_checkpoint(path)
    path.write_bytes(good + b"\0")
    with pytest.raises(CheckpointError, match="does not match"):
        load_checkpoint(path)


def test_the_newest_good_checkpoint_is_found_and_the_damaged_set_aside(tmp_path):
    for step in (100, 200, 300):
        save_checkpoint(checkpoint_path(tmp_path, step), example(step))
    for step in (200, 300):
        with open(checkpoint_path(tmp_path, step), "r+b") as stream:
            stream.truncate(200)
    notices: list[str] = []
    found = newest_checkpoint(tmp_path, notices.append)
    assert found is not None
    assert found[0] == found[1].state["step"] == 100
    assert len(notices) == 2
    assert "step-000300.safetensors: " in notices[0]
    assert "going back to the checkpoint before it" in notices[0]
    assert checkpoint_steps(tmp_path) == [100, 200, 300]
    newest_checkpoint(tmp_path, notices.append, set_aside=True)
    assert checkpoint_steps(tmp_path) == [100]
    assert (tmp_path / "step-000300.safetensors.damaged").exists()


def test_no_checkpoint_and_no_good_checkpoint_are_different(tmp_path):
    assert newest_checkpoint(tmp_path / "absent", print) is None
    checkpoint_path(tmp_path, 1).write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints can be read"):
        newest_checkpoint(tmp_path, lambda notice: None)


def test_only_the_newest_are_kept(tmp_path):
    for step in (1, 20, 300, 1_234_567):
        save_checkpoint(checkpoint_path(tmp_path, step), example(step))
    remove_old_checkpoints(tmp_path, keep=2)
    assert checkpoint_steps(tmp_path) == [300, 1_234_567]


@contextmanager
def file_size_limit():
    """Make every write beyond 1,000 bytes of a file fail, as a full disk would.

    No fixture: pytest's own output may go to a file, and must not be written while the limit holds.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "picture.png"
    write_atomically(path, b"old")
    with file_size_limit(), pytest.raises(OSError, match="File too large"):
        write_atomically(path, bytes(10_000))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["picture.png"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / "samples").mkdir()
    leftover = tmp_path / "samples" / ".step-000100.png.4711.partial"
    leftover.write_bytes(b"half")
    remove_partial(tmp_path)
    assert not leftover.exists()


def test_a_resumed_log_is_cut_at_the_checkpoint(tmp_path):
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    for step in range(1, 6):
        log.write({"step": step, "loss_d": 1 / 3})
    log.close()
    with open(path, "ab") as stream:
        stream.write(b'{"step": 6, "los')  # killed in the middle of a line
    assert [line["step"] for line in read_log(path)] == [1, 2, 3, 4, 5]
    log = RunLog.resume(path, 3)
    log.write({"step": 4, "loss_d": 0.5})
    log.close()
    assert read_log(path) == [{"step": s, "loss_d": 1 / 3} for s in (1, 2, 3)] + [{"step": 4, "loss_d": 0.5}]
