"""What have two networks learned to listen to, that three untrained ones cannot hear?

The task is to add two numbers that are marked in a sequence of 60, and to say the sum at its end. In a fresh RNN, GRU
or LSTM next to nothing of the gradient arrives at the first step, and what trains its weights are the last few. In a
GRU and an LSTM that have learned it, it arrives; and the steps that train the LSTM most are those that carry a mark.
One page shows the five side by side, with the marks on its axis of time.

Run it with ``python examples/trained_pair.py --out pictures``. The trained weights lie beside this file; ``--train``
trains them once more, which takes a minute with Numba, and writes them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn.tasks import Batch
from tinygrad_rnn.training import History

LENGTH, HIDDEN, UPDATES, SHOWN = 60, 16, 12_000, 4
CELLS = {"RNN": tg.cells.RNNCell, "GRU": tg.cells.GRUCell, "LSTM": tg.cells.LSTMCell}
TRAINED = ("GRU", "LSTM")
WEIGHTS = Path(__file__).with_suffix(".safetensors")
TASK = tg.tasks.ModernAdding(LENGTH)


def fresh(name: str) -> tg.models.SequenceModel:
    """A network that has seen nothing yet, filled as PyTorch does."""
    return tg.models.SequenceModel(CELLS[name](TASK.input_size, HIDDEN, seed=0), TASK.output_size, seed=0)


def train(name: str, updates: int = UPDATES) -> tuple[tg.models.SequenceModel, History]:
    """A network that has learned to add, and how."""
    cell = CELLS[name](TASK.input_size, HIDDEN, seed=0, init="keras" if name == "LSTM" else "pytorch")
    model = tg.models.SequenceModel(tg.compile(cell), TASK.output_size, seed=0)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.006)
    history = tg.fit(model, TASK, steps=updates, optimizer=optimizer, clip=1.0, every=max(1, updates // 10))
    return model, history


def save(models: dict[str, tg.models.SequenceModel], path: Path = WEIGHTS) -> Path:
    """Write the weights of networks into one file, in single precision."""
    arrays = {
        f"{name}.{key}": np.asarray(value, np.float32)
        for name, model in models.items()
        for key, value in model.state_dict().items()
    }
    return tg.save_safetensors(arrays, path)


def load(name: str, path: Path = WEIGHTS) -> tg.models.SequenceModel:
    """A network that has learned to add."""
    model, (arrays, _) = fresh(name), tg.load_safetensors(path)
    model.load_state_dict(
        {key.removeprefix(f"{name}."): value for key, value in arrays.items() if key.startswith(f"{name}.")}
    )
    return model


def asked(model: tg.models.SequenceModel, batch: Batch) -> tuple[tg.Run, tg.Tensor]:
    """A network's run over some sequences, and its mean squared error at their end."""
    found = model(batch.inputs)
    return found.run, tg.losses.mse_loss(found.outputs[-1], batch.targets[-1])


def marked(batch: Batch) -> dict[str, list[int]]:
    """Where the numbers stand that have to be added."""
    first, second = np.nonzero(batch.inputs[..., 1].T)[1].reshape(-1, 2).T
    return {"a first number to add": first.tolist(), "a second number to add": second.tolist()}


def page(path: Path) -> tuple[Path, str]:
    """The five networks on the same sequences, three of them fresh."""
    batch = TASK.draw(SHOWN, np.random.default_rng(1))
    models = {name: fresh(name) for name in CELLS} | {f"{name}, trained": load(name) for name in TRAINED}
    runs = {label: asked(model, batch) for label, model in models.items()}
    inspector.report(runs, path=path, marks=marked(batch))
    return path, "a page to step through: RNN, GRU and LSTM, fresh, and a GRU and an LSTM that have learned to add"


def draw(out: Path) -> Iterator[tuple[Path, str]]:
    """The page, with a sentence on what it shows."""
    yield page(out / "trained-pair.html")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for the page")
    parser.add_argument("--train", action="store_true", help="train the networks again, and write their weights")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.train:
        models = {}
        for name in TRAINED:
            models[name], history = train(name)
            print(f"{name}: mean squared error {history.rows[0]['loss']:.4f}, then {history.rows[-1]['loss']:.6f}")
        print(save(models))
    for path, sentence in draw(options.out):
        print(f"{path}: {sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
