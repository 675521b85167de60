"""What a notebook shows of a result: what it says, and its picture below."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

from .picture import theme

__all__ = ["Brief", "Shown", "image"]

_LIMIT = 100


class Brief:
    """A result that is one short line where it stands in something else: what it says first."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__repr__" not in cls.__dict__:  # or a dataclass would write its own
            cls.__repr__ = Brief.__repr__  # type: ignore[method-assign]

    def _says(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        first = theme.visible(self._says().partition("\n")[0])
        return f"<{type(self).__name__}: {first if len(first) <= _LIMIT else first[: _LIMIT - 1] + '…'}>"


class Shown(Brief):
    """A result that a notebook shows: its words, and below them its picture."""

    def _repr_html_(self) -> str:
        words = escape(theme.visible(str(self), "\n"))
        return (
            '<div style="max-width:100%"><pre'
            f' style="font-size:85%;white-space:pre-wrap;overflow-wrap:anywhere">{words}</pre>{self._picture()}</div>'
        )

    def _picture(self) -> str:
        """As HTML; nothing of what has none, and of what cannot be drawn why not."""
        try:
            return str(self.plot()._repr_html_()) if hasattr(self, "plot") else ""
        except ValueError as error:
            return f"<p>{escape(theme.visible(str(error)))}</p>"


def image(svg: bytes, words: str = "") -> str:
    """An SVG as an image, so that its ids and its styles stay its own."""
    data = base64.b64encode(svg).decode("ascii")
    return f'<img alt="{escape(words)}" style="max-width:100%;height:auto" src="data:image/svg+xml;base64,{data}">'
