"""Keys and what else a step consists of."""

from __future__ import annotations

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.picture.scene import LEVELS
from inspector.steps.items import Item, Key, Step, entering, leaving
from inspector.steps.labels import Label


def test_a_port_is_no_item_and_no_other_port() -> None:
    assert entering("h") not in (leaving("h"), entering("c"), Key("value", "h"), "entering:h")
    assert entering("h").is_port and leaving("h").is_port and not Key("value", "entering:h").is_port


def test_keys_that_read_alike_have_ids_of_their_own() -> None:
    """A gate may be called like an operation, a state like what keys of other things begin with."""
    keys = [
        Key("value", "f.sigmoid"), Key("operation", "sigmoid", "f"), Key("operation", "sigmoid", "f", 2),
        Key("operation", "sigmoid"), Key("operation", "sigmoid", "shared"), Key("outside", "tanh"),
        Key("operation", "tanh", "from"),
    ]  # fmt: skip
    items = tuple(Item(key, "box", Label(""), "shared", (9.0, 9.0), ()) for key in keys)
    assert list(Step("", 0, items, (), None).ids.values()) == [
        "f.sigmoid", "f.sigmoid_", "f.sigmoid.2", "shared.sigmoid", "shared.sigmoid_", "from.tanh", "from.tanh_",
    ]  # fmt: skip


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["entering:h", "entering:x"])
def test_a_value_may_be_called_like_a_port(name: str, level: str) -> None:
    class Named(tg.Cell):
        def step(self, x: tg.Tensor, state: tuple[tg.Tensor, ...]) -> tuple[tg.Tensor]:
            gate = tg.named(**{name: tg.sigmoid(x)})
            return (tg.tanh(gate * 2.0 + state[0]),)

    run = tg.unroll(Named(3, 3, seed=0), np.ones((2, 1, 3)))
    graph = inspector.draw(run, level).to_networkx()
    safe = f"t1.{name.replace(':', '_3a_')}"
    readers = {target for source, target in graph.edges() if source.startswith(safe)} - {safe}
    assert readers == {"t1.h.multiply"} and {source for source, _ in graph.in_edges("t1.h.add")} >= {"t1.h.multiply"}
    assert [source for source, target in graph.edges() if target.startswith("t1") and source.startswith("t0")]
