"""I grew up in France ... I speak fluent French: a corpus in which only the gap varies."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from ..arguments import fraction, integer
from .sequences import at_end, one_hot
from .task import Array, Batch, Task

__all__ = ["Countries"]

_NATIONS = (
    ("France", "French"),
    ("Germany", "German"),
    ("Spain", "Spanish"),
    ("Italy", "Italian"),
    ("Japan", "Japanese"),
    ("China", "Chinese"),
    ("Russia", "Russian"),
    ("Greece", "Greek"),
    ("Poland", "Polish"),
    ("Sweden", "Swedish"),
    ("Turkey", "Turkish"),
    ("Denmark", "Danish"),
)
_FILLER = ("and", "then", "we", "often", "walked", "home", "so", "slowly")
_REST = ("I", "grew", "up", "in", ".", "speak", "fluent", "the", "clouds", "are", "sky")


@dataclass(frozen=True)
class Countries(Task):
    """Say the last word of "I grew up in C . (filler) I speak fluent L", L being the language of C.

    The filler is `d` words, each drawn uniformly from eight; the country comes d + 4 words before the word
    that is asked for. Whoever forgot it but knows the languages pays ln K there and is right one time in K.
    With probability `clouds` a sequence reads "(filler) the clouds are in the sky" instead, whose last word
    follows from its neighbours. Words are one-hot in the order of ``words``; right means that the right
    word is the most active.

    Parameters
    ----------
    d : int
        Words of filler.
    K : int
        Countries, 2 to 12.
    clouds : float
        Share of the sentences that need no memory.

    Source: a thought experiment that many introductions tell (Olah 2015); the corpus is ours.

    Examples
    --------
    >>> import numpy as np
    >>> task = Countries(d=3)
    >>> task.sentences(task.batch(1, np.random.default_rng(0)))
    ['I grew up in Russia . home walked we I speak fluent Russian']
    """

    d: int = 10
    K: int = 8
    clouds: float = 0.0

    loss = "cross_entropy"

    def __post_init__(self) -> None:
        integer("Countries", "d", self.d, 0)
        integer("Countries", "K", self.K, 2)
        if self.K not in range(len(_NATIONS) + 1):
            raise ValueError(f"Countries: K must be at most {len(_NATIONS)}, got {self.K}: no more are known")
        fraction("Countries", "clouds", self.clouds)

    @property
    def words(self) -> tuple[str, ...]:
        """The vocabulary: countries, languages, filler, the rest."""
        countries, languages = zip(*_NATIONS[: self.K], strict=True)
        return (*countries, *languages, *_FILLER, *_REST)

    @property
    def input_size(self) -> int:
        return len(self.words)

    @property
    def output_size(self) -> int:
        return len(self.words)

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        country = rng.integers(self.K, size=size)
        filler = 2 * self.K + rng.integers(len(_FILLER), size=(self.d, size))
        near = rng.random(size) < self.clouds
        told = [self._row("I grew up in", size), country[None], self._row(".", size)]
        far = np.vstack([*told, filler, self._row("I speak fluent", size)])
        short = np.vstack([filler, self._row("the clouds are in the", size)])
        symbols = far.copy()
        symbols[: len(short), near], symbols[len(short) :, near] = short[:, near], -1
        lengths = np.where(near, len(short), len(far))
        answers = np.where(near, self.words.index("sky"), self.K + country)
        # nobody needs the steps that only a longer sentence would have had
        steps = int(lengths.max())
        targets, mask = at_end(one_hot(answers, self.output_size), lengths, steps)
        return Batch(one_hot(symbols[:steps], self.input_size), targets, mask, lengths)

    def _row(self, text: str, size: int) -> Array:
        return np.repeat([[self.words.index(word)] for word in text.split()], size, axis=1)

    def baselines(self) -> dict[str, float]:
        return {"no memory": (1 - self.clouds) * log(self.K)}

    def sentences(self, batch: Batch) -> list[str]:
        """The sentences of a batch, with the word that is asked for."""
        said, asked = batch.inputs.argmax(axis=-1), batch.targets.argmax(axis=-1)
        return [
            " ".join(self.words[k] for k in (*said[:length, column], asked[length - 1, column]))
            for column, length in enumerate(batch.lengths)
        ]
