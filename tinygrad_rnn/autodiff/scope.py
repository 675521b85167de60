"""Where an operation happens: a linked chain of scopes, and the recording switches that go with it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar, cast

__all__ = ["Scope", "detect_anomaly", "no_grad", "scope"]


class Scope:
    """One link of the chain layer / timestep / gate that every recorded operation carries.

    Attributes
    ----------
    parent : Scope or None
        The enclosing scope; ``None`` for an outermost one.
    kind : str
        ``"layer"``, ``"timestep"`` or ``"backward"``.
    name : str
        The layer's name; ``"t=3"`` for timestep 3; empty for the backward sweep.
    timestep : int or None
        The nearest enclosing timestep, the scope itself included.
    """

    __slots__ = ("kind", "name", "parent", "timestep")

    timestep: int | None

    def __init__(self, parent: Scope | None, kind: str, name: str, timestep: int | None = None) -> None:
        self.parent = parent
        self.kind = kind
        self.name = name
        self.timestep = timestep if timestep is not None else parent.timestep if parent else None

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers around this scope, outermost first."""
        return tuple(link.name for link in self.chain() if link.kind == "layer")

    @property
    def step(self) -> Scope | None:
        """The outermost timestep around this scope, itself included; every step of every run has its own."""
        steps = [link for link in self.chain() if link.kind == "timestep"]
        return steps[0] if steps else None

    @property
    def is_backward(self) -> bool:
        """Whether the operation was recorded by a reverse sweep with ``create_graph=True``."""
        link: Scope | None = self
        while link is not None and link.kind != "backward":
            link = link.parent
        return link is not None

    def chain(self) -> list[Scope]:
        """The links from the outermost scope to this one."""
        links: list[Scope] = []
        link: Scope | None = self
        while link is not None:
            links.append(link)
            link = link.parent
        return links[::-1]

    def __str__(self) -> str:
        return "/".join(link.name or link.kind for link in self.chain())

    def __repr__(self) -> str:
        return f"Scope({str(self)!r})"


Names = MutableMapping[tuple[str, int], Any]


class Context(NamedTuple):
    """Everything ambient that a recorded operation asks for, in one variable so that one look-up suffices."""

    scope: Scope | None = None
    recording: bool = True
    anomaly: bool = False
    names: Names | None = None


context: ContextVar[Context] = ContextVar("tinygrad_rnn", default=Context())  # noqa: B039 - immutable

_entered: ContextVar[tuple[Context, Any] | None] = ContextVar("tinygrad_rnn_entered", default=None)
"""The contexts to go back to, innermost first. They live here and not on the objects that were entered, so that one
object may be entered again, inside itself and in several threads or tasks at once."""

Function = TypeVar("Function", bound=Callable[..., Any])


class using:
    """Run a block in the current context with some of its fields replaced; decorates functions too."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    def _inside(self, around: Context) -> Context:
        return around._replace(**self._changes)

    def __enter__(self) -> None:
        around = context.get()
        inside = self._inside(around)
        _entered.set((around, _entered.get()))
        context.set(inside)

    def __exit__(self, *error: object) -> None:
        entered = _entered.get()
        if entered is not None:  # a generator may be closed in another thread than the one it was entered in
            around, rest = entered
            _entered.set(rest)
            context.set(around)

    def __call__(self, function: Function) -> Function:
        """The function, run inside; of a generator every step, and never what its caller does between two of them."""
        for kind, wrap in _WRAPPERS.items():
            if kind(function):
                return cast(Function, functools.wraps(function)(wrap(self, function)))

        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return cast(Function, functools.wraps(function)(run))


def _generator(switch: using, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        inner = function(*args, **kwargs)
        resume, sent = inner.send, None
        while True:
            try:
                with switch:
                    value = resume(sent)
            except StopIteration as end:
                return end.value
            try:
                resume, sent = inner.send, (yield value)
            except GeneratorExit:
                with switch:
                    inner.close()
                raise
            except BaseException as error:
                resume, sent = inner.throw, error

    return run


def _async_generator(switch: using, function: Callable[..., Any]) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> Any:
        inner = function(*args, **kwargs)
        resume, sent = inner.asend, None
        while True:
            try:
                with switch:
                    value = await resume(sent)
            except StopAsyncIteration:
                return
            try:
                resume, sent = inner.asend, (yield value)
            except GeneratorExit:
                with switch:
                    await inner.aclose()
                raise
            except BaseException as error:
                resume, sent = inner.athrow, error

    return run


def _coroutine(switch: using, function: Callable[..., Any]) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> Any:
        with switch:
            return await function(*args, **kwargs)

    return run


_WRAPPERS: dict[Callable[[Any], bool], Callable[[using, Callable[..., Any]], Callable[..., Any]]] = {
    inspect.isgeneratorfunction: _generator,
    inspect.isasyncgenfunction: _async_generator,
    inspect.iscoroutinefunction: _coroutine,
}
"""How to decorate what does not run where it is called."""


class scope(using):
    """Put the operations of a block, or of a function that it decorates, into a layer called `name`; scopes nest.

    Parameters
    ----------
    name : str
        Shown by the inspector and by error messages.

    Raises
    ------
    TypeError
        If `name` is not a string.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"scope: name must be a string, got {type(name).__name__}")
        self._name = name

    def _inside(self, around: Context) -> Context:
        return around._replace(scope=Scope(around.scope, "layer", self._name))


class timestep:
    """Put the operations of a block into timestep `t`.

    A class, because it is entered at every step of every run, and a generator costs four times as much.
    """

    __slots__ = ("_t", "_token")

    def __init__(self, t: int) -> None:
        self._t = t

    def __enter__(self) -> Scope:
        scope_, recording, anomaly, names = context.get()
        inner = Scope(scope_, "timestep", f"t={self._t}", self._t)
        self._token = context.set(Context(inner, recording, anomaly, names))
        return inner

    def __exit__(self, *error: object) -> None:
        context.reset(self._token)


class no_grad(using):
    """Record nothing: operations on Tensors inside the block give Tensors without a history.

    Decorates functions, generator functions and coroutines too: ``@no_grad()``.
    """

    def __init__(self) -> None:
        super().__init__(recording=False)


class detect_anomaly(using):
    """Raise at the first NaN or infinity, forward or backward, and say where it appeared.

    Raises
    ------
    AnomalyError
        Naming the operation, its scope, its timestep and the gate or state it belongs to.
    """

    def __init__(self) -> None:
        super().__init__(anomaly=True)
