"""from_jax: a function of JAX as a function of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ...autodiff.tensor import Tensor
from ...plurals import counted
from ...recurrent.unroll import Run
from ..imported import Call, Imported, Layer, Port
from ..refusal import UnsupportedError
from ..weights import printable
from .arguments import Argument, Signature, closed_over
from .axes import free_axes
from .build import WHO, Builder
from .graph import Frame, Graph, Known
from .names import label as label_of
from .names import unique

__all__ = ["JaxFunction", "JaxProgram", "Traced"]


class Traced:
    """A function at certain shapes.

    Attributes
    ----------
    graph : Graph
        From inputs, parameters and closed-over arrays to the outputs.
    builder : Builder
    outputs : list of ShapeDtypeStruct
    labels : list of str
        What the outputs are called.
    consts : dict of str to array
        Closed-over arrays that are parameters, by name.
    """

    def __init__(self, signature: Signature, kinds: Sequence[Any], around: Mapping[int, str]) -> None:
        kept: list[Any] = []

        def function(*values: Any) -> Any:
            results = signature.call(values)
            pairs, _ = jax.tree_util.tree_flatten_with_path(results)
            kept.append([jax.tree_util.keystr(path) for path, _ in pairs])
            return [leaf for _, leaf in pairs]

        traced = jax.make_jaxpr(function)(*kinds)
        self.labels = [label_of(path) or "output" for path in kept[-1]]
        self.outputs = list(traced.out_avals)
        if not self.outputs:
            raise ValueError(f"{WHO}: {printable(signature.name)} gives back no array")
        self.builder = builder = Builder()
        titles = [title for kind, title, _ in signature.leaves if kind != "constant"]
        numbers = [builder.new(aval) for aval in traced.in_avals]
        builder.titles |= zip(numbers, titles, strict=True)
        self.consts: dict[str, Any] = {}
        values: dict[Any, Any] = dict(zip(traced.jaxpr.invars, numbers, strict=True))
        for variable, value in zip(traced.jaxpr.constvars, traced.consts, strict=True):
            name = self._parameter(value, around)
            if not name:
                values[variable] = Known(value)
                continue
            name = unique([name], [*titles, *self.consts])[0]
            self.consts[name] = value
            values[variable] = builder.new(variable.aval)
            builder.titles[values[variable]] = name
        inputs = [*numbers, *(values[v] for v in traced.jaxpr.constvars if not isinstance(values[v], Known))]
        results = builder.walk(traced.jaxpr, values)
        self.graph: Graph = builder.graph(inputs, results)

    def _parameter(self, value: Any, around: Mapping[int, str]) -> str:
        """The name of a closed-over array that is a parameter; empty if it is none."""
        if not isinstance(value.dtype, np.dtype) or value.dtype.kind != "f":
            return ""
        held = getattr(value, "val", value)
        if id(held) in around or id(value) in around:
            return around.get(id(held)) or around[id(value)]
        return ""


class JaxProgram:
    """A function that can be run, traced once for all inputs of the same shapes."""

    format = "JAX"
    optional: frozenset[str] = frozenset()

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.producer = f"jax {jax.__version__}"
        self._around = dict(closed_over(signature.function))
        self._known: dict[Any, Traced] = {}
        leaves = signature.leaves
        examples = {label: leaf for kind, label, leaf in leaves if kind == "input"}
        self.parameters = {label: np.array(leaf) for kind, label, leaf in leaves if kind == "parameter"}
        for kind, label, leaf in leaves:
            if kind != "constant":
                _check_kind(signature.name, label, leaf)
        kinds = {label: jax.eval_shape(lambda x: x, leaf) for label, leaf in examples.items()}
        self._traced_before = self._jaxpr(kinds)  # kept, since what it holds is told apart by who it is
        for value in self._traced_before.consts:
            if isinstance(value, jax.Array):
                self._around.setdefault(id(value), "closed_over")
        first = self.traced(kinds)
        self.parameters |= {name: np.array(value) for name, value in first.consts.items()}
        self.kinds = kinds
        self.axes = free_axes(kinds, self._jaxpr)
        self.inputs = {label: _port(kind, self.axes.inputs, label) for label, kind in kinds.items()}
        self.outputs = {
            label: _port(kind, self.axes.outputs, k)
            for k, (label, kind) in enumerate(zip(first.labels, first.outputs, strict=True))
        }
        self.layers = tuple(_layers(first))

    def _given(self, kinds: Mapping[str, Any]) -> list[Any]:
        """Shapes and dtypes of all that is no constant."""
        return [
            kinds[label] if kind == "input" else jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
            for kind, label, leaf in self.signature.leaves
            if kind != "constant"
        ]

    def _jaxpr(self, kinds: Mapping[str, Any]) -> Any:
        return jax.make_jaxpr(lambda *values: self.signature.call(values))(*self._given(kinds))

    def traced(self, kinds: Mapping[str, Any]) -> Traced:
        """The function for inputs of some shapes."""
        key = tuple((label, tuple(kind.shape), str(kind.dtype)) for label, kind in kinds.items())
        if key not in self._known:
            made = self._known[key] = Traced(self.signature, self._given(kinds), self._around)
            made.builder.at_batch = self._at_batch
        return self._known[key]

    def _at_batch(self, name: str, batch: int) -> Any:
        """The plan of a loop for another batch; None if the function takes no other."""
        for axis in dict.fromkeys(self.axes.inputs.values()):
            loops = self.traced(self.axes.resized(self.kinds, axis, batch)).builder.loops.values()
            found = next((plan for plan in loops if plan.name == name and plan.batch == batch), None)
            if found is not None and not axis.startswith("T"):
                return found
        return None

    def run(
        self, values: dict[str, Tensor], parameters: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Run]]:
        """The outputs, and the runs of the loops."""
        kinds = {label: jax.ShapeDtypeStruct(values[label].shape, self.inputs[label].dtype) for label in self.inputs}
        traced = self.traced(kinds)
        given = [
            values[label] if kind == "input" else parameters[label]
            for kind, label, _ in self.signature.leaves
            if kind != "constant"
        ]
        runs: dict[str, Run] = {}
        results = traced.graph.run([*given, *(parameters[name] for name in traced.consts)], Frame(runs))
        tensors = [
            value if isinstance(value, Tensor) else Tensor(np.array(value, kind.dtype))
            for value, kind in zip(results, traced.outputs, strict=True)
        ]
        return dict(zip(traced.labels, tensors, strict=True)), runs


def _port(kind: Any, names: Mapping[Any, str], who: Any) -> Port:
    return Port(tuple(names.get((who, axis), n) for axis, n in enumerate(kind.shape)), np.dtype(kind.dtype))


def _check_kind(name: str, label: str, leaf: Any) -> None:
    kind = np.asarray(leaf).dtype if isinstance(leaf, float) else leaf.dtype
    if jax.numpy.issubdtype(kind, jax.numpy.inexact) and kind not in (np.float32, np.float64):
        raise UnsupportedError(
            f"{WHO}: {printable(label)} of {printable(name)} holds {kind}, which has no counterpart here;"
            " use float32 or float64"
        )


def _layers(traced: Traced) -> list[Layer]:
    """The loops, and what else reads parameters."""
    builder = traced.builder
    titles = builder.titles
    found = []
    for operation in traced.graph.operations:
        reads = [titles[n] for n in operation.reads if n in titles]
        plan = builder.loops.get(operation.outputs[0])
        if plan is not None:
            note = f"{plan.steps} steps, {sum(part.size for part in plan.parts)} -> {plan.states[0].size}"
            note += ", from the end" if plan.reverse else ""
            size = sum(int(np.prod(builder.kind(n).shape)) for n in operation.operands[: len(plan.weights)])
            found.append(Layer(plan.name, "scan", tuple(reads), (plan.name,), size, True, note))
        elif operation.kind in ("dot_general", "gather", "conv_general_dilated") and reads:
            size = sum(int(np.prod(builder.kind(n).shape)) for n in operation.reads if n in titles)
            found.append(Layer(reads[-1], operation.kind, tuple(reads), (), size))
    return found


class JaxFunction(Imported):
    """What :func:`tinygrad_rnn.from_jax` gives: called as the function is, with or without its parameters."""

    def __init__(self, program: JaxProgram, name: str) -> None:
        super().__init__(program, program.parameters, name)
        self._arguments = [one for one in program.signature.arguments if one.name != "module"]

    def __call__(self, *args: Any, **named: Any) -> Call:
        """Run it.

        Parameters
        ----------
        *args, **named
            The inputs, by position or by name, with Tensors or arrays for leaves: as many arguments as the function has
            inputs. With as many as it has arguments, parameters among them, these count instead of its own.

        Returns
        -------
        Call

        Raises
        ------
        TypeError
            If an input is missing, unknown or given twice.
        ValueError
            If one has the wrong structure, dtype, number of axes or size.
        """
        inputs, parameters = self._flat(args, named)
        given = self._given((), inputs)
        sizes: dict[str, tuple[int, str]] = {}
        values = {name: self._value(name, given[name], sizes) for name in self.inputs}
        return Call(*self._program.run(values, {**self._parameters, **parameters}))

    def _flat(self, args: Sequence[Any], named: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """All inputs, and parameters if they are given, by the names of their leaves."""
        asked = [one for one in self._arguments if "input" in one.kinds]
        if len(args) + len(named) == len(self._arguments) > len(asked):
            asked = self._arguments
        if len(args) > len(asked):
            names = ", ".join(one.name for one in asked)
            raise TypeError(f"{self._who}: takes {counted(len(asked), 'input')} ({names}), got {len(args)}")
        whole = dict(zip((one.name for one in asked), args, strict=False))
        leaves: dict[str, Any] = {}
        for name, value in named.items():
            if name in whole:
                raise TypeError(f"{self._who}: input {name!r} is given twice")
            known = any(one.name == name and name not in self.inputs for one in self._arguments)
            (whole if known else leaves)[name] = value
        inputs, parameters = dict(leaves), {}
        for one in self._arguments:
            if one.name in whole:
                for kind, label, value in self._leaves(one, whole[one.name]):
                    if kind == "input":
                        inputs[label] = value
                    elif kind == "parameter":
                        parameters[label] = self._parameter(label, value)
        return inputs, parameters

    def _leaves(self, argument: Argument, value: Any) -> Iterator[tuple[str, str, Any]]:
        if jax.tree_util.treedef_is_leaf(argument.tree):
            return zip(argument.kinds, argument.labels, [value], strict=True)
        leaves, tree = jax.tree_util.tree_flatten(value)
        if tree != argument.tree:
            raise ValueError(
                f"{self._who}: {printable(argument.name)} has the structure {printable(str(argument.tree))}, got"
                f" {printable(str(tree))}"
            )
        return zip(argument.kinds, argument.labels, leaves, strict=True)

    def _parameter(self, label: str, value: Any) -> Tensor:
        own = self._parameters[label]
        tensor = value if isinstance(value, Tensor) else Tensor(np.asarray(value, own.dtype), name=label)
        if tensor.shape != own.shape:
            raise ValueError(f"{self._who}: {printable(label)} has shape {own.shape}, got {tensor.shape}")
        return tensor
