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
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from packaged import WeightsMissing, file_in
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
    return mel(voice(pitch, tract, (FRAMES + 2) / 100, seed))[:FRAMES]


def voice(pitch: float, tract: float, seconds: float, seed: int = 0) -> Array:
    """The sound of these vowels, so many seconds of it together."""
    rng = np.random.default_rng(seed)
    length = int(RATE * seconds) // len(VOWELS)
    sound = []
    for resonances in VOWELS.values():
        time = np.arange(length) / RATE
        phase = np.cumsum(pitch * (1 + 0.03 * np.sin(2 * np.pi * 5 * time))) / RATE
        wave = np.diff(np.floor(phase), prepend=0.0) + 0.001 * rng.normal(size=length)
        for resonance in resonances:
            wave = signal.lfilter([1.0], resonator(tract * resonance), wave)
        sound.append(wave / np.abs(wave).max() * np.hanning(length) ** 0.2)
    return 0.3 * np.concatenate(sound)


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
    return file_in("resemblyzer", "pretrained.pt", "0.1.4")


class Heard(NamedTuple):
    """Two voices as the network takes them.

    Attributes
    ----------
    bands : array (frames, bands)
        What the first one said.
    run : Run
        Of the three layers, over that.
    similarity : Tensor
        Of the two embeddings; the other one's is held.
    """

    bands: Array
    run: tg.Run
    similarity: tg.Tensor


def listen() -> Heard:
    """A low voice, compared with a high one."""
    lstm = tg.load_torch(weights(), prefix="lstm", dtype=np.float64)
    stored = load_tensors(weights())["model_state"]
    weight, bias = (np.asarray(stored[f"linear.{name}"], np.float64) for name in ("weight", "bias"))

    def embedding(run: tg.Run) -> tg.Tensor:
        raw = tg.relu(run.outputs[-1] @ weight.T + bias)
        return raw / tg.sqrt(tg.sum(raw * raw))

    voices = [utterance(110, 1.0), utterance(220, 1.17)]
    runs = [tg.unroll(lstm, bands[:, None, :]) for bands in voices]
    low, high = map(embedding, runs)
    return Heard(voices[0], runs[0], (low * np.asarray(high.data)).sum())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("pictures"))
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    try:
        heard = listen()
    except WeightsMissing as error:
        raise SystemExit(str(error)) from None
    print(f"{heard.run.cell!r}\nsimilarity of the two voices: {float(heard.similarity.data):.2f}")
    print(inspector.diagnose(heard.run, heard.similarity))
    picture(out / "speaker-encoder.png", heard.bands, inspector.trace(heard.run, heard.similarity))
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
