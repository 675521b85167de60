"""Steps of cells, as the layout is given them."""

from __future__ import annotations

from functools import cache

import numpy as np

import tinygrad_rnn as tg
from inspector.picture.scene import DETAIL
from inspector.picture.timeline import row_of
from inspector.steps.items import Item, Key, Link, Step
from inspector.steps.labels import Label
from inspector.steps.source import sources_of
from tinygrad_rnn import Graph

__all__ = ["item", "step_of", "value"]


@cache
def step_of(name: str, level: str = "operation") -> Step:
    """The second of two timesteps of a cell of the registry."""
    run = tg.unroll(tg.cells.get(name)(3, 4, seed=0), np.random.default_rng(0).normal(size=(2, 1, 3)))
    sources = sources_of([run], Graph([*run.names.values(), *run.outputs]))
    (_, step) = row_of(sources[0], [[0, 1]], None, DETAIL[level]).steps
    assert isinstance(step, Step)
    return step


def value(name: str) -> Key:
    return Key("value", name)


def item(name: str, *sources: str | Key, diagonal: bool = False) -> Item:
    """A shape that reads others, or ports."""
    links = tuple(Link(value(source) if isinstance(source, str) else source) for source in sources)
    return Item(value(name), "box", Label(name), "value", (40.0, 24.0), links, diagonal=diagonal)
