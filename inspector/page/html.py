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

__all__ = ["as_json", "html", "web_file"]


def html(document: Mapping[str, Any]) -> str:
    """The text of the page that shows a document."""
    script, css = web_file("dist/page.js"), web_file("style.css") + theme_css()
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
    return Template(web_file("page.html")).substitute(
        title=escape(document["title"]),
        version=f"{SCHEMA} {VERSION}",
        policy=policy,
        style=css,
        body=_body(document),
        data=_within_script(as_json(document)),
        script=script,
    )


def _body(document: Mapping[str, Any]) -> str:
    """What stands on the page before its script runs, and without it: the verdict and three numbers."""
    run = document["runs"][0]
    verdict = run["verdict"]
    kept, half_life, steps = verdict["kept"], verdict["halfLife"], verdict["steps90"]
    if half_life is not None and abs(half_life) > 20 * run["T"]:
        half_life = None
    is_reversed = all(state in run.get("backwards", ()) for state in run["states"])
    said = {
        "label": run["short"],
        "verdict": verdict["text"].partition(":")[0],
        "kicker": f"{run['cell']} · T = {run['T']:,} · batch of {run['batch']:,}",
        "kept": "—" if kept is None else number(kept),
        "end": f"{run['T'] - 1 if is_reversed else 0:,}",
        **_half(half_life, kept),
        "undrawn": run.get("undrawn", ""),
        "steps": "—" if steps is None else f"{steps:,} of {run['T']:,}",
    }
    return Template(web_file("body.html")).substitute({name: escape(str(words)) for name, words in said.items()})


def _half(half_life: float | None, kept: float | None) -> dict[str, str]:
    """The half-life, and what is said of it."""
    if half_life is None and kept == 0:
        return {"half": "—", "half_words": "steps until half is lost: none arrives"}
    if half_life is None:
        return {"half": "no half-life", "half_words": "it neither fades nor grows on the way"}
    return {
        "half": number(abs(half_life)),
        "half_words": f"steps until {'it has doubled' if half_life < 0 else 'half is lost'}",
    }


def as_json(document: Mapping[str, Any]) -> str:
    """The document as text, the same bytes for the same document."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _within_script(text: str) -> str:
    """JSON in which nothing can end the element that holds it, nor begin a comment."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _fingerprint(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def web_file(name: str) -> str:
    """The text of a file of the page."""
    return files(__package__).joinpath("web", name).read_text(encoding="utf-8")
