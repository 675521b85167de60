"""The operation level: one shape for every primitive operation of a timestep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tinygrad_rnn import Node, Tensor

from ..text import label_width, oval_width, subscript
from .items import Gate, Item, Key, Link, Role, Step, entering
from .labels import Label, is_view, number_or_name, operation_label, slice_label
from .source import Source

__all__ = ["Shapes", "is_straight", "operation_step"]

_OVAL = 1.25
"""How much wider than a long word an ellipse is that holds it."""
_UNREAD = ""


def is_straight(node: Node) -> bool:
    """Whether a state stays on its highway through an operation: it adds, multiplies or chooses, element by element."""
    op = node.primitive
    return op.elementwise and op.kind in ("sum", "product", "choice")


def operation_step(source: Source, t: int) -> Step:
    """Timestep `t` with every primitive operation as an item and every named value beside its own."""
    return _Builder(source, t).step()


class Shapes:
    """What the shapes of one timestep are called and how they read, forward and backward.

    Attributes
    ----------
    at : dict
        Node index to the key of the item that shows it.
    labels : dict
        Node index to the text by which its consumer names it, for what has no item.
    names : dict
        Tensor id to the name of a value of this timestep.
    before, states : dict
        State name to its Tensor, in front of and behind this timestep.
    output : str
        The state that is the output.
    """

    def __init__(self, source: Source, t: int) -> None:
        self.source, self.t = source, t
        self.graph, self.run = source.graph, source.run
        self.items: list[Item] = []
        self.at: dict[int, Key] = {}
        self.labels: dict[int, str] = {}
        self.keys = Counter[Key]()
        self.names = dict(source.names.get(t, {}))
        self.before = source.states_before(t)
        self.states: dict[str, Tensor] = self.run.states[t]._asdict()
        output = self.run.outputs[t]
        self.output = next((name for name, value in self.states.items() if value.id == output.id), "out")
        self.names.setdefault(output.id, self.output)

    def named_value(self, key: Key, name: str, node: Node, link: Link, value: Node | None, prefix: str = "") -> Item:
        """The shape of the named value `node`, or with a prefix that of something as large as it is."""
        assert node.tensor is not None
        is_state = node.tensor.id in (self.run.outputs[self.t].id, *(v.id for v in self.states.values()))
        label = Label(prefix + name, time=subscript(self.t) if is_state else "")
        role: Role = "hidden" if name == self.output else "cell" if is_state else self.role_of(name)
        round_ = is_state and len(name) <= 2
        width = label_width(str(label._replace(time="")), 12) + (22 if is_state else 10)
        width = max(32.0, width, _OVAL * label_width(str(label), 12))
        shape, size = ("circle", (34.0, 34.0)) if round_ else ("ellipse", (width, 20.0))
        return Item(key, shape, label, role, size, (link,), (), True, value)

    def operation(
        self,
        key: Key,
        label: Label,
        owner: str | None,
        links: Iterable[Link],
        nodes: tuple[Node, ...],
        diagonal: bool,
        learned: bool = False,
    ) -> Item:
        """The shape of an operation: a circle around a sign, a box around a word."""
        round_ = len(str(label)) <= 2
        shape, size = ("circle", (24.0, 24.0)) if round_ else ("box", (max(34.0, label_width(str(label)) + 12), 22.0))
        return Item(key, shape, label, self.role_of(owner), size, tuple(links), nodes, diagonal, learned=learned)

    def _name(self, node: Node) -> str | None:
        return self.names.get(node.tensor.id) if node.tensor is not None else None

    def role_of(self, owner: str | None) -> Role:
        if owner is None:
            return "shared"
        if owner in self.states:
            return "cell" if owner != self.output or len(self.states) == 1 else "hidden"
        return Gate(owner)

    def _key(self, base: Key) -> Key:
        """The key, with a number if there are several."""
        self.keys[base] += 1
        return base._replace(number=self.keys[base])

    def _label(self, node: Node) -> Label:
        if node.op == "getitem":
            return Label(slice_label(node.attributes.get("index")))
        if is_view(node):
            return Label((self._text(node.inputs[0]) or node.op) + ("ᵀ" if node.op == "transpose" else ""))
        operands = map(self._behind_views, node.inputs) if node.op == "matmul" else node.inputs  # x @ W.T reads W x
        return operation_label(node.primitive, [self._text(index) for index in operands])

    def _behind_views(self, index: int) -> int:
        """The value that a view which is no shape shows."""
        while index not in self.at and is_view(self.graph.nodes[index]):
            index = self.graph.nodes[index].inputs[0]
        return index

    def _text(self, index: int) -> str | None:
        """How an operand that is no line reads in its consumer's label."""
        if index in self.at:
            return None
        node = self.graph.nodes[index]
        if index in self.labels:
            return self.labels[index]
        return number_or_name(node) or ("mask" if node.dtype.kind == "b" else "c")


