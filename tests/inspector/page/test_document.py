"""What a page knows is what the trace says, of any cell, and as the schema states."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import jsonschema
import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.analysis.loss_steps import LossSteps
from inspector.analysis.reach import reach_of
from inspector.page.document import Subject, document
from inspector.page.html import as_json, html
from inspector.page.tile import level_of
from inspector.reports import document_of
from inspector.tracing.replay import recorded

from .unpacking import unpack

SCHEMA = json.loads(files("inspector.page").joinpath("schema.json").read_text())
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def run_of(cell: tg.Cell, steps: int = 7, batch: int = 2, **options: Any) -> tg.Run:
    x = np.random.default_rng(1).normal(size=(steps, batch, cell.input_size))
    return tg.unroll(cell, x, **options)


def data_of(run: tg.Run, loss: tg.Tensor | None = None, sliders: bool = False) -> dict[str, Any]:
    loss = (run.outputs[-1] ** 2).sum() if loss is None else loss
    made = document([Subject(repr(run.cell), run, loss)], "a page", sliders)
    CHECK.validate(made)
    assert json.loads(as_json(made)) == made
    found: dict[str, Any] = made["runs"][0]
    return found


def cases() -> Iterator[Any]:
    lstm, gru = tg.cells.LSTMCell(3, 4, seed=0), tg.cells.GRUCell(3, 4, seed=1)
    x = np.random.default_rng(1).normal(size=(7, 2, 3))
    yield pytest.param(tg.unroll(tg.Stacked([lstm, tg.cells.GRUCell(4, 3, seed=1)]), x), id="stack")
    yield pytest.param(tg.unroll(tg.Bidirectional(gru, tg.cells.GRUCell(3, 4, seed=2)), x), id="both directions")
    yield pytest.param(tg.unroll(gru, x, reverse=True), id="reverse")
    yield pytest.param(tg.unroll(gru, x, lengths=[3, 7]), id="lengths")
    yield pytest.param(tg.unroll(lstm, x, truncate=2), id="truncated")
    yield pytest.param(tg.unroll(lstm, x[:1]), id="one step")
    yield pytest.param(tg.unroll(lstm, x[:2]), id="two steps")
    yield pytest.param(tg.unroll(tg.compile(gru, backend="numpy"), x), id="compiled")
    yield pytest.param(tg.unroll(gru, x * 1e200), id="large inputs")


CASES = list(cases())


@pytest.mark.parametrize("name", tg.cells.names())
def test_every_cell_has_a_page_as_the_schema_says(name: str) -> None:
    data = data_of(run_of(tg.cells.get(name)(3, 4, seed=0), steps=4))
    assert data["levels"]


@pytest.mark.parametrize("run", CASES)
def test_norms_are_those_of_the_trace(run: tg.Run) -> None:
    loss = (run.outputs[-1] ** 2).sum() + (run.outputs[0] ** 2).mean()
    data = data_of(run, loss)
    found = inspector.trace(run, loss)
    for name in found.names:
        np.testing.assert_allclose(unpack(data["norms"][name]), found.norm(name), rtol=1e-3)
    for name, row in zip(data["weights"]["names"], unpack(data["weights"]["norms"]), strict=True):
        np.testing.assert_allclose(row, found.parameter_norm(name), rtol=1e-3)


@pytest.mark.parametrize("run", CASES)
def test_shapes_of_named_values_carry_their_norms_and_means_at_every_step(run: tg.Run) -> None:
    loss = (run.outputs[-1] ** 2).sum() + (run.outputs[0] ** 2).mean()
    data = data_of(run, loss)
    found = inspector.trace(run, loss)
    for level in data["levels"]:
        seen = dict[str, Any]()
        for tile in level["tiles"]:
            norms, means = unpack(tile["shapeNorms"]), unpack(tile["shapeMeans"])
            for row, shape in enumerate(tile["shapes"]):
                if "name" in shape:
                    kept = seen.setdefault(shape["name"], [np.full(len(run), np.nan), np.full(len(run), np.nan)])
                    for series, one in zip(kept, (norms[row], means[row]), strict=True):
                        series[~np.isnan(one)] = one[~np.isnan(one)]
        assert {"x", *found.states} <= seen.keys()
        for name, (norms, means) in seen.items():
            wanted = found.norm(name)
            there = ~np.isnan(norms)
            assert there[wanted > 0].all(), name
            np.testing.assert_allclose(norms[there], wanted[there], rtol=1e-3, err_msg=name)
            assert not np.isnan(means).any() or name == "x", name  # which may be too large for float32


def test_what_shapes_are_holds_at_every_step() -> None:
    two = tg.Stacked([tg.cells.GRUCell(3, 4, seed=0), tg.cells.GRUCell(4, 4, seed=1)])
    for level in data_of(run_of(two, steps=12))["levels"]:
        words = {shape["about"] for tile in level["tiles"] for shape in tile["shapes"]}
        assert {"layer0/z = sigmoid", "layer1/z = sigmoid", "x = input"} <= words
        assert not [one for one in words if "t=" in one]


def test_parameters_are_those_of_their_layer() -> None:
    one = tg.cells.GRUCell(4, 4, seed=1)
    layers = [tg.Bidirectional(tg.cells.GRUCell(3, 2, seed=0), tg.cells.GRUCell(3, 2, seed=3)), one]
    data = data_of(run_of(tg.Stacked(layers), steps=3))
    of = dict(zip(data["weights"]["names"], data["weights"]["layers"], strict=True))
    assert {of["weight_ih_l0"], of["bias_hh_l0"]} == {"layer0/forward"}
    assert of["weight_ih_l0_reverse"] == "layer0/backward" and of["weight_hh_l1"] == "layer1"
    assert set(data_of(run_of(one, steps=3))["weights"]["layers"]) == {""}


def test_names_of_gates_and_states_stand_where_the_drawing_has_them() -> None:
    run = run_of(tg.cells.LSTMCell(3, 4, seed=0), steps=6)
    level = data_of(run)["levels"][0]
    drawing = inspector.draw(run, "cell", steps=[3, 4, 5]).picture
    at = {shape.id: shape for shape in drawing.shapes}
    left = next(frame.left for frame in drawing.frames if frame.timestep == 4)
    (tile,) = level["tiles"]
    said = {shape["key"]: shape["said"] for shape in tile["shapes"] if "said" in shape}
    assert {key: one["label"] for key, one in said.items()} == {gate: gate for gate in "ifgo"}
    assert [one["label"] for one in tile["states"]] == ["h", "c"]
    for name, one in [(f"t4.{key}.name", one) for key, one in said.items()] + [
        (f"t4.{one['label']}.label", one) for one in tile["states"]
    ]:
        place = at[name]
        assert place.label == f"{one['label']}₄"
        assert (one["x"], one["y"]) == pytest.approx((place.x - left, -place.y), abs=0.06)


@pytest.mark.parametrize(("batch", "room"), [(3, 10_000), (20, 10_000), (20, 620), (1, 10_000), (5, 0)])
def test_gates_of_some_sequences_are_there_to_choose_from(
    batch: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.page.document._GATES", room)
    monkeypatch.setattr("inspector.page.document._GATES_A_STEP", 0)
    run = run_of(tg.cells.LSTMCell(3, 4, seed=0), steps=5, batch=batch)
    data = data_of(run)
    sequences = data["sequences"]
    assert len(sequences) == min(batch, 8, max(1, room // (6 * 4 * 5)))
    assert sequences[0] == 0 and (len(sequences) == 1 or sequences[-1] == batch - 1)
    for gate in data["gates"]:
        values = np.stack([run.names[gate["name"], t].data for t in range(5)], axis=2)[sequences]
        assert ("others" in gate) == (len(sequences) > 1)
        rows = [unpack(gate["values"]), *([unpack(gate["others"])] if "others" in gate else [])]
        found = np.concatenate(rows).reshape(values.shape)
        np.testing.assert_allclose(found, values, atol=(gate["values"]["hi"] - gate["values"]["lo"]) / 500)


@pytest.mark.slow
def test_a_page_of_three_cells_and_200_steps_is_smaller_than_a_megabyte() -> None:
    runs = {}
    for name in ("rnn", "gru", "lstm"):
        run = run_of(tg.cells.get(name)(3, 16, seed=0), steps=200, batch=32)
        runs[name] = run, (run.outputs[-1] ** 2).sum()
    made = document_of(runs, None, "report")
    assert all(len(run["sequences"]) > 3 and run["sliders"] for run in made["runs"])
    assert len(html(made).encode()) < 1_000_000


def test_a_named_value_that_has_no_batch_has_one_picture() -> None:
    class Slow(tg.cells.RNNCell):
        def step(self, x: Any, state: Any) -> Any:
            keep = tg.named(k=tg.sigmoid(self.bias_ih.reshape(1, -1)))
            return (tg.named(h=tg.tanh(keep * state.h + x @ self.weight_ih.T)),)

    gates = {gate["name"]: gate for gate in data_of(run_of(Slow(3, 4, seed=0)))["gates"]}
    assert "others" in gates["h"] and "others" not in gates["k"]


def test_lines_carry_the_gradient_of_their_edge_at_every_step() -> None:
    run = run_of(tg.cells.LSTMCell(3, 4, seed=0), steps=6)
    data = data_of(run)
    found = inspector.trace(run, (run.outputs[-1] ** 2).sum())
    operation = next(level for level in data["levels"] if level["level"] == "operation")
    (tile,) = operation["tiles"]
    norms = {line["key"]: row for line, row in zip(tile["lines"], unpack(tile["lineNorms"]), strict=True)}
    for t in range(6):
        kept = run.names["c", t].inputs[0]  # f * c of the step before
        assert kept.op is not None and kept.op.name == "multiply"
        operand = next(k for k, value in enumerate(kept.inputs) if value is run.names["f", t])
        key = next(key for key in norms if key.startswith("f") and key.endswith("--c.multiply"))
        np.testing.assert_allclose(norms[key][t], found.edge_norms[kept.id, operand], rtol=1e-3)


def test_steps_that_differ_have_tiles_of_their_own() -> None:
    class EveryOther(tg.cells.RNNCell):
        def step(self, x: Any, state: Any) -> Any:
            self.count = getattr(self, "count", 0) + 1
            if self.count % 2:
                return super().step(x, state)
            h = tg.tanh(x @ self.weight_ih.T + tg.tanh(state.h * 0.5))
            return (tg.named(h=h),)

    data = data_of(run_of(EveryOther(3, 4, seed=0), steps=6))
    level = data["levels"][0]
    assert len(level["tiles"]) == 2
    of = np.round(unpack(level["tileOf"])).tolist()
    assert of == [0, 1, 0, 1, 0, 1]
    for k, tile in enumerate(level["tiles"]):
        norms = unpack(tile["shapeNorms"])
        assert np.isnan(norms[:, [t for t in range(6) if of[t] != k]]).all()


def test_the_graph_is_made_once_for_all_drawings_of_a_level(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(*of: Any) -> tg.Graph:
        graph = tg.Graph(*of)
        sizes.append(len(graph))
        return graph

    monkeypatch.setattr("inspector.picture.scene.Graph", counted)
    run = run_of(tg.cells.LSTMCell(3, 4, seed=0))
    assert level_of(run, inspector.trace(run, run.outputs[-1].sum()), "cell", 1) is not None
    assert len(sizes) == 1


def test_what_is_not_finite_is_said_and_not_there() -> None:
    cell = tg.cells.RNNCell(1, 2, seed=0)
    x = np.zeros((5, 1, 1))
    x[2] = np.nan
    run = tg.unroll(cell, x)
    data = data_of(run)
    assert "t = 2" in data["notFinite"] and data["verdict"]["kind"] == "not finite"
    assert "loss" not in data


def test_nothing_that_comes_of_names_is_markup_or_control() -> None:
    evil = "</script><img onerror=x>\u202e\n"
    run = run_of(tg.cells.GRUCell(3, 4, seed=0))
    made = document([Subject(evil, run, run.outputs[-1].sum()), Subject(evil, run, run.outputs[-1].sum())], evil, False)
    CHECK.validate(made)
    text = as_json(made)
    assert "\u202e" not in text and "\\n" not in text
    assert len({run["key"] for run in made["runs"]}) == 2


def test_the_map_reads_the_loss_of_each_step_if_it_has_one() -> None:
    run = run_of(tg.cells.GRUCell(3, 4, seed=0), steps=9)
    loss = sum((run.outputs[s] ** 2).sum() for s in (2, 5, 8))
    data = data_of(run, loss)
    assert data["reach"]["steps"] == [2, 5, 8]
    found = inspector.reach(run, loss).map["state", "h"][[2, 5, 8]]
    np.testing.assert_allclose(10 ** unpack(data["reach"]["map"])[found > 1e-9], found[found > 1e-9], rtol=0.1)


def test_lines_within_a_step_begin_where_their_source_is_whichever_is_the_strongest() -> None:
    (tile,) = data_of(run_of(tg.cells.LSTMCell(3, 4, seed=0), steps=6))["levels"][0]["tiles"]
    for key in {line["from"] for line in tile["lines"] if line["from"][0] not in "<>"}:
        (x, y), *others = [line["d"][0][0] for line in tile["lines"] if line["from"] == key]
        shape = next(shape for shape in tile["shapes"] if shape["key"] == key)
        carried = any(line["from"] == f"<{key}" for line in tile["lines"])  # from which others may branch off
        assert carried or all(point == [x, y] for point in others), key
        assert carried or (abs(x - shape["x"]) <= shape["w"] / 2 + 1 and abs(y - shape["y"]) <= shape["h"] / 2 + 1), key


def branches(tile: dict[str, Any], layer: str = "") -> set[tuple[str, str]]:
    """From where to where lines lead in a layer that begin on another line, and not at their source."""
    shapes = {shape["key"]: shape for shape in tile["shapes"]}
    found = set()
    for line in tile["lines"]:
        if (shape := shapes.get(line["from"])) and line["from"].startswith(layer):
            x, y = line["d"][0][0]
            if abs(x - shape["x"]) > shape["w"] / 2 + 1 or abs(y - shape["y"]) > shape["h"] / 2 + 1:
                found.add((line["from"].removeprefix(layer), line["to"].removeprefix(layer)))
    return found


def test_lines_of_a_stack_branch_off_those_that_go_on_into_the_next_step_as_they_do_alone() -> None:
    one, two = tg.cells.LSTMCell(3, 4, seed=0), tg.cells.LSTMCell(4, 4, seed=1)
    alone, stack = (data_of(run_of(cell, steps=6))["levels"][0]["tiles"][0] for cell in (one, tg.Stacked(one, two)))
    assert branches(alone) == branches(stack, "layer0.") == branches(stack, "layer1.") == {("c.add", "h.tanh")}


def test_of_a_gradient_that_hardly_fades_the_map_is_dark_everywhere() -> None:
    cell = tg.cells.get("irnn")(3, 4, seed=0)
    found = data_of(run_of(cell, steps=6))["reach"]["map"]
    seen = unpack(found)[np.tril_indices(6)]
    assert seen.max() - seen.min() < 1 < 4 <= found["hi"] - found["lo"]


def test_the_same_run_gives_the_same_bytes() -> None:
    first, second = (as_json({"a": data_of(run_of(tg.cells.LSTMCell(3, 4, seed=0)))}) for _ in range(2))
    assert first == second


def test_norms_whose_squares_are_too_large_or_too_small_are_neither_infinite_nor_zero() -> None:
    run = run_of(tg.cells.RNNCell(3, 4, seed=0), steps=4)
    for size in (1e-190, 1e190):
        loss = run.outputs[-1].sum() * size
        data = data_of(run, loss)
        np.testing.assert_allclose(unpack(data["whole"]), inspector.trace(run, loss).norm("h"), rtol=1e-3)
        assert data["verdict"]["steps90"] == data_of(run, run.outputs[-1].sum())["verdict"]["steps90"]


def test_weights_that_get_no_gradient_have_no_number_of_steps_that_train_them() -> None:
    run = run_of(tg.cells.RNNCell(3, 4, seed=0))
    assert data_of(run, run.outputs[-1].sum() * 0.0)["verdict"]["steps90"] is None


def test_what_is_not_finite_is_not_zero_in_the_norm_of_the_whole_state() -> None:
    cell = tg.cells.RNNCell(1, 2, seed=0)
    x = np.zeros((5, 1, 1))
    x[2] = np.nan
    run = tg.unroll(cell, x)
    whole, wanted = unpack(data_of(run)["whole"]), inspector.trace(run, (run.outputs[-1] ** 2).sum()).norm("h")
    np.testing.assert_array_equal(np.isnan(whole), ~np.isfinite(wanted))


@pytest.mark.parametrize("reverse", [False, True])
def test_the_numbers_that_need_no_script_say_where_the_gradient_arrives(reverse: bool) -> None:
    run = run_of(tg.cells.GRUCell(3, 4, seed=0), reverse=reverse)
    made = html(document([Subject("GRU", run, (run.outputs[0 if reverse else -1] ** 2).sum())], "GRU", False))
    assert f"of the gradient arrives at t = {6 if reverse else 0}<" in made


@pytest.mark.parametrize("run", CASES)
def test_some_rows_of_the_map_are_those_of_the_whole_one(run: tg.Run) -> None:
    run, loss = recorded(run, sum((output**2).mean() for output in run.outputs))
    found, parts, read = inspector.reach(run, loss), LossSteps(run, loss), range(0, len(run), 2)
    for name in found.states:
        rows, horizon = reach_of(parts, name, read)
        np.testing.assert_allclose(rows, found.map["state", name][list(read)], rtol=1e-9)
        np.testing.assert_array_equal(horizon, found.horizon.sel(state=name, level="1 %").values[list(read)])


def test_a_stack_with_a_long_name_leaves_the_headline_to_the_verdict() -> None:
    both = [tg.Bidirectional(tg.cells.GRUCell(n, 2, seed=0), tg.cells.GRUCell(n, 2, seed=1)) for n in (3, 4, 4)]
    run = tg.unroll(tg.Stacked(both), np.ones((3, 1, 3)))
    made = document_of(run, (run.outputs[-1] ** 2).sum(), "report", sliders=False)
    assert made["runs"][0]["label"] == "Stacked" and made["runs"][0]["cell"] == repr(run.cell)
    assert '<h1 class="verdict">Stacked: ' in html(made)


class Slashed(tg.cells.RNNCell):
    """A gate whose name has a slash in it, as the names of layers do."""

    def step(self, x: Any, state: Any) -> Any:
        gate = tg.named(**{"a/b": tg.sigmoid(x @ self.weight_ih.T)})
        return (tg.named(h=tg.tanh(gate * state.h + x @ self.weight_ih.T)),)


def test_a_slash_in_a_name_is_no_layer() -> None:
    run = run_of(tg.Stacked([Slashed(3, 4, seed=0)]), steps=3)
    data = data_of(run)
    assert {name.rpartition("/")[0] for name in data["norms"]} == {"", "layer0"}
    gates = {gate["name"]: gate["hue"] for gate in data["gates"] if not gate["state"]}
    (look,) = data["levels"][-1]["gates"]
    assert gates == {f"layer0/{look['name']}": look["hue"]} and look["name"] == "a∕b"


def test_a_long_label_leaves_the_headline_to_the_verdict() -> None:
    run, label = run_of(tg.cells.RNNCell(3, 4, seed=0), steps=3), "trained on " + "everything " * 30
    made = document_of({label: (run, run.outputs[-1].sum())}, None, "report", sliders=False)
    assert made["runs"][0]["label"] == label
    headline = html(made).partition('<h1 class="verdict">')[2].partition("</h1>")[0]
    assert len(headline) < 60 + len(made["runs"][0]["verdict"]["text"].partition(":")[0])
    assert "trained on" in headline and "…" in headline


def test_steps_of_too_many_kinds_have_no_drawing_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inspector.page.tile.MOST_TILES", 0)
    run = run_of(tg.cells.RNNCell(3, 4, seed=0), steps=3)
    data = data_of(run)
    assert "levels" not in data and "of more than 24 kinds" in data["undrawn"]
    assert data["undrawn"] in html(document_of(run, run.outputs[-1].sum(), "report", sliders=False))
    monkeypatch.undo()
    assert "undrawn" not in data_of(run)


def test_of_a_gradient_that_stops_no_half_life_is_said() -> None:
    run = run_of(tg.cells.RNNCell(3, 4, seed=0), steps=5, truncate=2)
    text = html(document_of(run, run.outputs[-1].sum(), "report", sliders=False)).partition('id="play"')[0]
    assert "<b>—</b><span>steps until half is lost: none arrives" in text and "neither fades" not in text
