"""The page in a notebook, where sliders ask Python; needs anywidget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import anywidget
import numpy as np
import traitlets

from ..analysis.diagnose import outcome
from ..analysis.trials import whole_norms
from ..text import visible
from ..tracing.replay import recorded
from ..tracing.trace import GradientTrace, trace
from .document import Subject
from .html import as_json, web_file
from .packing import finite, pooled
from .sliders import turned
from .theme_css import theme_css

__all__ = ["Explorer"]


class Explorer(anywidget.AnyWidget):  # type: ignore[misc]
    """The page about some runs, with sliders that run them again.

    Attributes
    ----------
    t : int
        The timestep that the cursor is at; set it to move the cursor.
    run : str
        The key of the run that is shown, ``data["runs"][k]["key"]``.
    """

    _esm = web_file("dist/widget.js")
    data = traitlets.Unicode().tag(sync=True)
    theme_css = traitlets.Unicode().tag(sync=True)
    live = traitlets.Bool(True).tag(sync=True)
    t = traitlets.Int(0).tag(sync=True)
    run = traitlets.Unicode("").tag(sync=True)

    def __init__(self, document: Mapping[str, Any], subjects: Sequence[Subject]) -> None:
        runs = document["runs"]
        self._asked = {run["key"]: _Asked(subject, run["pool"]) for run, subject in zip(runs, subjects, strict=True)}
        super().__init__(data=as_json(document), theme_css=theme_css(), t=runs[0]["T"] - 1, run=runs[0]["key"])
        self.on_msg(self._answer)

    def _answer(self, _: Any, message: Any, __: Any) -> None:
        """Run the run that is shown once more, as a slider says; what goes wrong comes back as a sentence."""
        if not isinstance(message, dict) or message.get("ask") != "what_if":
            return
        try:
            kept, norms = self._asked[self.run].turn(message["kind"], message["name"], float(message["setting"]))
        except Exception as reason:
            self.send({"id": message.get("id"), "error": visible(f"{type(reason).__name__}: {reason}")})
            return
        self.send({"id": message["id"], "kept": kept}, [norms.astype("<f8").tobytes()])


class _Asked:
    """A run that is asked what would be if."""

    def __init__(self, subject: Subject, pool: int) -> None:
        self.subject, self.pool = subject, pool

    @cached_property
    def trace(self) -> GradientTrace:
        return trace(*recorded(self.subject.run, self.subject.loss))

    @np.errstate(all="ignore")
    def turn(self, kind: str, name: str, setting: float) -> tuple[float | None, np.ndarray[Any, Any]]:
        """What is left of the gradient at the other end of time, and the norm of the whole state at every step."""
        if kind not in ("bias", "scale") or not math.isfinite(setting):
            raise ValueError(f"there is no slider {kind!r} at {setting}")
        found = turned(self.trace, kind, name, setting)
        return finite(outcome(found, True).kept), pooled(whole_norms(found), self.pool)
