"""What a value was computed from, and which gate each operation serves."""

from __future__ import annotations

import numpy as np
from hypothesis import given

import tinygrad_rnn as tg
from tests.strategies import Program, programs
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.autodiff.scope import timestep


@given(programs())
def test_ancestors_are_everything_behind_a_value_oldest_first(program: Program) -> None:
    leaves = program.leaves()
    out = program(*leaves)
    found = ancestors([out])
    ids = [node.id for node in found]
    assert ids == sorted(set(ids)) and found[-1] is out
    for node in found:
        assert all(not isinstance(x, tg.Tensor) or x.id in ids for x in node.inputs)


def by_part(name: str) -> dict[str | None, list[str]]:
    """The operations of one timestep in the middle of a run, by the part they belong to."""
    run = tg.unroll(tg.cells.get(name)(2, 3, seed=0), np.ones((3, 1, 2)))
    owners = tg.parts(run.outputs)
    found: dict[str | None, list[str]] = {}
    for node in ancestors(run.outputs):
        if node.op is not None and node.timestep == 1:
            found.setdefault(owners[node.id], []).append(node.op.name)
    return found


def test_parts_of_an_lstm() -> None:
    found = by_part("lstm")
    assert set(found) == {"i", "f", "g", "o", "c", "h", None}
    assert found["f"] == found["i"] == found["o"] == ["getitem", "sigmoid"]
    assert found["g"] == ["getitem", "tanh"]
    assert sorted(found["c"]) == ["add", "multiply", "multiply"]
    assert sorted(found["h"]) == ["multiply", "tanh"]
    assert "matmul" in found[None], "the affine map that all gates share belongs to nobody"


def test_parts_of_a_gru() -> None:
    found = by_part("gru")
    assert {"r", "z", "n", "h", None} == set(found)
    assert found["r"].count("getitem") == 2 and "sigmoid" in found["r"]
    assert "multiply" in found["n"] and "tanh" in found["n"]
    assert sorted(found["h"]) == ["add", "multiply", "multiply", "subtract"]


def test_a_named_value_owns_itself_and_a_disputed_one_nobody() -> None:
    x = tg.tensor(1.0)
    shared = x * 2.0
    a, b = tg.named(a=tg.sin(shared), b=tg.cos(shared))
    owners = tg.parts([a + b])
    assert (owners[a.id], owners[b.id], owners[shared.id]) == ("a", "b", None)


def test_a_gate_claims_nothing_of_an_earlier_timestep() -> None:
    x = tg.tensor(1.0)
    with timestep(0):
        before = x * 2.0
    with timestep(1):
        within = before * 3.0
        f = tg.named(f=tg.sigmoid(within))
    owners = tg.parts([f])
    assert (owners[within.id], owners[before.id], owners[x.id]) == ("f", None, None)
