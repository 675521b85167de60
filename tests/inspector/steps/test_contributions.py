"""Whoever reads a value contributes to its cotangent once, and all together they are it."""

from __future__ import annotations

import numpy as np
from hypothesis import given

import tinygrad_rnn as tg
from inspector.steps.contributions import Contributions
from inspector.steps.reverse import reverse_sweep
from tests.random_cells import runs
from tinygrad_rnn.recurrent.unroll import Run


def loss_of(run: Run) -> tg.Tensor:
    return tg.sum(tg.stack([tg.square(output) for output in run.outputs]))


@given(run=runs())
def test_contributions_add_up_to_the_cotangent(run: Run) -> None:
    with np.errstate(all="ignore"):
        reverse = reverse_sweep(run, loss_of(run))
    scopes = frozenset(run.scopes)
    for (_, t), value in run.names.items():
        readers = Contributions(run, reverse, t, scopes).to(value)
        every = [*readers.later, *(use for group in readers.elsewhere for use in group), *readers.own]
        assert len(every) == len(set(map(id, every))) == len(reverse.uses.get(value.id, []))
        if every:
            total = sum((use.part.data for use in every[1:]), every[0].part.data)
            np.testing.assert_allclose(total, reverse.totals[value.id].data, rtol=1e-6, atol=1e-9)


def test_a_state_is_read_in_the_next_step_and_by_the_loss() -> None:
    run = tg.unroll(tg.cells.get("lstm")(3, 4, seed=0), np.ones((3, 1, 3)))
    reverse = reverse_sweep(run, loss_of(run))
    contributions = Contributions(run, reverse, 1, frozenset(run.scopes))
    readers = contributions.to(run.states[1].h)
    assert {use.consumer.timestep for use in readers.later} == {2} and not readers.own
    assert [[contributions.origin(use) for use in group] for group in readers.elsewhere] == [["loss"]]
    assert sum(addition is not None for addition in contributions.additions(readers)) == 1
    own = contributions.to(run.names["f", 1])
    assert [use.consumer.timestep for use in own.own] == [1] and not own.later and not own.elsewhere
