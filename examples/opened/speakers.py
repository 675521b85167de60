"""Whose voice is it?

The encoder inside [Resemblyzer](https://github.com/resemble-ai/Resemblyzer) (Apache-2.0), `pretrained.pt`: three layers
of LSTM with 256 units over 1.6 seconds of sound, and a linear layer that makes of the last output what identifies a
speaker. It hears four vowels that are made here, by `examples/speaker_encoder.py`.

**Of the gradient of its likeness to another voice, {kept} is left at the first of {frames} frames, half-life {life}
steps: the LSTM has learned to hold.** Untrained, one of this size has a half-life of {untrained} steps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import speaker_encoder as example

import inspector
import tinygrad_rnn as tg


def measure(out: Path) -> dict[str, str]:
    """Draw the gradient of each layer along what it hears, and say in numbers how far it reaches."""
    heard = example.listen()
    example.picture(out / "speakers.png", heard.bands, inspector.trace(heard.run, heard.similarity))
    diagnosis = inspector.diagnose(heard.run, heard.similarity)
    sizes = (example.BANDS, 256), (256, 256), (256, 256)
    fresh = tg.Stacked(*[tg.cells.LSTMCell(*size, seed=k) for k, size in enumerate(sizes)])
    run = tg.unroll(fresh, heard.bands[:, None, :])
    untrained = inspector.diagnose(run, (run.outputs[-1] * np.ones(256)).sum())
    return {
        "kept": f"{diagnosis.kept:.0%}",
        "frames": str(len(heard.run)),
        "life": f"{diagnosis.half_life:.3g}",
        "untrained": f"{untrained.half_life:.2g}",
    }
