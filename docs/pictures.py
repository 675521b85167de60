"""Makes every picture of the docs and the README; ``make docs`` runs it, ``python docs/pictures.py --only
gallery/lstm`` a few of them.

Drawings are written by our own SVG writer, so that their bytes do not depend on which Graphviz is installed.
"""

from __future__ import annotations

import argparse
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import house
import numpy as np
from tqdm import tqdm

import inspector
import tinygrad_rnn as tg
from inspector.formats.svg import complete, to_svg
from inspector.picture.compose import picture
from inspector.picture.picture import Picture
from inspector.picture.scene import LEVELS
from tinygrad_rnn import files

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
FOLDER = HERE / "pictures"
sys.path.insert(0, str(EXAMPLES))

GALLERY = {"cell": 3, "gate": 2, "operation": 1}
"""Timesteps that the gallery shows, by level."""

COMPARED = {
    ("lstm", "peephole"): ("operation", "cell"),
    ("lstm", "coupled"): ("operation", "cell"),
    ("lstm", "gru"): ("operation", "cell"),
    ("gru", "gru_before"): ("operation",),
}
"""Pairs of cells that docs/compare.md compares, and at which levels they are drawn."""


def svg(drawing: Picture) -> str:
    """The text that :func:`inspector.render` writes where there is no Graphviz."""
    return complete(to_svg(drawing), drawing)


def noise(steps: int, batch: int, features: int) -> np.ndarray:
    """Inputs (T, batch, features)."""
    return np.random.default_rng(0).normal(size=(steps, batch, features))


# ------------------------------------------------------------------------------------------ drawings


def gallery(name: str, level: str) -> Picture:
    """A small cell of the registry."""
    return picture(tg.unroll(tg.cells.get(name)(3, 4, seed=0), noise(GALLERY[level], 1, 3)), level=level)


def compared(a: str, b: str, level: str) -> Picture:
    """Two cells in one diagram."""
    return inspector.compare_graphs(tg.cells.get(a)(3, 4, seed=0), tg.cells.get(b)(3, 4, seed=0), level=level).picture


def lstm(level: str) -> Picture:
    """Three steps of an LSTM, coloured by the gradient of a loss that reads the last."""
    rng = np.random.default_rng(0)
    run = tg.unroll(tg.cells.LSTMCell(4, 8, seed=0), rng.normal(size=(3, 1, 4)))
    return picture(
        run, level=level, trace=inspector.trace(run, tg.losses.mse_loss(run.outputs[-1], rng.normal(size=(1, 8))))
    )


def with_equations() -> Picture:
    """An LSTM with its equations below."""
    return picture(tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), noise(3, 1, 3)), level="cell", equations=True)


def backward() -> Picture:
    """Three steps of an LSTM with the reverse sweep below, as docs/backward.md makes them."""
    run = tg.unroll(tg.cells.LSTMCell(3, 4, seed=0), noise(3, 2, 3))
    return picture(run, trace=inspector.trace(run, tg.losses.mse_loss(run.stacked, np.zeros((3, 2, 4)))), backward=True)


def folded() -> Picture:
    """A hundred steps, of which five are drawn."""
    run = tg.unroll(tg.cells.LSTMCell(3, 16, seed=0), noise(100, 1, 3))
    return picture(run, level="cell", trace=inspector.trace(run, run.outputs[-1].sum()))


def figure() -> Picture:
    """What :func:`inspector.figure` draws: every step above its place in the plot."""
    run = tg.unroll(tg.cells.GRUCell(3, 16, seed=0), noise(8, 1, 3))
    return picture(run, level="cell", trace=inspector.trace(run, run.outputs[-1].sum()), decay=True)


def encoder_decoder() -> Picture:
    """Two runs: the second begins in the state in which the first ended."""
    model = tg.models.EncoderDecoder(tg.cells.GRUCell(3, 4, seed=0), tg.cells.GRUCell(2, 4, seed=1), seed=2)
    encoded = model.encode(noise(3, 1, 3))
    said = model.decode(encoded, noise(2, 1, 2))
    return picture((encoded, said.run), level="cell", trace=inspector.trace(said.run, (said.outputs**2).sum()))