class _Builder(Shapes):
    """Walks the operations of one timestep, oldest first."""

    def __init__(self, source: Source, t: int) -> None:
        super().__init__(source, t)
        self.cut: set[int] = set()
        self.folded: dict[int, tuple[Node, ...]] = {}
        self.recipes: dict[int, int] = {}
        self.known: dict[tuple[object, ...], int] = {}
        self.functions: dict[tuple[str, ...], dict[int, int]] = {}
        for name, value in self.before.items():
            self._port(value, entering(name))
        self._port(self.run.inputs[t], entering("x"))
        self.circle: Key | None = None

    def _port(self, value: Tensor, key: Key) -> None:
        if value in self.graph:
            self.at[self.graph.find(value).index] = key

    def step(self) -> Step:
        for node in self.source.nodes[self.t]:
            if node.index not in self.at and not node.is_leaf:
                self._add(node)
        states = []
        for name, value in self.states.items():
            states.append((name, self._place_of(value, name)))
        return Step(self.source.layer, self.t, tuple(self.items), tuple(states), self.circle)

    def _place_of(self, value: Tensor, name: str) -> Key:
        index = self.graph.find(value).index
        return self.at[index] if index in self.at else entering(name)

    # ------------------------------------------------------------------------------------ one node

    def _add(self, node: Node) -> None:
        lines = list(self._lines(node))
        if not lines or self._is_folded(node, lines):
            self._fold(node, lines)
            return
        owner = self.source.owners.get(node.index)
        key = self._key(Key("operation", node.op, owner))
        label = self._label(node)
        folded = dict.fromkeys(n for k in node.inputs for n in self.folded.get(k, ()))
        learned = self._reads_parameter(node)
        self.items.append(self.operation(key, label, owner, lines, (node, *folded), is_straight(node), learned))
        self.at[node.index] = key
        name = self._name(node)
        if name is not None:
            self._add_value(node, name, key)

    def _reads_parameter(self, node: Node) -> bool:
        operands = [n for k in node.inputs for n in (self.graph.nodes[k], *self.folded.get(k, ()))]
        inner = [self.graph.nodes[k] for n in operands if is_view(n) for k in n.inputs]
        return any(n.op == "parameter" for n in (*operands, *inner))

    def _add_value(self, node: Node, name: str, key: Key) -> None:
        """A named value is drawn beside its operation, and feeds what the operation feeds.

        The output's circle stands outside the frame and feeds nothing inside it.
        """
        assert node.tensor is not None
        link = Link(key, (node.tensor.id, -1), node=node.index)
        item = self.named_value(self._key(Key("value", name)), name, node, link, node)
        self.items.append(item)
        if node.tensor.id == self.run.outputs[self.t].id:
            self.circle = item.key
        else:
            self.at[node.index] = item.key

    # ------------------------------------------------------------------------------- what it reads

    def _lines(self, node: Node) -> Iterator[Link]:
        for operand, index in enumerate(node.inputs):
            source = self.graph.nodes[index]
            if index not in self.at and index not in self.labels and not source.is_leaf:
                self._from_elsewhere(source)
            if index in self.at:
                assert node.tensor is not None
                cut = (node.index, operand) in self.source.cuts or index in self.cut
                yield Link(self.at[index], (node.tensor.id, operand), cut, node=index)

    def _from_elsewhere(self, source: Node) -> None:
        """A value of another timestep, or from outside, that is no state: a stand-in with its name."""
        elsewhen = source.timestep is not None and source.timestep != self.t
        label = Label(source.name or source.op, time=subscript(source.timestep or 0) if elsewhen else "")
        key = self._key(Key("outside", str(label)))
        width = max(32.0, oval_width(str(label), 12, 20))
        self.items.append(Item(key, "ellipse", label, "value", (width, 20.0), (), value=source))
        self.at[source.index] = key

    def _is_folded(self, node: Node, lines: Sequence[Link]) -> bool:
        """Whether an operation only serves the machine: no shape of its own, told in its consumer's tooltip.

        The gradient's stop on a state that enters is drawn as a cut in the state's line.
        """
        if self._name(node) is not None:
            return False
        return is_view(node) or (node.op == "stop_gradient" and lines[0].source.is_port)

    def _fold(self, node: Node, lines: Sequence[Link]) -> None:
        inner = dict.fromkeys(n for k in node.inputs for n in self.folded.get(k, ()))
        self.folded[node.index] = (*inner, node)
        if lines:
            self.at[node.index] = lines[0].source
            if node.op == "stop_gradient" or lines[0].cut:
                self.cut.add(node.index)
        else:
            self.recipes[node.index] = self._recipe(node)
            self.labels[node.index] = str(self._label(node)) if is_view(node) or node.op == "getitem" else _UNREAD

    def _text(self, index: int) -> str | None:
        """Functions of parameters are counted when they are read, for those in between are never seen."""
        if self.labels.get(index) == _UNREAD:
            self.labels[index] = self._function(self.graph.nodes[index])
        return super()._text(index)

    def _function(self, node: Node) -> str:
        """What is computed from parameters alone: ``f(nu, theta)``, and of the same parameters otherwise ``f₂(nu,
        theta)``.
        """
        operands = (self.graph.nodes[k] for inner in (node, *self.folded[node.index]) for k in inner.inputs)
        names = dict.fromkeys(operand.name for operand in operands if operand.op == "parameter" and operand.name)
        if not names:
            return str(self._label(node))
        alike = self.functions.setdefault(tuple(names), {})
        number = alike.setdefault(self.recipes[node.index], len(alike) + 1)
        return f"f{subscript(number) if number > 1 else ''}({', '.join(names)})"

    def _recipe(self, node: Node) -> int:
        """A number for how a value is computed from leaves: what is computed in the same way has the same."""
        settings = tuple(sorted((key, repr(value)) for key, value in node.attributes.items()))
        leaves = {k: self.graph.nodes[k] for k in node.inputs if k not in self.recipes}
        operands = tuple(
            self.recipes[k]
            if k not in leaves
            else (leaves[k].value.tobytes() if leaves[k].op == "constant" else -1 - k)
            for k in node.inputs
        )
        return self.known.setdefault((node.op, settings, operands), len(self.known))
