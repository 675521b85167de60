"""watch: two lines in anybody's training loop, and the recurrent parts of their model are ours to look at."""

from __future__ import annotations

import functools
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_rnn.arguments import is_integer
from tinygrad_rnn.plurals import counted

from .. import notebook
from ..analysis.diagnose import life
from ..loading.suggest import did_you_mean
from ..training import DecayRecorder
from .call import Call, Kind
from .capture import Capture
from .loops import loops
from .parts import recurrent_parts
from .passes import Passes
from .record import loop_record, sequence_record
from .seen import Seen

__all__ = ["Watching", "watch"]

_REPLACED = "another module has taken its place: watch the model again"


def watch(model: Any, every: int | None = None, *, dtype: Any = None, max_batch: int | None = None) -> Watching:
    """Watch the recurrent parts of a PyTorch model while it is trained as before.

    Hooks keep what goes through every ``torch.nn.RNN``, ``LSTM``, ``GRU`` and their ``Cell`` in a pass, and the
    gradient that comes back to it; when it is looked at, these parts alone are run once more by our own cells with
    the same numbers. Whatever stands around them (embedding, convolution, attention, any loss, any optimiser) needs no
    translation, and PyTorch's own gradients check the result. The model, its loss, its gradients and its random numbers
    stay the same bit by bit.

    Parameters
    ----------
    model : torch.nn.Module
    every : int, optional
        Look at the first backward pass and every so many after it only, and record how the gradient decays there, see
        :attr:`Watching.recorder`. When omitted, the latest pass is there to be looked at, whichever it is.
    dtype : dtype, optional
        Of the replay, float32 or float64, NumPy's or PyTorch's; float64 when omitted, in which a gradient can fall far
        below what float32 can hold, and float32 where that would not fit into memory.
    max_batch : int, optional
        Replay the first so many sequences of a batch only.

    Returns
    -------
    Watching

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError
        If `model` is no ``torch.nn.Module``, or a recurrent part of it is scripted or compiled.
    ValueError
        If it has no recurrent part, `every` or `max_batch` is not a positive number, or `dtype` another one.

    Examples
    --------
    >>> import inspector, torch  # doctest: +SKIP
    >>> model = torch.nn.LSTM(8, 16)  # doctest: +SKIP
    >>> watching = inspector.watch(model)  # doctest: +SKIP
    >>> model(torch.randn(50, 4, 8))[0].sum().backward()  # doctest: +SKIP
    >>> print(watching)  # doctest: +SKIP
    """
    for name, value in (("every", every), ("max_batch", max_batch)):
        if value is not None and not is_integer(value):
            raise ValueError(f"watch: {name} must be a positive number, got {value!r}")
    return Watching(model, every, _dtype(dtype), max_batch)


def _dtype(dtype: Any) -> Any:
    """That of a replay as one of NumPy's."""
    try:
        found = None if dtype is None else np.dtype(str(dtype)[6:] if str(dtype).startswith("torch.") else dtype)
    except TypeError:
        found = np.dtype(object)
    if found not in (None, np.float32, np.float64):
        raise ValueError(f"watch: dtype must be float32 or float64, got {dtype!r}")
    return found


