"""One self-contained HTML page about one run: its graph, its gradient over time, its gates and weights."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from tinygrad_rnn import Tensor, files
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from .drawing import draw
from .plots.curves import plot_decay
from .text import number
from .tracing.decay import decay_rate
from .tracing.trace import GradientTrace, norm_of, trace

__all__ = ["check_suffix", "report", "write_page"]

_STEPS = 4
_STYLE = """
:root { color-scheme: light dark;
  --ink: #1b1f24; --quiet: #57606a; --line: #d8dee4; --paper: #ffffff; --card: #f6f8fa; --alarm: #cf222e }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --quiet: #8b949e; --line: #30363d; --paper: #0d1117; --card: #161b22; --alarm: #ff7b72 }
}
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, Helvetica, Arial, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 72rem }
h1 { font-size: 1.6rem; margin: 0 0 .25rem } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem }
p { max-width: 48rem; color: var(--quiet); margin: .25rem 0 1rem } p.alarm { color: var(--alarm); font-weight: 600 }
figure { margin: 0; overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; padding: .75rem }
figure > svg { height: 24rem; width: auto; max-width: none; display: block } figure.plot { background: #fff }
figure.plot img { max-width: 100%; display: block }
.scroll { overflow: auto; max-height: 32rem; border: 1px solid var(--line); border-radius: 8px }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .3rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th { position: sticky; top: 0; background: var(--card); font-weight: 600 }
pre { margin: 0; padding: .75rem; line-height: 1.35; white-space: pre-wrap }
th:first-child, td:first-child { text-align: left } tr:last-child td { border-bottom: 0 }
"""


@np.errstate(all="ignore")
def report(run: Run, loss: Tensor, path: str | Path) -> Path:
    """Write the page; it needs no network and nothing beside it.

    Parameters
    ----------
    run : Run
    loss : Tensor
        A single number computed from the run.
    path : path
        Of the HTML file; it appears only when it is complete.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If the suffix is neither ``.html`` nor ``.htm``, or the loss does not fit, see :func:`~inspector.trace`.
    GraphvizMissingError
        If no Graphviz engine is there.
    """
    check_suffix(path)
    found = trace(run, loss)
    about = f"initialisation: {found.initialisation}, loss {_number(float(found.loss.item()))}"
    return write_page(found, path, found.label, about)


def check_suffix(path: str | Path) -> None:
    """Refuse what is no HTML file before anything is computed."""
    files.suffix_of(path, ["html", "htm"])


def write_page(found: GradientTrace, path: str | Path, name: str, about: str, diagnosis: str = "") -> Path:
    """The page about a trace: of what, what else is known of it, and what a diagnosis says."""
    return files.write(path, _page(found, name, about, diagnosis))


def _page(found: GradientTrace, name: str, about: str, diagnosis: str) -> str:
    title = f"{name} over {counted(found.steps, 'timestep')}"
    batch = found.run.outputs[0].shape[0]
    ill = f'<p class="alarm">{escape(str(found.not_finite))}</p>\n' if found.not_finite else ""
    intro = (
        f"Batch of {batch}, {about}. "
        "Norms are L2 norms over batch and units; the gradient flows from the last timestep to the first."
    )
    sections = [
        _section("Diagnosis", "What takes the gradient, and what would help.", _words(diagnosis)),
        _section("The graph", _drawing_note(found), f"<figure>{_drawing(found)}</figure>"),
        _section("Gradient along time", _decay_note(found), f'<figure class="plot">{_plot(found)}</figure>'),
        _section("Gates", "Values of each gate over all timesteps, batch and units.", _gates(found)),
        _section(
            "Weights", "The gradient of every parameter, and how much of it single timesteps give.", _weights(found)
        ),
        _section("Every norm", "‖∂L/∂v_t‖₂ of every named value v at every timestep t.", _norms(found)),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{ill}<p>{escape(intro)}</p>\n"
        + "\n".join(s for s in sections if s)
        + "\n</body>\n</html>\n"
    )


def _words(text: str) -> str:
    return f'<div class="scroll"><pre>{escape(text)}</pre></div>' if text else ""


def _section(title: str, note: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n<p>{escape(note)}</p>\n{body}\n</section>" if body else ""


def _drawing_note(found: GradientTrace) -> str:
    note = (
        "Colour and width of a line show the norm of the gradient that flows back through it; point at anything for"
        " numbers."
    )
    left_out = found.steps - len(_shown(found))
    return f"{note} {left_out} of the {found.steps} timesteps are folded away." if left_out else note


def _shown(found: GradientTrace) -> list[int]:
    ends = [*range(_STEPS // 2), *range(found.steps - _STEPS // 2, found.steps)]
    return list(range(found.steps)) if found.steps <= _STEPS else ends


def _drawing(found: GradientTrace) -> str:
    """The gate level, as an element of the page, so that its tooltips work."""
    svg = draw(found.run, "gate", trace=found, steps=_shown(found)).svg
    return svg[svg.index("<svg") :]


def _decay_note(found: GradientTrace) -> str:
    return "; ".join(f"{name}: {decay_rate(found.norm(name))}" for name in found.states) + "."


def _plot(found: GradientTrace) -> str:
    """An image, so that its styles stay its own."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "decay.svg"
        plot_decay(found, picture)
        data = base64.b64encode(picture.read_bytes()).decode("ascii")
    return f'<img alt="Gradient norm of each state against time" src="data:image/svg+xml;base64,{data}">'


def _gates(found: GradientTrace) -> str:
    gates = [
        name
        for name in found.names
        if any(value.op is not None and value.op.bounds == (0.0, 1.0) for value in _over_time(found, name))
    ]
    rows = []
    for name in gates:
        values = np.concatenate([value.data.reshape(-1) for value in _over_time(found, name)])
        usual = values[np.isfinite(values)]
        moments = [usual.mean(), usual.std()] if usual.size else [np.nan, np.nan]
        shares = [
            np.mean(values < 0.05),
            np.mean(values > 0.95),
            *([1 - usual.size / values.size] if found.not_finite else []),
        ]
        rows.append([name, *(_number(float(moment)) for moment in moments), *(f"{share:.1%}" for share in shares)])
    heads = [
        "gate",
        "mean",
        "standard deviation",
        "closed (below 0.05)",
        "open (above 0.95)",
        *(["not finite"] if found.not_finite else []),
    ]
    return _table(heads, rows) if rows else ""


def _over_time(found: GradientTrace, name: str) -> list[Tensor]:
    return [value for (key, _), value in found.run.names.items() if key == name]


def _weights(found: GradientTrace) -> str:
    rows = []
    for name in found.parameters:
        norms = found.parameter_norm(name)
        whole = norm_of(found.parameter_gradient(name))
        shape = "×".join(map(str, found.parameter_gradient(name).shape))
        summed = float(norms.sum())
        if not (summed and np.isfinite(norms).all()):
            rows.append([name, shape, _number(whole), "—", "—", "—"])
            continue
        half = int(np.searchsorted(np.cumsum(norms[::-1]), summed / 2)) + 1
        rows.append([name, shape, _number(whole), f"t = {int(norms.argmax())}", str(half), f"{whole / summed:.2f}"])
    heads = [
        "parameter",
        "shape",
        "gradient norm",
        "strongest timestep",
        "last steps that give half",
        "agreement of timesteps",
    ]
    return _table(heads, rows)


def _norms(found: GradientTrace) -> str:
    norms = {name: found.norm(name) for name in found.names}
    rows = [
        [str(t), *(_number(float(norms[name][t])) if found.has(name, t) else "—" for name in norms)]
        for t in range(found.steps)
    ]
    return _table(["t", *found.names], rows)


def _number(value: float) -> str:
    return number(value) if np.isfinite(value) else "not finite"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'
