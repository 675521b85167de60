"""Brackets that close

A small network of ours, trained by this page in a quarter of a minute: an LSTM of {units} units reads letters and
nested brackets one by one, and guesses what comes next. It is written with `tg.save_onnx`, {size} kB, and opened
again as a stranger's file would be. Whether `)` or `]` closes, it gets right {right} of the time, {nested} where
other brackets stand in between.

**Which of the two closes hangs on one letter, {distance} places back: exchanged for the other bracket, it turns the
answer from {before} to {turned}, while no other exchange moves it by more than {others}. Yet only {share} of the
gradient goes there.** What the letter does to the cell state stays (with the one and the other bracket it is {apart}
apart right after it, and {later} at the end), but of the gradient by the cell state {left} is left on the way back to
it. A latch holds large differences and evens out small ones, and a gradient tells of small ones.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.ticker import PercentFormatter

import inspector
import tinygrad_rnn as tg

ALPHABET = "abc()[]"
UNITS, LENGTH, BATCH, UPDATES, DEEPEST = 48, 40, 32, 500, 3
EXAMPLE, DECIDES = "a(bc[a]b[ca]cb[b]a", 1
"""What is read before it has to close a bracket, and the place of that."""


def text(length: int, rng: np.random.Generator) -> str:
    """Letters and brackets that close what was opened."""
    written, opened = "", ""
    while len(written) < length:
        chance = rng.random()
        if chance < 0.2 and len(opened) < DEEPEST:
            opened += str(rng.choice(["(", "["]))
            written += opened[-1]
        elif chance < 0.4 and opened:
            written += ALPHABET[ALPHABET.index(opened[-1]) + 1]
            opened = opened[:-1]
        else:
            written += str(rng.choice(["a", "b", "c"]))
    return written


def ones(texts: list[str]) -> npt.NDArray[np.float64]:
    """Texts of one length as one-hot vectors (T, batch, letters)."""
    return np.eye(len(ALPHABET))[[[ALPHABET.index(letter) for letter in one] for one in zip(*texts, strict=True)]]


def train(updates: int = UPDATES) -> tg.models.SequenceModel:
    """A network that has learned what comes next."""
    rng = np.random.default_rng(0)
    cell = tg.cells.LSTMCell(len(ALPHABET), UNITS, seed=0, dtype=np.float32)
    model = tg.models.SequenceModel(cell, len(ALPHABET), seed=0)
    optimiser = tg.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(updates):
        batch = ones([text(LENGTH + 1, rng) for _ in range(BATCH)]).astype(np.float32)
        scores = tg.log_softmax(model(batch[:-1]).outputs)
        optimiser.zero_grad()
        (-tg.sum(scores * batch[1:]) / (LENGTH * BATCH)).backward()
        optimiser.step()
    return model


def closing(scores: tg.Tensor) -> tg.Tensor:
    """How much rather ) than ] comes next."""
    return scores[..., ALPHABET.index(")")] - scores[..., ALPHABET.index("]")]


def exchanged(read: str) -> dict[int, list[str]]:
    """By place the texts in which a letter is another, or a bracket of the other kind, with its partner."""
    found: dict[int, list[str]] = {}
    opened: list[int] = []
    turned = str.maketrans("()[]", "[]()")
    for k, letter in enumerate(read):
        if letter in "abc":
            found[k] = [read[:k] + other + read[k + 1 :] for other in "abc" if other != letter]
        elif letter in "([":
            opened.append(k)
        else:
            j = opened.pop()
            pair = read[:j] + read[j].translate(turned) + read[j + 1 : k] + letter.translate(turned) + read[k + 1 :]
            found[j] = found[k] = [pair]
    return found | {k: [read[:k] + read[k].translate(turned) + read[k + 1 :]] for k in opened}


def accuracy(model: tg.models.SequenceModel) -> tuple[float, float]:
    """How often it knows which bracket closes: of all, and of those with others in between."""
    rng = np.random.default_rng(1)
    texts = [text(LENGTH + 1, rng) for _ in range(200)]
    scores = closing(model(ones(texts)[:-1].astype(np.float32)).outputs).data
    right: dict[bool, list[bool]] = {False: [], True: []}
    for one, row in zip(texts, scores.T, strict=True):
        opened: list[int] = []
        for k, letter in enumerate(one):
            if letter in "([":
                opened.append(k)
            elif letter in ")]":
                inside = one[opened.pop() + 1 : k]
                right["(" in inside or "[" in inside].append((row[k - 1] > 0) == (letter == ")"))
    return float(np.mean(right[False] + right[True])), float(np.mean(right[True]))


def measure(out: Path) -> dict[str, str]:
    """Train, write, open, and compare the gradient by every letter with what it does to exchange it."""
    model = train()
    with tempfile.TemporaryDirectory() as folder:
        path = tg.save_onnx(model.cell, Path(folder) / "brackets.onnx")
        size = path.stat().st_size
        network = tg.load_onnx(path).astype(np.float64)

    def answer(texts: list[str]) -> tuple[tg.Run, tg.Tensor]:
        call = network(x=tg.tensor(ones(texts), requires_grad=True))
        (run,) = call.runs.values()
        return run, closing(model.readout(call["outputs"][-1]))

    run, said = answer([EXAMPLE])
    trace = inspector.trace(run, said.sum())
    norms, by_state = trace.norm("x"), trace.norm("c")
    before = float(said.data[0])
    answers = {k: answer(texts) for k, texts in exchanged(EXAMPLE).items()}
    after = {k: found.data for k, (_, found) in answers.items()}
    other = answers[DECIDES][0]
    apart = [np.linalg.norm(a.c.data - b.c.data) for a, b in zip(run.states, other.states, strict=True)]
    moved = np.array([np.abs(after[k] - before).max() for k in range(len(EXAMPLE))])
    picture(out / "brackets.png", norms / norms.sum(), moved)
    right, nested = accuracy(model)
    return {
        "units": str(UNITS),
        "size": f"{size / 1000:.0f}",
        "right": f"{right:.1%}",
        "nested": f"{nested:.1%}",
        "distance": str(len(EXAMPLE) - DECIDES),
        "before": f"{before:+.1f}",
        "turned": f"{after[DECIDES][0]:+.1f}",
        "others": f"{np.delete(moved, DECIDES).max():.1f}",
        "share": f"{norms[DECIDES] / norms.sum():.1%}",
        "apart": f"{apart[DECIDES]:.1f}",
        "later": f"{apart[-1]:.1f}",
        "left": f"{by_state[DECIDES] / by_state[-1]:.0%}",
    }


def picture(path: Path, shares: npt.NDArray[np.float64], moved: npt.NDArray[np.float64]) -> None:
    """For every letter its share of the gradient above, and what its exchange does below."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 4), sharex=True, layout="constrained")
    places = np.arange(len(EXAMPLE))
    for axes, heights, title in (
        (above, shares, "The share of the gradient that goes to each letter"),
        (below, moved, "How far the answer moves when the letter is another"),
    ):
        axes.bar(places, heights, 0.7, color=["#c2410c" if k == DECIDES else "#9db4d3" for k in places])
        axes.set_title(title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    above.yaxis.set_major_formatter(PercentFormatter(1.0, 0))
    below.set_ylabel("log-odds of ) against ]")
    below.set_xticks([*places, len(EXAMPLE)], [*EXAMPLE, "?"], fontfamily="monospace")
    figure.savefig(path, dpi=150)
    plt.close(figure)
