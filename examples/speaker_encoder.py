"""How much of an utterance does a trained speaker encoder listen to? Three layers of LSTM, opened and diagnosed.

The network is the one inside the package Resemblyzer (Apache-2.0): 1.6 seconds of sound, 160 frames of 40 mel bands, go
through 3 x LSTM of 256; a linear layer makes an embedding of the last output that says whose voice it is. Only the
file of weights is read (PyTorch reads it, with ``weights_only``); none of the package's code runs. The utterances are
made here: vowels of two voices, by a train of pulses and its resonances.

    pip install torch && pip install --no-deps resemblyzer==0.1.4
    python examples/speaker_encoder.py --out pictures
"""

from __future__ import annotations

import argparse
from importlib import metadata
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from scipy import signal

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn.interop.tensor_files import load_tensors

Array = npt.NDArray[np.float64]

RATE, FRAMES, BANDS = 16_000, 160, 40
VOWELS = {"a": (800, 1200, 2500), "i": (300, 2300, 3000), "u": (330, 800, 2300), "e": (500, 1900, 2500)}
"""Resonances of the vocal tract, in hertz."""


def utterance(pitch: float, tract: float, seed: int = 0) -> Array:
    """Vowels in a row by a voice of some pitch and length of the vocal tract, as mel bands (frames, bands)."""
    rng = np.random.default_rng(seed)
    length = RATE * (FRAMES + 2) // 100 // len(VOWELS)
    sound = []
    for resonances in VOWELS.values():
        time = np.arange(length) / RATE
        phase = np.cumsum(pitch * (1 + 0.03 * np.sin(2 * np.pi * 5 * time))) / RATE
        wave = np.diff(np.floor(phase), prepend=0.0) + 0.001 * rng.normal(size=length)
        for resonance in resonances:
            wave = signal.lfilter([1.0], resonator(tract * resonance), wave)
        sound.append(wave / np.abs(wave).max() * np.hanning(length) ** 0.2)
    return mel(0.3 * np.concatenate(sound))[:FRAMES]


def resonator(frequency: float, bandwidth: float = 80.0) -> Array:
    """The denominator of a filter that rings at a frequency."""
    radius = np.exp(-np.pi * bandwidth / RATE)
    return np.array([1.0, -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2])


def mel(sound: Array) -> Array:
    """Power in triangular bands on Slaney's mel scale, every 10 ms, (frames, bands), as the network was trained on."""
    _, _, spectrum = signal.stft(sound, RATE, nperseg=400, noverlap=240, boundary=None, scaling="psd")
    power = np.abs(spectrum) ** 2 * RATE * (signal.get_window("hann", 400) ** 2).sum()
    edges = hertz(np.linspace(0, 15 + 27 * np.log(RATE / 2 / 1000) / np.log(6.4), BANDS + 2))
    bins = np.linspace(0, RATE / 2, len(power))
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    bands = np.maximum(0, np.minimum(rise, fall)) * 2 / (edges[2:] - edges[:-2])[:, None]
    return (bands @ power).T


def hertz(mels: Array) -> Array:
    """Frequencies of Slaney's mels: linear up to 1000 Hz (15 mels), logarithmic above."""
    return np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))


def weights() -> Path:
    """The file of weights inside the installed package."""
    try:
        found = [file for file in metadata.files("resemblyzer") or [] if file.name == "pretrained.pt"]
    except metadata.PackageNotFoundError:
        raise SystemExit("needs the weights in a package: pip install --no-deps resemblyzer==0.1.4") from None
    return Path(str(found[0].locate()))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("pictures"))
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)

    lstm = tg.load_torch(weights(), prefix="lstm", dtype=np.float64)
    stored = load_tensors(weights())["model_state"]
    weight, bias = (np.asarray(stored[f"linear.{name}"], np.float64) for name in ("weight", "bias"))

    def embedding(run: tg.Run) -> tg.Tensor:
        raw = tg.relu(run.outputs[-1] @ weight.T + bias)
        return raw / tg.sqrt(tg.sum(raw * raw))

    voices = {"a low voice": utterance(110, 1.0), "a high one": utterance(220, 1.17)}
    runs = {name: tg.unroll(lstm, bands[:, None, :]) for name, bands in voices.items()}
    low, high = (embedding(run) for run in runs.values())
    print(f"{lstm!r}\nsimilarity of the two voices: {float((low * high).sum().data):.2f}")

    run = runs["a low voice"]
    loss = (low * np.asarray(high.data)).sum()
    diagnosis = inspector.diagnose(run, loss)
    print(diagnosis)
    picture(out / "speaker-encoder.png", voices["a low voice"], inspector.trace(run, loss))
    print(out / "speaker-encoder.png")
    return 0


def picture(path: Path, bands: Array, trace: inspector.GradientTrace) -> None:
    """What it heard, and below it how much of the embedding's likeness hangs on each moment, layer by layer."""
    seconds = np.arange(FRAMES) / 100
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
    above.pcolormesh(seconds, np.arange(BANDS), 10 * np.log10(bands.T + 1e-6), cmap="Greys", shading="nearest")
    above.set_title("What it hears: a, i, u, e", loc="left")
    above.set_ylabel("mel band")
    for layer, colour in enumerate(("#7c3aed", "#0b57d0", "#c2410c")):
        below.plot(seconds, trace.norm(f"layer{layer}/c"), color=colour, lw=2, label=f"layer {layer}")
    below.set_title("The gradient by the cell states", loc="left")
    below.set(xlabel="seconds", ylabel="‖∂L/∂c_t‖", yscale="log")
    below.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=9)
    below.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())
