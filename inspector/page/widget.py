"""The page in a notebook, where sliders ask Python; needs anywidget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import anywidget
import traitlets

from ..notebook import brief
from ..text import visible
from .document import Facts, Subject, document
from .html import as_json, web_file
from .still import still, verdicts
from .theme_css import theme_css

__all__ = ["Explorer"]


class Explorer(anywidget.AnyWidget):  # type: ignore[misc]
    """The page about some runs, with sliders that run them again.

    Attributes
    ----------
    t : int
        The timestep that the cursor is at; set it to move the cursor, from the end if it is negative.
    run : str
        The key of the run that is shown, ``data["runs"][k]["key"]``.
    """

    _esm = web_file("dist/widget.js")
    data = traitlets.Unicode().tag(sync=True)
    theme_css = traitlets.Unicode().tag(sync=True)
    live = traitlets.Bool(True).tag(sync=True)
    t = traitlets.Int(0).tag(sync=True)
    run = traitlets.Unicode("").tag(sync=True)
    frame = traitlets.Unicode("").tag(sync=True)

    def __init__(self, subjects: Sequence[Subject], title: str) -> None:
        facts = [Facts(subject) for subject in subjects]
        self._document = document(facts, title, live=True)
        runs = self._document["runs"]
        self._asked = {run["key"]: one for run, one in zip(runs, facts, strict=True)}
        place = {"run": runs[0]["key"], "t": runs[0]["begin"]}
        frame = f"inspector-{uuid4().hex}"
        super().__init__(data=as_json(self._document), theme_css=theme_css(), frame=frame, **place)
        self.on_msg(self._answer)

    def __repr__(self) -> str:
        return brief(type(self), verdicts(self._document))

    def _ipython_display_(self, **_: Any) -> None:
        """Show the widget, and the page as it is now below it: that is what an export shows, and the notebook once
        its kernel is gone; the widget, wherever it runs, hides it.
        """
        from IPython.display import display

        shown = self._repr_mimebundle_()
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        display(data, metadata=metadata, raw=True)
        display(still(self._document, self.frame), raw=True)

    @traitlets.validate("run")  # type: ignore[untyped-decorator]
    def _run_of(self, proposal: Mapping[str, Any]) -> str:
        key: str = proposal["value"]
        if key not in self._asked:
            raise traitlets.TraitError(f"there is no run {key!r}; the runs are {', '.join(map(repr, self._asked))}")
        return key

    @traitlets.validate("t")  # type: ignore[untyped-decorator]
    def _step_of(self, proposal: Mapping[str, Any]) -> int:
        t, steps = proposal["value"], self._asked[self.run].steps
        if not -steps <= t < steps:
            raise traitlets.TraitError(f"{self.run!r} has the timesteps 0 to {steps - 1}, or -{steps} to -1; got {t}")
        return int(t % steps)

    @traitlets.observe("run")  # type: ignore[untyped-decorator]
    def _keep_step(self, _: Any) -> None:
        self.t = min(self.t, self._asked[self.run].steps - 1)

    def _answer(self, _: Any, message: Any, __: Any) -> None:
        """Run a run once more, as a slider says; what goes wrong comes back as a sentence."""
        if not isinstance(message, dict) or message.get("ask") != "what_if":
            return
        try:
            asked = self._asked[message.get("run", self.run)].sliders
            kept, norms = asked.answer(message["kind"], message["name"], float(message["setting"]))
        except Exception as reason:
            self.send({"id": message.get("id"), "error": visible(f"{type(reason).__name__}: {reason}")})
            return
        self.send({"id": message["id"], "kept": kept}, [norms.astype("<f8").tobytes()])
