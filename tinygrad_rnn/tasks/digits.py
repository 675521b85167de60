"""Handwritten digits, read pixel by pixel or row by row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from math import log

import numpy as np

from ..arguments import choice, flag, integer
from .sequences import at_end, one_hot
from .task import Array, Batch, Task

__all__ = ["Digits"]


@dataclass(frozen=True)
class Digits(Task):
    """Name a handwritten digit of 8 x 8 pixels after reading it in 64 steps of one pixel, or 8 of a row.

    Pixels are in [0, 1]; the class, one of ten, is asked for at the last step. Right means that it is the
    most active output. Of the 1797 images, every fifth of each digit is for testing, 355 in all.
    A small stand-in for sequential MNIST, whose published numbers do not apply.

    Parameters
    ----------
    pixels : {1, 2, 4, 8}
        Of a step, in reading order.
    part : {"training", "test"}
        Which images.
    permuted : bool
        Shuffle the pixels first, all images in the same way.
    seed : int
        Of that shuffling.

    Raises
    ------
    ImportError
        On the first use, if scikit-learn, which brings the images along, is missing.

    Source: the test set of Alpaydin & Kaynak 1998, as bundled with scikit-learn.
    """

    pixels: int = 1
    part: str = "training"
    permuted: bool = False
    seed: int = 0

    output_size = 10
    loss = "cross_entropy"

    def __post_init__(self) -> None:
        choice("Digits", "pixels", self.pixels, (1, 2, 4, 8))
        choice("Digits", "part", self.part, ("training", "test"))
        flag("Digits", "permuted", self.permuted)
        integer("Digits", "seed", self.seed, 0)

    @property
    def input_size(self) -> int:
        return self.pixels

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        return self._of(rng.integers(len(self._choose()), size=size))

    def everything(self) -> Batch:
        """All images of the part, each once, in a fixed order."""
        return self._of(np.arange(len(self._choose())))

    def _choose(self) -> Array:
        _, labels = _load()
        testing = np.zeros(len(labels), bool)
        for digit in range(10):
            testing[np.flatnonzero(labels == digit)[4::5]] = True
        return np.flatnonzero(testing if self.part == "test" else ~testing)

    def _of(self, which: Array) -> Batch:
        images, labels = _load()
        chosen = self._choose()[which]
        order = np.random.default_rng(self.seed).permutation(64) if self.permuted else np.arange(64)
        steps = 64 // self.pixels
        inputs = images[chosen][:, order].reshape(len(which), steps, self.pixels).swapaxes(0, 1)
        lengths = np.full(len(which), steps)
        targets, mask = at_end(one_hot(labels[chosen], 10), lengths, steps)
        return Batch(np.ascontiguousarray(inputs), targets, mask, lengths)

    def baselines(self) -> dict[str, float]:
        return {"chance": log(10)}


@lru_cache(maxsize=1)
def _load() -> tuple[Array, Array]:
    """Images (1797, 64) in [0, 1] and labels (1797,)."""
    try:
        datasets = import_module("sklearn.datasets")
    except ImportError as error:
        raise ImportError("Digits: the images come with scikit-learn; pip install scikit-learn") from error
    images, labels = datasets.load_digits(return_X_y=True)
    return np.asarray(images) / 16.0, np.asarray(labels)
