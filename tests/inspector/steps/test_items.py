"""Ports and what else a step consists of."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.picture.scene import LEVELS
from inspector.steps.items import entering, leaving


def test_a_port_knows_its_side_and_its_name_and_is_no_text() -> None:
    port = entering("h")
    assert (port.side, port.name) == ("entering", "h") and isinstance(port, str)
    assert port == entering("h") and port != leaving("h") and port != entering("c")
    assert port != str.__str__(port) and port != "entering:h"
    assert {port: 1, "entering:h": 2}[entering("h")] == 1 and {port: 1, "entering:h": 2}["entering:h"] == 2
    assert pickle.loads(pickle.dumps(port)) == port and pickle.loads(pickle.dumps(port)).name == "h"


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
