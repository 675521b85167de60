"""report: one HTML file that shows a run, or several side by side, and that one can step through."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

from tinygrad_rnn import Tensor, files
from tinygrad_rnn.recurrent.unroll import Run

from .analysis.diagnose import Diagnosis
from .page.chains import follows
from .page.document import Subject, document
from .page.html import as_json, html
from .page.marks import Marks, marks_of
from .page.members import members_of
from .tracing.trace import check

if TYPE_CHECKING:
    from .page.widget import Explorer

__all__ = ["Watched", "document_of", "explore", "report"]


_LONGEST = 32
"""Letters of a cell's name that leave room for the verdict beside it."""


@runtime_checkable
class Watched(Protocol):
    """What :func:`inspector.watch` has seen of a part of a model."""

    name: str

    @property
    def what(self) -> str: ...
    @property
    def proof(self) -> str: ...
    @property
    def run(self) -> Run: ...
    @property
    def loss(self) -> Tensor: ...
    def diagnose(self) -> Diagnosis: ...


@overload
def report(
    run: Run | Sequence[Run],
    loss: Tensor,
    path: str | Path,
    *,
    remedies: bool = True,
    sliders: bool | None = None,
    marks: Marks | None = None,
) -> Path: ...
@overload
def report(
    run: Watched | Mapping[str, tuple[Run, Tensor]],
    loss: None = None,
    *,
    path: str | Path,
    remedies: bool = True,
    sliders: bool | None = None,
    marks: Marks | None = None,
) -> Path: ...
def report(
    run: Any,
    loss: Any = None,
    path: str | Path | None = None,
    *,
    remedies: bool = True,
    sliders: bool | None = None,
    marks: Marks | None = None,
) -> Path:
    """Write one page about a run: what is wrong, its graph, and its gradient along time, all on one cursor.

    It needs no network and nothing beside it. The verdict and three numbers stand first; below, a play button runs the
    reverse sweep through the drawing, and decay, gates, weights and ways follow the cursor.

    Parameters
    ----------
    run : Run, or sequence of Runs, or a watched part, or mapping of label to (Run, loss)
        What :func:`tinygrad_rnn.unroll` returned; runs that each go on where the one before ended, as an encoder's and
        its decoder's; what :func:`inspector.watch` has seen of a part of a model, which has its loss; or several runs
        to show side by side. Of the run of an ensemble the page has three members, with the band of all.
    loss : Tensor
        A single number computed from the run.
    path : path
        Of the file, which appears only when it is complete: ``.html``, or ``.json`` for the data alone.
    remedies : bool
        False for no sliders, which show what would change the decay.
    sliders : bool, optional
        Whether what they show is computed beforehand, however long that takes; as far as it takes some seconds a
        run when omitted.
    marks : int, sequence of int, or mapping of str to such
        Steps that mean something, such as those that a task asks to remember: they are ticks on the axis of time. A
        mapping says what is there, ``{"first number": [2, 19], "second number": [32, 47]}``.

    Returns
    -------
    Path

    Raises
    ------
    TypeError
        If `run` is none of these, there is no loss or no path, or `marks` are no steps.
    ValueError
        If the suffix is none of these, there is no run, the loss does not fit, see :func:`~inspector.trace`, runs do
        not follow each other, or no run has a step that is marked.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import inspector
    >>> import tinygrad_rnn as tg
    >>> run = tg.unroll(tg.cells.RNNCell(2, 3, seed=0), np.ones((20, 1, 2)))
    >>> path = inspector.report(run, run.outputs[-1].sum(), Path(tempfile.mkdtemp()) / "rnn.html")
    >>> "the gradient vanishes" in path.read_text()
    True
    """
    if path is None:
        raise TypeError("report: say where the page goes, as report(run, loss, 'run.html')")
    suffix = files.suffix_of(path, ["html", "htm", "json"])
    found = document_of(run, loss, "report", sliders if remedies else bool(sliders), marks=marks)
    return files.write(path, as_json(found) if suffix == "json" else html(found))


def document_of(
    run: Any, loss: Any, who: str, sliders: bool | None = None, opens: str = "", marks: Marks | None = None
) -> dict[str, Any]:
    """What the page shows, as data; `who` asks for it, and `opens` says what it shows first."""
    found = _marked(_subjects(run, loss, who), marks, who)
    return document(found, _title(found), sliders) | ({"opens": opens} if opens else {})


