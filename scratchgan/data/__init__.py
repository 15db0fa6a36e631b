"""Data sets and batches: images in, float32 N,C,H,W in [-1, 1] out.

`open_dataset` finds one by name or path; `Loader` draws batches from it, for ever and exactly resumable.
"""

from .dataset import ArrayDataset, DataError, Dataset
from .loader import Loader
from .open import open_dataset
from .points import POINT_SETS, PointDataset, point_dataset

__all__ = [
    "POINT_SETS",
    "ArrayDataset",
    "DataError",
    "Dataset",
    "Loader",
    "PointDataset",
    "open_dataset",
    "point_dataset",
]
