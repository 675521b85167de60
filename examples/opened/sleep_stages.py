"""Sleep stages from heartbeats

The classifier inside [sleepecg](https://github.com/cbrnr/sleepecg) (BSD-3), `wrn-gru-mesa`, a file of Keras':
{parameters} parameters, 36 numbers about the heartbeats around every half minute, two bidirectional GRUs of 8 units,
and which stage of sleep it is. Its nights here are random, with the means and spreads that the normalisation in the
file has learned, and a correlation of {correlation} from one half minute to the next.

**Half of the gradient of its word for REM comes from within {half} minutes, nine tenths from within {most}: it reads
the better part of a sleep cycle around each moment, {past} of it in the past.** An hour away, {hour} is left of the
gradient at the moment itself.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from packaged import file_in

import tinygrad_rnn as tg
from tinygrad_rnn.interop.imported import Imported

STAGES = {"NREM": (1, "#0b57d0"), "REM": (2, "#c2410c"), "wake": (3, "#7c3aed")}
"""The place of each among the outputs; the first is of what nobody has scored."""
EPOCHS, NIGHTS, CORRELATION = 480, 16, 0.95
"""Half minutes of a night, and how like a half minute is to the one before."""


def model() -> Imported:
    """The network, out of the zip in the package."""
    with (
        zipfile.ZipFile(file_in("sleepecg", "wrn-gru-mesa.zip", "0.6.0")) as archive,
        tempfile.TemporaryDirectory() as folder,
    ):
        return tg.load_keras(archive.extract("classifier.keras", folder)).astype(np.float64)


def nights(network: Imported) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Inputs (nights, epochs, features), and the spread of each feature, as the normalisation has learned them."""
    learned = dict(network.named_parameters())
    mean = learned["batch_normalization/moving_mean"].data
    spread = np.sqrt(learned["batch_normalization/moving_variance"].data)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(EPOCHS, NIGHTS, len(mean)))
    for t in range(1, EPOCHS):
        noise[t] = CORRELATION * noise[t - 1] + np.sqrt(1 - CORRELATION**2) * noise[t]
    return (mean + spread * noise).swapaxes(0, 1), spread


def measure(out: Path) -> dict[str, str]:
    """Draw how far around itself a moment is read, and say it in numbers."""
    network = model()
    values, spread = nights(network)
    x = tg.tensor(values, requires_grad=True)
    scores = network(x)["dense_1"]
    middle = EPOCHS // 2
    curves = {}
    for name, (place, _) in STAGES.items():
        (gradient,) = tg.grad(tg.sum(tg.log(scores[:, middle, place])), [x])
        curves[name] = np.linalg.norm(gradient.data * spread, axis=-1).mean(axis=0)
    picture(out / "sleep-stages.png", curves)

    rem = curves["REM"]
    distance = np.abs(np.arange(EPOCHS) - middle) / 2
    order = np.argsort(distance, kind="stable")
    half, most = np.interp([0.5, 0.9], np.cumsum(rem[order]) / rem.sum(), distance[order])
    return {
        "parameters": f"{sum(p.size for p in network.parameters()):,}",
        "correlation": str(CORRELATION),
        "half": f"{half:.0f}",
        "most": f"{most:.0f}",
        "past": f"{rem[:middle].sum() / (rem.sum() - rem[middle]):.0%}",
        "hour": f"{(rem[middle - 120] + rem[middle + 120]) / 2 / rem[middle]:.1%}",
    }


def picture(path: Path, curves: dict[str, npt.NDArray[np.float64]]) -> None:
    """The gradient along the night, by stage."""
    figure, axes = plt.subplots(figsize=(8, 3.4), layout="constrained")
    minutes = (np.arange(EPOCHS) - EPOCHS // 2) / 2
    for name, curve in curves.items():
        axes.plot(minutes, curve, color=STAGES[name][1], lw=1.5, label=name)
    axes.axvline(0, color="#6e7781", lw=1, ls="--")
    axes.set_title("What decides which stage of sleep it is", loc="left")
    axes.set(xlabel="minutes from the moment that is judged", ylabel="‖∂ log p / ∂x‖, mean of nights", yscale="log")
    axes.set(xlim=(-90, 90), xticks=range(-90, 91, 30), ylim=(1e-3, None))
    axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
