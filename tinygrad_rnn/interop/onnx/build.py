"""Graphs out of a file: names made unique, nodes put in order, operators looked up; whatever is wrong is said here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..packages import import_package
from ..refusal import UnsupportedError
from ..weights import printable
from . import ops  # noqa: F401 - which fills the table
from .file import DTYPES, PRODUCER, Source, defaults_of, is_open, shapes_of
from .graph import Circle, Graph, Node, apply, ordered
from .inlined import Frame, call_of, scope_of
from .operators import OPERATORS, Operator, Runs
from .origins import DEEPEST, layers_of, line_of, with_layers
from .recognise import recognised
from .starts import is_read, kind_of, matrices_of_zeros, products_ahead, with_products, zeros_to_start_from
from .wiring import is_zero

__all__ = ["Builder"]

OLDEST = 7
"""From here on opsets are known; of older ones what has not changed up to here."""
FOLDED = 2**10
"""How many numbers may go into a node that is computed while loading."""
GROWING = frozenset({"ConstantOfShape", "Einsum", "Expand", "OneHot", "Pad", "Range", "Resize", "Tile", "Upsample"})
"""What makes much out of few numbers, and may not be asked for."""
INLINED = 2**18
"""How many nodes functions may become where they are called: each may call others several times."""


class Builder:
    """The graph of a model, with its constants and parameters.

    Attributes
    ----------
    graph : Graph
    parameters, constants : dict of str to array
        Initialisers of floating point and arrays of such in nodes of constants; and everything else that is known.
    places : dict of str to TensorProto
        Where in the model the parameters stand, but for those of functions, which may stand for several.
    ahead : dict of str to tuple of Node
        From what the model keeps, computed of parameters, to what computes it.
    """

    def __init__(self, model: Any, source: Source) -> None:
        self.onnx = import_package("onnx", source.name)
        self.source = source
        self.parameters: dict[str, Any] = {}
        self.constants: dict[str, Any] = {}
        self.places: dict[str, Any] = {}
        self.ahead: dict[str, tuple[Node, ...]] = {}
        self.names: Counter[str] = Counter()
        self.nodes: Counter[str] = Counter()
        self.opset = self._opset(model)
        self.frame = Frame(self.opset)
        self.functions = {(f.domain, f.name, f.overload): f for f in model.functions}
        self.inlined = 0
        self.is_ours = model.producer_name == PRODUCER
        self.defaults = defaults_of(model)
        self.starts = {port.name for port in model.graph.input if port.name in self.defaults and is_open(port.type)}
        self.fixed: set[str] = set()
        self.shapes = shapes_of(model, self.defaults)
        self.graph = self._graph(model.graph, {}, 0)
        self.fixed.update((self.parameters.keys() | self.constants.keys()) - self.starts)
        self._fix(self.graph)
        learned = {name for name, value in self.parameters.items() if value.size > 1}
        known = {name: value for name, value in self.constants.items() if name not in self.defaults}
        self.graph = self._recognised(known, learned)

    def _recognised(self, known: Mapping[str, Any], learned: set[str]) -> Graph:
        """The graph with its loops; what they turn out to start from is no parameter."""
        own = {name: value for name, value in self.parameters.items() if name not in self.defaults}
        ahead = products_ahead(self.graph, own)
        begun = {one.start: one.zeros for one in ahead if one.zeros is not None}
        self.fixed.update(begun)
        plain = with_products(self.graph, ahead)
        zeros = matrices_of_zeros(plain, own)
        ranks = {name: value.ndim for name, value in {**known, **own}.items()}
        while True:
            graph = recognised(plain, {**known, **begun, **zeros}, learned - zeros.keys(), ranks)
            standing = {node.outputs for node in graph.nodes}
            left = {one.result for one in ahead if standing.issuperset([node.outputs for node in one.nodes])}
            unread = {node.outputs for one in ahead if one.result in left for node in one.nodes}
            graph = replace(graph, nodes=tuple([node for node in graph.nodes if node.outputs not in unread]))
            starts = zeros_to_start_from(graph, {**known, **own, **begun})
            same = {**{name: value for name, value in known.items() if is_zero(value)}, **begun, **zeros}
            read = {name for name in same if is_read(graph, name)}
            other = {kind_of(same[name]) for name in read - starts}
            left_over = {name: value for name, value in zeros.items() if kind_of(value) not in other}
            if len(left_over) == len(zeros):
                break
            zeros = left_over
        kinds = {kind_of(same[name]) for name in read & starts}
        starts |= {name for name, value in zeros.items() if kind_of(value) in kinds}  # which stand for one another
        for name in starts & self.parameters.keys():
            self.constants[name] = self.parameters.pop(name)
        needed = {one.start for one in ahead if one.result not in left or is_read(graph, one.start)}
        self.constants.update({name: value for name, value in begun.items() if name in needed})
        for one in ahead:
            if one.result not in left:
                del self.parameters[one.result]
                self.ahead[one.result] = one.nodes
        return graph

    def _opset(self, proto: Any, default: int | None = None) -> int:
        versions = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
        newest = self.onnx.defs.onnx_opset_version()
        if not versions and default is not None:
            return default
        if not versions:
            raise ValueError(f"{self.source.name} does not say the version of ONNX's own operators")
        if not 1 <= versions[0] <= newest:
            raise UnsupportedError(
                f"{self.source.name}: opset {versions[0]} is outside of 1 to {newest}; a newer onnx may know it"
            )
        return int(versions[0])

    def _fail(self, what: str) -> ValueError:
        return ValueError(f"{self.source.name}: {what}")

    def _fresh(self, name: str) -> str:
        """A name that no value of the model has yet: names of subgraphs may be the same."""
        self.names[name] += 1
        return name if self.names[name] == 1 else self._fresh(f"{name}.{self.names[name]}")

    def _graph(self, proto: Any, around: Mapping[str, str], depth: int) -> Graph:
        if depth > DEEPEST:
            raise self._fail(f"subgraphs stand in one another more than {DEEPEST} deep")
        if proto.sparse_initializer:
            raise UnsupportedError(f"{self.source.name}: sparse initialisers are not supported")
        known = dict(around)  # from names in the file to ours
        own: set[str] = set()

        def define(name: str) -> str:
            if name in own:
                raise self._fail(f"{printable(name)} is made twice")
            own.add(name)
            known[name] = self._fresh(name)
            return known[name]

        initial = {}
        for tensor in proto.initializer:
            initial[tensor.name] = self.source.array(tensor, printable(tensor.name) or "an initialiser")
            name = define(tensor.name)
            self._know(name, initial[tensor.name], not depth and tensor.name in self.starts)
            self.places[name] = tensor
        inputs = tuple(
            known[port.name] if port.name in initial else define(port.name)
            for port in proto.input
            if port.name not in initial or not depth
        )
        for node in proto.node:
            for name in node.output:
                if name:
                    define(name)
        nodes = [made for node in proto.node for made in self._nodes(node, known, depth)]
        try:
            in_order = with_layers(self._folded(ordered(nodes)))
        except Circle as circle:
            raise self._fail(f"the graph goes round in a circle through node {printable(str(circle))}") from None
        for port in proto.output:
            if port.name not in known:
                raise self._fail(f"output {printable(port.name)} is made by no node")
        outputs = tuple(known[port.name] for port in proto.output)
        made = {name for node in in_order for name in node.outputs}.union(inputs)
        captures = set(outputs).union(*[node.reads for node in in_order]) - made
        labels = {known[port.name]: port.name for port in (*proto.input, *proto.output) if port.name in known}
        empty = tuple(self._empty(port.type) for port in proto.output)
        return Graph(inputs, outputs, tuple(in_order), frozenset(captures), labels, empty, self.fixed)

    def _empty(self, kind: Any) -> Any:
        """No values of a type, along an axis in front."""
        if kind.WhichOneof("value") != "tensor_type" or kind.tensor_type.elem_type not in DTYPES:
            return None
        sizes = [max(axis.dim_value, 0) for axis in kind.tensor_type.shape.dim][:31]
        return np.zeros((0, *sizes), DTYPES[kind.tensor_type.elem_type])

    def _fix(self, graph: Graph) -> None:
        """Note which values depend on initialisers alone."""
        for node in graph.nodes:
            for inner in node.graphs:
                self.fixed.update(self._handed_on(node, inner))
                self._fix(inner)
            if node.reads <= self.fixed:
                self.fixed.update(node.outputs)

    def _handed_on(self, node: Node, inner: Graph) -> list[str]:
        """What a loop carries along and never changes, of what depends on initialisers alone."""
        count = len(node.inputs) - (2 if node.kind == "Loop" else node.attributes.get("num_scan_inputs", 0))
        first, result = (2, 1) if node.kind == "Loop" else (0, 0)
        if node.kind not in ("Loop", "Scan") or not 0 <= count <= len(inner.inputs) - first:
            return []
        same = inner.unchanged(first, result, count)
        return [inner.inputs[first + k] for k in same if node.inputs[first + k] in self.fixed]

    def _know(self, name: str, value: Any, is_start: bool) -> None:
        (self.parameters if value.dtype.kind == "f" and not is_start else self.constants)[name] = value

    def _folded(self, nodes: list[Node]) -> list[Node]:
        """Those that have to run in a call: what depends on constants alone, such as shapes, is computed here."""
        left = []
        for node in nodes:
            label = f"{self.source.name}: node {printable(node.name)} ({node.kind})"
            known = [self.constants.get(name) for name in node.inputs]
            given = dict(zip(node.operator.operands, known, strict=False))
            if (refuses := node.operator.refuses) and (
                why := refuses(outputs=len(node.outputs), given=given, **node.attributes)
            ):
                raise UnsupportedError(f"{label}: {why}")
            values = self._value(node)
            if values is None:
                left.append(node)
            else:
                self.constants.update((name, v) for name, v in zip(node.outputs, values, strict=False) if name)
        return left

    def _value(self, node: Node) -> list[Any] | None:
        """The results of a node that are known already, if they are small."""
        operands: Mapping[str, Any] = self.constants
        if node.kind in ("Shape", "Size") and node.inputs[0] in self.shapes:
            operands = {node.inputs[0]: np.broadcast_to(np.float32(0), self.shapes[node.inputs[0]])}
        elif (
            not node.reads <= self.constants.keys() - self.defaults
            or node.graphs
            or node.kind in GROWING
            or sum(operands[name].size for name in node.reads) > FOLDED
        ):
            return None
        try:
            values = apply(node, operands, self.source.name, Runs())
        except ValueError:  # which the call says, where it is run
            return None
        return values if all(type(value) is np.ndarray for value in values) else None

    def _nodes(self, proto: Any, known: Mapping[str, str], depth: int) -> list[Node]:
        """A node, or those of the function that it calls."""
        self.inlined += self.frame.attributes is not None
        if self.inlined > INLINED:
            raise self._fail(f"its functions are more than {INLINED:,} nodes where they are called")
        first = next((name for name in proto.output if name), proto.op_type)
        name = proto.name or first
        self.nodes[name] += 1
        name = name if self.nodes[name] == 1 else f"{name}.{self.nodes[name]}"
        label = f"{self.source.name}: node {printable(name)} ({printable(proto.op_type)})"
        for value in proto.input:
            if value and value not in known:
                raise ValueError(f"{label}: its input {printable(value)} is made by no node")
        if function := self.functions.get((proto.domain, proto.op_type, proto.overload)):
            layers = (*(layers_of(proto) or ()), proto.name.rpartition("/")[2] or function.name)
            return self._call(proto, function, known, depth, label, layers, [])
        schema = self._schema(proto, label)
        if self._operator(schema) is None and schema.has_function and not schema.deprecated:
            defaults = [about.default_value for about in schema.attributes.values() if about.default_value.type]
            return self._call(proto, schema.function_body, known, depth, label, layers_of(proto) or (), defaults)
        node = self._node(proto, schema, known, depth, label, name)
        if node.kind != "Constant":
            return [node]
        (value,) = apply(node, {}, self.source.name, Runs())
        learned = value.dtype.kind == "f" and value.size > 1 and not self.is_ours  # some exporters keep weights so
        (self.parameters if learned else self.constants)[node.outputs[0]] = value
        if learned and self.frame.attributes is None and proto.attribute[0].name == "value":
            self.places[node.outputs[0]] = proto.attribute[0].t
        return []

    def _call(
        self,
        proto: Any,
        function: Any,
        known: Mapping[str, str],
        depth: int,
        label: str,
        layers: tuple[str, ...],
        defaults: list[Any],
    ) -> list[Node]:
        """The nodes of a function in place of the one that calls it."""
        around = self.frame
        who = f"{function.domain}.{function.name}.{getattr(function, 'overload', '')}"
        if who in around.functions or len(around.functions) >= DEEPEST:
            raise ValueError(f"{label}: its function calls itself, or functions call one another over {DEEPEST} deep")
        attributes = [attribute for attribute in map(self._resolved, proto.attribute) if attribute is not None]
        try:
            scope, copies = scope_of(function, proto, known, self._fresh)
        except ValueError as error:
            raise ValueError(f"{label}: {printable(str(error))}") from None
        given = call_of(function, attributes, defaults)
        self.frame = Frame(
            self._opset(function, around.opset), given, (*around.layers, *layers)[:DEEPEST], (*around.functions, who)
        )
        try:
            nodes = [made for node in function.node for made in self._nodes(node, scope, depth)]
        finally:
            self.frame = around
        identity = OPERATORS["Identity"][1]
        return nodes + [Node(b, "Identity", 1, (a,), (b,), {}, identity, layers) for a, b in copies]

    def _resolved(self, attribute: Any) -> Any:
        """An attribute of a node: in a function it may be one of the call, which may have none."""
        if not attribute.ref_attr_name:
            return attribute
        if self.frame.attributes is None:
            return attribute
        found = self.frame.attributes.get(attribute.ref_attr_name)
        if found is None:
            return None
        renamed = type(found)()
        renamed.CopyFrom(found)
        renamed.name = attribute.name
        return renamed

    def _node(self, proto: Any, schema: Any, known: Mapping[str, str], depth: int, label: str, name: str) -> Node:
        operator = self._operator(schema)
        if operator is None or schema.deprecated:
            raise UnsupportedError(f"{label}: the operator has no counterpart here")
        attributes = self._attributes(proto, schema, known, depth, label)
        for what, given, least, most in (
            ("takes", proto.input, schema.min_input, schema.max_input),
            ("gives", proto.output, schema.min_output, schema.max_output),
        ):
            if not least <= len(given) <= most:
                raise ValueError(f"{label}: {what} {least} to {most} values, got {len(given)}")
        if not operator.variadic and (more := [v for v in proto.input[len(operator.operands) :] if v]):
            raise UnsupportedError(f"{label}: its input {printable(more[0])} has no counterpart here")
        inputs = tuple(known[value] if value else "" for value in proto.input)
        outputs = tuple(known[value] if value else "" for value in proto.output)
        version, kind = schema.since_version, schema.name
        own, around = layers_of(proto), self.frame.layers
        layers = None if own is None and not around else (*around, *(own or ()))[:DEEPEST]
        is_named, line = bool(proto.name), line_of(proto)
        return Node(name, kind, version, inputs, outputs, attributes, operator, layers, is_named, line)

    def _schema(self, proto: Any, label: str) -> Any:
        if proto.domain not in ("", "ai.onnx"):
            raise UnsupportedError(f"{label}: is of the domain {printable(proto.domain)}, not of ONNX itself")
        opset = self.frame.opset
        try:
            schema = self.onnx.defs.get_schema(proto.op_type, opset, "")
            if opset < OLDEST:
                later = self.onnx.defs.get_schema(proto.op_type, OLDEST, "")
        except Exception:  # onnx has an error of its own
            raise UnsupportedError(f"{label}: opset {opset} has no such operator") from None
        if opset < OLDEST and later.since_version != schema.since_version:
            raise UnsupportedError(
                f"{label}: opset {opset} is older than {OLDEST}, and the operator has changed since;"
                " onnx.version_converter makes a newer one"
            )
        return schema

    def _operator(self, schema: Any) -> Operator | None:
        found = OPERATORS.get(schema.name, {})
        since = max((version for version in found if version <= schema.since_version), default=None)
        return None if since is None else found[since]

    def _attributes(self, proto: Any, schema: Any, known: Mapping[str, str], depth: int, label: str) -> dict[str, Any]:
        helper, kinds = self.onnx.helper, self.onnx.AttributeProto
        found: dict[str, Any] = {}
        for name, about in schema.attributes.items():
            if about.default_value.type != kinds.UNDEFINED:
                found[name] = _text(helper.get_attribute_value(about.default_value))
        for attribute in [a for a in map(self._resolved, proto.attribute) if a is not None]:
            expected = schema.attributes.get(attribute.name)
            if expected is None or attribute.type != int(expected.type.value):
                raise ValueError(f"{label}: attribute {printable(attribute.name)} is unknown or of another type")
            if attribute.ref_attr_name:
                raise ValueError(f"{label}: attribute {printable(attribute.name)} refers to one of a function")
            if attribute.type == kinds.GRAPH:
                found[attribute.name] = self._graph(attribute.g, known, depth + 1)
            elif attribute.type == kinds.TENSOR:
                found[attribute.name] = self.source.array(
                    attribute.t, printable(proto.output[0] if proto.output else "")
                )
            elif attribute.type in (kinds.FLOAT, kinds.INT, kinds.STRING, kinds.FLOATS, kinds.INTS, kinds.STRINGS):
                found[attribute.name] = _text(helper.get_attribute_value(attribute))
            elif attribute.type == kinds.TYPE_PROTO:
                found[attribute.name] = attribute.tp
            else:
                raise UnsupportedError(f"{label}: attribute {printable(attribute.name)} has no counterpart here")
        for name, about in schema.attributes.items():
            if about.required and name not in found:
                raise ValueError(f"{label}: attribute {name} is missing")
        for name in ("to", "dtype", "output_dtype"):
            if isinstance(found.get(name), int) and found[name]:
                if found[name] == self.onnx.TensorProto.BFLOAT16:  # its values are kept in float32, unrounded
                    raise UnsupportedError(f"{label}: rounds to bfloat16, which has no counterpart here")
                found[name] = self.source.dtype(found[name], f"node {printable(proto.name)}")
        return found


def _text(value: Any) -> Any:
    """Attributes as Python's values: text of bytes."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return value
    return [_text(part) for part in value] if isinstance(value, (list, tuple)) else value
