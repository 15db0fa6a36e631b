"""Seeded, endless, exactly resumable batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import DataError, Dataset

#: A batch's fields by name: "index" int64 (B,), and those of `Dataset.fields`.
Batch = dict[str, NDArray[Any]]


class Loader:
    """An endless iterator of batches: dictionaries of fields.

    Every epoch visits every image once, in a permutation that depends on (seed, epoch) alone, so
    "epoch 12, position 640" is all there is to remember: there is no generator state to save. When an
    epoch has too few images left to fill a batch, the batch is completed from the next epoch: all batches
    have `batch_size` images, and over time every image is drawn equally often.

        epoch 0: | batch | batch | bat|
        epoch 1:                      |ch | batch | batch | b|
        epoch 2:                                             |atch | ...

    Args:
        dataset: where images and labels come from.
        batch_size: images in a batch, from 1 to ``len(dataset)``.
        seed: of the permutations; any integer from 0.
        shuffle: with False, every epoch is in the data set's own order.

    Each `next(loader)` gives "index", int64 (B,), and the data set's own fields: "image", float32 (B, C, H, W) in
    [-1, 1], and "label", int64 (B,), where it has labels.

    Raises:
        DataError: when `batch_size` is below 1 or above the data set's size, or `seed` below 0.
    """

    def __init__(self, dataset: Dataset, batch_size: int, *, seed: int, shuffle: bool = True) -> None:
        if batch_size < 1:
            raise DataError(f"batch size {batch_size} must be at least 1")
        if batch_size > len(dataset):
            raise DataError(
                f"batch size {batch_size} is larger than the data set "
                f"({dataset.name} has {len(dataset)} images): use --batch {len(dataset)} or less"
            )
        if seed < 0:
            raise DataError(f"seed {seed} must be 0 or more")
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self._start_epoch(epoch=0, position=0)

    def _start_epoch(self, *, epoch: int, position: int) -> None:
        self.epoch = epoch
        self.position = position  # images of this epoch already drawn
        if self.shuffle:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.dataset))
        else:
            self._order = np.arange(len(self.dataset))

    def __iter__(self) -> Loader:
        return self

    def __next__(self) -> Batch:
        indices = self._order[self.position : self.position + self.batch_size]
        self.position += len(indices)
        missing = self.batch_size - len(indices)
        if missing:
            self._start_epoch(epoch=self.epoch + 1, position=missing)
            indices = np.concatenate([indices, self._order[:missing]])
        else:
            indices = indices.copy()  # the caller may keep or change it; the epoch's order is ours
        return {"index": indices, **self.dataset.fields(indices)}

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, as JSON-ready values: `load_state_dict` goes on with the next batch."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "dataset": self.dataset.fingerprint(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken: the following batches are exactly those of the loader it came
        from, given the same batch size (another size goes through the same order in other steps).

        Raises:
            DataError: when `state` was taken on other data, or is damaged; the loader is left as it was.
        """
        try:
            epoch, position, seed = int(state["epoch"]), int(state["position"]), int(state["seed"])
            shuffle, fingerprint = bool(state["shuffle"]), state["dataset"]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"loader state {state!r} is damaged: resume from an earlier checkpoint") from error
        if fingerprint != self.dataset.fingerprint():
            raise DataError(
                f"the run was trained on other data: its fingerprint is {fingerprint}, that of "
                f"{self.dataset.name} is {self.dataset.fingerprint()}: resume with the run's own --data"
            )
        if epoch < 0 or seed < 0 or not 0 <= position <= len(self.dataset):
            raise DataError(f"loader state {state!r} is damaged: resume from an earlier checkpoint")
        self.seed, self.shuffle = seed, shuffle
        self._start_epoch(epoch=epoch, position=position)
