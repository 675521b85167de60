"""Terminals as they are: what they cannot show is spelled out."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

__all__ = ["spell_out"]

_SIGNS = str.maketrans({
    "×": "x", "·": "*", "−": "-", "‖": "|", "∂": "d", "√": "sqrt", "Σ": "sum", "∈": "in", "≈": "~", "≤": "<=", "≥": ">=", "≠": "!=", "±": "+-",
    "→": "->", "←": "<-", "∞": "inf", "—": "-", "–": "-", "…": "...", "“": '"', "”": '"', "‘": "'", "’": "'", "⊙": "*", "∘": "o", "⋅": "*",
    **dict(zip("▁▂▃▄▅▆▇█", "_.,-=+*#", strict=True)),
})  # fmt: skip


def spell_out() -> None:
    """Let standard output and error write what their encoding lacks in ASCII, instead of failing halfway."""
    codecs.register_error("inspector.spelled", _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="inspector.spelled")


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_letter, error.object[error.start : error.end])), error.end


def _letter(character: str) -> str:
    """``sigma`` for σ, ``2`` for ², ``e`` for é; a question mark for what has no such likeness."""
    plain = unicodedata.normalize("NFKD", character.translate(_SIGNS)).translate(_SIGNS)
    name = unicodedata.name(character, "")
    if name.startswith("GREEK"):
        plain = name.split(" WITH ")[0].rpartition(" ")[2]
        plain = plain.lower() if "SMALL" in name else plain.capitalize()
    return plain.encode("ascii", "ignore").decode() or "?"
