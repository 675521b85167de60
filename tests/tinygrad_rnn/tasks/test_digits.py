"""The digits."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from tests.tinygrad_rnn.tasks.instances import cost, drawn
from tinygrad_rnn.tasks import Digits
from tinygrad_rnn.tasks import digits as module


@pytest.fixture
def images() -> Any:
    datasets = pytest.importorskip("sklearn.datasets", reason="the digits come with scikit-learn")
    return datasets.load_digits()


def flat(batch: Any) -> Any:
    return batch.inputs.swapaxes(0, 1).reshape(len(batch.lengths), 64)


@pytest.mark.parametrize("pixels", [1, 2, 4, 8])
def test_pixels_in_reading_order(images: Any, pixels: int) -> None:
    batch = Digits(pixels, "test").everything()
    assert batch.inputs.shape == (64 // pixels, 355, pixels) and (batch.lengths == 64 // pixels).all()
    assert batch.inputs.min() == 0 and batch.inputs.max() == 1
    for digit in range(10):
        chosen = batch.targets[-1].argmax(axis=-1) == digit
        assert np.array_equal(flat(batch)[chosen] * 16, images.data[images.target == digit][4::5])
    assert batch.mask[-1].all() and not batch.mask[:-1].any()


def test_parts_are_disjoint_and_complete(images: Any) -> None:
    training, test = Digits().everything(), Digits(part="test").everything()
    assert flat(training).shape[0] + flat(test).shape[0] == 1797
    both = np.vstack([flat(training), flat(test)]) * 16
    assert np.array_equal(both[np.lexsort(both.T)], images.data[np.lexsort(images.data.T)])
    for part in (training, test):
        assert np.abs(part.targets[-1].mean(axis=0) - 0.1).max() < 0.005


def test_batches_are_of_their_part(images: Any) -> None:
    for part in ("training", "test"):
        known = {image.tobytes() for image in flat(Digits(part=part).everything())}
        assert {image.tobytes() for image in flat(drawn(Digits(part=part), 0, 100))} <= known


def test_permutation(images: Any) -> None:
    plain = flat(Digits().everything())
    shuffled, again, other = (flat(Digits(permuted=True, seed=seed).everything()) for seed in (1, 1, 2))
    assert np.array_equal(shuffled, again) and not np.array_equal(shuffled, other)
    assert not np.array_equal(shuffled, plain)
    order = np.random.default_rng(1).permutation(64)
    assert np.array_equal(shuffled, plain[:, order])


def test_chance(images: Any) -> None:
    task = Digits()
    batch = drawn(task, 0)
    assert cost(task, 0.1, batch) == pytest.approx(task.baselines()["chance"]) == np.log(10)


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    module._load.cache_clear()
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        drawn(Digits(), 0)