@overload
def explore(run: Run | Sequence[Run], loss: Tensor, *, marks: Marks | None = None) -> Explorer: ...
@overload
def explore(
    run: Watched | Mapping[str, tuple[Run, Tensor]], loss: None = None, *, marks: Marks | None = None
) -> Explorer: ...
def explore(run: Any, loss: Any = None, *, marks: Marks | None = None) -> Any:
    """Show the page of :func:`report` in a notebook, with sliders that run the run again.

    In Jupyter, VS Code, Colab and marimo; needs the extra ``notebook``.

    Parameters
    ----------
    run, loss, marks
        As for :func:`report`.

    Returns
    -------
    Explorer
        A widget: its ``t`` is the timestep at the cursor and its ``run`` the key of the run shown, both to read and
        to set.

    Raises
    ------
    ImportError
        If anywidget is not installed.
    TypeError, ValueError
        As from :func:`report`.
    """
    found = _marked(_subjects(run, loss, "explore"), marks, "explore")
    try:
        from .page.widget import Explorer
    except ImportError as reason:
        raise ImportError(
            "explore needs anywidget: pip install 'tinygrad-rnn[notebook]'; report(run, loss, 'run.html') needs nothing"
        ) from reason
    return Explorer(found, _title(found))


def _subjects(run: Any, loss: Any, who: str) -> list[Subject]:
    """What a page shows, whichever way it was given; `who` asks."""
    if isinstance(run, (Mapping, list, tuple)) and not run:
        raise ValueError(f"{who}: there is no run to show")
    if isinstance(run, Mapping):
        if loss is not None:
            raise TypeError(f"{who}: of several runs each has its own loss, as {{label: (run, loss)}}")
        return [subject for label, pair in run.items() for subject in _labelled(label, pair, who)]
    if isinstance(run, (list, tuple)):
        return _in_turn(run, loss, who)
    if loss is None and not isinstance(run, Run) and isinstance(run, Watched):
        note = f"against PyTorch: {run.proof}"
        label = f"{run.name}: {run.what}" if run.name else run.what
        return [Subject(label, run.run, run.loss, note, run.diagnose(), has_loss=False)]
    check(run, loss, who)
    return _alone_or_members("", run, loss)


def _in_turn(runs: Sequence[Any], loss: Any, who: str) -> list[Subject]:
    """Runs that go on where the one before ended, and have one loss."""
    found = list(runs)
    for run in found or [None]:
        check(run, loss, who)
    for before, after in itertools.pairwise(found):
        if not follows(before, after):
            raise ValueError(f"{who}: {after.cell!r} does not begin in the state in which {before.cell!r} ends")
    layers = [(*run.cells[0].scopes[0].layers, "")[0] for run in found]
    apart = all(layers) and len(set(layers)) == len(layers)
    names = layers if apart else [f"run {k} of {len(found)}" for k in range(1, len(found) + 1)]
    return [Subject(name, run, loss) for name, run in zip(names, found, strict=True)]


def _alone_or_members(label: str, run: Run, loss: Tensor) -> list[Subject]:
    """A run, or of an ensemble some of its members; without a label, it is called like its cell."""
    if getattr(run.cell, "members", None) is not None:
        return members_of(label, run, loss)
    return [Subject(label or _name_of(run), run, loss)]


def _marked(found: list[Subject], marks: Marks | None, who: str) -> list[Subject]:
    """The same with the steps that are marked, which the longest run has to have."""
    known = marks_of(marks, max(len(subject.run) for subject in found), who)
    return [replace(subject, marks=known) for subject in found]


def _name_of(run: Run) -> str:
    """What its page calls a cell: its kind alone where its shapes would push the verdict out of the headline."""
    name = repr(run.cell)
    return name if len(name) <= _LONGEST else name.partition("(")[0]


def _labelled(label: object, pair: Any, who: str) -> list[Subject]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"{who}: {label!r} must have a run and its loss, as {{label: (run, loss)}}")
    run, loss = pair
    check(run, loss, who)
    return _alone_or_members(str(label), run, loss)


def _title(found: list[Subject]) -> str:
    steps = sorted({len(subject.run) for subject in found})
    labels = ", ".join(subject.label for subject in found)
    return f"{labels} · T = {steps[0]}" + (f" … {steps[-1]}" if len(steps) > 1 else "")
