"""Data sets and batches: images in, float32 N,C,H,W in [-1, 1] out.

`open_dataset` finds one by name or path; `Loader` draws batches from it, for ever and exactly resumable.
"""

from .dataset import ArrayDataset, DataError, Dataset
from .loader import Loader
from .open import open_dataset

__all__ = ["ArrayDataset", "DataError", "Dataset", "Loader", "open_dataset"]
