"""Affine maps of which slices serve different gates, and what is shared otherwise and gets a letter.

A slice of an affine map is the same map with the rows of its weights; a block is the (start, stop) of such a slice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tinygrad_rnn import Node

from .symbols import Symbols

__all__ = ["Blocks"]

_ARITHMETIC = frozenset({"add", "subtract", "multiply", "divide", "negative"})
_VIEWS = frozenset({"transpose", "reshape", "broadcast_to", "astype", "identity", "stop_gradient", "getitem"})


class Blocks:
    """The affine maps of one timestep that are cut into blocks.

    Attributes
    ----------
    sliced : set of int
        The nodes of those maps.
    labels : dict of (leaf, block) to str
        What a block of a weight serves, where each of its blocks serves one gate alone.
    """

    def __init__(self, symbols: Symbols) -> None:
        self.symbols, self.graph = symbols, symbols.graph
        self.readers: dict[int, list[Node]] = {}
        for node in symbols.nodes:
            for k in node.inputs:
                self.readers.setdefault(k, []).append(node)
        self.uses = Counter(
            k for node in symbols.nodes if node.index in symbols.computed for k in node.inputs if k in symbols.computed
        )
        self.sliced = self._find_sliced()
        self.labels = self._find_labels()

    def sliced_at(self, node: Node) -> tuple[int, int] | None:
        """Start and stop of a slice of the features of a batch of vectors; None for anything else."""
        if node.op != "getitem":
            return None
        operand = self.graph.nodes[node.inputs[0]]
        index = node.attributes["index"]
        if (
            not self.symbols.is_data.get(operand.index)
            or len(operand.shape) != 2
            or not isinstance(index, tuple)
            or len(index) != 2
        ):
            return None
        rows, columns = index
        if not (isinstance(columns, slice) and isinstance(rows, (slice, type(Ellipsis)))) or rows not in (
            slice(None),
            Ellipsis,
        ):
            return None
        start, stop, step = columns.indices(operand.shape[1])
        return (start, stop) if step == 1 else None

    def _find_sliced(self) -> set[int]:
        """The affine maps of which slices may be taken one by one; also names what is shared by other operations."""
        sliced: set[int] = set()
        for node in self.symbols.nodes:
            k = node.index
            if k not in self.symbols.computed:
                continue
            self.symbols.is_data[k] = any(self.symbols.is_data.get(operand, False) for operand in node.inputs)
            if k in self.symbols.by_node:
                continue
            affine = self._is_affine(node, sliced)
            if affine and all(self.sliced_at(reader) for reader in self.readers.get(k, [])):
                sliced.add(k)
            elif self.uses[k] > 1 and not self._is_light(node):
                self.symbols.by_node[k] = self.symbols.fresh(0 if self.symbols.is_data[k] else None)
            elif affine:
                sliced.add(k)
        return sliced

    def _is_affine(self, node: Node, sliced: set[int]) -> bool:
        """Whether each block of its rows is the same operation on blocks of weights."""
        is_data = self.symbols.is_data
        if len(node.shape) != 2 or not is_data[node.index]:
            return False
        if node.op == "matmul":
            left, right = node.inputs
            return (
                self.symbols.is_data[left]
                and not self.symbols.is_data[right]
                and len(self.graph.nodes[right].shape) == 2
            )
        if node.op not in _ARITHMETIC:
            return False
        kinds = [k in sliced for k in node.inputs]
        fits = [
            s or not is_data[k] or self.graph.nodes[k].shape[-1] == 1 for s, k in zip(kinds, node.inputs, strict=True)
        ]
        return any(kinds) and all(fits)

    def _is_light(self, node: Node) -> bool:
        """Whether it is written again rather than named: nothing but a view of what has a name."""
        while node.index in self.symbols.computed and node.index not in self.symbols.by_node:
            if node.op not in _VIEWS:
                return False
            node = self.graph.nodes[node.inputs[0]]
        return True

    def members(self, root: int) -> list[int]:
        """The affine maps below `root` that are cut into blocks with it, operands first."""
        found, stack = {root}, [root]
        while stack:
            for k in self.graph.nodes[stack.pop()].inputs:
                if k in self.sliced and k not in found:
                    found.add(k)
                    stack.append(k)
        return sorted(found)

    def _find_labels(self) -> dict[tuple[int, tuple[int, int]], str]:
        """What each block of a leaf serves, for leaves of which every block serves one gate that no other serves."""
        claims: dict[int, dict[tuple[int, int], set[str | None]]] = {}
        for node in self.symbols.nodes:
            block = self.sliced_at(node) if node.index in self.symbols.computed else None
            if block is None:
                continue
            root = node.inputs[0]
            for leaf in self._leaves(root) if root in self.sliced else [root]:
                claims.setdefault(leaf, {}).setdefault(block, set()).add(self.symbols.source.owners.get(node.index))
        labels: dict[tuple[int, tuple[int, int]], str] = {}
        for leaf, blocks in claims.items():
            owners = [next(iter(o)) for o in blocks.values() if len(o) == 1]
            known = [o for o in owners if o is not None]
            if len(known) == len(blocks) == len(set(known)) > 1 and leaf not in self.symbols.ports:
                labels |= {(leaf, block): owner for block, owner in zip(blocks, known, strict=True)}
        return labels

    def _leaves(self, root: int) -> Iterator[int]:
        """The weights below an affine map."""
        for member in self.members(root):
            for k in self.graph.nodes[member].inputs:
                yield from () if k in self.sliced or self.symbols.is_data[k] else (self.weight(k),)

    def weight(self, index: int) -> int:
        """The matrix of which `index` is the transpose, or itself."""
        node = self.graph.nodes[index]
        return node.inputs[0] if node.op == "transpose" and index not in self.symbols.by_node else index
