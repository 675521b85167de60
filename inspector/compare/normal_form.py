"""A timestep in the form of its equations: one affine map a gate, one plus and one bias for a whole sum.

Cells that compute the same thing are written in many ways: one matrix for all gates, cut into slices; one matrix for
input and state joined; a sum added up in this order or that. A slice of a product is the product of a slice, a product
of joined values is a sum of products, sums associate, and two biases are one. So everything can be brought to one form
before two cells are compared. What a slice cuts that is no affine map stays as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ..steps.items import Item, Key, Link, Step
from ..steps.labels import Label, symbol
from ..text import label_width

__all__ = ["to_normal_form"]

_LINEAR = frozenset({"add", "subtract", "negative", "multiply"})
_PLUS = Label(symbol("add"))
_Term = Link | Item
"""A summand: a value that is computed, or the item that adds a parameter or a constant."""


def to_normal_form(step: Step) -> Step:
    """The same computation with products and sums in the one form that equations have."""
    return _flatten_sums(_without_idle(_slice_maps(_without_idle(_split_joined_products(step)))))


# ------------------------------------------------------------------------------ products of joined values


def _split_joined_products(step: Step) -> Step:
    """The product of joined values as the sum of a product of each."""
    keys = _Keys(step)
    items: list[Item] = []
    for item in step.items:
        joined = step.by_key.get(item.links[0].source) if item.links else None
        if joined is None or not (_is_product(item) and _joins_features(joined)):
            items.append(item)
            continue
        product = item.links[0]
        parts = [
            replace(item, key=keys.new(item.key), links=(product._replace(source=link.source, node=link.node),))
            for link in joined.links
        ]
        items += parts
        lines = tuple(Link(part.key, node=item.nodes[0].index) for part in parts)
        total = replace(item.nodes[0], op="add", attributes={})
        items.append(Item(item.key, "circle", _PLUS, item.role, (24.0, 24.0), lines, (total,), diagonal=True))
    return step.with_items(items)


def _is_product(item: Item) -> bool:
    """Whether it multiplies one computed value, on the left, by a learned matrix."""
    edges = [link.edge for link in item.links]
    return _op(item) == "matmul" and item.learned and len(edges) == 1 and edges[0] is not None and edges[0][1] == 0


def _joins_features(item: Item) -> bool:
    node = item.nodes[0] if item.nodes else None
    if node is None or _op(item) != "concatenate" or len(item.links) != len(node.inputs):
        return False
    return node.attributes.get("axis") in (-1, len(node.shape) - 1)


# ------------------------------------------------------------------------------ slices of affine maps


def _slice_maps(step: Step) -> Step:
    """Slices of affine maps as affine maps of their own."""
    keys = _Keys(step)
    affine: dict[Key, Item] = {}
    made: dict[tuple[Key, Label], Key] = {}
    alias: dict[Key, Key] = {}
    items: list[Item] = []
    for item in step.items:
        if _is_affine(item, affine):
            affine[item.key] = item
        source = item.links[0].source if item.links else None
        if source not in affine or not _cuts_features(item):
            items.append(_redirect_links(item, alias))
            continue
        for inner in _behind(affine[source], affine):
            if (inner.key, item.label) in made:
                continue
            slice_key = keys.new(Key("operation", _op(inner), item.key.owner))
            made[inner.key, item.label] = slice_key
            lines = tuple(
                link._replace(source=made.get((link.source, item.label), link.source)) for link in inner.links
            )
            items.append(replace(inner, key=slice_key, role=item.role, links=lines))
        alias[item.key] = made[source, item.label]
    states = tuple((name, alias.get(key, key)) for name, key in step.states)
    return replace(step, items=tuple(items), states=states)


def _is_affine(item: Item, affine: dict[Key, Item]) -> bool:
    """Whether slicing it is slicing its parameters."""
    if _is_product(item):
        return True
    by_row = _op(item) in _LINEAR and (len(item.links) == 1 or _op(item) != "multiply")
    return by_row and all(_same_width(item, affine.get(link.source)) for link in item.links)


def _same_width(item: Item, source: Item | None) -> bool:
    return source is not None and bool(item.links) and source.nodes[0].shape[-1:] == item.nodes[0].shape[-1:]


def _cuts_features(item: Item) -> bool:
    index = item.nodes[0].attributes.get("index") if _op(item) == "getitem" else None
    if not isinstance(index, tuple) or len(index) != len(item.nodes[0].shape):
        return False
    if not all(isinstance(part, slice) for part in index):
        return False
    return all(part == slice(None) for part in index[:-1]) and index[-1].step in (None, 1)


def _behind(item: Item, affine: dict[Key, Item]) -> list[Item]:
    """The affine map that ends in `item`, operands first."""
    found, stack = {item.key}, [item]
    while stack:
        for link in stack.pop().links:
            if link.source in affine and link.source not in found:
                found.add(link.source)
                stack.append(affine[link.source])
    return [inner for key, inner in affine.items() if key in found]


# ------------------------------------------------------------------------------ sums


def _flatten_sums(step: Step) -> Step:
    """Nested sums as one plus with all computed summands, then one with the parameters, and one for each constant."""
    readers = Counter(link.source for item in step.items for link in item.links)
    readers.update(key for _, key in step.states)
    terms: dict[Key, list[_Term]] = {}
    inside: set[Key] = set()
    for item in step.items:
        if not _is_sum(item):
            continue
        terms[item.key] = []
        for link in item.links:
            alone = link.source in terms and readers[link.source] == 1 and not link.cut
            terms[item.key] += terms[link.source] if alone else [link]
            inside.update([link.source] if alone else [])
        if len(item.links) == 1:
            terms[item.key].append(item)
    alias: dict[Key, Key] = {}
    items: list[Item] = []
    for item in step.items:
        if item.key in terms and item.key not in inside:
            summands = [
                _redirect_links(term, alias) if isinstance(term, Item) else _redirect(term, alias)
                for term in terms[item.key]
            ]
            chain = _chain(_redirect_links(item, alias), summands)
            items += chain
            alias[item.key] = chain[-1].key
        elif item.key not in inside:
            items.append(_redirect_links(item, alias))
    states = tuple((name, alias.get(key, key)) for name, key in step.states)
    return replace(step, items=tuple(items), states=states)


def _is_sum(item: Item) -> bool:
    return _op(item) == "add" and bool(item.links)


def _chain(top: Item, terms: list[_Term]) -> list[Item]:
    """The items that add up `terms`; the plus of the computed ones has the key of `top`."""
    lines = tuple(term for term in terms if isinstance(term, Link))
    fixed = _one_bias([term for term in terms if isinstance(term, Item)])
    chain: list[Item] = []
    if len(lines) > 1:
        plus = replace(top, shape="circle", label=_PLUS, size=(24.0, 24.0), learned=False)
        key = top.key._replace(name=f"{top.key.name}.sum") if top.key in [f.key for f in fixed] else top.key
        chain.append(replace(plus, links=lines, key=key))
    for item in fixed:
        link = Link(chain[-1].key, item.links[0].edge, node=item.links[0].node) if chain else lines[0]
        chain.append(replace(item, links=(link,), role=top.role))
    return chain


def _one_bias(fixed: list[Item]) -> list[Item]:
    """Several parameters that are added are one."""
    biases = [item for item in fixed if item.learned]
    if len(biases) < 2:
        return fixed
    label = biases[0].label._replace(operand=" + ".join(item.label.operand for item in biases))
    nodes = tuple(dict.fromkeys(node for item in biases for node in item.nodes))
    bias = replace(biases[0], label=label, size=(label_width(str(label)) + 12, biases[0].size[1]), nodes=nodes)
    return [bias, *(item for item in fixed if not item.learned)]


# ------------------------------------------------------------------------------ shared by the three


class _Keys:
    """Keys that no item of a step has yet."""

    def __init__(self, step: Step) -> None:
        self.taken = set(step.by_key)

    def new(self, key: Key) -> Key:
        while key in self.taken:
            key = key._replace(number=key.number + 1)
        self.taken.add(key)
        return key


def _op(item: Item) -> str:
    return item.nodes[0].op if item.nodes and item.value is None else ""


def _redirect(link: Link, alias: dict[Key, Key]) -> Link:
    return link._replace(source=alias.get(link.source, link.source))


def _redirect_links(item: Item, alias: dict[Key, Key]) -> Item:
    return replace(item, links=tuple(_redirect(link, alias) for link in item.links))


def _without_idle(step: Step) -> Step:
    """Without products and slices that nothing reads any more; what has a name stays."""
    read = {key for _, key in step.states}
    kept = []
    for item in reversed(step.items):
        if item.key in read or item.value is not None or item.key == step.output:
            kept.append(item)
            read.update(link.source for link in item.links)
    return step.with_items(kept[::-1])
