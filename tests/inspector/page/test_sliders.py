"""What a slider shows at a setting is what a run comes to that was made so by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.page.document import Facts, Subject
from inspector.page.sliders import Sliders
from tests.marks import slow_unless

from .unpacking import Array, unpack

X = np.random.default_rng(3).normal(size=(16, 2, 3))
STEPS = len(X)


def last(run: tg.Run) -> tg.Tensor:
    return (run.outputs[0 if run.reverse else -1] ** 2).sum()


def sliders_of(run: tg.Run, loss: tg.Tensor | None = None) -> Sliders:
    return Facts(Subject("a run", run, last(run) if loss is None else loss)).sliders


def data_of(run: tg.Run, loss: tg.Tensor | None = None) -> dict[str, dict[str, Any]]:
    return {f"{one['kind']} {one['name']}".strip(): one for one in sliders_of(run, loss).data(every=True)}


def whole(run: tg.Run, loss: tg.Tensor) -> Array:
    found = inspector.trace(run, loss)
    return np.sqrt(sum(found.norm(name) ** 2 for name in found.states))


def back(row: Array, run: tg.Run) -> Array:
    """By steps back from the last, as long as the page's run is."""
    row = row if run.reverse else row[::-1]
    return np.concatenate([row, np.full(STEPS, np.nan)])[:STEPS]


def expect(slider: dict[str, Any], made: Callable[[float], tuple[tg.Run, tg.Tensor]]) -> None:
    """Every setting is a run that is made by hand."""
    for setting, row, kept in zip(slider["settings"], unpack(slider["curves"]), slider["kept"], strict=True):
        run, loss = made(setting)
        norms = whole(run, loss)
        ends = (norms[-1], norms[0]) if run.reverse else (norms[0], norms[-1])
        np.testing.assert_allclose(row, back(norms, run) if slider["kind"] == "length" else norms, rtol=1e-3, atol=0)
        assert kept == pytest.approx(ends[0] / ends[1], rel=1e-5), setting


def changed(run: tg.Run, loss: tg.Tensor, slider: dict[str, Any], much: float) -> tuple[tg.Run, tg.Tensor]:
    found = inspector.what_if(run, loss, **{slider["kind"]: dict.fromkeys(slider["name"].split(" "), much)})
    return found.traces[1].run, found.traces[1].loss


CELLS: dict[str, Callable[..., Any]] = {
    "lstm": lambda **options: tg.cells.LSTMCell(3, 4, seed=5, **options),
    "no bias": lambda **options: tg.cells.LSTMCell(3, 4, bias=False, seed=5, **options),
    "rnn": lambda **options: tg.cells.RNNCell(3, 4, nonlinearity="relu", seed=5, **options),
    "gru": lambda **options: tg.cells.GRUCell(3, 4, seed=5, dtype=np.float32, **options),
    "stack": lambda **options: tg.Stacked(
        [tg.cells.LSTMCell(3, 4, seed=5, **options), tg.cells.LSTMCell(4, 2, seed=6, **options)]
    ),
    "directions": lambda **options: tg.Bidirectional(
        tg.cells.LSTMCell(3, 4, seed=5, **options), tg.cells.LSTMCell(3, 4, seed=6, **options)
    ),
}
FILLINGS = {"Xavier": lambda width: tg.init.Preset("Xavier", *(tg.init.glorot_uniform,) * 2, _none, tg.init.zeros)}


def _none(*roles: str) -> tg.init.Init:
    return tg.init.zeros


@pytest.mark.parametrize("reverse", slow_unless([False], [False, True]))
@pytest.mark.parametrize("kind", slow_unless(["lstm"], CELLS))
def test_every_setting_is_a_run_made_by_hand(kind: str, reverse: bool) -> None:
    if reverse and kind == "directions":
        pytest.skip("two directions have no other way round")
    cell = CELLS[kind]()
    run = tg.unroll(cell, X, reverse=reverse)
    loss = last(run)
    data = data_of(run, loss)
    letter = "layer0/" if kind == "stack" else "forward/" if kind == "directions" else ""
    kinds = [one["kind"] for one in data.values()]
    assert "scale" in kinds and ("bias" in kinds or kind == "rnn")
    for slider in data.values():
        if slider["kind"] in ("bias", "scale"):
            expect(slider, lambda much, slider=slider: changed(run, loss, slider, much))
    if "lstm" in kind:
        assert f"bias {letter}f" in data

    def filled(setting: float) -> tuple[tg.Run, tg.Tensor]:
        name = data["weights"]["labels"][int(setting)]
        filling = FILLINGS.get(name, tg.init.preset("chrono", t_max=STEPS) if name.startswith("chrono") else name)
        again = tg.unroll(CELLS[kind](init=filling), X, reverse=reverse)
        return again, last(again)

    assert data["weights"]["labels"][int(data["weights"]["now"])] == "pytorch"
    expect(data["weights"], filled)

    def longer(setting: float) -> tuple[tg.Run, tg.Tensor]:
        steps = int(setting)
        twice = np.concatenate([X, X])
        again = tg.unroll(cell, twice[:steps] if reverse else twice[-steps:], reverse=reverse)
        return again, last(again)

    assert data["length"]["settings"] == [4, 8, 16, 32] and data["length"]["now"] == 16
    expect(data["length"], longer)
    cut = next((one for one in data.values() if one["kind"] == "cut"), None)
    if kind not in ("rnn", "gru"):
        assert cut is not None and cut["name"].split(" ") == list(inspector.trace(run, loss).states[::2])
        after = inspector.what_if(run, loss, cut=inspector.trace(run, loss).states[::2]).traces[1]
        np.testing.assert_allclose(unpack(cut["curves"])[1], whole(after.run, after.loss), rtol=1e-3)
    else:
        assert cut is None
    for slider in data.values():
        now = slider["settings"].index(slider["now"])
        norms = whole(run, loss)
        as_it_is = back(norms, run) if slider["kind"] == "length" else norms
        np.testing.assert_allclose(unpack(slider["curves"])[now], as_it_is, rtol=1e-3)


