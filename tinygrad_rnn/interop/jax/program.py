"""from_jax: a function of JAX as a function of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ...autodiff.tensor import Tensor
from ...recurrent.unroll import Run
from ..imported import Imported, Layer, Port
from ..refusal import UnsupportedError
from ..weights import printable
from .arguments import Signature, closed_over
from .build import WHO, Builder
from .graph import Frame, Graph, Known
from .names import unique

__all__ = ["JaxProgram", "Traced"]


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
            kept.append(jax.tree_util.tree_structure(results))
            pairs, _ = jax.tree_util.tree_flatten_with_path(results)
            kept.append([jax.tree_util.keystr(path) for path, _ in pairs])
            return [leaf for _, leaf in pairs]

        traced = jax.make_jaxpr(function)(*kinds)
        self.labels = [_label(path) for path in kept[-1]]
        self.outputs = list(traced.out_avals)
        if not self.outputs:
            raise ValueError(f"{WHO}: {printable(signature.name)} gives back no array")
        self.builder = builder = Builder()
        leaves = [(kind, label) for kind, label, _ in signature.leaves if kind != "constant"]
        numbers = [builder.new(aval) for aval in traced.in_avals]
        builder.titles |= {n: label for n, (_, label) in zip(numbers, leaves, strict=True)}
        self.consts: dict[str, Any] = {}
        taken = [label for _, label in leaves]
        values: dict[Any, Any] = dict(zip(traced.jaxpr.invars, numbers, strict=True))
        for variable, value in zip(traced.jaxpr.constvars, traced.consts, strict=True):
            name = self._parameter(value, around)
            if not name:
                values[variable] = Known(value)
                continue
            name = unique([name], [*taken, *self.consts])[0]
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
        return "closed_over" if isinstance(value, jax.Array) else ""


def _label(path: str) -> str:
    parts = path.replace("['", ".").replace("']", "").replace("[", ".").replace("]", "").strip(".")
    return parts or "output"


class JaxProgram:
    """A function that can be run, traced once for all inputs of the same shapes."""

    format = "JAX"
    optional: frozenset[str] = frozenset()

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.producer = f"jax {jax.__version__}"
        self._around = closed_over(signature.function)
        self._known: dict[Any, Traced] = {}
        leaves = signature.leaves
        examples = {label: leaf for kind, label, leaf in leaves if kind == "input"}
        self.parameters = {label: np.array(leaf) for kind, label, leaf in leaves if kind == "parameter"}
        for kind, label, leaf in leaves:
            if kind != "constant":
                _check_kind(signature.name, label, leaf)
        kinds = {label: jax.eval_shape(lambda x: x, leaf) for label, leaf in examples.items()}
        first = self.traced(kinds)
        self.parameters |= {name: np.array(value) for name, value in first.consts.items()}
        self.inputs = {label: Port(tuple(kind.shape), np.dtype(kind.dtype)) for label, kind in kinds.items()}
        self.outputs = {
            label: Port(tuple(kind.shape), np.dtype(kind.dtype))
            for label, kind in zip(first.labels, first.outputs, strict=True)
        }
        self.layers = tuple(_layers(first))
        self.first = first

    def traced(self, kinds: Mapping[str, Any]) -> Traced:
        """The function for inputs of some shapes."""
        key = tuple((label, tuple(kind.shape), str(kind.dtype)) for label, kind in kinds.items())
        if key not in self._known:
            given = [
                kinds[label] if kind == "input" else jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
                for kind, label, leaf in self.signature.leaves
                if kind != "constant"
            ]
            self._known[key] = Traced(self.signature, given, self._around)
        return self._known[key]

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
            count = sum(int(np.prod(builder.kind(n).shape)) for n in operation.reads)
            note = f"{plan.steps} steps, {sum(part.size for part in plan.parts)} -> {plan.states[0].size}"
            note += ", from the end" if plan.reverse else ""
            size = sum(int(np.prod(builder.kind(n).shape)) for n in operation.operands[: len(plan.weights)])
            del count
            found.append(Layer(plan.name, "scan", tuple(reads), (plan.name,), size, True, note))
        elif operation.kind in ("dot_general", "gather", "conv_general_dilated") and reads:
            size = sum(int(np.prod(builder.kind(n).shape)) for n in operation.reads if n in titles)
            found.append(Layer(reads[-1], operation.kind, tuple(reads), (), size))
    return found


class JaxFunction(Imported):
    """What :func:`tinygrad_rnn.from_jax` gives: called with the inputs, or with all arguments of the function."""

    def _given(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        return super()._given(args, named)