def training_graph() -> Picture:
    """A loss at every step."""
    run = tg.unroll(tg.cells.GRUCell(3, 4, seed=0), noise(3, 2, 3))
    losses = [tg.losses.mse_loss(output, np.zeros((2, 4))) for output in run.outputs]
    return picture(run, level="gate", trace=inspector.trace(run, losses[0] + losses[1] + losses[2]))


def bidirectional() -> Picture:
    """One cell reads forwards, the other backwards."""
    cell = tg.Bidirectional(tg.cells.GRUCell(3, 4, seed=0), tg.cells.GRUCell(3, 4, seed=1))
    run = tg.unroll(cell, noise(3, 1, 3))
    return picture(run, level="cell", trace=inspector.trace(run, (run.stacked**2).sum()))


def stacked() -> Picture:
    """Two layers."""
    run = tg.unroll(tg.Stacked(tg.cells.LSTMCell(3, 4, seed=0), tg.cells.GRUCell(4, 4, seed=1)), noise(3, 1, 3))
    return picture(run, level="cell", trace=inspector.trace(run, run.outputs[-1].sum()))


def values() -> Picture:
    """Shapes filled by the mean of what they hold."""
    return picture(tg.unroll(tg.cells.GRUCell(3, 4, seed=0), noise(2, 1, 3)), values=True)


class Gated(tg.Cell):
    """A cell in which something goes wrong: dead units, and a gate that is detached."""

    state_names = ("h",)

    def __init__(self, input_size: int, hidden_size: int, **options: object) -> None:
        super().__init__(input_size, hidden_size, **options)  # type: ignore[arg-type]
        self.W = self.parameter("W", (input_size, hidden_size))
        self.R = self.parameter("R", (hidden_size, hidden_size))
        self.V = self.parameter("V", (input_size, hidden_size))

    def step(self, x: tg.Tensor, state: tuple[tg.Tensor, ...]) -> tuple[tg.Tensor, ...]:
        (h,) = state
        r = tg.named(r=tg.relu(x @ self.V - 10.0))
        g = tg.named(g=tg.stop_gradient(tg.sigmoid(x @ self.W)))
        return (tg.tanh(g * h + h @ self.R + r),)


def badges() -> Picture:
    """Exact zeros, cuts, and what the backward pass never came to."""
    run = tg.unroll(Gated(3, 4, seed=0), noise(3, 1, 3))
    return picture(run, level="operation", trace=inspector.trace(run, run.outputs[1].sum()))


def strongest_path() -> Picture:
    """The path that docs/paths.md finds."""
    run = tg.unroll(tg.cells.LSTMCell(3, 4, seed=1), noise(4, 1, 3))
    path = inspector.strongest_path(run, tg.losses.mse_loss(run.outputs[-1], np.ones((1, 4))), start=("h", 0))
    return picture(run, highlight=path)


def _compared() -> Iterator[tuple[str, Callable[[], Picture]]]:
    for (a, b), levels in COMPARED.items():
        for level in levels:
            yield f"compare/{a}-{b}{'' if level == 'operation' else f'-{level}'}", partial(compared, a, b, level)


DRAWINGS: dict[str, Callable[[], Picture]] = {
    **{f"house/{package}": partial(house.house, package) for package in house.FLOORS},
    **{f"gallery/{name}-{level}": partial(gallery, name, level) for name in tg.cells.names() for level in GALLERY},
    **{f"lstm-{level}": partial(lstm, level) for level in LEVELS},
    "lstm-equations": with_equations,
    "lstm-backward": backward,
    **dict(_compared()),
    "analysis/strongest-path-lstm": strongest_path,
    "drawings/folded": folded,
    "drawings/figure": figure,
    "drawings/encoder-decoder": encoder_decoder,
    "drawings/training-graph": training_graph,
    "drawings/bidirectional": bidirectional,
    "drawings/stacked": stacked,
    "drawings/values": values,
    "drawings/badges": badges,
}
"""Every drawing, by its file's name without the suffix."""


# --------------------------------------------------------------------------------------------- plots


def opened(folder: Path) -> None:
    """Those of docs/trained.md, as far as the packages are installed in which the networks lie."""
    from opened.__main__ import main as open_all

    open_all(["--out", str(folder / "opened")])


