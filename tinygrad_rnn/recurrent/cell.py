"""Cell: parameters, the names of its states, and one step of time."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import is_integer
from ..autodiff.arrays import plain, real_array
from ..autodiff.primitive import Value
from ..autodiff.tensor import Tensor
from ..plurals import counted
from .init import Init, Preset, preset
from .state_dicts import fitting

Array = npt.NDArray[Any]

__all__ = ["Cell", "Parametrised"]


@functools.cache
def _state_type(names: tuple[str, ...]) -> Any:
    def reduce(state: tuple[Any, ...]) -> Any:
        return _state, (names, tuple(state))

    return type("State", (namedtuple("State", names),), {"__slots__": (), "__reduce__": reduce})


def _state(names: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    """A state out of a pickle, which cannot look up by name a type that was made."""
    return _state_type(names)(*values)


class _StateType:
    """The NamedTuple of a cell's states, by their names; those of the class unless the cell has its own."""

    def __get__(self, cell: Any, kind: Any) -> Any:
        return _state_type(tuple((kind if cell is None else cell).state_names))


class Parametrised:
    """Anything with named parameters that can be listed, saved and loaded."""

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Pairs of name and parameter, in order of declaration."""
        raise NotImplementedError

    def parameters(self) -> list[Tensor]:
        """The parameters, in order of declaration."""
        return [parameter for _, parameter in self.named_parameters()]

    def state_dict(self) -> dict[str, Array]:
        """A copy of every parameter by name."""
        return {name: np.array(parameter.data) for name, parameter in self.named_parameters()}

    def load_state_dict(self, mapping: Mapping[str, Any]) -> None:
        """Take over parameters from a mapping of the same names and shapes, such as PyTorch's.

        Names may be those of a ``torch.nn`` cell (``weight_ih``), or of a module of one layer (``weight_ih_l0``). The
        other way, ``tg.Stacked(cell).state_dict()`` has the names that such a module loads. Nothing changes unless
        everything fits.

        Raises
        ------
        KeyError
            If a name is missing or unknown; the message has the nearest.
        ValueError
            If a shape differs, a value holds no real numbers, or there are other layers or directions.

        Examples
        --------
        >>> import numpy as np
        >>> import tinygrad_rnn as tg
        >>> cell = tg.cells.RNNCell(1, 1, bias=False)
        >>> cell.load_state_dict({"weight_ih_l0": [[1.0]], "weight_hh_l0": [[0.5]]})
        >>> cell.state_dict()["weight_hh"]
        array([[0.5]])
        """
        arrays = fitting(f"{type(self).__name__}.load_state_dict", dict(self.named_parameters()), mapping)
        for name, parameter in self.named_parameters():
            parameter.data = arrays[name]
        self._after_load()

    def _after_load(self) -> None:
        """Called after parameters were taken over."""


class Cell(Parametrised):
    """A recurrent cell: a subclass names its states, declares parameters and writes one step.

    Cells that it holds, in attributes, lists, tuples or mappings, are part of it: their parameters are its own.

    Parameters
    ----------
    input_size, hidden_size : int
        Features of an input and of a state.
    dtype : dtype
        Of the parameters and of the initial state.
    seed : int, optional
        Of the initial parameters; fresh entropy when omitted.
    init : str or callable
        A preset of :mod:`tinygrad_rnn.recurrent.init` by name, or what :func:`~tinygrad_rnn.recurrent.init.preset`
        returns.

    Attributes
    ----------
    state_names : tuple of str
        Class attribute: the names of the states, the one that is also the output first.
    State : type
        The NamedTuple made of them.
    initialisation : str
        How the parameters were filled; printed on decay plots.

    Raises
    ------
    ValueError
        If a size is not a positive integer, `dtype` is not a floating one, or the preset is unknown.

    Examples
    --------
    >>> import tinygrad_rnn as tg
    >>> class Leaky(tg.Cell):
    ...     def __init__(self, input_size, hidden_size, **options):
    ...         super().__init__(input_size, hidden_size, **options)
    ...         self.w = self.parameter("w", (hidden_size, hidden_size), tg.init.orthogonal)
    ...         self.u = self.parameter("u", (hidden_size, input_size))
    ...
    ...     def step(self, x, state):
    ...         n = tg.named(n=tg.tanh(x @ self.u.T + state.h @ self.w.T))
    ...         return (0.9 * state.h + 0.1 * n,)
    """

    state_names: tuple[str, ...] = ("h",)
    State: Any = _StateType()
    is_compiled = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dtype: Any = np.float64,
        seed: int | None = None,
        init: str | Callable[[int], Preset] = "pytorch",
    ) -> None:
        for role, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not is_integer(size):
                raise ValueError(f"{type(self).__name__}: {role} must be a positive integer, got {size!r}")
        self.input_size = int(input_size)
        self.hidden_size = int(hidden_size)
        self.dtype = np.dtype(dtype)
        if self.dtype.kind != "f":
            raise ValueError(f"{type(self).__name__}: dtype must be a floating one, got {self.dtype}")
        if not isinstance(init, str) and not callable(init):
            raise TypeError(f"{type(self).__name__}: init must be a preset or its name, got {init!r}")
        self._init = init
        self.initialisation = self.preset.name
        self._rng = np.random.default_rng(seed)
        self._parameters: dict[str, Tensor] = {}

    @property
    def preset(self) -> Preset:
        """What fills the parameters."""
        return (preset(self._init) if isinstance(self._init, str) else self._init)(self.hidden_size)

    def name_states(self, *names: str) -> None:
        """Give this one cell states of its own, for a class whose options decide how many there are."""
        self.state_names = names

    def parameter(self, name: str, shape: tuple[int, ...], init: Init | Any = None) -> Tensor:
        """Declare a parameter.

        Parameters
        ----------
        name : str
            Unique within the cell.
        shape : tuple of int
        init : array, or function (shape, rng) -> array, optional
            The preset's recurrent weights when omitted.

        Raises
        ------
        ValueError
            If the name is taken, or the initial value has another shape.
        """
        if not isinstance(name, str):
            raise TypeError(f"{type(self).__name__}: a parameter's name must be a string, got {name!r}")
        if name in self._parameters:
            raise ValueError(f"{type(self).__name__}: parameter {name!r} is declared twice")
        fill = self.preset.recurrent if init is None else init
        value = real_array(f"parameter {name!r}", plain(fill(shape, self._rng) if callable(fill) else fill))
        if value.shape != tuple(shape):
            raise ValueError(
                f"{type(self).__name__}: parameter {name!r} has shape {tuple(shape)}, its initial value {value.shape}"
            )
        self._parameters[name] = Tensor(np.array(value, dtype=self.dtype), True, name)
        return self._parameters[name]

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Pairs of name and parameter: its own, then those of the cells that its attributes hold.

        Cells may also lie in lists, tuples and mappings. Their parameters are named after the way to them,
        ``cells.0.weight_ih``; what can be reached in two ways is listed once.
        """
        found: dict[int, tuple[str, Tensor]] = {p.id: (name, p) for name, p in self._parameters.items()}
        for path, part in self._parts():
            for name, parameter in part.named_parameters():
                found.setdefault(parameter.id, (f"{path}.{name}", parameter))
        yield from found.values()

    def _parts(self) -> Iterator[tuple[str, Parametrised]]:
        """The cells that its attributes hold, and the ways to them."""
        holders = (Parametrised, list, tuple, dict)
        stack = [(path, value) for path, value in reversed(vars(self).items()) if isinstance(value, holders)]
        while stack:
            path, value = stack.pop()
            if isinstance(value, Parametrised):
                yield path, value
            elif isinstance(value, holders) and value is not self._parameters:
                inside = value.items() if isinstance(value, dict) else enumerate(value)
                stack += reversed([(f"{path}.{key}", inner) for key, inner in inside])

    def initial_state(self, batch: int) -> Any:
        """The state before the first step: zeros of shape (batch, hidden_size) for every state name."""
        zeros = np.zeros((batch, self.hidden_size), self.dtype)
        return self.State(*[zeros for _ in self.state_names])

    def step(self, x: Value, state: Any) -> Any:
        """One step of time: from x (batch, input_size) and the states to the next states, a tuple."""
        raise NotImplementedError(f"{type(self).__name__} must define step(self, x, state)")

    def __call__(self, x: Value, state: Any) -> Any:
        """Run :meth:`step` and check what it returns.

        Raises
        ------
        ValueError
            If x or a state has the wrong shape, or the step returns the wrong number of states.
        TypeError
            If the step returns what is no array.
        """
        who = type(self).__name__
        if len(x.shape) != 2 or x.shape[1] != self.input_size:
            raise ValueError(f"{who}: x must be (batch, {self.input_size}), got {x.shape}")
        kind = self.State
        if type(state) is not kind:
            state = kind(*state)
        result = self.step(x, state)
        states = tuple(result) if isinstance(result, (tuple, list)) else (result,)
        if len(states) != len(self.state_names):
            raise ValueError(f"{who}.step returned {counted(len(states), 'state')}, state_names are {self.state_names}")
        for name, new, old in zip(self.state_names, states, state, strict=True):
            if not hasattr(new, "shape"):
                raise TypeError(
                    f"{who}.step returned {'nothing' if new is None else type(new).__name__} for state {name}; "
                    f"it must return a tuple of the next {', '.join(self.state_names)}"
                )
            if new.shape != old.shape:
                raise ValueError(f"{who}.step: state {name} went from shape {old.shape} to {new.shape}")
        return kind._make(states)

    def run_compiled(self, steps: Any, state: Any, truncate: int | None, masks: Any, reverse: bool) -> Any:
        """The whole run at once, for a cell that can; ``None`` to go step by step."""
        return None

    def _after_load(self) -> None:
        self.initialisation = "loaded weights"
        for _, part in self._parts():
            part._after_load()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size})"
