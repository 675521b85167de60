"""Equations say what the graph computes: checked on the text itself, worked out for one sequence by a reader of
its own.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib.mathtext import MathTextParser

import inspector
import tinygrad_rnn as tg
from inspector.algebra.equations import Equations, Layer
from inspector.algebra.expression import Expression, Symbol, evaluate, number, subtrees
from inspector.algebra.names import latex_name
from inspector.algebra.notation import LATEX, UNICODE
from inspector.cli.main import main
from inspector.picture.compose import picture
from inspector.steps.items import highways
from inspector.steps.operations import operation_step
from inspector.steps.source import sources_of
from tests.inspector.algebra.formulas import read
from tests.marks import slow_unless
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

CELLS = tg.cells.names()
ROWS = {"lstm": "ifgo", "projected": "ifgo", "gru": "rzn", "layernorm": "fiog"}
DIAGONAL = {
    "add",
    "subtract",
    "multiply",
    "divide",
    "negative",
    "where",
    "transpose",
    "reshape",
    "broadcast_to",
    "astype",
    "identity",
}


def run_of(name: str, steps: int = 3, **options: Any) -> Run:
    cell = tg.cells.get(name)(3, 4, seed=0, **options)
    return tg.unroll(cell, np.random.default_rng(0).normal(size=(steps, 2, 3)))


RUNS = {name: run_of(name) for name in CELLS}
VARIANTS = {
    "1997 truncated": run_of("lstm1997", truncated=True),
    "1997 blocks": run_of("lstm1997", block_size=2),
    "2000 blocks": run_of("lstm2000", block_size=2, truncated=True),
    "peepholes cut": run_of("peephole", cut_peepholes=True),
    "leaky units": run_of("leaky", time_constant=[1.0, 2.0, 3.0, 4.0]),
    "slstm exp": run_of("slstm", forget="exp"),
}


def test_the_equations_of_the_standard_cells_are_those_of_the_papers() -> None:
    gate = r"W^{(G)}_{ih} x_t + b^{(G)}_{ih} + W^{(G)}_{hh} h_{t-1} + b^{(G)}_{hh}"
    whole = [line.latex for line in inspector.equations(RUNS["rnn"]).layers[0].lines]
    assert whole == [r"h_t = \tanh\!\left(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh}\right)"]
    lstm = [
        rf"{g}_t = {s}\!\left({gate.replace('G', g)}\right)"
        for g, s in zip("ifgo", (r"\sigma", r"\sigma", r"\tanh", r"\sigma"), strict=True)
    ]
    assert [line.latex for line in inspector.equations(RUNS["lstm"]).layers[0].lines] == [
        *lstm,
        r"c_t = f_t \odot c_{t-1} + i_t \odot g_t",
        r"h_t = o_t \odot \tanh(c_t)",
        r"\left.\frac{\partial c_t}{\partial c_{t-1}}\right|_{\text{highway}} = \operatorname{diag}(f_t)",
    ]
    gru = [rf"{g}_t = \sigma\!\left({gate.replace('G', g)}\right)" for g in "rz"]
    assert [line.latex for line in inspector.equations(RUNS["gru"]).layers[0].lines] == [
        *gru,
        (
            r"n_t = \tanh\!\left(W^{(n)}_{ih} x_t + b^{(n)}_{ih} + r_t \odot \left(W^{(n)}_{hh} h_{t-1} +"
            r" b^{(n)}_{hh}\right)\right)"
        ),
        r"h_t = \left(1 - z_t\right) \odot n_t + z_t \odot h_{t-1}",
        r"\left.\frac{\partial h_t}{\partial h_{t-1}}\right|_{\text{highway}} = \operatorname{diag}(z_t)",
    ]
    assert inspector.equations(RUNS["lstm"]).unicode.splitlines()[-3:] == [
        "cₜ = fₜ ⊙ cₜ₋₁ + iₜ ⊙ gₜ",
        "hₜ = oₜ ⊙ tanh(cₜ)",
        "∂cₜ/∂cₜ₋₁ along the highway = diag(fₜ)",
    ]


# ------------------------------------------------------------------------ the text, read and worked out


def known(name: str, run: Run, notation: Any) -> dict[str, Any]:
    """What symbols mean for the first sequence at timestep 1, from the cell and the run alone."""
    values: dict[str, Any] = {notation.symbol(Symbol("x", 0)): run.inputs[1].data[0]}
    for state, value in run.states[0]._asdict().items():
        values[notation.symbol(Symbol(state, -1))] = value.data[0]
    for parameter, weight in run.cell.named_parameters():
        values[notation.symbol(Symbol(parameter))] = weight.data
        for k, gate in enumerate(ROWS.get(name, "")):
            values[notation.symbol(Symbol(parameter), gate)] = weight.data[4 * k : 4 * k + 4]
    if name == "clockwork":
        values[notation.symbol(Symbol("k_1"))] = np.array([1.0, 2.0, 4.0, 8.0])
    return values


def follow(lines: Iterator[tuple[str, str]], name: str, notation: Any) -> Iterator[tuple[str, Any]]:
    """Each left side with what the right side comes to, one after another."""
    values = known(name, RUNS[name], notation)
    for left, right in lines:
        values[left] = read(right, values)
        for k, gate in enumerate(ROWS.get(name, "")):
            if np.shape(values[left]) == (16,):
                bare = Symbol(left[0], 0)
                values[notation.symbol(bare, gate)] = values[left][4 * k : 4 * k + 4]
        yield left, values[left]


CASES = ("clockwork", "chunker")
"""Their LaTeX has cases, which the reader here does not know; their plain text is read like all others."""


@pytest.mark.parametrize(
    ("name", "notation"),
    [*((name, UNICODE) for name in CELLS), *((name, LATEX) for name in CELLS if name not in CASES)],
)
def test_what_is_written_gives_what_was_computed(name: str, notation: Any) -> None:
    found = inspector.equations(RUNS[name]).equations
    lines = [line.sides if notation is LATEX else tuple(line.unicode.split(" = ", 1)) for line in found]
    for line, (left, value) in zip(found, follow(iter(lines), name, notation), strict=True):
        parts = line.value[0] if line.value.shape[:1] == (2,) else line.value
        np.testing.assert_allclose(
            np.broadcast_to(value, parts.shape), parts, rtol=1e-9, atol=1e-9, err_msg=f"{name}: {left}"
        )


def leaf(name: str) -> Expression:
    return Expression("symbol", (), {}, (3,), False, -1, Symbol(name))


def grown(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    def made(op: str, *operands: Expression) -> Expression:
        return Expression(op, operands, {}, (3,))

    unary = st.builds(made, st.sampled_from(["negative", "square", "sigmoid", "abs", "tanh"]), inner)
    binary = st.builds(made, st.sampled_from(["add", "subtract", "multiply", "divide"]), inner, inner)
    matrix = Expression("symbol", (), {}, (3, 3), False, -1, Symbol("W"))
    vectors = st.builds(
        made, st.sampled_from(["add", "multiply", "divide", "subtract"]), inner, st.sampled_from("abc").map(leaf)
    )
    return st.one_of(unary, binary, vectors.map(lambda v: made("apply", matrix, v)))


LEAVES = st.one_of(st.sampled_from("abc").map(leaf), st.sampled_from([2.0, -0.5, 1.0, 3e-5]).map(number))


@pytest.mark.slow
@settings(max_examples=600)
@given(st.recursive(LEAVES, grown, max_leaves=8))
def test_brackets_are_where_they_have_to_be(expression: Expression) -> None:
    rng = np.random.default_rng(0)
    values = {Symbol(name): rng.uniform(0.5, 2.0, size=(3, 3) if name == "W" else (3,)) for name in "abcW"}
    names = {symbol.name: value for symbol, value in values.items()}
    with np.errstate(all="ignore"):
        expected = evaluate(expression, values)
        finer = evaluate(expression, {symbol: value.astype(np.longdouble) for symbol, value in values.items()})
        scale = max(float(np.abs(evaluate(part, values)).max()) for part in subtrees(expression))
        assume(np.isfinite(scale) and np.allclose(expected, finer, rtol=1e-9, atol=1e-9))  # or rounding decides
        for notation in (UNICODE, LATEX):
            text = notation(expression)
            if text.count("|") <= 2:  # which bar closes which is for a person to see
                np.testing.assert_allclose(read(text, names), expected, rtol=1e-6, atol=1e-9 * scale, err_msg=text)


class Plain(tg.Cell):
    """Numbers, and sums that are means or are not."""

    def step(self, x: Any, state: Any) -> Any:
        mean, half = tg.named(u=tg.mean(x, axis=1, keepdims=True), v=tg.sum(x, axis=1, keepdims=True) / 2.0)
        p, q = tg.named(p=2.0 * (1.0 / x), q=tg.max(x, axis=0) * -0.5)
        return (state.h + mean * (half - p) * (q * -3.0),)


def test_numbers_and_reductions_read_well() -> None:
    found = inspector.equations(Plain(3, 3))
    recomputed(found)
    assert found.unicode.splitlines() == [
        "uₜ = mean(xₜ)",
        "vₜ = sum(xₜ) / 2",
        "pₜ = 2 · 1 / xₜ",
        "qₜ = max_batch(xₜ) · (−0.5)",
        "hₜ = hₜ₋₁ + uₜ · (vₜ − pₜ) ⊙ qₜ · (−3)",
        "∂hₜ/∂hₜ₋₁ along the highway = I",
    ]
    assert found.equations[2].sides == ("p_t", r"2 \cdot \frac{1}{x_t}")
    assert found.equations[3].sides == ("q_t", r"\operatorname{max}_{\text{batch}}(x_t) \cdot \left(-0.5\right)")


# ------------------------------------------------------------------------------------- every run


def recomputed(found: Equations) -> None:
    for line in found.equations:
        np.testing.assert_allclose(line.computed, line.value, rtol=1e-9, atol=1e-12, err_msg=line.unicode)


@FEW
@given(runs())
def test_random_cells_compute_what_their_equations_say(run: Run) -> None:
    for t in range(len(run)):
        found = inspector.equations(run, t)
        recomputed(found)
        well_formed(found)
        assert set(run.states[t]._fields) <= {line.name for line in found.equations}
        assert {name for name, step in run.names if step == t and name != "x"} <= {
            line.name for line in found.equations
        }
        lefts = [line.sides[0] for line in found.equations]
        assert len(set(lefts)) == len(lefts)
        along_the_highways(run, t, found.layers[0])


@pytest.mark.parametrize("name", slow_unless([*CELLS, *VARIANTS][1::3], [*CELLS, *VARIANTS]))
def test_every_cell_has_its_names_and_parameters_in_its_equations(name: str) -> None:
    run = RUNS.get(name) or VARIANTS[name]
    for t in range(3):
        found = inspector.equations(run, t)
        recomputed(found)
        well_formed(found)
        along_the_highways(run, t, found.layers[0])
    assert {key for key, _ in run.names} - {"x"} <= {line.name for line in found.equations}
    text = "".join(line.latex for line in found.equations)
    for parameter, _ in run.cell.named_parameters():
        base, below = latex_name(parameter)
        assert re.search(
            re.escape(base) + r"(\^\{\(\w\)\})?" + ("_" if below else "") + r"\{?" + re.escape(",".join(below)), text
        ), parameter


def well_formed(found: Equations) -> None:
    """Braces and delimiters pair up, and what Matplotlib can set it does set."""
    for line in found.layers[0].lines:
        bare = re.sub(r"\\[{}]", "", line.latex)
        depth = np.cumsum([{"{": 1, "}": -1}.get(c, 0) for c in bare])
        assert depth[-1] == 0 and depth.min() >= 0, line.latex
        assert bare.count(r"\left") == bare.count(r"\right"), line.latex
        if r"\text{" not in bare.replace(r"\text{highway}", "") and "cases" not in bare:
            PARSER.parse(f"${line.latex}$")


PARSER: Any = MathTextParser("path")


def along_the_highways(run: Run, t: int, layer: Layer) -> None:
    """The derivative is what a sweep finds if gradient flows through operations with a diagonal Jacobian only."""
    graph = tg.Graph([*(v for (_, s), v in run.names.items() if s == t), *run.states[t], run.outputs[t]])
    ((source,),) = sources_of([run], graph)
    old = source.states_before(t)
    drawn = highways(operation_step(source, t))
    assert [way.name for way in layer.highways] == [
        state for state in drawn if state in {w.name for w in layer.highways}
    ]
    for way in layer.highways:
        start = tg.tensor(old[way.name].data, requires_grad=True)
        now: dict[int, Any] = {graph.find(old[way.name]).index: start}
        for node in source.nodes[t]:
            if node.index not in now and not node.is_leaf and node.tensor is not None:
                operands = [now.get(k, graph.nodes[k].value) for k in node.inputs]
                if node.op not in DIAGONAL:
                    operands = [tg.stop_gradient(v) for v in operands]
                now[node.index] = node.tensor.op(*operands, **node.attributes)
        end = now[graph.find(getattr(run.states[t], way.name)).index]
        (expected,) = tg.grad(end.sum(), [start])
        np.testing.assert_allclose(way.diagonal, expected.data, rtol=1e-9, atol=1e-12, err_msg=way.unicode)
        terms = [np.prod(np.broadcast_arrays(*[f.value for f in factors]), axis=0) for factors in way.ways]
        np.testing.assert_allclose(np.broadcast_to(sum(terms), expected.shape), expected.data, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", slow_unless(CELLS[::3], CELLS))
def test_there_is_a_derivative_for_each_rail(name: str) -> None:
    step = slice(1, 2)
    rails = {line.source for line in picture(RUNS[name], level="cell", steps=step).lines if line.grade == "rail"}
    assert bool(rails) == bool(inspector.equations(RUNS[name]).highways)


def test_factors_are_tied_to_the_drawing() -> None:
    for name, key in (("lstm", "f"), ("gru", "z"), ("mgu", "h.subtract"), ("minlstm", "h.divide")):
        found = inspector.equations(RUNS[name])
        ((factor,),) = found.highways[0].ways
        assert factor.keys == (key,)
        np.testing.assert_array_equal(factor.value, found.graph.nodes[factor.nodes[0]].value)
        assert f"t1.{key}" in {shape.id for shape in picture(RUNS[name]).shapes}


class Parallel(tg.Cell):
    """A state that gets through in several ways at once, some of them through a value that is used twice."""

    state_names = ("c",)

    def __init__(self) -> None:
        super().__init__(3, 4, seed=0)
        self.w = self.parameter("w", (4, 3))
        self.tau = self.parameter("tau", (4,))

    def step(self, x: Any, state: Any) -> Any:
        f, i = tg.named(f=tg.sigmoid(x @ self.w.T), i=tg.tanh(x @ self.w.T))
        kept = f * state.c - i * state.c
        return (kept * kept - kept / (2.0 + self.tau * self.tau) + state.c - (1.0 / (3.0 + state.c * state.c)),)


def test_ways_in_parallel_add_up() -> None:
    run = tg.unroll(Parallel(), np.random.default_rng(0).normal(size=(3, 2, 3)))
    found = inspector.equations(run)
    (way,) = found.highways
    assert len(way.ways) > 2 and len(way.where) >= 1
    recomputed(found)
    along_the_highways(run, 1, found.layers[0])
    whole = tg.jacobian(run.states[1].c, run.states[0].c)
    np.testing.assert_allclose(np.einsum("bibi->bi", whole), way.diagonal, err_msg="no way leaves the highway here")


def test_derivatives_that_are_the_whole_jacobian() -> None:
    """The truncated LSTM of 1997 has a derivative of exactly 1; the minimal GRU's state is on the highway only."""
    for run, state in ((VARIANTS["1997 truncated"], "s"), (RUNS["mingru"], "h"), (RUNS["minlstm"], "h")):
        (way,) = inspector.equations(run).highways
        whole = tg.jacobian(getattr(run.states[1], state), getattr(run.states[0], state))
        np.testing.assert_allclose(np.einsum("bibi->bi", whole), way.diagonal, atol=1e-12)
    assert inspector.equations(VARIANTS["1997 truncated"]).highways[0].latex.endswith("= I")


