"""MNIST and Fashion-MNIST: where a copy may lie on this machine, and where to fetch one.

Sources: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"; H. Xiao, K. Rasul,
R. Vollgraf, "Fashion-MNIST" (arXiv:1708.07747). The SHA-256 sums are those in TensorFlow Datasets'
url_checksums; for Fashion-MNIST they, and the MD5 sums published beside the data set, were checked
against Debian's package (the same files, with name and time left out of the gzip header).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..kernels.cache import cache_root
from .dataset import ArrayDataset, DataError
from .download import RemoteFile, fetch
from .idx import read_idx_dataset


@dataclass(frozen=True)
class NamedSet:
    """A published data set of IDX files: an images and a labels file for each split."""

    name: str
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    files: dict[str, tuple[RemoteFile, RemoteFile]]
    debian_package: str


FASHION_MNIST = NamedSet(
    name="fashion-mnist",
    classes=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    files={
        "train": (
            RemoteFile(
                "train-images-idx3-ubyte.gz", 26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            RemoteFile(
                "train-labels-idx1-ubyte.gz", 29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
        ),
        "test": (
            RemoteFile(
                "t10k-images-idx3-ubyte.gz", 4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            RemoteFile(
                "t10k-labels-idx1-ubyte.gz", 5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
    },
    debian_package="dataset-fashion-mnist",
)  # fmt: skip

MNIST = NamedSet(
    name="mnist",
    classes=("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    files={
        "train": (
            RemoteFile(
                "train-images-idx3-ubyte.gz", 9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            RemoteFile(
                "train-labels-idx1-ubyte.gz", 28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
        ),
        "test": (
            RemoteFile(
                "t10k-images-idx3-ubyte.gz", 1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            RemoteFile(
                "t10k-labels-idx1-ubyte.gz", 4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
    },
    debian_package="",
)  # fmt: skip

#: Where Debian's packages put data sets.
SYSTEM_FOLDER = Path("/usr/share/datasets")

NAMED_SETS = {named.name: named for named in (FASHION_MNIST, MNIST)}


def load_named(named: NamedSet, split: str, data_dir: Path | None = None, *, quiet: bool = False) -> ArrayDataset:
    """One split of a named data set, from the first folder that has both its files, else downloaded.

    The folders, in order: `data_dir`; ``$SCRATCHGAN_DATA_DIR``; Debian's ``/usr/share/datasets``; the user's
    cache folder, which is also where a download goes. In each but `data_dir` the files lie in a folder of the
    set's name; in `data_dir` they may also lie bare. Plain files serve as well as .gz. A local file is
    trusted for its name; a download is held to its SHA-256.

    Raises:
        DataError: for an unknown split, a `data_dir` that isn't there, a damaged file, or a failed download.
    """
    if split not in named.files:
        raise DataError(f"{named.name} has no split {split!r}: use one of {', '.join(named.files)}")
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(f"{data_dir}: no such folder (the data folder asked for)")
    images, labels = find_local(named, split, data_dir) or [
        fetch(file, named.mirrors, cache_folder() / named.name, hint=_hint(named), quiet=quiet)
        for file in named.files[split]
    ]
    return read_idx_dataset(images, labels, named.classes, named.name)


def find_local(named: NamedSet, split: str, data_dir: Path | None = None) -> tuple[Path, Path] | None:
    """The images and labels files of a split, from the first of `load_named`'s folders with both, else None."""
    for folder in _folders(named, data_dir):
        images, labels = (_plain_or_gz(folder / file.name) for file in named.files[split])
        if images and labels:
            return images, labels
    return None


def cache_folder() -> Path:
    """Return the folder in which downloads are kept; it need not exist."""
    return cache_root() / "data"


def _folders(named: NamedSet, data_dir: Path | None) -> Iterator[Path]:
    if data_dir is not None:
        yield data_dir / named.name
        yield data_dir
    if environment := os.environ.get("SCRATCHGAN_DATA_DIR"):
        yield Path(environment) / named.name
    yield SYSTEM_FOLDER / named.name
    yield cache_folder() / named.name


def _plain_or_gz(path: Path) -> Path | None:
    return next((p for p in (path, path.with_suffix("")) if p.is_file()), None)


def _hint(named: NamedSet) -> str:
    package = f", or install Debian's package {named.debian_package}" if named.debian_package else ""
    return f"pass a folder that has it as --data-dir{package}"
