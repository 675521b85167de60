"""What somebody may have meant who mistyped a name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean"]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question to be put behind a message, or nothing if no known name is near.

    Examples
    --------
    >>> from inspector.loading.suggest import did_you_mean
    >>> did_you_mean("lsmt", ["rnn", "lstm", "gru"])
    '; did you mean lstm?'
    """
    near = get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""