# ---------------------------------------------------------------------------------------- other runs


def test_layers_and_directions_have_equations_each() -> None:
    x = np.random.default_rng(0).normal(size=(4, 2, 3))
    both = tg.Bidirectional(tg.cells.GRUCell(3, 4, seed=0), tg.cells.RNNCell(3, 4, seed=1))
    found = inspector.equations(tg.unroll(tg.Stacked(both, tg.cells.LeakyCell(8, 4, seed=0)), x))
    assert [layer.name for layer in found.layers] == ["layer0/forward", "layer0/backward", "layer1"]
    assert [layer.timestep for layer in found.layers] == [1, 2, 1]
    assert "h_{t+1}" in found.layers[1].equations[0].latex
    assert r"&\text{layer0/backward}" in str(found) and "layer1:" in found.unicode.splitlines()
    recomputed(found)


def test_masks_truncation_and_compiled_cells() -> None:
    x = np.random.default_rng(0).normal(size=(4, 2, 3))
    masked = inspector.equations(tg.unroll(tg.cells.RNNCell(3, 4, seed=0), x, lengths=[4, 2]), 3)
    assert masked.equations[-1].unicode == "outₜ = hₜ if maskₜ else 0"
    cut = inspector.equations(tg.unroll(tg.cells.GRUCell(3, 4, seed=0), x, truncate=2), 2)
    assert r"\operatorname{stop}(h_{t-1})" in str(cut) and cut.highways == ()
    for found in (masked, cut):
        recomputed(found)
    compiled = tg.unroll(tg.compile(tg.cells.LSTMCell(3, 4, seed=0)), x)
    assert str(inspector.equations(compiled)) == str(inspector.equations(tg.cells.LSTMCell(3, 4)))


