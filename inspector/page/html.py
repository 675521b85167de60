"""The page as one HTML file, which may load nothing and run nothing but its own script."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from ..text import number
from .document import SCHEMA, VERSION
from .theme_css import theme_css

__all__ = ["as_json", "body", "html", "style"]


def html(document: Mapping[str, Any]) -> str:
    """The text of the page that shows a document."""
    script, css = _web("dist/page.js"), style()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_fingerprint(script)}",
            f"style-src {_fingerprint(css)}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ]
    )
    return Template(_web("page.html")).substitute(
        title=escape(document["title"]),
        version=f"{SCHEMA} {VERSION}",
        policy=policy,
        style=css,
        body=body(document),
        data=_within_script(as_json(document)),
        script=script,
    )


def style() -> str:
    """The style sheet with the colours of the theme."""
    return _web("style.css") + theme_css()


def body(document: Mapping[str, Any]) -> str:
    """What stands on the page before its script runs, and without it: the verdict and three numbers."""
    run = document["runs"][0]
    verdict = run["verdict"]
    kept, half_life, steps = verdict["kept"], verdict["halfLife"], verdict["steps90"]
    said = {
        "label": run["label"],
        "verdict": verdict["text"],
        "kicker": f"{run['cell']} · T = {run['T']} · batch of {run['batch']}",
        "kept": "—" if kept is None else number(kept),
        "half": "—" if half_life is None else number(half_life),
        "steps": "—" if steps is None else f"{steps} of {run['T']}",
    }
    return Template(_web("body.html")).substitute({name: escape(str(words)) for name, words in said.items()})


def as_json(document: Mapping[str, Any]) -> str:
    """The document as text, the same bytes for the same document."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _within_script(text: str) -> str:
    """JSON in which nothing can end the element that holds it, nor begin a comment."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _fingerprint(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _web(name: str) -> str:
    return files(__package__).joinpath("web", name).read_text(encoding="utf-8")