def test_forget_gates_of_all_layers_have_a_slider_beside_the_gate_that_takes_most() -> None:
    run = tg.unroll(CELLS["stack"](), X)
    names = [one["name"] for one in sliders_of(run).data() if one["kind"] == "bias"]
    assert names[-1] == "layer0/f layer1/f" and len(names) == 2


def test_recurrent_weights_of_all_gates_are_multiplied_together() -> None:
    run = tg.unroll(tg.cells.get("peephole")(3, 4, seed=1), X)
    slider = next(one for one in sliders_of(run).data() if one["kind"] == "scale")
    assert slider["name"].split(" ") == [name for name, _ in run.cell.named_parameters() if name.startswith("R_")]
    expect(slider, lambda much: changed(run, last(run), slider, much))


@pytest.mark.parametrize(
    ("options", "loss"),
    [
        ({"lengths": [9, 16]}, last),
        ({"truncate": 5}, last),
        ({}, lambda run: (run.stacked**2).mean()),
        ({}, lambda run: (run.outputs[-1] * run.outputs[2]).sum()),
        ({}, lambda run: run.names["c", 15].inputs[0].sum()),
    ],
    ids=["lengths", "truncated", "every step", "an early step", "inside a step"],
)
def test_a_loss_or_a_run_that_has_no_other_length_has_no_slider_for_it(
    options: dict[str, Any], loss: Callable[[tg.Run], tg.Tensor]
) -> None:
    run = tg.unroll(CELLS["lstm"](), X, **options)
    data = data_of(run, loss(run))
    assert "length" not in data and "bias f" in data


def test_a_loss_through_another_run_and_a_row_of_stacked_outputs_has_other_lengths() -> None:
    cell, above = CELLS["lstm"](), tg.cells.GRUCell(4, 2, seed=1)

    def loss_of(run: tg.Run) -> tg.Tensor:
        decoded = tg.unroll(above, [run.stacked[-1]] * 3)
        return (decoded.outputs[-1] ** 2).sum() + (cell.weight_hh**2).sum() + run.stacked[-1, 0, 1]

    run = tg.unroll(cell, X)

    def made(setting: float) -> tuple[tg.Run, tg.Tensor]:
        again = tg.unroll(cell, np.concatenate([X, X])[-int(setting) :])
        return again, loss_of(again)

    expect(data_of(run, loss_of(run))["length"], made)


def test_of_weights_that_were_trained_the_run_as_it_is_is_a_setting_and_of_loaded_ones_there_is_none() -> None:
    cell = CELLS["lstm"]()
    cell.weight_hh.data = cell.weight_hh.data * 1.5
    labels = data_of(tg.unroll(cell, X))["weights"]["labels"]
    assert labels[:2] == ["as it is", "pytorch"]
    cell.load_state_dict(cell.state_dict())
    assert "weights" not in data_of(tg.unroll(cell, X))


def test_a_compiled_run_has_the_sliders_of_the_run_step_by_step() -> None:
    cell = CELLS["lstm"]()
    plain, fast = tg.unroll(cell, X), tg.unroll(tg.compile(cell, backend="numpy"), X)
    one, other = (data_of(run, (run.stacked[-1] ** 2).sum()) for run in (plain, fast))
    assert one.keys() == other.keys()
    for name, slider in one.items():
        np.testing.assert_allclose(slider["kept"], other[name]["kept"], rtol=1e-5)


def test_long_runs_have_those_that_take_some_seconds_and_all_if_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    sliders = sliders_of(tg.unroll(CELLS["lstm"](), X))
    monkeypatch.setattr("inspector.page.sliders._MOST", 2.5 * STEPS)
    assert [one["kind"] for one in sliders.data()] == ["bias", "scale"]
    every = sliders.data(every=True)
    assert [one["kind"] for one in every] == ["bias", "scale", "weights", "cut", "length"]
    asked = sliders.data(asked=True)
    assert [one["kind"] for one in asked] == [one["kind"] for one in every]
    assert [one["kind"] for one in asked if "curves" in one] == ["bias", "scale"]
    assert all(one.items() <= whole.items() for one, whole in zip(asked, every, strict=True) if "curves" not in one)


def test_a_cut_that_changes_nothing_is_no_slider() -> None:
    class Apart(tg.Cell):
        state_names = ("y", "c")

        def __init__(self, *sizes: int) -> None:
            super().__init__(*sizes, seed=0)
            self.w = self.parameter("w", (4, 3))

        def step(self, x: Any, state: Any) -> Any:
            c = tg.tanh(0.9 * state.c + x @ self.w.T)
            return c * 2.0, c

    assert all(one["kind"] != "cut" for one in data_of(tg.unroll(Apart(3, 4), X)).values())
