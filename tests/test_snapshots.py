"""Every drawing and plot as it was: a change of a picture is seen before it lands, and is looked at.

Drawings are compared with those of the docs, plots of a small run with those beside this file. ``pytest
tests/test_snapshots.py --overwrite`` renews the plots, ``make docs`` the drawings; where a picture differs, both are
left in `differences/`.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import io
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector import plots
from tests.marks import slow_unless

ROOT = Path(__file__).resolve().parents[1]
PLOTS = Path(__file__).parent / "snapshots"
DIFFERENCES = ROOT / "differences"
MATPLOTLIB = "3.11"
"""The version that drew the snapshots: another one sets ticks and text a little differently."""

sys.path.insert(0, str(ROOT / "docs"))
import pictures  # noqa: E402

QUICK = [
    "gallery/lstm-gate",
    "gallery/gru-operation",
    "gallery/lstm1997-cell",
    "gallery/clockwork-gate",
    "lstm-operation",
    "lstm-equations",
    "lstm-backward",
    "drawings/folded",
    "drawings/figure",
    "drawings/badges",
    "drawings/bidirectional",
    "drawings/values",
    "decay",
    "trace",
    "heat-map",
    "reach",
    "gates",
    "saliency",
    "waterfall",
]


def normalised(svg: str) -> str:
    """The text without what differs from machine to machine: dates, hashed names, the last digits, how an image
    was packed.
    """
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    names = dict.fromkeys(re.findall(r'id="([a-z]+[0-9a-f]{10})"', svg))
    for number, name in enumerate(names):
        svg = svg.replace(name, f"name{number}")
    svg = re.sub(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)", lambda found: f"image {pixels(found[1])}", svg)
    return re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]) + 0.0:.1f}".replace("-0.0", "0.0"), svg)


def pixels(packed: str) -> str:
    image = matplotlib.image.imread(io.BytesIO(base64.b64decode(packed)))
    return f"{image.shape} {hashlib.sha256((image * 255).astype(np.uint8).tobytes()).hexdigest()[:12]}"


def same(name: str, drawn: str, kept: str) -> None:
    """Fail with the difference, and leave both pictures to be looked at."""
    if normalised(drawn) == normalised(kept):
        return
    stem = DIFFERENCES / name.replace("/", "-")
    DIFFERENCES.mkdir(exist_ok=True)
    for suffix, text in ((".before.svg", kept), (".after.svg", drawn)):
        stem.with_name(stem.name + suffix).write_text(text, encoding="utf-8")
    lines = difflib.unified_diff(
        *(normalised(text).splitlines() for text in (kept, drawn)), "before", "after", lineterm="", n=0
    )
    pytest.fail(f"{name} looks different, see {stem}.before.svg and .after.svg\n" + "\n".join(list(lines)[:30]))


@pytest.mark.parametrize("name", slow_unless(QUICK, pictures.DRAWINGS))
def test_drawings_are_those_of_the_docs(name: str) -> None:
    same(name, pictures.svg(pictures.DRAWINGS[name]()), (pictures.FOLDER / f"{name}.svg").read_text(encoding="utf-8"))


@lru_cache
def run(cell: str = "lstm", seed: int = 0) -> tuple[tg.Run, tg.Tensor]:
    found = tg.unroll(tg.cells.get(cell)(3, 4, seed=seed), np.random.default_rng(1).normal(size=(12, 2, 3)))
    return found, (found.outputs[-1] ** 2).sum()


@lru_cache
def recorder() -> inspector.DecayRecorder:
    kept = inspector.DecayRecorder(every=1)
    for number in range(1, 5):
        found, loss = run(seed=number)
        kept(SimpleNamespace(number=number, prediction=SimpleNamespace(run=found), loss=loss))  # type: ignore[arg-type]
    return kept


def traces() -> dict[str, inspector.GradientTrace]:
    return {cell: inspector.trace(*run(cell)) for cell in ("rnn", "gru", "lstm")}


def reach() -> inspector.Reach:
    found, _ = run()
    return inspector.reach(found, (found.stacked**2).sum())


def verdict(*names: str) -> inspector.Verdict:
    """Of a gradient that is right at first, and then is not."""
    found = inspector.trace(*run())
    theirs = {name: found.parameter_gradient(name) for name in found.parameters}
    theirs |= {name: np.array([found.gradient(name, t) for t in range(12)]) for name in "hc"}
    theirs["h"] *= np.where(np.arange(12) < 7, 1.0 + 0.2 ** np.arange(12), 1.0)[:, None, None]
    theirs["weight_hh"] *= -1.0
    return inspector.check_gradient(*run(), {name: theirs[name] for name in names})


PLOTTED: dict[str, Callable[..., Any]] = {
    "decay": lambda path, **more: inspector.plot_decay(traces(), path, **more),
    "decay-of-names": lambda path, **more: inspector.plot_decay(
        inspector.trace(*run()), path, names=["h", "c", "f", "i", "o", "g"], **more
    ),
    "heat-map": lambda path, **more: inspector.plot_heat_map(
        [inspector.trace(*run()).norm(name) for name in "hc"], ["h", "c"], [str(t) for t in range(12)], path, **more
    ),
    "trace": lambda path, **more: inspector.trace(*run()).save(path, **more),
    "training": lambda path, **more: inspector.plot_training(recorder(), path, **more),
    "snapshots": lambda path, **more: inspector.plot_snapshots(recorder(), path, **more),
    "reach": lambda path, **more: reach().save(path, **more),
    "reach-gradients": lambda path, **more: plots.save(reach().plot_gradients(**more), path),
    "reach-lags": lambda path, **more: plots.save(reach().plot_lags(**more), path),
    "band": lambda path, **more: inspector.band(
        [run(seed=seed)[0] for seed in range(5)], [run(seed=seed)[1] for seed in range(5)]
    ).save(path, **more),
    "jacobians": lambda path, **more: inspector.jacobians(run()[0]).save(path, **more),
    "lyapunov": lambda path, **more: inspector.lyapunov(run()[0]).save(path, **more),
    "phases": lambda path, **more: inspector.phase_diagram(
        "rnn", [0.5, 1.5], [0.0, 1.0], inputs=np.zeros((12, 1, 1)), progress=False
    ).save(path, **more),
    "shares": lambda path, **more: inspector.shares(*run()).save(path, **more),
    "path-orders": lambda path, **more: inspector.path_orders(*run(), wrt=("c", 0)).save(path, **more),
    "waterfall": lambda path, **more: inspector.waterfall(*run(), state="h").save(path, **more),
    "strongest-path": lambda path, **more: inspector.strongest_path(*run(), start=("h", 0)).save(path, **more),
    "weights": lambda path, **more: inspector.weights(*run()).save(path, **more),
    "truncation": lambda path, **more: plots.save(inspector.weights(*run()).plot_truncation(**more), path),
    "what-if": lambda path, **more: inspector.what_if(*run(), bias={"f": 2.0}).save(path, **more),
    "duality": lambda path, **more: inspector.duality(*run()).save(path, **more),
    "saliency": lambda path, **more: inspector.saliency(*run(), "integrated").save(path, **more),
    "gates": lambda path, **more: inspector.gates(*run()).save(path, **more),
    "diagnosis": lambda path, **more: inspector.diagnose(*run()).save(path, **more),
    "verdict": lambda path, **more: verdict("h", "c").save(path, **more),
    "verdict-of-parameters": lambda path, **more: verdict("weight_ih", "weight_hh", "bias_hh").save(path, **more),
    "sweep": lambda path, **more: inspector.sweep(["rnn", "lstm"], [12], ["pytorch"], range(3)).save(path, **more),
}
"""Every plot of a small run, by its file's name; takes the path, and the width."""


@pytest.mark.parametrize("name", slow_unless(QUICK, PLOTTED))
def test_plots_are_as_they_were(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if not matplotlib.__version__.startswith(MATPLOTLIB):
        pytest.skip(f"the snapshots were drawn by Matplotlib {MATPLOTLIB}; this is {matplotlib.__version__}")
    with matplotlib.rc_context({"svg.hashsalt": "tinygrad-rnn", "svg.fonttype": "none"}):
        PLOTTED[name](tmp_path / "drawn.svg")
    drawn = (tmp_path / "drawn.svg").read_text(encoding="utf-8")
    kept = PLOTS / f"{name}.svg"
    if request.config.getoption("--overwrite"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(normalised(drawn), encoding="utf-8")
    same(name, drawn, kept.read_text(encoding="utf-8"))
