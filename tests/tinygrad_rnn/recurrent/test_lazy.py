"""Sequences and mappings whose values are made when somebody looks at them."""

from __future__ import annotations

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.recurrent.lazy import LazyMapping, LazySequence


def test_a_value_is_made_once_at_the_first_look() -> None:
    made: list[int] = []

    def make(k: int) -> tg.Tensor:
        made.append(k)
        return tg.tensor(float(k))

    values = LazySequence(5, make)
    assert len(values) == 5 and made == [] and repr(values) == "<5 values>"
    assert values[-1] is values[4] and made == [4]
    assert [v.item() for v in values[1:3]] == [1.0, 2.0] and made == [4, 1, 2]
    assert len(list(values)) == 5 and made == [4, 1, 2, 0, 3]
    with pytest.raises(IndexError):
        values[5]


def test_a_mapping_looks_like_one_from_name_and_timestep() -> None:
    table = LazyMapping(
        lambda: {
            "h": LazySequence(2, lambda k: tg.tensor(float(k))),
            "f": LazySequence(2, lambda k: tg.tensor(-float(k))),
        }
    )
    assert list(table) == [("h", 0), ("h", 1), ("f", 0), ("f", 1)] and len(table) == 4
    assert table["f", 1].item() == -1.0 and ("h", 1) in table
    for missing in (("h", 2), ("h", -1), ("c", 0), "h", 3):
        with pytest.raises(KeyError):
            table[missing]  # type: ignore[index]
        assert missing not in table
