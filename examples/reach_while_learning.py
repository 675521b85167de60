"""How far does the gradient reach while an LSTM learns to add two numbers 60 steps apart?

The loss stays where guessing the mean puts it, for more than a thousand steps. The gradient of the cell state says why:
on its way back it dies. What is learned first is not to forget; once the gradient reaches the first step, the error
falls at once.

Run it with ``python examples/reach_while_learning.py --out pictures``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn.training import History

STEPS, LENGTH, HIDDEN = 2000, 60, 24


def train(steps: int = STEPS, length: int = LENGTH) -> tuple[History, inspector.DecayRecorder]:
    """Train an LSTM on the adding problem; its history, and a record of the gradient every 5 % of the way."""
    task = tg.tasks.ModernAdding(length)
    cell = tg.compile(tg.cells.LSTMCell(task.input_size, HIDDEN, seed=0, init="keras"))
    model = tg.models.SequenceModel(cell, task.output_size, seed=0)
    recorder = inspector.DecayRecorder(every=max(1, steps // 20))
    optimizer = tg.optim.Adam(model.parameters(), lr=0.005)
    history = tg.fit(
        model, task, steps=steps, optimizer=optimizer, clip=1.0, every=max(1, steps // 10), hooks=[recorder]
    )
    return history, recorder


def picture(recorder: inspector.DecayRecorder, path: Path) -> tuple[Path, str]:
    """The curves of the cell state, one a record."""
    inspector.plot_training(recorder, path, name="c")
    return (
        path,
        "how far the gradient reaches back while an LSTM learns to add, one curve every hundred steps of training",
    )


def draw(out: Path) -> Iterator[tuple[Path, str]]:
    """The picture, with a sentence on what it shows."""
    yield picture(train()[1], out / "reach-of-the-gradient.png")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for the picture")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    history, recorder = train(options.steps)
    print(f"{'step':>6}{'loss':>10}   gradient at the first step / at the last")
    for row in history.rows:
        norms = recorder.curves["c"][recorder.steps.index(int(row["step"]))]
        print(f"{row['step']:6}{row['loss']:10.4f}   {norms[0] / norms[-1]:.2g}")
    path, sentence = picture(recorder, options.out / "reach-of-the-gradient.png")
    print(f"{path}: {sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
