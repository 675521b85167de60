"""E8: scissors. What was the "training method improvement" of the first LSTM?

Texts say that LSTM came with an improved training method, and leave it there. It was truncated real-time recurrent
learning (Hochreiter & Schmidhuber 1997, appendix A.1): ten equations, carried forwards in time by hand. In a graph
the whole rule is one cut: errors that reach the net inputs of cells and gates change the weights there and go no
further back. Autodiff through that cut graph gives the paper's numbers to the last digits. Without a cut, full
real-time recurrent learning is backpropagation through time, "exactly the same gradient", only at another price.
The paper found no significant difference between truncated and full gradient. At the start of training we find the
same, later the two part: their cosine falls, and on the paper's grammar task, in batches of 8, the full gradient
reaches a lower loss in as many steps.
The picture shows the cut: what was dashed carries nothing, and only the upper line leads back in time.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from claim import Line, exact, main, published, trend

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn.baselines.truncated_rtrl import truncated_rtrl_gradients
from tinygrad_rnn.training.real_time import rtrl

Array = npt.NDArray[np.float64]


def half_sse(outputs: Any, targets: Array, mask: Array) -> Any:
    return 0.5 * tg.sum(tg.square(outputs - targets) * mask[..., None])


def difference(mine: dict[str, Array], reference: dict[str, Array]) -> float:
    """The largest over all parameters, relative to the largest element of each."""
    return float(np.max([np.abs(mine[name] - g).max() / np.abs(g).max() for name, g in reference.items()]))


def by_hand_and_by_cut(rng: np.random.Generator) -> float:
    """One random net of 1997: equations 19 to 28 against autodiff through the cut graph."""
    size, blocks, inputs, outputs = rng.integers(1, 4, 4)
    cell = tg.cells.LSTM1997Cell(int(inputs), int(size * blocks), block_size=int(size), truncated=True)
    net = tg.models.SequenceModel(cell, int(outputs), output="sigmoid")
    net.load_state_dict({name: rng.normal(size=p.shape) for name, p in net.named_parameters()})
    x, t = rng.normal(size=(20, 2, inputs)), rng.random((20, 2, outputs))
    mask = np.ones((20, 2), bool)
    names, parameters = zip(*net.named_parameters(), strict=True)
    by_cut = tg.grad(half_sse(net(x).outputs, t, mask), parameters)
    by_hand = truncated_rtrl_gradients(cell, net.readout, x, t, mask)
    return difference(by_hand, {name: g.data for name, g in zip(names, by_cut, strict=True)})


def forwards_and_backwards(rng: np.random.Generator) -> float:
    """One random Elman net: full real-time recurrent learning against backpropagation through time."""
    cell = tg.cells.RNNCell(2, 5, seed=int(rng.integers(2**31)))
    x, t = rng.normal(size=(25, 2, 2)), rng.normal(size=(25, 2, 5))
    forwards = rtrl(cell, x, lambda k, state: 0.5 * tg.sum(tg.square(state.h - t[k])))
    names, parameters = zip(*cell.named_parameters(), strict=True)
    backwards = tg.grad(0.5 * tg.sum(tg.square(tg.unroll(cell, x).stacked - t)), parameters)
    return difference(forwards.gradients, {name: g.data for name, g in zip(names, backwards, strict=True)})


def net_of_experiment_1(seed: int, truncated: bool) -> tg.models.SequenceModel:
    """Three blocks of two cells, 276 weights from U(-0.2, 0.2), output gate biases -1, -2, -3; compiled."""
    cell = tg.cells.LSTM1997Cell(7, 6, block_size=2, bias="gates", truncated=truncated)
    net = tg.models.SequenceModel(tg.compile(cell), 7, output="sigmoid", bias=False)
    rng = np.random.default_rng(seed)
    weights = {name: rng.uniform(-0.2, 0.2, p.shape) for name, p in net.named_parameters()}
    net.load_state_dict(weights | {"cell.b_o": np.array([-1.0, -2.0, -3.0])})
    return net


def flat_gradient(loss: Any, net: tg.models.SequenceModel) -> Array:
    return np.concatenate([g.data.ravel() for g in tg.grad(loss, net.parameters())])


def train(seed: int, steps: int, truncated: bool) -> tuple[Array, float]:
    """Descend on the embedded Reber grammar: the cosine of both gradients along the way, and the last mean loss."""
    net, other = net_of_experiment_1(seed, truncated), net_of_experiment_1(seed, not truncated)
    cosines = []

    def compare(step: Any) -> None:
        if step.number % 20 == 1:
            other.load_state_dict(step.model.state_dict())
            outputs = other(step.batch.inputs, step.batch.lengths).outputs
            a = flat_gradient(step.loss, net)
            b = flat_gradient(half_sse(outputs, step.batch.targets, step.batch.mask), other)
            cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    history = tg.fit(
        net,
        tg.tasks.EmbeddedReber(),
        steps=steps,
        batch=8,
        optimizer=tg.optim.SGD(net.parameters(), lr=0.2),
        loss="half_sse",
        seed=seed,
        hooks=[compare] if truncated else [],
        every=steps // 5,
        progress=False,
    )
    return np.array(cosines), history.rows[-1]["loss"] / 8


def measure(quick: bool, rng: np.random.Generator) -> tuple[list[Line], Any]:
    lines = [
        exact(
            "20 nets of 1997: equations 19-28 against the cut graph",
            np.max([by_hand_and_by_cut(rng) for _ in range(20)]),
            0.0,
            1e-12,
        ),
        exact(
            "Elman nets: full RTRL against BPTT",
            np.max([forwards_and_backwards(rng) for _ in range(2 if quick else 10)]),
            0.0,
            1e-12,
        ),
    ]
    steps, seeds = (400, 3) if quick else (3000, 5)
    chosen = [int(seed) for seed in rng.integers(2**31, size=seeds)]
    runs = [(*train(seed, steps, truncated=True), train(seed, steps, truncated=False)[1]) for seed in chosen]
    cosines = np.array([cosine for cosine, _, _ in runs])
    cut, full = (np.array([run[k] for run in runs]) for k in (1, 2))
    first, last = cosines[:, 0], np.median(cosines[:, -cosines.shape[1] // 5 :], axis=1)
    lines += [
        trend(
            "cosine of truncated and full gradient, first step",
            np.median(first),
            "close to 1",
            bool((first > 0.99).all()),
            _range(first),
        ),
        trend(
            "cosine of truncated and full gradient, last fifth",
            np.median(last),
            "below that of the start",
            bool((last < first).all()),
            _range(last),
        ),
        trend(
            "loss a string at the end, truncated gradient",
            np.median(cut),
            "below 9.6 of outputs 1/2",
            bool((cut < 9.6).all()),
            _range(cut),
        ),
        published(
            "loss at the end, truncated over full gradient",
            np.median(cut / full),
            "no significant difference",
            _range(cut / full),
            bool((cut / full).min() < 1 < (cut / full).max()),
        ),
    ]
    return lines, int(rng.integers(2**31))


def _range(values: Array) -> str:
    return f"{len(values)} seeds; {values.min():.3g} to {values.max():.3g}"


def draw(found: Any, path: Path) -> None:
    cell = tg.cells.LSTM1997Cell(2, 2, truncated=True, seed=found)
    run = tg.unroll(cell, np.random.default_rng(found).normal(size=(3, 1, 2)))
    trace = inspector.trace(run, tg.sum(run.outputs[-1]))
    inspector.render(run, path, level="gate", trace=trace)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, draw, suffix=".svg"))
