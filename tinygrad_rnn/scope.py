"""Where an operation happens: a linked chain of scopes, and the recording switches that go with it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

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

    def __init__(
        self, parent: Scope | None, kind: str, name: str, timestep: int | None = None
    ) -> None:
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
        return any(link.kind == "backward" for link in self.chain())

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


@contextmanager
def using(**changes: Any) -> Iterator[None]:
    """Run a block in the current context with some of its fields replaced."""
    token = context.set(context.get()._replace(**changes))
    try:
        yield
    finally:
        context.reset(token)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Put the operations of a block into a layer called `name`; scopes nest.

    Parameters
    ----------
    name : str
        Shown by the inspector and by error messages.

    Raises
    ------
    TypeError
        If `name` is not a string.
    """
    if not isinstance(name, str):
        raise TypeError(f"scope: name must be a string, got {type(name).__name__}")
    with using(scope=Scope(context.get().scope, "layer", name)):
        yield


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


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing: operations on Tensors inside the block give Tensors without a history."""
    with using(recording=False):
        yield


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Raise at the first NaN or infinity, forward or backward, and say where it appeared.

    Raises
    ------
    AnomalyError
        Naming the operation, its scope, its timestep and the gate or state it belongs to.
    """
    with using(anomaly=True):
        yield