class Named(tg.Cell):
    """Names that mean something to LaTeX, and values from elsewhere."""

    state_names = ("h", "my_state")

    def __init__(self) -> None:
        super().__init__(3, 3, seed=0)
        self.beta = self.parameter("beta_2", (3,))
        self.before: list[Any] = []

    def step(self, x: Any, state: Any) -> Any:
        gate = tg.named(**{"50% of {a_b} \\ $x$ #1 & ~^": tg.sigmoid(x * self.beta)})
        h_t = tg.named(h_t=gate * state.h)
        self.before.append(tg.named(u100=h_t + 1e-7))
        return tg.exp(self.before[0]) * self.before[-1], state.my_state


def test_any_name_is_written_so_that_it_means_nothing_else() -> None:
    found = inspector.equations(tg.unroll(Named(), np.random.default_rng(0).normal(size=(3, 2, 3))), 2)
    recomputed(found)
    assert found.equations[0].sides == (
        r"\text{50\% of \{a\_b\} \textbackslash{} \$x\$ \#1 \& \textasciitilde{}\textasciicircum{}}_t",
        r"\sigma\!\left(x_t \odot \beta_2\right)",
    )
    lines = [line.unicode for line in found.equations[1:]]
    assert lines[0].startswith("hₜ′ = ") and lines[1] == "u₁₀₀ₜ = hₜ′ + 1e-7"
    assert lines[2] == "hₜ = exp(u₁₀₀ₜ₋₂) ⊙ u₁₀₀ₜ" and lines[3] == "my_stateₜ = my_stateₜ₋₁"
    assert found.equations[
        2
    ].latex == r"u_{100,t} = h^{\prime}_t + 10^{-7}" and r"\mathrm{my}_{\mathrm{state},t}" in str(found)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_sets_all_of_them(tmp_path: Path) -> None:
    named = tg.unroll(Named(), np.random.default_rng(0).normal(size=(3, 2, 3)))
    pages = "\n\\newpage\n".join(str(inspector.equations(run)) for run in [*RUNS.values(), *VARIANTS.values(), named])
    source = f"\\documentclass{{article}}\n\\usepackage{{amsmath}}\n\\begin{{document}}\n{pages}\n\\end{{document}}\n"
    (tmp_path / "all.tex").write_text(source, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-1500:]