def decays(folder: Path) -> None:
    """RNN, LSTM and GRU over 200 steps."""
    import decay_of_three_cells as example

    example.picture(example.measure(), folder / "decay-of-three-cells.png")


def learning(folder: Path) -> None:
    """An LSTM while it learns to add: all records in one plot, and a plot a record."""
    import reach_while_learning as example

    _, recorder = example.train()
    example.picture(recorder, folder / "reach-of-the-gradient.png")
    recorded = [recorder.steps[k] for k in (0, 4, 8, 10, 12, 13, 14, -1)]
    inspector.plot_snapshots(recorder, folder / "analysis/snapshots.png", steps=recorded)


def reach(folder: Path) -> None:
    """Those of docs/reach.md."""
    x = noise(80, 4, 3)
    run = tg.unroll(tg.cells.LSTMCell(3, 16, seed=0, init="keras"), x)
    found = inspector.reach(run, (run.stacked**2).sum())
    found.save(folder / "analysis/reach-map.png")
    found.plot_gradients(states=["h", "c"]).figure.save(folder / "analysis/reach-gradients.png")
    found.plot_lags().figure.save(folder / "analysis/reach-lags.png")
    runs = [tg.unroll(tg.cells.RNNCell(3, 16, seed=seed), x) for seed in range(50)]
    inspector.band(runs, [one.outputs[-1].sum() for one in runs]).save(folder / "analysis/band.png")


def jacobians(folder: Path) -> None:
    """Those of docs/jacobians.md."""
    inspector.jacobians(tg.unroll(tg.cells.RNNCell(3, 16, seed=0), noise(80, 4, 3))).save(
        folder / "analysis/jacobians.png"
    )
    cell = tg.cells.LSTMCell(3, 16, seed=0, init="keras")
    inspector.lyapunov(cell, noise(2000, 2, 3)).save(folder / "analysis/lyapunov.png")
    for name in ("rnn", "lstm"):
        inspector.phase_diagram(name, progress=False).save(folder / f"analysis/phases-{name}.png")


def paths(folder: Path) -> None:
    """Those of docs/paths.md."""
    run = tg.unroll(tg.cells.LSTMCell(4, 16, seed=0), noise(60, 4, 4))
    loss = tg.losses.mse_loss(run.outputs[-1], np.ones((4, 16)))
    inspector.shares(run, loss).save(folder / "analysis/shares-lstm.png")
    inspector.path_orders(run, loss, wrt=("c", 0)).save(folder / "analysis/path-orders-lstm.png")
    inspector.waterfall(run, loss, state="h").save(folder / "analysis/waterfall-lstm.png")


def weights(folder: Path) -> None:
    """What trains an LSTM, and what taking something away does to it."""
    run = tg.unroll(tg.cells.LSTMCell(3, 16, seed=0), noise(60, 4, 3))
    loss = (run.outputs[-1] ** 2).sum()
    inspector.weights(run, loss).save(folder / "analysis/weights.png")
    inspector.what_if(run, loss, bias={"f": 2.0}).save(folder / "analysis/what-if.png")
    inspector.duality(run, loss).save(folder / "analysis/duality.png")


def reber(folder: Path) -> None:
    """An LSTM that has learned the embedded Reber grammar: its gates, and what it looks at."""
    task = tg.tasks.EmbeddedReber()
    model = tg.models.SequenceModel(
        tg.compile(tg.cells.LSTMCell(task.input_size, 16, seed=0, init="keras")), task.output_size, seed=0
    )
    tg.fit(model, task, steps=1500, batch=32, optimizer=tg.optim.Adam(model.parameters(), lr=0.01), clip=1.0)
    word, alphabet = "BPBTXXTTVPXTVPSE", "BTPSXVE"
    prediction = model(np.eye(7)[[alphabet.index(letter) for letter in word]][:, None, :])
    score = prediction.outputs[-1, 0, alphabet.index("P")] - prediction.outputs[-1, 0, alphabet.index("T")]
    inspector.saliency(prediction.run, score, "integrated", labels=word).save(folder / "analysis/saliency.png")
    inspector.gates(prediction.run, score).save(folder / "analysis/gates.png")


def page(folder: Path) -> None:
    """Those of docs/page.md, in a browser."""
    import screens  # beside this file

    (folder / "page").mkdir(exist_ok=True)
    screens.photograph_all(folder / "page")


