"""A PyTorch model that does not learn a long dependency: watched, diagnosed, cured by what the diagnosis says.

An LSTM reads 100 numbers, a sign followed by noise, and has to say which sign it was. Run it with
``python examples/watch_pytorch.py --out pictures`` (PyTorch is needed: ``pip install torch``).
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import inspector

STEPS, HIDDEN, BATCH, UPDATES = 100, 32, 32, 400


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences (batch, T, 1), and for each whether its first number was positive (batch, 1)."""
    x = 0.2 * torch.randn(BATCH, STEPS, 1)
    x[:, 0] = torch.randint(0, 2, (BATCH, 1)) * 2.0 - 1.0
    return x, (x[:, 0] > 0).float()


def loss_of(model: Recall) -> torch.Tensor:
    """The loss of a fresh batch."""
    x, positive = examples()
    return torch.nn.functional.binary_cross_entropy_with_logits(model(x), positive)


class Recall(torch.nn.Module):
    """An LSTM, and a linear readout of its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.LSTM(1, HIDDEN, batch_first=True)
        self.readout = torch.nn.Linear(HIDDEN, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.readout(self.rnn(x)[0][:, -1])


def train(model: Recall, updates: int) -> tuple[list[float], inspector.Watching]:
    """A training loop like anybody's; the two lines that watch it are marked."""
    watching = inspector.watch(model, every=40)  # the first line
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
    losses = []
    for _ in range(updates):
        loss = loss_of(model)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    print(watching)  # the second
    return losses, watching


def cure(model: Recall, change: str) -> None:
    """Do to a fresh model what a remedy says: so much more bias in the forget gate (PyTorch's order is i, f, g, o)."""
    more = re.fullmatch(r"([+-][\d.]+) of bias in f", change)
    if more is None:
        raise SystemExit(f"this example knows how to change the bias of f, the diagnosis says: {change}")
    with torch.no_grad():
        model.rnn.bias_ih_l0[HIDDEN : 2 * HIDDEN] += float(more[1])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("pictures"))
    parser.add_argument("--updates", type=int, default=UPDATES)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(0)
    before = Recall()
    losses_before, watched_before = train(before, options.updates)

    torch.manual_seed(0)
    after = Recall()
    first = inspector.watch(after)  # a single pass is enough for a diagnosis
    loss_of(after).backward()
    diagnosis = first["rnn"].diagnose()
    first.close()
    print(diagnosis)
    cure(after, diagnosis.remedies[0].change)
    losses_after, watched_after = train(after, options.updates)

    path = options.out / "watch-pytorch.png"
    change = diagnosis.remedies[0].change
    picture(path, {"as it is": (losses_before, watched_before), f"with {change}": (losses_after, watched_after)})
    print(path)
    return 0


def picture(path: Path, runs: dict[str, tuple[list[float], inspector.Watching]]) -> None:
    """The loss while it trains, and how the gradient by the cell state decays along time."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
    for (label, (losses, watching)), colour in zip(runs.items(), ("#c2410c", "#0b57d0"), strict=True):
        smooth = np.convolve(losses, np.full(10, 0.1), "valid")
        left.plot(np.arange(len(smooth)) + 10, smooth, color=colour, label=label, lw=2)
        norms = watching.recorder.curves["c"]
        right.plot(norms[0], color=colour, lw=1, ls=":", label=f"{label}: first update")
        right.plot(norms[-1], color=colour, lw=2, label=f"{label}: last update")
    left.set(title="The loss of the PyTorch model", xlabel="update", ylabel="cross-entropy", ylim=(0, 0.8))
    left.axhline(np.log(2), color="#6e7781", lw=1, ls="--")
    left.text(len(losses), np.log(2) + 0.01, "guessing", ha="right", va="bottom", color="#6e7781", fontsize=9)
    right.set(title="The gradient by its cell state", xlabel="timestep t", ylabel="‖∂L/∂c_t‖", yscale="log")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
