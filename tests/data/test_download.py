"""Downloads against a server on the loopback: whole and checked, or nothing at all."""

import contextlib
import gzip
import hashlib
import http.server
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scratchgan.data import DataError
from scratchgan.data import mnist as named_sets
from scratchgan.data.download import RemoteFile, fetch
from scratchgan.data.mnist import FASHION_MNIST, MNIST, SYSTEM_FOLDER, NamedSet, load_named

CONTENT = np.random.default_rng(0).bytes(300_000)
FILE = RemoteFile("data.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
DEBIAN = SYSTEM_FOLDER / "fashion-mnist"


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`, in one way for each first folder of the path: /good/, /short/, /endless/, ..."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {FILE.name: CONTENT}
        self.asked: list[str] = []
        self.released = threading.Event()

    def mirror(self, manner: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{manner}/"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        _, manner, name = self.path.split("/")
        content = self.server.files.get(name)
        if content is None or manner == "absent":
            self.send_error(404)
            return
        if manner == "other":
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.send_response(200)
        if manner != "endless":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may hang up
            self.wfile.write(content[: len(content) // 2])
            if manner == "stalling":
                self.wfile.flush()
                self.server.released.wait(20)
            if manner in ("short", "stalling"):
                return
            self.wfile.write(content[len(content) // 2 :])
            while manner == "endless":
                self.wfile.write(bytes(1 << 16))

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "set"


def get(folder: Path, *mirrors: str) -> Path:
    return fetch(FILE, mirrors, folder, hint="do something else", quiet=True)


def test_a_good_file_arrives_and_is_not_fetched_twice(server: Server, folder: Path):
    path = get(folder, server.mirror("good"))
    assert path == folder / "data.bin"
    assert path.read_bytes() == CONTENT
    assert get(folder, server.mirror("good")) == path
    assert server.asked == ["/good/data.bin"]
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("absent", "HTTP 404 Not Found"),
        ("other", "wrong SHA-256 checksum, so what came was deleted"),
        ("short", "broke off after 150,000 of 300,000 bytes"),
        ("endless", "sent more than the 300,000 bytes of data.bin"),
        ("stalling", "timed out"),
    ],
)
def test_a_bad_mirror_leaves_nothing_and_the_next_is_tried(
    server: Server, folder: Path, manner: str, reason: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("scratchgan.data.download._TIMEOUT", 0.2)
    bad = server.mirror(manner)
    with pytest.raises(DataError) as caught:
        get(folder, bad)
    message = str(caught.value)
    assert f"{bad}data.bin: {reason}" in message
    assert message.endswith(f"put it into {folder}, or do something else")
    assert "\n" not in message
    assert list(folder.iterdir()) == []
    assert get(folder, bad, server.mirror("good")).read_bytes() == CONTENT


def test_the_progress_bar_is_on_stderr_and_only_there(server: Server, folder: Path, capfd: pytest.CaptureFixture):
    fetch(FILE, [server.mirror("good")], folder, hint="")
    out, err = capfd.readouterr()
    assert out == ""
    assert "data.bin" in err
    assert "300.0/300.0 kB" in err


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_process_killed_midway_leaves_nothing_half_written(server: Server, folder: Path, how: signal.Signals):
    program = (
        "import sys; from pathlib import Path; from scratchgan.data.download import RemoteFile, fetch\n"
        f"fetch({FILE!r}, [sys.argv[1]], Path(sys.argv[2]), hint='', quiet=True)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, server.mirror("stalling"), folder], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size for path in folder.glob(".data.bin.*.part")):
        assert time.monotonic() < deadline, "the download never started"
        time.sleep(0.01)
    child.send_signal(how)
    assert child.wait(10) != 0
    left = list(folder.iterdir())
    assert (folder / "data.bin") not in left
    if how == signal.SIGINT:
        assert left == []
    for partial in left:  # as a later day's download finds it
        os.utime(partial, (0, 0))
    path = get(folder, server.mirror("good"))
    assert list(folder.iterdir()) == [path]


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """As nobody when run by root, whom no permission stops."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_cache_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path):
    with tempfile.TemporaryDirectory() as shared:  # unlike tmp_path, others may enter it
        readonly = Path(shared)
        readonly.chmod(0o555)
        for folder in (readonly, readonly / "new"):
            with unprivileged(), pytest.raises(DataError, match=r"can't write data.bin .*Permission denied") as caught:
                get(folder, server.mirror("good"))
            assert str(folder) in str(caught.value)
            assert "SCRATCHGAN_CACHE_DIR" in str(caught.value)
        readonly.chmod(0o755)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="Not a directory"):
        get(tmp_path / "file" / "cache", server.mirror("good"))
    assert server.asked == []


def test_a_full_disk_leaves_nothing(server: Server, folder: Path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"can't write data.bin there \(File too large\): make room"):
            get(folder, server.mirror("good"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(folder.iterdir()) == []


# --- the named sets ---------------------------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no data set on it, whose cache folder is returned."""
    monkeypatch.setattr(named_sets, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setenv("SCRATCHGAN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("SCRATCHGAN_DATA_DIR", raising=False)
    return tmp_path / "cache" / "data"


def write_split(folder: Path, count: int, split: str = "train", pack=gzip.compress) -> None:
    """A stand-in for a split of either set: `count` black 28 x 28 images labelled 0."""
    folder.mkdir(parents=True)
    suffix = ".gz" if pack is gzip.compress else ""
    images = struct.pack(">IIII", 0x803, count, 28, 28) + bytes(count * 784)
    labels = struct.pack(">II", 0x801, count) + bytes(count)
    (folder / f"{split}-images-idx3-ubyte{suffix}").write_bytes(pack(images))
    (folder / f"{split}-labels-idx1-ubyte{suffix}").write_bytes(pack(labels))


def test_folders_are_searched_in_order(nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCRATCHGAN_DATA_DIR", str(tmp_path / "env"))
    mine = tmp_path / "mine"
    places = [mine / "mnist", mine, tmp_path / "env/mnist", tmp_path / "system/mnist", nowhere / "mnist"]
    for count, place in reversed(list(enumerate(places, start=1))):
        if place == mine:
            write_split(mine / "other", count)
            for file in (mine / "other").iterdir():
                file.rename(mine / file.name)
        else:
            write_split(place, count, pack=bytes if count % 2 else gzip.compress)
        assert len(load_named(MNIST, "train", mine if mine.exists() else None)) == count
    (mine / "mnist" / "train-labels-idx1-ubyte").unlink()  # half a copy is none
    assert len(load_named(MNIST, "train", mine)) == 2
    assert len(load_named(MNIST, "train")) == 3


def test_a_relative_cache_home_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("SCRATCHGAN_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert named_sets.cache_folder() == tmp_path / ".cache" / "scratchgan" / "data"


def test_without_a_network_the_message_says_what_to_do(nowhere: Path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        mirror = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(DataError) as caught:
            load_named(replace(FASHION_MNIST, mirrors=(mirror,)), "train", quiet=True)
    message = str(caught.value)
    for needed in (
        f"{mirror}train-images-idx3-ubyte.gz: ", "refused", f"put it into {nowhere / 'fashion-mnist'}",
        "--data-dir", "Debian's package dataset-fashion-mnist",
    ):  # fmt: skip
        assert needed in message
    assert "\n" not in message


def test_unknown_splits_and_missing_folders_are_named(nowhere: Path, tmp_path: Path):
    with pytest.raises(DataError, match="mnist has no split 'valid': use one of train, test"):
        load_named(MNIST, "valid")
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'absent'}: no such folder")):
        load_named(MNIST, "train", tmp_path / "absent")


@pytest.mark.parametrize("named", [MNIST, FASHION_MNIST], ids=lambda named: named.name)
def test_the_catalogue_is_whole(named: NamedSet):
    files = [file for split in ("train", "test") for file in named.files[split]]
    assert len({file.name for file in files}) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in files)
    assert len(named.classes) == 10
    assert all(mirror.endswith("/") for mirror in named.mirrors)


def published(file: RemoteFile) -> bytes:
    """A file of Fashion-MNIST as published, from Debian's copy.

    Debian packs it with the name and the time taken out of the gzip header (RFC 1952, section 2.3) for
    reproducible packages, and is otherwise the same to the byte.
    """
    packed = (DEBIAN / file.name).read_bytes()
    seconds = {"train": 1504176606, "t10k": 1504176627}[file.name.split("-")[0]]
    flag_name_follows = 8
    header = struct.pack("<2sBBIBB", b"\x1f\x8b", 8, flag_name_follows, seconds, packed[8], packed[9])
    return header + file.name.removesuffix(".gz").encode() + b"\x00" + packed[10:]


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_downloads_and_matches_the_published_checksums(server: Server, nowhere: Path):
    files = [*FASHION_MNIST.files["train"], *FASHION_MNIST.files["test"]]
    server.files = {file.name: published(file) for file in files}
    named = replace(FASHION_MNIST, mirrors=(server.mirror("good"),))
    train, test = (load_named(named, split, quiet=True) for split in ("train", "test"))
    assert (len(train), len(test), train.shape) == (60_000, 10_000, (1, 28, 28))
    assert (np.bincount(train.labels) == 6000).all()
    assert (np.bincount(test.labels) == 1000).all()
    asked = list(server.asked)
    assert len(asked) == 4
    assert load_named(named, "test").fingerprint() == test.fingerprint()  # now from the cache
    assert server.asked == asked
