"""Two cells in one diagram and in words: what is shared is found, nothing is lost, and text stays text."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import inspector
import tinygrad_rnn as tg
from inspector.cli.main import main
from inspector.compare.comparison import Comparison
from inspector.picture.picture import Look
from inspector.picture.scene import LEVELS
from inspector.steps.items import safe
from tests.inspector.picture.test_drawing import assert_sound, crossings_of_boxes, overlapping
from tests.marks import slow_unless
from tests.random_cells import cells, runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

NAMES = tg.cells.names()
NEIGHBOURS = [*zip(NAMES[::2], NAMES[1::2], strict=False), (NAMES[-1], NAMES[0])]
"""Every registered cell beside another."""
GATED = ("i", "f", "g", "o")


def made(name: str, **options: Any) -> tg.Cell:
    return tg.cells.get(name)(3, 4, seed=0, **options)


def compared(a: str, b: str, level: str = "operation") -> Comparison:
    return inspector.compare_graphs(made(a), made(b), level=level)


def drawn(found: Comparison) -> dict[str, list[str]]:
    """The ids of the shapes by how they are dressed, without marks and legend."""
    by: dict[str, list[str]] = {"kept": [], "removed": [], "added": []}
    for shape in found.picture.shapes:
        if shape.look in map(Look, by):
            by[shape.look.part].append(shape.id)
    return by


def assert_clean(found: Comparison) -> None:
    """No shape lies on another but the marks on what they mark."""
    shapes = [s for s in found.picture.shapes if s.look.variant != "mark"]
    assert_sound(found.picture)
    marked = {s.id.removesuffix(".mark") for s in found.picture.shapes if s.look.variant == "mark"}
    assert marked - {"legend.added", "legend.removed"} == {*drawn(found)["removed"], *drawn(found)["added"]}
    found.picture.shapes, every = shapes, found.picture.shapes
    assert overlapping(found.picture) == [] and crossings_of_boxes(found.picture) == []
    found.picture.shapes = every


# --------------------------------------------------------------------------------- the known pairs


def test_a_peephole_lstm_has_everything_an_lstm_has() -> None:
    found = compared("lstm", "peephole")
    assert found.removed == ()
    assert found.added == ("i.multiply", "f.multiply", "o.multiply")
    assert found.words.splitlines() == [
        "PeepholeLSTM has all 25 operations of LSTM, and 3 more.",
        "Both carry h and c from step to step.",
        "Gates i, f and o are in both.",
        "Gate g is called z in PeepholeLSTM.",
        "Gates z, i, f and o: 1 bias in PeepholeLSTM where LSTM has 2.",
        "Added: cₜ₋₁ enters gates i and f through p_i and p_f.",
        "Added: cₜ enters gate o through p_o.",
        "Parameters, in numbers: 144 in LSTM, 140 in PeepholeLSTM.",
    ]
    shapes = drawn(found)
    assert shapes["removed"] == [] and shapes["added"] == ["t1.i.multiply", "t1.f.multiply", "t1.o.multiply"]


def test_a_coupled_lstm_has_one_minus_f_for_the_input_gate() -> None:
    found = compared("lstm", "coupled")
    assert found.added == ("c.subtract",)
    assert {key.split(".")[0] for key in found.removed} == {"i"} and len(found.removed) == 5
    assert "cₜ reads 1 − f instead of i." in found.words.splitlines()
    assert (
        "Gate i is removed: i = σ(weight_ih · xₜ + weight_hh · hₜ₋₁ + bias_ih + bias_hh)." in found.words.splitlines()
    )


def test_lstm_and_gru_share_the_forget_gate_and_the_candidate() -> None:
    found = compared("lstm", "gru")
    assert {key.split(".")[0] for key in found.shared} == {"f", "g", "c"}
    assert {key.split(".")[0] for key in found.removed} == {"i", "o", "h"}
    assert {key for key in found.added if not key.startswith("r.")} == {"n.add.3", "n.multiply", "h.subtract"}
    lines = found.words.splitlines()
    for line in (
        "State c is removed.",
        "Gate f is called z in GRU.",
        "Gate g is called n in GRU.",
        "hₜ reads 1 − z instead of i.",
    ):
        assert line in lines
    assert "hₜ is o × tanh(cₜ) in LSTM, (1 − z) × n + z × hₜ₋₁ in GRU." in lines
    assert sum(line.startswith("Gate r is added") for line in lines) == 1


def test_between_the_grus_one_product_is_moved() -> None:
    found = compared("gru", "gru_before")
    assert (found.removed, found.added) == (("n.add.3", "n.multiply"), ("n.multiply",))
    assert "In gate n, × r acts on hₜ₋₁ instead of weight_hh · hₜ₋₁ + bias_hh." in found.words.splitlines()


@pytest.mark.parametrize(
    ("a", "b", "removed", "added"),
    [
        ("np", "peephole", 0, 3),
        ("peephole", "nog", 7, 0),
        ("peephole", "cifg", 6, 1),
        ("rnn", "irnn", 1, 1),
        ("rnn", "lstm", 0, 20),
        ("gru_before", "mgu", 6, 1),
        ("lstm", "slstm", 3, 12),
    ],
)
def test_variants_differ_by_what_their_papers_say(a: str, b: str, removed: int, added: int) -> None:
    found = compared(a, b)
    assert (len(found.removed), len(found.added)) == (removed, added)


# -------------------------------------------------------------------------------------------- laws


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_is_all_of_itself(name: str) -> None:
    found = compared(name, name)
    assert found.removed == found.added == ()
    assert "have the same" in found.words and "differ" not in found.words


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "gru", "slstm"])
def test_a_cell_against_itself_is_drawn_without_changes(name: str) -> None:
    found = compared(name, name)
    assert drawn(found)["removed"] == drawn(found)["added"] == []
    assert {line.grade for line in found.picture.lines} == {"kept"}
    assert sum(shape.look == Look("kept", legend=True) for shape in found.picture.shapes) == 1


@pytest.mark.slow
@FEW
@given(run=runs())
def test_a_run_is_all_of_itself(run: Run) -> None:
    for level in LEVELS:
        found = inspector.compare_graphs(run, run, level=level)
        assert found.removed == found.added == ()
        assert drawn(found)["removed"] == drawn(found)["added"] == []


def assert_complete(a: tg.Cell, b: tg.Cell, level: str) -> None:
    """Whatever a cell has is shared or its own, once; and so are the lines."""
    found, back = (inspector.compare_graphs(*pair, level=level) for pair in ((a, b), (b, a)))
    alone = [inspector.compare_graphs(cell, cell, level=level) for cell in (a, b)]
    assert Counter([*found.shared, *found.removed]) == Counter(alone[0].shared)
    assert Counter([*back.shared, *found.added]) == Counter(alone[1].shared)
    assert (found.removed, found.added) == (back.added, back.removed)
    assert len(found.shared) == len(back.shared) and len(set(found.shared)) == len(found.shared)


@pytest.mark.slow
@FEW
@given(a=cells(), b=cells())
def test_two_cells_nobody_has_compared_are_drawn_whole(a: tg.Cell, b: tg.Cell) -> None:
    with np.errstate(all="ignore"):
        found = inspector.compare_graphs(a, b)
    assert_sound(found.picture)
    shapes = drawn(found)
    for which, listed in (("removed", found.removed), ("added", found.added)):
        for key in listed:
            base = f"t1.{safe(key)}"
            assert any(own == base or own.startswith(f"{base}_27_") for own in shapes[which]), key


@settings(max_examples=12)
@given(a=cells(), b=cells())
def test_nothing_is_lost_and_swapping_swaps(a: tg.Cell, b: tg.Cell) -> None:
    with np.errstate(all="ignore"):
        for level in LEVELS:
            assert_complete(a, b, level)


@pytest.mark.parametrize(("a", "b"), [("lstm", "gru"), ("gru", "gru_before"), ("lstm", "slstm"), ("peephole", "fgr")])
def test_nothing_of_a_known_cell_is_lost(a: str, b: str) -> None:
    assert_complete(made(a), made(b), "operation")


class Written(tg.Cell):
    """An LSTM; `style` says how it is written, which must not matter."""

    state_names = ("h", "c")

    def __init__(self, style: str) -> None:
        super().__init__(3, 4, seed=0)
        self.style = style
        if style == "joined":
            self.parameter("kernel", (16, 7))
            self.parameter("b", (16,))
        else:
            prefix = "k" if style == "renamed" else "w"
            for gate in GATED:
                for part, shape in (("x", (4, 3)), ("h", (4, 4)), ("b", (4,))):
                    self.parameter(f"{prefix}_{gate}{part}", shape)

    def nets(self, x: Any, h: Any) -> list[Any]:
        weights = list(dict(self.named_parameters()).values())
        if self.style == "joined":
            return list(tg.split(tg.concatenate([h, x], axis=1) @ weights[0].T + weights[1], 4, axis=1))
        three = [weights[3 * k : 3 * k + 3] for k in range(4)]
        if self.style == "swapped":
            return [b + (h @ u.T + x @ w.T) for w, u, b in three]
        return [x @ w.T + h @ u.T + b for w, u, b in three]

    def step(self, x: Any, state: Any) -> Any:
        zi, zf, zg, zo = self.nets(x, state.h)
        i, f, g, o = tg.named(i=tg.sigmoid(zi), f=tg.sigmoid(zf), g=tg.tanh(zg), o=tg.sigmoid(zo))
        c = tg.named(c=g * i + state.c * f if self.style == "swapped" else f * state.c + i * g)
        return tg.named(h=tg.tanh(c) * o if self.style == "swapped" else o * tg.tanh(c)), c


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("style", ["renamed", "swapped", "joined"])
def test_how_a_cell_is_written_does_not_matter(style: str, level: str) -> None:
    for other in (Written("plain"), made("lstm")):
        found = inspector.compare_graphs(other, Written(style), level=level)
        assert found.removed == found.added == ()
        assert {line.grade for line in found.picture.lines} == {"kept"}


def test_operands_with_an_order_keep_it() -> None:
    class Minus(tg.Cell):
        def __init__(self, turned: bool) -> None:
            super().__init__(3, 3, seed=0)
            self.turned = turned

        def step(self, x: Any, state: Any) -> Any:
            return (tg.tanh(state.h - x if self.turned else x - state.h),)

    found = inspector.compare_graphs(Minus(False), Minus(True))
    assert found.removed == found.added == ("h.subtract",)


def test_cut_lines_are_told_and_drawn() -> None:
    found = inspector.compare_graphs(made("peephole"), made("peephole", cut_peepholes=True))
    assert (found.removed, found.added) == ((), ("o.stop_gradient",))
    assert "the second PeepholeLSTM, no gradient flows back to cₜ₋₁ from gates i and f." in found.words
    cut = [line for line in found.picture.lines if line.cut]
    assert {line.target for line in cut if line.grade == "added"} >= {"t1.i.multiply", "t1.f.multiply"}


def test_other_constants_are_another_operation() -> None:
    class Scaled(tg.Cell):
        def __init__(self, factor: float) -> None:
            super().__init__(3, 3, seed=0)
            self.factor = factor

        def step(self, x: Any, state: Any) -> Any:
            return (tg.tanh(self.factor * state.h + x),)

    assert inspector.compare_graphs(Scaled(0.5), Scaled(0.5)).removed == ()
    assert inspector.compare_graphs(Scaled(0.5), Scaled(0.25)).removed == ("h.multiply",)


def test_a_state_under_another_name_is_the_same_state() -> None:
    found = compared("lstm2000", "lstm")
    assert "State s is called c in LSTM." in found.words.splitlines() and "removed" not in found.words.splitlines()[1]
    assert {key.split(".")[0] for key in found.removed + found.added} == {"g", "h"}
    assert [line.grade for line in found.picture.lines if line.source == "t1.s.before"] == ["kept"] * 1
    assert "reads" not in found.words


def test_sizes_do_not_matter() -> None:
    for name in ("lstm", "gru", "fgr"):
        found = inspector.compare_graphs(made(name), tg.cells.get(name)(5, 9, seed=1))
        assert found.removed == found.added == ()


# ----------------------------------------------------------------------------------------- drawing


@pytest.mark.parametrize(("a", "b"), slow_unless(NEIGHBOURS[:2], NEIGHBOURS))
def test_neighbours_in_the_registry_are_drawn_cleanly(a: str, b: str) -> None:
    found = compared(a, b)
    many = len(found.shared + found.removed + found.added) > 50
    assert_clean(compared(a, b, "cell") if many else found)


@pytest.mark.parametrize("level", slow_unless(["cell"], ["gate", "cell"]))
@pytest.mark.parametrize(
    ("a", "b"), [("lstm", "peephole"), ("lstm", "coupled"), ("lstm", "gru"), ("gru", "gru_before")]
)
def test_the_known_pairs_are_drawn_cleanly_at_every_level(a: str, b: str, level: str) -> None:
    found = compared(a, b, level)
    assert_clean(found)
    dots = [s.id for s in found.picture.shapes if s.id == "t1.join"]
    assert len(dots) == (a == "lstm" and b != "gru"), "input and state are joined where all layers read both"


def test_colour_is_not_the_only_difference() -> None:
    found = compared("lstm", "gru")
    for shape in found.picture.shapes:
        if shape.look in (Look("kept"), Look("removed"), Look("added")):
            assert shape.dashed == (shape.look.part == "removed")
    looks = {line.grade: (line.dashed, line.width > 1.5) for line in found.picture.lines if line.grade != "kept"}
    assert looks == {"removed": (True, True), "added": (False, True)}
    marks = {s.look.part: s.label for s in found.picture.shapes if s.look.variant == "mark"}
    assert marks == {"added": "+", "removed": "−"}


def test_where_both_give_the_same_state_in_their_own_way_the_lines_meet() -> None:
    found = compared("lstm", "gru")
    (dot,) = [s.id for s in found.picture.shapes if s.id.endswith(".either")]
    assert sorted(line.grade for line in found.picture.lines if line.target == dot) == ["added", "removed"]
    assert {line.grade for line in found.picture.lines if line.source == dot} == {"kept"}


@pytest.mark.slow
@pytest.mark.parametrize("level", ["cell", "gate"])
def test_names_are_of_no_timestep_and_marks_lie_on_no_symbol(level: str) -> None:
    found = inspector.compare_graphs(
        tg.cells.get("lstm")(3, 4, seed=0), tg.cells.get("gru")(3, 4, seed=0), level=level
    ).picture
    assert {s.label for s in found.shapes if s.look.part == "label"} == {"cₜ₋₁", "cₜ", "hₜ₋₁", "hₜ"}
    shapes = {s.id: s for s in found.shapes}
    marks = [s for s in found.shapes if s.id.endswith(".mark")]
    assert len(marks) > 5
    for mark in marks:
        shape = shapes[mark.id.removesuffix(".mark")]
        across, up = abs(mark.x - shape.x) - mark.width / 2, abs(mark.y - shape.y) - mark.height / 2
        assert across > len(shape.label) * 3.0 or up > 4.5


def test_a_comparison_is_deterministic_and_shows_itself(tmp_path: Path) -> None:
    one, other = compared("lstm", "gru"), compared("lstm", "gru")
    assert one == other and one.picture == other.picture and str(one) == one.words
    texts = ["".join(e.itertext()) for e in ET.fromstring(one._repr_svg_().encode()).iter() if e.tag.endswith("text")]
    assert {"LSTM → GRU", "f → z", "only in LSTM", "only in GRU", "hₜ₋₁", "cₜ", "xₜ"} <= set(texts)
    assert one.save(tmp_path / "a.svg").read_text() == one.drawing.svg
    assert one._repr_svg_() == one.drawing._repr_svg_()
    assert json.loads(one.save(tmp_path / "a.json").read_text())["nodes"]
    assert inspector.compare_graphs(made("lstm"), made("gru"), tmp_path / "b.svg") == one
    assert (tmp_path / "b.svg").read_bytes() == (tmp_path / "a.svg").read_bytes()


def test_names_from_users_are_text() -> None:
    evil = '<b>"&\\N]]></style><script>alert(1)</script>\x1b[2J\n'

    class Evil(tg.Cell):
        state_names = ("h",)

        def __init__(self, op: Any) -> None:
            super().__init__(3, 3, seed=0)
            self.op, self.w = op, self.parameter(evil, (3, 3))

        def step(self, x: Any, state: Any) -> Any:
            return (tg.named(**{evil: self.op(x @ self.w.T)}) + state.h,)

    Evil.__name__ = evil
    found = inspector.compare_graphs(Evil(tg.tanh), Evil(tg.sigmoid))
    root = ET.fromstring(found._repr_svg_().encode())
    assert not [e for e in root.iter() if e.tag.endswith("script")]
    assert "\x1b" not in found.words and "tanh" in found.words


# ------------------------------------------------------------------------------------------- input


def test_runs_are_compared_at_their_middle_and_compiled_ones_are_replayed() -> None:
    x = np.random.default_rng(0).normal(size=(7, 2, 3))
    run, fused = tg.unroll(made("lstm"), x), tg.unroll(tg.compile(made("peephole")), x, truncate=2)
    found = inspector.compare_graphs(run, fused)
    assert (found.removed, found.added) == ((), ("i.multiply", "f.multiply", "o.multiply"))
    assert found.picture.frames[0].timestep == 3
    assert "enters gates i and f" in inspector.compare_graphs(made("lstm"), fused).words


def test_what_is_no_single_cell_is_refused(tmp_path: Path) -> None:
    stack = tg.Stacked(made("lstm"), tg.cells.GRUCell(4, 4, seed=0))
    with pytest.raises(ValueError, match="several cells"):
        inspector.compare_graphs(stack, made("gru"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"run\.cells"):
        inspector.compare_graphs(tg.unroll(stack, np.zeros((3, 1, 3))), made("gru"))
    with pytest.raises(TypeError, match="expected a cell or a run, got str"):
        inspector.compare_graphs("lstm", made("gru"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="operation, gate, cell"):
        inspector.compare_graphs(made("lstm"), made("gru"), level="atom")
    with pytest.raises(ValueError, match=r"a\.gif' must end in"):
        inspector.compare_graphs(made("lstm"), made("gru"), tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "np", "peephole", "--level", "cell"]) == 0
    said = capsys.readouterr().out
    assert "Gates i and f also read cₜ₋₁." in said and "np-peephole-cell.svg" in said
    assert (tmp_path / "np-peephole-cell.svg").exists()
    assert main(["compare", "np", "nosuch"]) == 2
    assert "no cell called 'nosuch'" in capsys.readouterr().err


class Called(tg.Cell):
    """One state and one gate, called as they may be; the gate may see the state through a square."""

    def __init__(self, gate: str, squared: bool, state: str = "output") -> None:
        self.state_names = (state,)
        super().__init__(3, 4, seed=0)
        self.gate, self.squared = gate, squared
        self.W, self.U = self.parameter("W", (4, 3)), self.parameter("U", (4, 4))

    def step(self, x: Any, state: Any) -> Any:
        seen = tg.square(state[0]) if self.squared else state[0]
        gate = tg.named(**{self.gate: tg.sigmoid(x @ self.W.T + seen @ self.U.T)})
        return (gate * state[0] + tg.tanh(x @ self.W.T),)


@pytest.mark.parametrize("gate", ["f", "output_gate", "output", "d.f"])
def test_states_and_gates_may_be_called_like_anything_else_in_the_diagram(gate: str) -> None:
    state = "state" if gate == "output" else "output"
    found = inspector.compare_graphs(Called(gate, False, state), Called(gate, True, state))
    assert f"Both carry {state} from step to step." in found.words
    assert f"gate {gate}" in found.words.lower() and [key for key in found.added if key.endswith("square")]
    assert len({shape.id for shape in found.picture.shapes}) == len(found.picture.shapes)
