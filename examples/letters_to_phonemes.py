"""How does a trained network spell? Trace every phoneme it says back to the letters it has read.

The network is the GRU encoder-decoder inside the package g2p-en (Park & Kim, Apache-2.0): an encoder
reads a word letter by letter into one vector, a decoder says phonemes until it says that it is done.
Only the weights are read, from the installed package's files; none of its code runs.

    pip install --no-deps g2p-en
    python examples/letters_to_phonemes.py understanding rhythm --out pictures
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from packaged import WeightsMissing, file_in
from tqdm import tqdm

import inspector
import tinygrad_rnn as tg
from inspector import plots
from tinygrad_rnn.interop.tensor_files import load_npz

Array = npt.NDArray[Any]

LETTERS = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
PHONEMES = (
    "<pad>",
    "<unk>",
    "<s>",
    "</s>",
    "AA0",
    "AA1",
    "AA2",
    "AE0",
    "AE1",
    "AE2",
    "AH0",
    "AH1",
    "AH2",
    "AO0",
    "AO1",
    "AO2",
    "AW0",
    "AW1",
    "AW2",
    "AY0",
    "AY1",
    "AY2",
    "B",
    "CH",
    "D",
    "DH",
    "EH0",
    "EH1",
    "EH2",
    "ER0",
    "ER1",
    "ER2",
    "EY0",
    "EY1",
    "EY2",
    "F",
    "G",
    "HH",
    "IH0",
    "IH1",
    "IH2",
    "IY0",
    "IY1",
    "IY2",
    "JH",
    "K",
    "L",
    "M",
    "N",
    "NG",
    "OW0",
    "OW1",
    "OW2",
    "OY0",
    "OY1",
    "OY2",
    "P",
    "R",
    "S",
    "SH",
    "T",
    "TH",
    "UH0",
    "UH1",
    "UH2",
    "UW",
    "UW0",
    "UW1",
    "UW2",
    "V",
    "W",
    "Y",
    "Z",
    "ZH",
)
END = "</s>"
LONGEST = 20  # phonemes; the package stops its decoder here


@dataclass
class Model:
    """The trained network: embeddings of letters and phonemes, two GRUs and a linear read-out."""

    letters: tg.Tensor  # (29, E)
    phonemes: tg.Tensor  # (74, E)
    encoder: tg.cells.GRUCell
    decoder: tg.cells.GRUCell
    weight: tg.Tensor  # (74, H)
    bias: tg.Tensor  # (74,)


@dataclass
class Spelling:
    """One word read and said; `said` ends with ``</s>`` unless the decoder had to be stopped."""

    word: str
    said: tuple[str, ...]
    log_probabilities: tg.Tensor  # (K,): of each phoneme said, given the word and the phonemes before it
    letters: tg.Tensor  # (T, E): the embeddings that were read, the end of the word included
    encoder: tg.Run
    decoder: tg.Run

    @property
    def phonemes(self) -> tuple[str, ...]:
        """What was said, without the end mark."""
        return tuple(phoneme for phoneme in self.said if phoneme != END)


def load_model() -> Model:
    """The weights that g2p-en ships, float32 widened to float64, in cells of this framework.

    Raises
    ------
    WeightsMissing
        If g2p-en is not installed.
    """
    arrays = load_npz(file_in("g2p-en", "checkpoint20.npz"))
    weights = {name: array.astype(np.float64) for name, array in arrays.items()}

    def gru(side: str) -> tg.cells.GRUCell:
        units, features = weights[f"{side}_w_hh"].shape[1], weights[f"{side}_w_ih"].shape[1]
        cell = tg.cells.GRUCell(features, units)
        theirs = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}
        cell.load_state_dict({ours: weights[f"{side}_{name}"] for ours, name in theirs.items()})
        return cell

    return Model(
        tg.tensor(weights["enc_emb"], name="letters"),
        tg.tensor(weights["dec_emb"], name="phonemes"),
        gru("enc"),
        gru("dec"),
        tg.tensor(weights["fc_w"], name="weight"),
        tg.tensor(weights["fc_b"], name="bias"),
    )


def spell(model: Model, word: str) -> Spelling:
    """Read a word and say it, recording everything.

    What is said is found first, greedily and without a graph; then the decoder is run over it again,
    because the choice of the likeliest phoneme has no derivative and each phoneme said is an input.

    Raises
    ------
    ValueError
        If the word is empty or has a letter outside a-z.
    """
    read = [LETTERS.index(letter) for letter in (*checked(word), END)]
    letters = tg.take(model.letters, read, axis=0)
    with tg.scope("encoder"):
        encoder = tg.unroll(model.encoder, tg.expand_dims(letters, 1))
    said = greedy(model, encoder.final_state)
    heard = tg.take(model.phonemes, [PHONEMES.index("<s>"), *said[:-1]], axis=0)
    with tg.scope("decoder"):
        decoder = tg.unroll(model.decoder, tg.expand_dims(heard, 1), encoder.final_state)
    scores = log_probabilities(model, decoder.stacked[:, 0])
    chosen = scores[np.arange(len(said)), said]
    return Spelling(word.lower(), tuple(PHONEMES[k] for k in said), chosen, letters, encoder, decoder)


def checked(word: str) -> str:
    """The word in lower case, if it can be read."""
    for place, letter in enumerate(word.lower(), start=1):
        if letter not in LETTERS:
            raise ValueError(f"{word!r}: letter {place} is {letter!r}; this network reads only a to z")
    if not word:
        raise ValueError("the word is empty; give one made of the letters a to z")
    return word.lower()


def greedy(model: Model, state: Any) -> list[int]:
    """The likeliest phoneme at every step until the end mark, each the next step's input."""
    said: list[int] = []
    heard = PHONEMES.index("<s>")
    with tg.no_grad():
        while len(said) < LONGEST and heard != PHONEMES.index(END):
            state = model.decoder(tg.take(model.phonemes, [heard], axis=0), state)
            heard = int(np.argmax(log_probabilities(model, state.h).data))
            said.append(heard)
    return said


