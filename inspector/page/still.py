"""The page as it was when a cell ran: what a notebook shows of a widget where none runs, as in an export."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from .html import html

__all__ = ["still", "verdicts"]

_MOST = 2_000_000
"""Letters of a page that is kept: servers of notebooks stop outputs of more than 3 MB in three seconds."""
_WAIT = 2
"""Seconds for which it stays out of sight, since a widget that runs hides it for good."""

_HTML = """<div class="{name}"><style>
@keyframes {name}{{from,to{{max-height:0;overflow:hidden}}}}
@media screen{{.{name}{{animation:{name} {wait}s}}}}
.{name} iframe{{display:block;width:100%;height:54rem;max-height:95vh;border:1px solid GrayText;border-radius:8px}}
</style><p>{words}</p>{frame}</div>"""
_FRAME = '<iframe title="{title}" sandbox="allow-scripts allow-downloads" srcdoc="{page}"></iframe>'


def verdicts(document: Mapping[str, Any]) -> str:
    """What is said of each run, in a line."""
    return "; ".join(f"{run['short']}: {run['verdict']['text']}" for run in document["runs"])


def still(document: Mapping[str, Any], name: str) -> dict[str, str]:
    """A document as an output of a cell, of the class `name`, by MIME type: its page, and its verdicts in words."""
    page, said = html(document), verdicts(document)
    if len(page) > _MOST:
        said += (
            f". Its page, {len(page) / 1e6:.1f} MB, is too large for a notebook to keep; inspector.report writes it."
        )
        frame = ""
    else:
        said += ". Below, as it was when this ran; in a notebook that runs, its sliders ask Python."
        frame = _FRAME.format(title=escape(document["title"]), page=escape(page))
    words = escape(said)
    return {"text/plain": said, "text/html": _HTML.format(name=name, wait=_WAIT, words=words, frame=frame)}
