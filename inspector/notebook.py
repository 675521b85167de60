"""What a notebook shows of a result: what it says, and its picture below."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from functools import cached_property
from html import escape, unescape

from .text import visible

__all__ = ["Svg", "brief", "image", "words", "words_above"]

_LIMIT = 100


class Svg(str):
    """SVG text that shows itself in a notebook, no wider than the page.

    Attributes
    ----------
    narrow : callable or None
        Gives the text to show instead, where this one would have to be made too small to read.
    """

    narrow: Callable[[], str] | None = None

    @cached_property
    def _shown(self) -> str:
        return self if self.narrow is None else self.narrow()

    def _repr_html_(self) -> str:
        title = re.search("<title[^>]*>([^<]*)</title>", self._shown)
        return image(self._shown.encode(), unescape(title[1]) if title else "")

    def _repr_svg_(self) -> str:
        return re.sub(r"<svg\b", '<svg style="max-width:100%;height:auto"', self._shown, count=1)


def brief(kind: type, text: str) -> str:
    """One short line of what stands in something else: what it is, and what it says first."""
    first = visible(text.partition("\n")[0])
    return f"<{kind.__name__}: {first if len(first) <= _LIMIT else first[: _LIMIT - 1] + '…'}>"


def words(text: str) -> str:
    """A sentence."""
    return f"<p>{escape(visible(text))}</p>"


def words_above(text: str, picture: str) -> str:
    """Text as it stands, and below it a picture that is HTML already; both no wider than the page."""
    return (
        '<div style="max-width:100%"><pre style="font-size:85%;white-space:pre-wrap;overflow-wrap:anywhere">'
        f"{escape(visible(text, chr(10)))}</pre>{picture}</div>"
    )


def image(svg: bytes, words: str = "") -> str:
    """An SVG as an image, so that its ids and its styles stay its own."""
    data = base64.b64encode(svg).decode("ascii")
    return f'<img alt="{escape(words)}" style="max-width:100%;height:auto" src="data:image/svg+xml;base64,{data}">'