def log_probabilities(model: Model, h: tg.Tensor) -> Any:
    """Of all 74 phonemes, (K, 74), from decoder states h (K, H)."""
    return tg.log_softmax(h @ model.weight.T + model.bias)


def sensitivity(spelling: Spelling) -> Array:
    """How strongly each phoneme depends on each letter, (K, T): the norm of d log p_k / d letter_j."""
    strength: Array = np.linalg.norm(tg.jacobian(spelling.log_probabilities, spelling.letters), axis=-1)
    return strength


def table(spelling: Spelling) -> str:
    """One line a phoneme: how probable it was, and the letter it depends on most."""
    columns = [*spelling.word, "end"]
    strength = sensitivity(spelling)
    probabilities = np.exp(spelling.log_probabilities.data)
    lines = [f"{spelling.word}: {' '.join(spelling.phonemes)}"]
    lines += [
        f"  {phoneme:4} p = {p:.3f}   |dlog p/dletter| up to {row.max():.1e}, at {columns[row.argmax()]!r}"
        for phoneme, p, row in zip(spelling.said, probabilities, strength, strict=True)
    ]
    return "\n".join(lines)


def draw(model: Model, word: str, out: Path) -> Iterator[tuple[Path, str]]:
    """The pictures of one word, each with a sentence on what it shows."""
    spelling = spell(model, word)
    word = spelling.word
    path = plots.save(heat_map(spelling), out / f"{word}-sensitivity.png")
    yield path, f"which letters each phoneme of {word!r} depends on; the broad diagonal is the alignment it learned"
    path = plots.save(decay(spelling), out / f"{word}-decay.png")
    yield path, "how the gradient of the first and the last phoneme fades along the encoder, back to the first letter"
    whole = inspector.trace(spelling.encoder, spelling.log_probabilities.sum())
    ends = range(len(word) + 1) if len(word) < 6 else [0, 1, 2, -2, -1]
    path = out / f"{word}-encoder.svg"
    inspector.render(spelling.encoder, path, level="cell", trace=whole, steps=ends)
    yield path, "the trained encoder at both ends of the word, coloured by the gradient of the word's log-probability"


def heat_map(spelling: Spelling) -> Figure:
    """Letters by phonemes; each row adds up to 1, or a phoneme the network is sure of would show nothing."""
    strength = sensitivity(spelling)
    rows = ["end" if phoneme == END else phoneme for phoneme in spelling.said]
    columns = [*spelling.word, "end"]
    figure = plots.Canvas(max(6.0, 2.2 + 0.5 * len(columns)), max(4.0, 1.6 + 0.4 * len(rows)))
    axes = figure.subplots()
    inspector.plot_heat_map(
        strength / strength.sum(axis=1, keepdims=True),
        rows,
        columns,
        ax=axes,
        title=f"Which letters of “{spelling.word}” does each phoneme depend on?",
        label="share of the phoneme's ‖∂ log p / ∂ letter‖",
    )
    (image,) = axes.images
    image.set_norm(Normalize(*image.get_clim()))  # linear: shares lie within about one decade
    return figure


def decay(spelling: Spelling) -> Figure:
    """The gradient by the encoder's states of the first and of the last phoneme's log-probability."""
    last = len(spelling.phonemes) - 1
    traces = {
        f"log p of {which} phoneme, {spelling.said[k]}": inspector.trace(
            spelling.encoder, spelling.log_probabilities[k]
        )
        for which, k in (("the first", 0), ("the last", last))
    }
    figure = plots.Canvas(8.0, 4.6)
    axes = figure.subplots()
    inspector.plot_decay(traces, ax=axes, names=["h"])
    axes.set_title(f"How far back does “{spelling.word}” reach?", loc="left")
    axes.set_xticks(range(len(spelling.encoder)), [*spelling.word, "end"])
    axes.set_xlabel("letter read        (the gradient flows from right to left)")
    axes.set_ylabel("‖∂ log p / ∂ h‖₂")
    return figure


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", default=["understanding"], help="words of the letters a to z")
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for the pictures")
    options = parser.parse_args(arguments)
    try:
        model = load_model()
        words = [checked(word) for word in options.words]
    except (WeightsMissing, ValueError) as error:
        print(f"letters_to_phonemes: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    lines = []
    for word in tqdm(words, unit="word", delay=2, disable=None):
        lines.append(table(spell(model, word)))
        lines += [f"{path}: {sentence}" for path, sentence in draw(model, word, options.out)]
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
