"""Steps of cells, as the layout is given them."""

from __future__ import annotations

from functools import cache

import numpy as np

import tinygrad_rnn as tg
from inspector.picture.scene import DETAIL
from inspector.picture.timeline import row_of
from inspector.steps.items import Item, Link, Step
from inspector.steps.source import sources_of
from tinygrad_rnn import Graph

__all__ = ["item", "step_of"]


@cache
def step_of(name: str, level: str = "operation") -> Step:
    """The second of two timesteps of a cell of the registry."""
    run = tg.unroll(tg.cells.get(name)(3, 4, seed=0), np.random.default_rng(0).normal(size=(2, 1, 3)))
    sources = sources_of([run], Graph([*run.names.values(), *run.outputs]))
    (_, step) = row_of(sources[0], [[0, 1]], None, DETAIL[level]).steps
    assert isinstance(step, Step)
    return step


def item(key: str, *sources: str, diagonal: bool = False) -> Item:
    """A shape that reads others, or ports."""
    return Item(key, "box", key, "value", (40.0, 24.0), tuple(map(Link, sources)), diagonal=diagonal)
