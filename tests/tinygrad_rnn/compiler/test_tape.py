"""The tape: every value of a run at a stretch of its own, found again by whoever reads it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.tinygrad_rnn.compiler.cells import CELLS
from tests.tinygrad_rnn.compiler.programs import B, H, N, traced
from tinygrad_rnn.compiler.places import Row
from tinygrad_rnn.compiler.program import label
from tinygrad_rnn.compiler.tape import Layout, place_on_tape


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_tracks_share_the_tape_among_them_without_gap_or_overlap(kind: Any, steps: int) -> None:
    step = traced(kind(N, H, seed=0))
    layout = Layout(step, step.outputs, steps)
    tracks = sorted(layout.tracks.values())
    assert tracks[0].start == 0 and tracks[-1].stop == layout.length
    assert all(left.stop == right.start for left, right in itertools.pairwise(tracks))
    for key, track in layout.tracks.items():
        assert track.rows == steps + (key[0] == "state"), "a state has a row before the first step"
        assert track.shape == step.types[step.outputs[key]].shape and track.size == np.prod(track.shape)


def test_a_loop_finds_at_its_place_what_lies_on_the_track() -> None:
    steps = 4
    step = traced(tg.cells.LSTMCell(N, H, seed=0))
    layout = Layout(step, step.outputs, steps)
    tape = np.random.default_rng(0).normal(size=layout.length)
    buffers = {label(key): tape[where] for key, where in zip(layout.tracks, layout.slices, strict=True)}
    for key, track in layout.tracks.items():
        place = place_on_tape(key, track.shape)
        rows = buffers[place.buffer].reshape(-1, place.size)
        assert place.buffer == label(key) and np.shares_memory(rows, tape)
        for k in range(steps):
            found = rows[k + (place.row is Row.NEXT)].reshape(B, H)
            np.testing.assert_array_equal(found, track.on(tape)[k + (key[0] == "state")])
    layout.tracks["state", "h"].on(tape)[0] = 7.0
    assert (buffers["state h"][: B * H] == 7.0).all(), "the tape itself is written"
