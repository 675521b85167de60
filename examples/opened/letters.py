"""Letters to phonemes

The GRU encoder and decoder inside [g2p-en](https://github.com/Kyubyong/g2p) (Apache-2.0), `checkpoint20.npz`, as
`examples/letters_to_phonemes.py` opens them: a word is read letter by letter into one vector, out of which its phonemes
come.

**What a phoneme of "{word}" depends on drifts through the word with it, although all letters pass through one vector
of {units} numbers: the centre of its gradient goes from letter {first} for the first phoneme to letter {last} of
{letters} for the last (correlation {correlation}).** Broadly so: no letter has more than {most} of the gradient.
"""

from __future__ import annotations

from pathlib import Path

import letters_to_phonemes as example
import numpy as np

from inspector import plots

WORD = "understanding"


def measure(out: Path) -> dict[str, str]:
    """Draw which letters each phoneme depends on, and say where the centres lie."""
    spelling = example.spell(example.load_model(), WORD)
    plots.save(example.heat_map(spelling), out / "letters.png")
    shares = example.sensitivity(spelling)[: len(spelling.phonemes), : len(WORD)]
    shares = shares / shares.sum(axis=1, keepdims=True)
    centres = shares @ np.arange(1, len(WORD) + 1)
    return {
        "word": WORD,
        "units": str(spelling.encoder.cell.hidden_size),
        "first": f"{centres[0]:.1f}",
        "last": f"{centres[-1]:.1f}",
        "letters": str(len(WORD)),
        "correlation": f"{np.corrcoef(centres, np.arange(len(centres)))[0, 1]:.2f}",
        "most": f"{shares.max():.0%}",
    }