def test_bad_input_is_refused() -> None:
    with pytest.raises(TypeError, match="needs a cell or what unroll returned, got int"):
        inspector.equations(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"timestep 3 is not among 0\.\.2"):
        inspector.equations(RUNS["rnn"], 3)
    assert str(inspector.equations(RUNS["rnn"], -1)) == str(inspector.equations(RUNS["rnn"], 2))


# ---------------------------------------------------------------------------------- below a drawing


def test_a_drawing_has_them_below_the_legend() -> None:
    run = RUNS["slstm"]
    without, drawing = picture(run), picture(run, equations=True)
    own = {shape.id for shape in without.shapes}
    added = [shape for shape in drawing.shapes if shape.id not in own]
    assert [shape.label for shape in added] == inspector.equations(run).unicode.splitlines()
    assert max(s.y + s.height / 2 for s in added) < min(s.y - s.height / 2 for s in without.shapes)
    assert len({round(s.x - s.width / 2, 6) for s in added}) == 1 and {s.font_size for s in added} == {12.0}
    assert [s.look.variant for s in added] == [""] * (len(added) - 2) + ["rail"] * 2
    (forget,) = [shape for shape in added if shape.id == "equation.f"]
    assert forget.tooltip == r"f_t = \exp\!\left(d_t - m_t\right)" + "\nin the drawing: f"


def test_both_engines_write_them_at_the_left_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = inspector.render(RUNS["lstm"], level="cell", equations=True)
    monkeypatch.setattr(import_module("inspector.formats.svg"), "_LARGE", 0)
    for svg in (drawn, inspector.render(RUNS["lstm"], level="cell", equations=True)):
        texts = re.findall(r'<text[^>]*text-anchor="start"[^>]*>([^<]*)</text>', str(svg))
        title, *lines = texts
        assert title.startswith("LSTMCell(3, 4)")
        assert lines == inspector.equations(RUNS["lstm"]).unicode.splitlines()


def test_the_command_prints_and_draws_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["equations", "--cell", "lstm"]) == 0
    assert capsys.readouterr().out == f"{inspector.equations(tg.cells.LSTMCell(3, 4))}\n"
    assert main(["equations", "--cell", "gru", "--plain"]) == 0
    assert "hₜ = (1 − zₜ) ⊙ nₜ + zₜ ⊙ hₜ₋₁\n" in capsys.readouterr().out
    assert main(["graph", "--cell", "gru", "--equations", "-o", str(tmp_path / "gru.svg")]) == 0
    assert "hₜ = (1 − zₜ)" in (tmp_path / "gru.svg").read_text(encoding="utf-8")
