"""Drawings for LaTeX: everything in the picture, once, under names that LaTeX takes, and text that it only sets."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg
from inspector.formats.latex_labels import tex
from inspector.formats.tikz import _name, write_tex
from inspector.picture import theme
from inspector.picture.compose import picture
from inspector.picture.picture import Frame, Line, Look, Picture, Shape
from inspector.picture.scene import LEVELS
from inspector.text import label_width
from tests.inspector.formats.test_dot import NASTY
from tests.marks import slow_unless
from tests.random_cells import runs
from tests.strategies import FEW
from tinygrad_rnn.recurrent.unroll import Run

NODE = re.compile(r"^\\(?:node\[[^]]*\]|coordinate) \(([^()]*)\) at \((-?[\d.]+),(-?[\d.]+)\)", re.MULTILINE)
DRAW = re.compile(r"^\\draw\[([^]]*)\] \((-?[\d.]+),(-?[\d.]+)\)(.*?); .*% (\S+) to (\S+)$", re.MULTILINE)


def run_of(name: str, steps: int = 2) -> Run:
    return tg.unroll(tg.cells.get(name)(3, 4, seed=0), np.random.default_rng(0).normal(size=(steps, 2, 3)))


def is_balanced(latex: str) -> bool:
    """Whether braces and dollars close what they open, escaped ones aside."""
    bare = re.sub(r"\\[^A-Za-z]", "", latex)
    depth = 0
    for c in bare:
        depth += {"{": 1, "}": -1}.get(c, 0)
        if depth < 0:
            return False
    return depth == 0 and bare.count("$") % 2 == 0


# -------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("label", "latex"),
    [
        ("h₀", "$h_{0}$"),
        ("x₁₂", "$x_{12}$"),
        ("c₁.before", "$c_{1}$.before"),
        ("h_1₀", "$h_{1,0}$"),
        ("clock₁₀", "clock$_{10}$"),
        ("c_init", r"$c_{\mathrm{init}}$"),
        ("W_f ·", r"$W_{f}~\cdot$"),
        ("weight_hh ·", r"weight\_hh $\cdot$"),
        ("a_b_c", r"a\_b\_c"),
        ("σ", r"$\sigma$"),
        ("×", r"$\times$"),
        ("−", "$-$"),
        ("1 −", "$1~-$"),
        ("tanh", r"$\tanh$"),
        ("f = σ(·)", r"$f=\sigma(\cdot)$"),
        ("‖∂L/∂·‖", r"$\|\partial L/\partial\cdot\|$"),
        ("Wᵀ", r"$W^{\top}$"),
        ("weight_hhᵀ", r"weight\_hh$^{\top}$"),
        ("xʸ", "$x^{y}$"),
        ("2.5×10⁻³", r"$2.5\times10^{-3}$"),
        ("1e-05", r"$1\times10^{-5}$"),
        ("|x|", "$|x|$"),
        ("[4:8]", "[4:8]"),
        ("× [4:8]", r"$\times~[4{:}8]$"),
        ("weight_hh 12×4", r"weight\_hh $12\times4$"),
        ("step t = 3", "step $t=3$"),
        ("3 → 4", r"$3\to4$"),
        ("25 more steps", "25 more steps"),
        ("a · b", r"$a~{\cdot}~b$"),
        ("x²₁", "$x^{2}{}_{1}$"),
        ("x₁²", "$x_{1}^{2}$"),
        ("αβ", r"$\alpha\beta$"),
        ("σx", r"$\sigma x$"),
        ("₁", "${}_{1}$"),
        ("–", "-{}-"),
        ("#$%&_{}", r"\#\$\%\&\_\{\}"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("--", "-{}-"),
        ("''", "'{}'"),
        ('"`', r"\char34{}\char96{}"),
        ("éüßçế", "\\'{e}\\\"{u}\\ss{}\\c{c}\\'{\\^{e}}"),
        ("中🙂", "U+4E2DU+1F642"),
        ("ạ", "U+1EA1"),
        ("", ""),
        ("a\nbb", r"$a\hookleftarrow$bb"),
    ],
)
def test_labels_read_as_formulas_where_they_are(label: str, latex: str) -> None:
    assert tex(label) == latex


ALLOWED = re.compile(
    r"\\(?:[#$%&_{}|^'\"=.~`]|char(?:34|96)\{\}|text(?:asciitilde|asciicircum|backslash)\{\}|(?:[A-Za-z]+))|[A-Za-z0-9"
    r" $_^{}()\[\].,:;/!?*~|+<>=@'-]"
)
COMMANDS = {
    "mathrm",
    "top",
    "times",
    "cdot",
    "div",
    "partial",
    "nabla",
    "to",
    "surd",
    "ge",
    "le",
    "ne",
    "approx",
    "infty",
    "odot",
    "dots",
    "hookleftarrow",
    "tanh",
    "exp",
    "log",
    "max",
    "min",
    "sin",
    "cos",
    "char",
    "textasciitilde",
    "textasciicircum",
    "textbackslash",
    "ss",
    "ae",
    "AE",
    "oe",
    "OE",
    "o",
    "O",
    "l",
    "L",
    "u",
    "r",
    "H",
    "v",
    "c",
    *(f"{'var' * v}{g}" for v in (0, 1) for g in ("sigma",)),
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "pi",
    "rho",
    "tau",
    "upsilon",
    "phi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Xi",
    "Pi",
    "Sigma",
    "Phi",
    "Psi",
    "Omega",
}
"""All that a label may make LaTeX do."""


@given(label=st.text(max_size=20) | st.text(alphabet="ab_₀₁²⁻ᵀσ×·=()[], .:\\{}$%^~'-1e", max_size=20))
def test_any_text_is_set_and_never_obeyed(label: str) -> None:
    latex = tex(label)
    assert is_balanced(latex) and latex.isascii() and "\n" not in latex
    assert ALLOWED.sub("", latex) == ""
    assert set(re.findall(r"\\([A-Za-z]+)", latex)) <= COMMANDS
    outside = re.sub(r"\\.", "", re.sub(r"(?<!\\)\$.*?(?<!\\)\$", "", latex))
    assert not set(outside) & set("^_#%&") and "~" not in outside
    for formula in re.findall(r"(?<!\\)\$(.*?)(?<!\\)\$", re.sub(r"\\\$", "", latex)):
        assert formula and not re.search(r"_\{[^{}]*\}_|\^\{[^{}]*\}\^", formula)  # a double script is an error


@given(st.text(max_size=8), st.text(max_size=8))
def test_node_names_are_as_different_as_ids(one: str, other: str) -> None:
    assert (_name(one) == _name(other)) == (one == other)
    assert not set(_name(one)) & set(".,:()[]{}\\%#$&~^ ")


def test_node_names_stay_readable() -> None:
    assert _name("t7.f.mul") == "t7-f-mul" and _name("parameter.weight_hh") == "parameter-weight_hh"
    ids = ["a.-b", "a-.b", "a--b", "a..b", "a,b", "a:b", "a*b"]
    assert len({_name(own) for own in ids}) == len(ids)


# ------------------------------------------------------------------------------------------ pictures


def check(drawing: Picture, text: str) -> None:
    """Everything once, at its place."""
    assert is_balanced(re.sub(r"^%.*\n| % \S+ to \S+$", "", text, flags=re.MULTILINE))
    found = {name: (float(x), float(y)) for name, x, y in NODE.findall(text)}
    assert Counter(name for name, _, _ in NODE.findall(text)) == Counter(
        _name(s.id) for s in [*drawing.shapes, *drawing.frames]
    )
    for shape in drawing.shapes:
        x = shape.x - shape.width / 2 if shape.align == "start" else shape.x
        assert found[_name(shape.id)] == pytest.approx((x, shape.y), abs=0.006)
    assert text.count("\n\\draw[") == len(drawing.lines)
    for (look, x, y, path, source, target), line in zip(DRAW.findall(text), drawing.lines, strict=True):
        assert (source, target) == (_name(line.source), _name(line.target))
        assert (float(x), float(y)) == pytest.approx(line.pieces[0][0], abs=0.006)
        (end,) = re.findall(r"\((-?[\d.]+),(-?[\d.]+)\)$", path)
        assert tuple(map(float, end)) == pytest.approx(line.pieces[-1][-1], abs=0.006)
        assert ("head=" in look) == line.arrow
        assert len(re.findall(r"\) \(", path)) == len(line.pieces) - 1, "one opening for each rail that it passes under"
    colours = re.findall(r"\\definecolor\{([a-z0-9-]+)\}\{HTML\}\{([0-9A-F]{6})\}", text, re.IGNORECASE)
    assert (
        len({name for name, _ in colours})
        == len({value for _, value in colours})
        == len(colours)
        == text.count(r"\definecolor")
    )
    used = re.findall(r"(?:fill|draw|text)=([a-zA-Z0-9-]+)", text)
    assert set(used) <= {name for name, _ in colours}
    styles = re.findall(r"^  (.*)/\.style=\{(?:fill|draw)=", text, re.MULTILINE)
    assert len(set(styles)) == len(styles)
    assert set(re.findall(r"[a-zA-Z0-9 -]+ (?:shape|line)(?=[,\]])", text)) == {
        f" {s}" if s.endswith("shape") else s for s in styles
    }


@pytest.mark.parametrize(
    ("name", "level"),
    slow_unless(
        [("lstm", "operation"), ("gru", "gate"), ("rnn", "cell")],
        itertools.product(["lstm", "gru", "rnn", "clockwork", "lstm1997"], LEVELS),
    ),
)
def test_every_shape_and_line_is_there_once(name: str, level: str) -> None:
    run = run_of(name)
    for trace in (None, inspector.trace(run, run.outputs[-1].sum())):
        drawing = picture(run, level=level, trace=trace)
        text = write_tex(drawing)
        check(drawing, text)
        assert text == write_tex(picture(run, level=level, trace=trace))
        assert re.findall(r"^% step t = (\d+)$", text, re.MULTILINE) == ["0", "1"]


@FEW
@given(run=runs())
def test_random_cells_are_there_too(run: Run) -> None:
    drawing = picture(run)
    check(drawing, write_tex(drawing))


def test_each_step_has_a_comment_and_its_shapes_under_it() -> None:
    drawing = picture(run_of("gru", 3), level="gate")
    parts = re.split(r"^% (.*)$", write_tex(drawing).partition("% lines\n")[2], flags=re.MULTILINE)
    under = dict(zip(parts[1::2], parts[2::2], strict=True))
    for frame in drawing.frames:
        assert [name for name, _, _ in NODE.findall(under[frame.label])] == [_name(key) for key in frame.members]


def test_what_a_person_would_change_has_a_name() -> None:
    run = run_of("lstm")
    text = write_tex(picture(run, trace=inspector.trace(run, run.outputs[-1].sum())))
    assert (
        rf"\definecolor{{gate-f-fill}}{{HTML}}{{{theme.GATES['f'].fill[1:]}}}" in text
        and r"\definecolor{gradient7}{HTML}{5C0A0A}" in text
    )
    assert "gradient7 line/.style={draw=gradient7, line width=4.3bp}," in text and "gate-f gradient" in text
    assert r"\node[circle, hidden gradient7 shape, line width=3.44bp, size={34}{34}, text size=12] (t1-h) at" in text
    assert text.count(r"{$c_{1}$};") == 1


def test_what_the_kinds_look_like() -> None:
    paint = theme.paint("value")
    drawing = Picture("a title\n% with a line")
    drawing.frames.append(Frame("f", 0, 0, 100, 60, "step t = 0", theme.paint("step"), "step", members=("a",)))
    drawing.shapes += [
        Shape("a", "box", 10, 20.126, 30, 20, "tanh", paint, Look("value"), dashed=True),
        Shape("b.1", "ellipse", -0.001, 1, 30, 20, "x₁", paint, Look("value")),
        Shape("t", "text", 1, 2, 3, 4, "100 %", None, Look("title"), tooltip="tooltip", font_size=16),
        Shape("p", "point", 1, 2, 0, 0, "", None, Look("anchor")),
        Shape("g", "circle", 1, 2, 9, 9, "", paint._replace(stroke="#123458"), Look("value", grade=2), border=2.5),
    ]
    drawing.lines += [
        Line("l", "a", "b.1", (((0, 0), (40, 0), (40, 30)),), "#123456", 2.5, "plain", "tooltip"),
        Line(
            "m",
            "a",
            "p",
            (((0, 0), (5, 0)), ((7, 0), (9, 0))),
            "#123457",
            2.5,
            "plain",
            "",
            False,
            True,
            "h₁",
            (5.0, 6.0),
        ),
    ]
    text = write_tex(drawing)
    middle = 12 + label_width("step t = 0") / 2
    assert text.startswith("% a title % with a line\n") and "tooltip" not in text
    for line in (
        (
            rf"\node[box=12, step shape, size={{100}}{{60}}] (f) at (50,30) {{}}; \node[text=grey] at ({middle:.4g},48)"
            r" {step $t=0$};"
        ),
        (
            r"\draw[plain line, head=7.25] (0,0) -- (33,0) .. controls (36.85,0) and (40,3.15) .. (40,7) -- (40,30); %"
            r" a to b-1"
        ),
        r"\draw[plain line-2] (0,0) -- (5,0) (7,0) -- (9,0); \node at (5,6) {$h_{1}$}; % a to p",
        r"\node[box=6.67, value shape, dashes, size={30}{20}] (a) at (10,20.13) {$\tanh$};",
        r"\node[ellipse, value shape, size={30}{20}] (b-1) at (0,1) {$x_{1}$};",
        r"\node[size={3}{4}, text size=16] (t) at (1,2) {100 \%};",
        r"\coordinate (p) at (1,2);",
        r"\definecolor{gradient2}{HTML}{123458}",
        r"\node[circle, value gradient2 shape, line width=2.5bp, size={9}{9}] (g) at (1,2) {};",
        r"\usepackage{fix-cm}",
        r"  every node/.style={inner sep=0pt, outer sep=0pt, line width=1.2bp, text=ink, text size=11, text depth=0pt,",
        "  plain line-2/.style={draw=plain-2, line width=2.5bp, dashes},",
        r"\definecolor{plain-2}{HTML}{123457}",
    ):
        assert line in text.splitlines(), line
    assert write_tex(Picture("nothing")).endswith("\\end{tikzpicture}\n\\end{document}\n")


@pytest.mark.parametrize("name", NASTY)
def test_names_are_data(name: str) -> None:
    class Named(tg.Cell):
        def step(self, x: object, state: tuple[object, ...]) -> tuple[object]:
            return (tg.tanh(tg.named(**{name: tg.sigmoid(x + state[0])})),)

    drawing = picture(tg.unroll(Named(3, 3, seed=0), np.ones((2, 1, 3))))
    text = write_tex(drawing)
    check(drawing, text)
    assert text.isascii() or all(line.startswith("%") for line in text.splitlines() if not line.isascii())


def test_what_tex_cannot_hold_is_refused() -> None:
    run = run_of("lstm", 60)
    with pytest.raises(
        ValueError, match=r"TeX holds nothing wider than 16,000 points; draw fewer timesteps \(steps=slice"
    ):
        write_tex(picture(run, steps=slice(None)))
    write_tex(picture(run))


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="no pdflatex on the PATH; what it would find is tested above"
)
def test_pdflatex_compiles_it_alone_and_in_a_paper(tmp_path: Path) -> None:
    run = run_of("lstm")
    inspector.export(run, tmp_path / "lstm.tex", trace=inspector.trace(run, run.outputs[-1].sum()))
    preamble = re.findall(r"^%   (\\use.*?\})(?:  .*)?$", (tmp_path / "lstm.tex").read_text(), re.MULTILINE)
    (include,) = re.findall(r"^%   (\\resizebox.*)$", (tmp_path / "lstm.tex").read_text(), re.MULTILINE)
    paper = "\n".join([r"\documentclass{article}", *preamble, r"\begin{document}", include, r"\end{document}"])
    (tmp_path / "paper.tex").write_text(paper)
    for name in ("lstm", "paper"):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120, check=False
        )
        assert done.returncode == 0 and "Warning" not in done.stdout, done.stdout[-2000:]
        assert (tmp_path / f"{name}.pdf").stat().st_size > 10_000


def test_equations_are_set_as_formulas_and_bands_lie_below_the_lines() -> None:
    source = write_tex(picture(run_of("lstm"), level="cell", equations=True))
    lines = source.splitlines()
    assert (
        r"\usepackage{amsmath}" in lines
        and r"\usepackage{amsmath}" not in write_tex(picture(run_of("lstm"))).splitlines()
    )
    assert any(line.endswith(r"{$c_t = f_t \odot c_{t-1} + i_t \odot g_t$};") for line in lines)
    bands = [k for k, line in enumerate(lines) if line.startswith(r"\fill[highway-fill]")]
    drawn = [k for k, line in enumerate(lines) if line.startswith(r"\draw[")]
    assert len(bands) == len(picture(run_of("lstm")).frames) and max(bands) < min(drawn)
