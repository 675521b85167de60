"""Scratch memory: buffers that are used again as soon as their last reader is through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .places import Place
from .stages import Nest, Product

__all__ = ["share_scratch"]

_Sizes = Mapping[str, tuple[np.dtype[Any], int]]


def share_scratch(stages: Sequence[Nest | Product], sizes: _Sizes) -> tuple[tuple[Nest | Product, ...], _Sizes]:
    """Let scratch buffers of one size, whose lives do not overlap, be one buffer."""
    last = {place.buffer: k for k, stage in enumerate(stages) for place in _places_of(stage)}
    free: dict[tuple[np.dtype[Any], int], list[str]] = {}
    slots: dict[str, str] = {}
    kept: dict[str, tuple[np.dtype[Any], int]] = {}
    for k, stage in enumerate(stages):
        mine = [p.buffer for p in _places_of(stage) if p.buffer in sizes]
        for name in mine:
            if name not in slots:
                spare = free.get(sizes[name], [])
                slots[name] = spare.pop() if spare else f"scratch {len(kept)}"
                kept[slots[name]] = sizes[name]
        for name in dict.fromkeys(mine):
            if last[name] == k:
                free.setdefault(sizes[name], []).append(slots[name])
    return tuple(_rename(stage, slots) for stage in stages), kept


def _places_of(stage: Nest | Product) -> list[Place]:
    if isinstance(stage, Product):
        return [stage.left, stage.right, stage.out]
    return [load.place for load in stage.loads] + [store.place for store in stage.stores]


def _rename(stage: Nest | Product, slots: Mapping[str, str]) -> Nest | Product:
    def move(place: Place) -> Place:
        return place._replace(buffer=slots.get(place.buffer, place.buffer))

    if isinstance(stage, Product):
        return Product(move(stage.left), move(stage.right), move(stage.out), stage.kind)
    loads = [load._replace(place=move(load.place)) for load in stage.loads]
    return Nest(stage.shape, loads, stage.steps, [store._replace(place=move(store.place)) for store in stage.stores])
