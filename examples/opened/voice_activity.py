"""Is somebody speaking?

[Silero VAD](https://github.com/snakers4/silero-vad) (MIT), `silero_vad_16k_sequence.onnx`, an export of PyTorch's:
{parameters} parameters, convolutions over 512 samples of sound, one LSTM of 128 units, a probability. What it hears is
made here: vowels by a train of pulses and its resonances, in a room with a little noise. It is sure of both voices (it
goes up to {sure} in each) and of the silence between them (down to {quiet}).

**It decides on what it hears now, and hardly forgets: {after} seconds after the first voice has stopped, half of the
gradient by the sound lies in the last {half} seconds, but by the cell state of {back} seconds before, when the voice
spoke, the gradient is still {kept} of its largest.**
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from packaged import file_in
from speaker_encoder import RATE, voice

import inspector
import tinygrad_rnn as tg

Array = npt.NDArray[np.float64]

FRAME, BEFORE = 512, 64
"""Samples that are new in each frame, and of the frame before."""
PARTS = (("", 1.0), ("low", 1.0), ("", 1.0), ("high", 0.6), ("", 1.4))
"""Who speaks, and for how many seconds."""
VOICES = {"low": (120, 1.0), "high": (200, 1.15)}
MOMENTS = {1.3: "#c2410c", 2.9: "#0b57d0", 4.4: "#7c3aed"}
"""Seconds whose decision is looked at."""


def sound() -> Array:
    """Two voices, and silence around them."""
    parts = [voice(*VOICES[who], seconds) if who else np.zeros(int(RATE * seconds)) for who, seconds in PARTS]
    wave = np.concatenate(parts)
    return wave + 0.003 * np.random.default_rng(0).normal(size=len(wave))


def frames(wave: Array) -> Array:
    """The sound as the network takes it (frames, 576)."""
    padded = np.concatenate([np.zeros(BEFORE), wave])
    starts = range(0, len(wave) - FRAME + 1, FRAME)
    return np.stack([padded[start : start + BEFORE + FRAME] for start in starts])


def measure(out: Path) -> dict[str, str]:
    """Draw what it hears and what its decisions hang on, and say it in numbers."""
    network = tg.load_onnx(file_in("silero-vad", "silero_vad_16k_sequence.onnx", "6.2.3")).astype(np.float64)
    wave = sound()
    x = tg.tensor(frames(wave), requires_grad=True)
    call = network(input=x, **{state: np.zeros((1, 1, 128), np.float32) for state in ("h", "c")})
    probability, run = call["speech_probs"], call.runs["/recurrent/LSTM"]

    def decision(seconds: float) -> tg.Tensor:
        chosen = probability[int(seconds * RATE / FRAME)]
        return tg.log(chosen / (1.0 - chosen))

    curves = {seconds: inspector.trace(run, decision(seconds)).norm("c") for seconds in MOMENTS}
    picture(out / "voice-activity.png", wave, probability.data, curves)

    moment, spoken = 2.9, 1.5
    (gradient,) = tg.grad(decision(moment), [x])
    t, then = (int(seconds * RATE / FRAME) for seconds in (moment, spoken))
    by_frame = np.linalg.norm(gradient.data, axis=1)[t::-1]
    half = (np.searchsorted(np.cumsum(by_frame), by_frame.sum() / 2) + 1) * FRAME / RATE
    heard = probability.data
    ends = np.cumsum([seconds for _, seconds in PARTS]) * RATE / FRAME
    return {
        "parameters": f"{sum(p.size for p in network.parameters()):,}",
        "sure": f"{min(heard[int(ends[0]) : int(ends[1])].max(), heard[int(ends[2]) : int(ends[3])].max()):.3f}",
        "quiet": f"{heard[int(ends[1]) : int(ends[2])].min():.3f}",
        "after": f"{moment - ends[1] * FRAME / RATE:.1f}",
        "half": f"{half:.1f}",
        "back": f"{moment - spoken:.1f}",
        "kept": f"{curves[moment][then] / curves[moment].max():.0%}",
    }


def picture(path: Path, wave: Array, probability: Array, curves: dict[float, Array]) -> None:
    """The sound and the probability above, below them the gradient of three decisions."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
    above.plot(np.arange(len(wave)) / RATE, wave / np.abs(wave).max() / 2 + 0.5, color="#c3c9d0", lw=0.3)
    seconds = (np.arange(len(probability)) + 0.5) * FRAME / RATE
    above.plot(seconds, probability, color="black", lw=2)
    above.set_title("What it hears, and how likely somebody speaks", loc="left")
    above.set(ylabel="probability", ylim=(-0.02, 1.02))
    for moment, curve in curves.items():
        upto = slice(0, int(moment * RATE / FRAME) + 1)
        below.plot(seconds[upto], curve[upto], color=MOMENTS[moment], lw=2, label=f"at {moment} s")
        for axes in (above, below):
            axes.axvline(moment, color=MOMENTS[moment], lw=1, ls="--")
    below.set_title("The gradient of three decisions by the cell state", loc="left")
    below.set(xlabel="seconds", ylabel="‖∂ log-odds / ∂cₜ‖", ylim=(0, None), xlim=(0, seconds[-1]))
    below.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=9)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
