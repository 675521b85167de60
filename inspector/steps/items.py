"""What is drawn of one timestep: items, the links between them, and the states that enter and leave."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple, TypeAlias

from tinygrad_rnn import Node

from .labels import Label

__all__ = [
    "OUTPUT",
    "Gate",
    "Item",
    "Key",
    "Link",
    "Role",
    "Step",
    "copied",
    "diagonal_path",
    "entering",
    "highways",
    "layer_prefix",
    "leaving",
    "safe",
]


class Gate(NamedTuple):
    """The role of what belongs to a named value that is no state."""

    name: str


Role: TypeAlias = (
    "Gate | Literal['cell', 'hidden', 'input', 'loss', 'shared', 'parameter', 'value', 'layer', 'pointwise', 'join']"
)
"""What something drawn is to the cell, by which the theme colours it."""


class Key(NamedTuple):
    """What an item is, by which lines find it; or a place where a line enters or leaves a step.

    Attributes
    ----------
    kind : str
        A named value, an operation, or a value from elsewhere; of the reverse sweep the gradient by a value, an
        operation of a rule, or a factor that one reads; where lines join; what is kept free. Of what is no item: where
        a state or the input ``x`` enters, where a state leaves, and where the output does.
    name : str
        Of the value or state; of an operation that of its primitive.
    owner : str or None
        The gate or state that an operation serves.
    number : int
        Which it is of those that agree in all this.
    primes : int
        What tells it from a namesake in another step that is merged with its own.
    """

    kind: Literal[
        "value", "operation", "outside", "gradient", "rule", "factor", "join", "gap", "entering", "leaving", "output"
    ]
    name: str = ""
    owner: str | None = None
    number: int = 1
    primes: int = 0

    @property
    def is_port(self) -> bool:
        """Whether a state, or the input, enters or leaves there."""
        return self.kind in ("entering", "leaving")

    def __str__(self) -> str:
        owner = f"{self.owner or 'shared'}." if self.kind in ("operation", "rule") else ""
        number = f".{self.number}" if self.number > 1 else ""
        return _FIRST.get(self.kind, "") + owner + self.name + number + "'" * self.primes


_FIRST = {
    **{"outside": "from.", "gradient": "d.", "rule": "d.", "factor": "with."},
    **{"join": "join", "entering": "entering:", "leaving": "leaving:"},
}


OUTPUT = Key("output")
"""Where the output leaves a step."""


def entering(name: str) -> Key:
    """The port through which a state, or the input ``x``, enters a step."""
    return Key("entering", name)


def leaving(name: str) -> Key:
    """The port through which a state leaves a step."""
    return Key("leaving", name)


class Link(NamedTuple):
    """A line into an item.

    `source` is the key of an item of the same step, or of a port, see :func:`entering`. `edge`
    says whose gradient it carries: (consumer's Tensor id, operand) of an edge of the graph, or
    (Tensor id, -1) for the whole cotangent of that value. `cut` marks a line along which none flows.
    `layer` marks a line into a learned layer, whose gradient is that of several edges together, and
    `node` is the index of the graph node whose value the line carries.
    """

    source: Key
    edge: tuple[int, int] | None = None
    cut: bool = False
    layer: bool = False
    node: int = -1


@dataclass(frozen=True)
class Item:
    """One shape of the drawing.

    Attributes
    ----------
    key : Key
        Unique within its step and the same in every step.
    shape : str
        ``"box"``, ``"circle"`` or ``"ellipse"``.
    label : Label
    role : Role
    size : tuple of float
        Width and height in points.
    links : tuple of Link
        One for each operand that is drawn as a line.
    nodes : tuple of Node
        The graph nodes that it stands for, the main one first.
    diagonal : bool
        Whether it is a sum, product or choice, element by element, so that its Jacobian by each operand is diagonal and
        no nonlinear function saturates: a state may pass straight through.
    value : Node or None
        The node whose value it shows, for a value drawn beside its operation.
    learned : bool
        Whether a parameter is one of its operands.
    layer : bool
        Whether it stands for a learned layer.
    beside : bool
        Whether it is a chip that stands beside its only reader, which may read a value from elsewhere there.
    wings : tuple of float
        Room that is kept free to the left and to the right of it.
    name : str
        Of the gate that it gives, where its label does not say it.
    """

    key: Key
    shape: str
    label: Label
    role: Role
    size: tuple[float, float]
    links: tuple[Link, ...]
    nodes: tuple[Node, ...] = ()
    diagonal: bool = False
    value: Node | None = None
    learned: bool = False
    layer: bool = False
    beside: bool = False
    wings: tuple[float, float] = (0.0, 0.0)
    name: str = ""

    @property
    def reach(self) -> tuple[float, float]:
        """How far it extends from its centre to the left and to the right."""
        return self.size[0] / 2 + self.wings[0], self.size[0] / 2 + self.wings[1]


@dataclass(frozen=True)
class Step:
    """One timestep of one layer.

    Attributes
    ----------
    layer : str
        Empty for a single cell.
    timestep : int
    items : tuple of Item
        Operands first.
    states : tuple of (name, key)
        The item (or port) that gives each state, the output's state first.
    output : Key or None
        Of the item that shows the output, outside the step's frame; ``None`` where an older value is passed on.
    seed : Item or None
        Of a backward step: what enters by the port ``x``, drawn outside the frame.
    joined : Node or None
        Of a backward step: what the output was joined into; if a layer reads that, the seed is a part of that layer's
        gradient.
    totals : tuple of (name, key) or None
        Of a backward step: for every state the item that shows its whole cotangent, if there is one.
    pattern : Step or None
        Of a copy: the step that it is drawn like, but for which nodes its items show and when.
    """

    layer: str
    timestep: int
    items: tuple[Item, ...]
    states: tuple[tuple[str, Key], ...]
    output: Key | None
    seed: Item | None = None
    totals: tuple[tuple[str, Key | None], ...] | None = None
    joined: Node | None = None
    pattern: Step | None = field(default=None, repr=False, compare=False)

    @property
    def backward(self) -> bool:
        """Whether it is a step of the reverse sweep."""
        return self.totals is not None

    @property
    def kind(self) -> Step:
        """What it is drawn like: the step that it is a copy of, or itself."""
        return self.pattern or self

    @cached_property
    def by_key(self) -> dict[Key, Item]:
        """The items by key."""
        return {item.key: item for item in self.items}

    @cached_property
    def inside(self) -> tuple[Item, ...]:
        """The items within the frame."""
        return tuple(item for item in self.items if item.key != self.output)

    @property
    def circle(self) -> Item | None:
        """The item that shows the output."""
        return None if self.output is None else self.by_key[self.output]

    @cached_property
    def ids(self) -> dict[Key, str]:
        """What the items are called in a drawing, after what its step is."""
        found: dict[Key, str] = {}
        taken = set[str]()
        for item in (*self.items, *([self.seed] if self.seed is not None else [])):
            found[item.key] = safe(str(item.key))
            while found[item.key] in taken:  # different keys may read alike
                found[item.key] += "_"
            taken.add(found[item.key])
        return found

    @cached_property
    def shape(self) -> tuple[object, ...]:
        """All that the layout depends on; steps that agree in it are laid out once."""
        outline = tuple(
            (
                item.key,
                item.shape,
                item.size,
                tuple(link.source for link in item.links),
                item.diagonal,
                item.beside,
                item.wings,
                item.role == "parameter",
                item.name,
            )
            for item in self.items
        )
        return (outline, self.states, self.output, self.totals)

    def with_items(self, items: list[Item]) -> Step:
        """The same step showing other items."""
        return replace(self, items=tuple(items), pattern=None)

    def with_links(self, links: Mapping[Key, tuple[Link, ...]]) -> Step:
        """The same step with lines from the same places that carry other gradients."""
        items = tuple(copied(i, {"links": links[i.key]}) if i.key in links else i for i in self.items)
        step = replace(self, items=items, pattern=self.kind)
        vars(step).update(shape=self.shape, ids=self.ids)
        return step


def copied(item: Item, changed: Mapping[str, object]) -> Item:
    """As `dataclasses.replace` does it, in a fifth of the time."""
    copy = object.__new__(Item)
    vars(copy).update(vars(item))
    vars(copy).update(changed)
    return copy


def diagonal_path(step: Step, state: str) -> list[Key]:
    """The items on the longest way along which `state` gets through the step on :attr:`Item.diagonal` items alone.

    Empty if there is none: then the state has no highway.
    """
    target = dict(step.states)[state]
    longest: dict[Key, list[Key]] = {entering(state): []}
    for item in step.items:
        ways = [longest[link.source] for link in item.links if link.source in longest and not link.cut]
        if item.diagonal and ways:
            longest[item.key] = [*max(ways, key=len), item.key]
    return longest.get(target, [])


def highways(step: Step) -> dict[str, list[Key]]:
    """The states that have a rail, with the items on it from left to right; the output's own circle is not on it.

    A mask that merely holds a state is no highway.
    """
    found = {}
    for state, _ in step.states:
        path = [key for key in diagonal_path(step, state) if key != step.output]
        if any(node.op != "where" for key in path for node in step.by_key[key].nodes):
            found[state] = path
    return found


@lru_cache(maxsize=4096)
def safe(text: str) -> str:
    """An id made of letters, digits, dots, hyphens and underscores alone."""
    return re.sub(r"[^A-Za-z0-9._-]", lambda hit: f"_{ord(hit[0]):x}_", text)


def layer_prefix(layer: str) -> str:
    """What the ids of a layer start with."""
    return safe(f"{layer}.") if layer else ""