class Watching:
    """The recurrent parts of a model, watched; made by :func:`watch`.

    Use it as it is, or in a ``with`` statement, at whose end the hooks are gone.

    Attributes
    ----------
    every : int or None
    recorder : DecayRecorder or None
        With `every`: how the gradient decayed at each recorded backward pass. The names of several parts stand in front
        of those of their states (``encoder.rnn/h``).
    """

    def __init__(self, model: Any, every: int | None, dtype: Any, max_batch: int | None) -> None:
        self._parts = recurrent_parts(model)
        self._model = model
        self._dtype, self._max_batch = dtype, max_batch
        self.every = every
        self.recorder = None if every is None else DecayRecorder(every)
        self._passes = Passes(self._finished)
        self._capture = Capture(model, self._parts, self._passes)
        self._seen: dict[str, tuple[list[Call], tuple[Seen, ...]]] = {}

    # -------------------------------------------------------------------------------------- looking

    @property
    def names(self) -> tuple[str, ...]:
        """The recurrent parts as ``named_modules()`` calls them, in the order of first use."""
        used = self._passes.order
        return tuple(sorted(self._parts, key=lambda name: used.get(name, len(used))))

    def __getitem__(self, name: str) -> Seen:
        """The latest call of a part that a gradient came to.

        Raises
        ------
        KeyError
            If no part has this name.
        RuntimeError
            If no backward pass has gone through it; the message says what is missing.
        """
        calls = self.calls(name)
        return next((call for call in reversed(calls) if call.reached), calls[-1])

    def has_seen(self, name: str) -> bool:
        """Whether there is anything to look at of a part."""
        return name in self._passes.latest

    @property
    def model(self) -> str:
        """The class of the model."""
        return type(self._model).__name__

    def calls(self, name: str) -> tuple[Seen, ...]:
        """All calls of a part in the latest pass; of a cell that is called once a step, its loops.

        Raises
        ------
        KeyError, RuntimeError
            As :meth:`__getitem__`.
        """
        if name not in self._parts:
            known = ", ".join(map(repr, self.names))
            raise KeyError(f"watch: no part is called {name!r}; there are {known}{did_you_mean(str(name), self.names)}")
        latest = self._passes.latest.get(name)
        if latest is None:
            raise RuntimeError(f"watch: nothing to see of {name or 'the model'!r} yet: {self._missing(name)}")
        if self._seen.get(name, (None,))[0] is not latest:
            self._seen[name] = latest, self._make(name, latest)
        return self._seen[name][1]

    def _make(self, name: str, latest: list[Call]) -> tuple[Seen, ...]:
        kind, title = Kind.of(self._parts[name]), name or type(self._parts[name]).__name__
        if kind.steps_once:
            records = [functools.partial(loop_record, list(map(replace, steps))) for steps in loops(latest)]
        else:
            records = [functools.partial(sequence_record, replace(call)) for call in latest]
        return tuple(Seen(title, record, self._dtype, self._max_batch) for record in records)

    def _missing(self, name: str) -> str:
        if self._is_replaced(name):
            return _REPLACED
        if name in self._capture.unheard:
            return self._capture.unheard[name]
        if self._passes.open(name):
            return "it was called, but no backward pass has gone through the model since; call loss.backward()"
        when = " before a backward pass" if self._passes.backwards else ""
        return f"it has not been called{when}; run the model, outside of torch.compile, where calls cannot be seen"

    def _is_replaced(self, name: str) -> bool:
        return dict(self._model.named_modules(remove_duplicate=False)).get(name) is not self._parts[name]

    # -------------------------------------------------------------------------------------- in words

    def _rows(self) -> list[tuple[str, ...]]:
        """For each part its name, cell, length, half-life, verdict and proof."""
        rows: list[tuple[str, ...]] = []
        for name in self.names:
            shown = name or "(the model)"
            if not self.has_seen(name):
                rows.append((shown, type(self._parts[name]).__name__, "", "not seen", "", self._missing(name)))
                continue
            seen, count = self[name], len(self.calls(name))
            times = f" ({counted(count, 'call')})" if count > 1 else ""
            verdict, _, half_life = seen.outcome
            along = life(half_life, len(seen.run)) if verdict in ("well", "vanishes", "explodes") else ""
            if len(seen.run) == 1 and seen.reached:
                verdict, along = "one step", "called step by step, it shows no time; a Cell in its place does"
            elif verdict == "well" and seen.readers > 1:
                along += f", losses of {seen.readers} steps together"
            proof = f"{seen.proof}; since then {_REPLACED}" if self._is_replaced(name) else seen.proof
            rows.append((shown + times, seen.what, f"T={len(seen.run)}", verdict, along, proof))
        return rows

    def __str__(self) -> str:
        rows = [("part", "cell", "length", "gradient", "along time", "against PyTorch"), *self._rows()]
        wide = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        return "\n".join("  ".join(map(str.ljust, row, wide)).rstrip() for row in rows)

    def __repr__(self) -> str:
        return f"<Watching: {counted(len(self._parts), 'part')} of {self.model}>"

    def _repr_html_(self) -> str:
        return notebook.words_above(str(self), "".join(seen._picture() for seen in self._shown()))

    def _shown(self) -> list[Seen]:
        return [self[name] for name in self.names if self.has_seen(name)]

    def close(self) -> None:
        """Take every hook off again; what was seen stays."""
        self._capture.close()

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _finished(self, parts: list[str]) -> None:
        """A backward pass is over: record how it decayed, whatever comes of that, and rest until the next one to look
        at.
        """
        if self.every is None or self.recorder is None:
            return
        try:
            if (self._passes.backwards - 1) % self.every == 0:
                many = len(self._parts) > 1
                traces = {f"{name}/" if many else "": self[name].trace() for name in parts}
                self.recorder.record(self._passes.backwards, traces)
        except Exception as error:
            warnings.warn(f"watch: backward pass {self._passes.backwards} was not recorded: {error}", stacklevel=2)
        if self.every > 1:
            self._capture.rest(self.every - 1)