def diagnosis(folder: Path) -> None:
    """That of docs/diagnose.md."""
    run = tg.unroll(tg.cells.LSTMCell(3, 16, seed=0), noise(60, 4, 3))
    inspector.diagnose(run, run.outputs[-1].sum()).save(folder / "analysis/diagnosis.png")


def verdict(folder: Path) -> None:
    """That of docs/check-gradient.md: a recurrent matrix that is transposed on the way back."""
    run = tg.unroll(tg.cells.RNNCell(3, 8, seed=0), noise(20, 4, 3))
    h, (_, U) = [h.data for h in run.outputs], (one.data for _, one in list(run.cell.named_parameters())[:2])
    deltas = [2 * h[-1]]
    for t in reversed(range(1, 20)):
        deltas.insert(0, (deltas[0] * (1 - h[t] ** 2)) @ U.T)
    inspector.check_gradient(run, (run.outputs[-1] ** 2).sum(), {"h": deltas}).save(folder / "analysis/verdict.png")


def from_torch(folder: Path) -> None:
    """That of docs/from_torch.md, by the first program on that page; needs PyTorch."""
    files.write(folder / "drawings/from_torch.svg", _first_run("from_torch.md", "peephole.svg"))


def from_jax(folder: Path) -> None:
    """That of docs/jax.md; needs JAX."""
    files.write(folder / "drawings/from_jax.svg", _first_run("jax.md", "tagger.svg"))


def _first_run(page: str, saved: str) -> str:
    """The drawing of two steps of the run of the first program on a page, which saves one of its own."""
    program = (HERE / page).read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    with TemporaryDirectory() as place:
        script = Path(place) / "page.py"
        script.write_text(program.replace(f'.save("{saved}")', ""), encoding="utf-8")
        with redirect_stdout(None):
            run = runpy.run_path(str(script))["run"]
    return svg(picture(run, level="operation", steps=range(2)))


def thresholds(folder: Path) -> None:
    """Where learning stops, four minutes of training."""
    import threshold_of_learning as example

    example.picture(example.trials(), folder / "analysis/threshold-of-learning.png")


def sweeps(folder: Path) -> None:
    """Three cells, two initialisations, ten seeds."""
    inspector.sweep(["rnn", "lstm", "gru"], [100], ["pytorch", "keras"]).save(folder / "analysis/sweep.png")


def claims(folder: Path) -> None:
    """The experiments of docs/claims.md, two hours of them."""
    subprocess.run([sys.executable, str(EXAMPLES / "claims"), "--out", str(folder / "claims")], check=True)


PLOTS: dict[str, Callable[[Path], None]] = {
    draw.__name__: draw
    for draw in (
        opened,
        decays,
        learning,
        reach,
        jacobians,
        paths,
        weights,
        reber,
        page,
        diagnosis,
        verdict,
        from_torch,
        from_jax,
        sweeps,
        thresholds,
        claims,
    )
}
"""Everything else, in groups that are made together."""

SLOW = ("thresholds", "claims")
"""Made only when they are asked for by name."""


def make(only: Sequence[str] = (), folder: Path = FOLDER) -> None:
    """Make the drawings whose names begin with one of `only`, and the plots of such groups; all but the slow ones by
    default.

    Raises
    ------
    ValueError
        If nothing is called so.
    """
    names = [*DRAWINGS, *PLOTS]
    unknown = [start for start in only if not any(name.startswith(start) for name in names)]
    if unknown:
        groups = dict.fromkeys(name.partition("/")[0] for name in names)
        raise ValueError(f"no picture is called {', '.join(unknown)}; there are {', '.join(groups)}")
    chosen = [name for name in names if any(map(name.startswith, only)) or (not only and name not in SLOW)]
    (folder / "analysis").mkdir(parents=True, exist_ok=True)
    for name in (bar := tqdm(chosen, unit="picture", disable=None)):
        bar.set_description(name)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name in DRAWINGS:
            files.write(folder / f"{name}.svg", svg(DRAWINGS[name]()))
        else:
            PLOTS[name](folder)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="those whose names begin so, such as lstm-cell, gallery/gru or paths",
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for the pictures")
    options = parser.parse_args(arguments)
    try:
        make(options.only, options.out)
    except ValueError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
