"""Terminals as they are: what they cannot show is spelled out."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

__all__ = ["spell_out"]

_SIGNS = str.maketrans(
    {
        "×": "x",
        "ß": "ss",
        "·": ".",
        "−": "-",
        "‖": "|",
        "∂": "d",
        "√": "sqrt",
        "∑": "sum",
        "∏": "prod",
        "∈": "in",
        "≈": "~",
        "≤": "<=",
        "≥": ">=",
        "≠": "!=",
        "±": "+-",
        "→": "->",
        "←": "<-",
        "∞": "inf",
        "—": "-",
        "–": "-",
        "…": "...",
        "“": '"',
        "”": '"',
        "‘": "'",
        "’": "'",
        "⊙": "*",
        "∘": "o",
        "⋅": "*",
        "⟨": "<",
        "⟩": ">",
        **dict(zip("▁▂▃▄▅▆▇█", "_,-~=+*#", strict=True)),
    }
)


def spell_out() -> None:
    """Let standard output and error write what their encoding lacks in ASCII, instead of failing halfway."""
    codecs.register_error("inspector.spelled", _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="inspector.spelled")


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """``h_t-1`` for hₜ₋₁, ``10^-5`` for 10⁻⁵, ``sigma`` for σ, ``e`` for é; a question mark for what has no such
    likeness.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    plain, height = "", ""
    for character in error.object[error.start : error.end]:
        before, height = (
            height,
            {"<sub>": "_", "<super>": "^"}.get(unicodedata.decomposition(character).partition(" ")[0], ""),
        )
        plain += height * (height != before) + _letters(character)
    return plain, error.end


def _letters(character: str) -> str:
    name = unicodedata.name(character, "")
    if name.startswith("GREEK"):
        letter = name.partition(" WITH ")[0].rpartition(" ")[2].replace("LAMDA", "LAMBDA")
        return letter.lower() if "SMALL" in name else letter.capitalize()
    plain = unicodedata.normalize("NFKD", character.translate(_SIGNS)).translate(_SIGNS)
    return plain.encode("ascii", "ignore").decode() or "?"
