"""Character by character through any text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import integer
from .sequences import next_symbols, one_hot
from .task import Array, Batch, Task

__all__ = ["Characters"]


@dataclass(frozen=True)
class Characters(Task):
    """Predict the next character of random windows of a text.

    The vocabulary is the characters that occur, sorted; one-hot, in and out. Every character of a window
    but the first is asked for; right means that each is the most active output.

    Parameters
    ----------
    text : str or path
        The text itself, or a ``pathlib.Path`` to a file in UTF-8 whose contents ``text`` becomes.
    window : int
        Predictions in a sequence.

    Attributes
    ----------
    vocabulary : str
        The characters, in the order of the one-hot code.

    Raises
    ------
    OSError
        If the file cannot be read; a FileNotFoundError if there is none.
    ValueError
        If the file is not UTF-8, or the text is empty or shorter than window + 1.

    Examples
    --------
    >>> import numpy as np
    >>> task = Characters("hello world", window=4)
    >>> task.vocabulary
    ' dehlorw'
    >>> batch = task.batch(1, np.random.default_rng(0))
    >>> task.decode(batch.inputs[:, 0]), task.decode(batch.targets[:, 0])
    (' wor', 'worl')
    """

    text: str | PathLike[str] = field(repr=False)
    window: int = 50
    vocabulary: str = field(init=False, compare=False)
    _codes: Array = field(init=False, repr=False, compare=False)

    loss = "cross_entropy"

    def __post_init__(self) -> None:
        integer("Characters", "window", self.window, 1)
        text = _read(Path(self.text)) if isinstance(self.text, PathLike) else self.text
        if not isinstance(text, str):
            raise TypeError(f"Characters: text must be a str or a pathlib.Path, got {type(text).__name__}")
        if not text:
            raise ValueError("Characters: the text is empty")
        if len(text) <= self.window:
            raise ValueError(
                f"Characters: window={self.window} needs at least {self.window + 1} characters, the text has "
                f"{len(text)}; take a smaller window, or pathlib.Path(...) if the name of a file was meant"
            )
        vocabulary = "".join(sorted(set(text)))
        place = {character: k for k, character in enumerate(vocabulary)}
        for name, value in (("text", text), ("vocabulary", vocabulary), ("_codes", np.array([place[c] for c in text]))):
            object.__setattr__(self, name, value)

    @property
    def input_size(self) -> int:
        return len(self.vocabulary)

    @property
    def output_size(self) -> int:
        return len(self.vocabulary)

    def draw(self, size: int, rng: np.random.Generator) -> Batch:
        begin = rng.integers(len(self._codes) - self.window, size=size)
        return next_symbols(self._codes[begin + np.arange(self.window + 1)[:, None]], self.input_size)

    def stream(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Windows that follow each other, for training with carried states; `size` readers begin at random places.

        A reader that comes to the end of the text goes on at its beginning.
        """
        at = rng.integers(len(self._codes), size=size)
        while True:
            yield next_symbols(
                self._codes[(at + np.arange(self.window + 1)[:, None]) % len(self._codes)], self.input_size
            )
            at = at + self.window

    def baselines(self) -> dict[str, float]:
        """Guessing, and the entropy of a character of the whole text without and with the one before it."""
        v = len(self.vocabulary)
        pairs = np.bincount(self._codes[:-1] * v + self._codes[1:], minlength=v * v).reshape(v, v)
        after, before = pairs.sum(axis=0), pairs.sum(axis=1)
        bigram = _entropy(pairs.ravel()) - _entropy(before)
        return {"chance": float(np.log(v)), "frequencies": _entropy(after), "one character back": bigram}

    def encode(self, text: str) -> Array:
        """One-hot vectors (T, input_size) of a text in the vocabulary."""
        unknown = sorted(set(text) - set(self.vocabulary))
        if unknown:
            raise ValueError(f"Characters.encode: {unknown[0]!r} does not occur in the text of this task")
        return one_hot(np.array([self.vocabulary.index(c) for c in text], int), self.input_size)

    def decode(self, outputs: Any) -> str:
        """The text of the most active outputs (T, output_size), or of integers (T,)."""
        codes = np.asarray(outputs)
        if codes.ndim == 2 and codes.shape[1] == self.output_size:
            codes = codes.argmax(axis=1)
        if codes.ndim != 1 or codes.dtype.kind not in "iu":
            raise ValueError(
                f"Characters.decode: needs outputs (T, {self.output_size}) or integers (T,), "
                f"got {codes.dtype} {codes.shape}"
            )
        if codes.size and not 0 <= codes.min() <= codes.max() < self.output_size:
            raise ValueError(f"Characters.decode: codes must lie in 0..{self.output_size - 1}")
        return "".join(self.vocabulary[k] for k in codes)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise type(error)(f"Characters: cannot read {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Characters: {str(path)!r} is not UTF-8: byte 0x{error.object[error.start]:02x} "
            f"at offset {error.start}; save it as UTF-8, or decode it yourself and pass the text"
        ) from None


def _entropy(counts: Array) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())
