"""What a notebook shows of a result: what it says, and its picture below."""

from __future__ import annotations

import base64
import re
from html import escape
from typing import Any

from .drawing import theme

__all__ = ["Shown", "drawing", "image"]

_LIMIT = 100


class Shown:
    """A result that a notebook shows as its words and its picture, and that is one short line in other results and in logs."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__repr__" not in cls.__dict__:
            cls.__repr__ = Shown.__repr__  # type: ignore[method-assign]  # so that a dataclass does not write its own

    def __repr__(self) -> str:
        first = theme.visible(str(self).partition("\n")[0])
        return f"<{type(self).__name__}: {first if len(first) <= _LIMIT else first[: _LIMIT - 1] + '…'}>"

    def _repr_html_(self) -> str:
        words = f'<pre style="white-space:pre-wrap;overflow-wrap:anywhere">{escape(theme.visible(str(self), chr(10)))}</pre>'
        return f'<div style="max-width:100%">{words}{self._picture()}</div>'

    def _picture(self) -> str:
        """As HTML; nothing of what has none."""
        return str(self.plot()._repr_html_()) if hasattr(self, "plot") else ""


def image(svg: bytes, words: str = "") -> str:
    """An SVG as an image, so that its ids and its styles stay its own."""
    data = base64.b64encode(svg).decode("ascii")
    return f'<img alt="{escape(words)}" style="max-width:100%;height:auto" src="data:image/svg+xml;base64,{data}">'


def drawing(svg: str) -> str:
    """The text of an SVG that is no wider than the page it is shown on."""
    return re.sub(r"<svg\b", '<svg style="max-width:100%;height:auto"', svg, count=1)
