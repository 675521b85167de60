"""A model as a layer: layers that read each other, a sequence of them, models inside models."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from ..weights import printable
from .config import Config, Shape, near
from .layer import LAYERS, Arguments, Frame, KerasLayer, Reference, Signal
from .operations import OPERATIONS, Operation
from .plain import Input

__all__ = ["Maker", "Network"]

_MOST_CALLS = 20_000


class Node(NamedTuple):
    """One call of a layer: positional and named arguments, with References in them."""

    layer: KerasLayer
    number: int
    args: Any
    named: Mapping[str, Any]


class Maker:
    """Layers out of JSON objects; one that is shared is made once.

    Parameters
    ----------
    file : str
        For messages.
    keras : tuple of int
        The version that wrote it.
    """

    def __init__(self, file: str, keras: tuple[int, ...]) -> None:
        self.file, self.keras = printable(file), keras
        self._shared: dict[int, KerasLayer] = {}
        self.calls = 0

    def layer(self, value: Any, around: str = "") -> KerasLayer:
        """The layer that a JSON object describes; `around` is the path of what it lies in.

        Raises
        ------
        ValueError
            If it describes none.
        UnsupportedError
            If nothing is known of its kind.
        """
        if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
            raise ValueError(
                f"{self.file}: {printable(around) or 'the model'} holds what is no layer: {printable(repr(value))[:80]}"
            )
        shared = value.get("shared_object_id")
        if isinstance(shared, int) and shared in self._shared:
            return self._shared[shared]
        kind, config = value["class_name"], value.get("config")
        config = {"layers": config} if isinstance(config, list) else config
        if not isinstance(config, dict):
            raise ValueError(
                f"{self.file}: a {printable(kind)} in {printable(around) or 'the model'} has no configuration"
            )
        name = config.get("name", value.get("name"))
        name = name if isinstance(name, str) else _plain_name(kind)
        path = "/".join(part for part in (around, name) if part)
        place = f"{self.file}: layer {printable(path)!r} ({printable(kind)})"
        options = Config({**config, "class_name": kind}, place, self.keras)
        made = self._class(value, kind, config, options)(name, path, options, self.layer)
        made.kind = kind
        if isinstance(made, Network):
            made.maker = self
            made.around = around
        if isinstance(shared, int):
            self._shared[shared] = made
        return made

    def _class(
        self, value: Mapping[str, Any], kind: str, config: Mapping[str, Any], options: Config
    ) -> type[KerasLayer]:
        module, registered = value.get("module"), value.get("registered_name")
        foreign = isinstance(module, str) and module.split(".")[0] not in ("keras", "tf_keras", "tensorflow")
        if kind == "Lambda":
            options.refuse(
                "is code of whoever wrote the file, which is not run; replace it by layers of Keras' and save again"
            )
        if foreign or (isinstance(registered, str) and ">" in registered):
            options.refuse(
                "is a layer of whoever wrote the file, whose code is not here; replace it by layers of Keras' and save"
                " again, or export the model to ONNX"
            )
        between = ".ops" in module if isinstance(module, str) else "trainable" not in config
        if between and kind in OPERATIONS:
            return Operation
        if isinstance(module, str) and between:
            options.refuse(f"is an operation between layers{near(kind, OPERATIONS)}")
        if kind in ("Model", "Functional", "Sequential") and "layers" in config:
            return Network
        if kind not in LAYERS:
            hint = (
                "; a model of one's own class has no layers in its file; export it to ONNX"
                if not config.get("name") or "build_config" not in value
                else ""
            )
            options.refuse(f"is a kind of layer of which nothing is known{hint}{near(kind, LAYERS)}")
        return LAYERS[kind]


def _plain_name(kind: str) -> str:
    return kind.lower()


class Network(KerasLayer):
    """Layers and the calls between them, in an order in which each comes after what it reads."""

    takes = (0, 10_000)
    takes_integers = True
    knows = frozenset({"mask"})
    maker: Maker
    around: str

    def setup(self) -> None:
        self.is_sequence = "input_layers" not in self.config
        given = self.config.get("layers")
        if not isinstance(given, list) or not given:
            self.config.fail("has no layers")
        self.given: list[Any] = given

    def assemble(self, is_top: bool) -> Network:
        """Make the layers inside, and put their calls in order."""
        scope = "" if is_top else self.path
        self.layers: dict[str, KerasLayer] = {}
        for value in self.given:
            layer = self.maker.layer(value, scope)
            if layer.name in self.layers:
                self.config.fail(f"has two layers called {printable(layer.name)}")
            self.layers[layer.name] = layer
            for inner in _networks(layer):
                if not hasattr(inner, "layers"):
                    inner.assemble(False)
        self.nodes: list[Node] = []
        if self.is_sequence:
            self._line_up()
        else:
            self._wire()
        return self

    @property
    def tracked(self) -> list[KerasLayer]:
        """The layers by which Keras numbers weights: all, but the input of a sequence."""
        found = [layer for layer in self.layers.values() if not isinstance(layer, Operation)]
        return found[1:] if self.is_sequence and isinstance(found[0], Input) else found

    def all_variables(self) -> Iterator[Any]:
        for layer in self.layers.values():
            yield from layer.all_variables()

    # ------------------------------------------------------------------------------------- wiring

    def _line_up(self) -> None:
        layers = list(self.layers.values())
        if not isinstance(layers[0], Input):
            shape = self._sequence_shape(layers[0])
            config = Config({"batch_shape": shape, "class_name": "InputLayer"}, self.config.place, self.config.keras)
            entry = Input(f"{layers[0].name}_input", f"{layers[0].path}_input", config, self._maker)
            entry.kind = "InputLayer"
            layers.insert(0, entry)
        self.inputs: list[Input] = [layer for layer in layers[:1] if isinstance(layer, Input)]
        self.nodes.append(Node(layers[0], 0, [], {}))
        for before, layer in itertools.pairwise(layers):
            self.nodes.append(Node(layer, 0, [Reference(before.name, 0, 0)], {}))
        self.results = [Reference(layers[-1].name, 0, 0)]

    def _sequence_shape(self, first: KerasLayer) -> list[Any] | None:
        """Of the input of a sequence that has no layer for it."""
        config = first.config
        for source, name in (
            (config, "batch_input_shape"),
            (config, "batch_shape"),
            (self.config, "build_input_shape"),
        ):
            if (shape := source.shape(name)) is not None:
                return list(shape)
        if (shape := config.shape("input_shape")) is not None:
            return [None, *shape]
        if first.kind == "Embedding":
            return [
                None,
                *(
                    config.shape("input_length") or [None]
                    if isinstance(config.get("input_length"), list)
                    else [config.get("input_length")]
                ),
            ]
        return None

    def _wire(self) -> None:
        waiting: dict[tuple[str, int], Node] = {}
        for value, layer in zip(self.given, self.layers.values(), strict=True):
            inbound = value.get("inbound_nodes", [])
            if not isinstance(inbound, list):
                layer.config.fail("has no inbound_nodes")
            calls = [partial_call(layer, node) for node in inbound]
            if not calls and isinstance(layer, Input):
                calls = [([], {})]
            for k, (args, named) in enumerate(calls):
                if isinstance(layer, Operation):
                    layer.template = args, named
                    args, named = [args, list(named.values())], {}
                waiting[layer.name, k] = Node(layer, k, args, named)
        self.results = self._ends("output_layers")
        ends = self._ends("input_layers")
        self._shift(waiting)
        self.inputs = []
        for end in ends:
            entry = self.layers.get(end.layer)
            if not isinstance(entry, Input):
                self.config.fail(f"has the input {printable(end.layer)}, which is no InputLayer")
            self.inputs.append(entry)
        self._sort(waiting)

    def _ends(self, name: str) -> list[Reference]:
        value = self.config.get(name)
        found: list[Reference] = []
        todo = [value]
        while todo:
            one = todo.pop()
            if (reference := _reference(one)) is not None:
                found.append(reference)
            elif isinstance(one, dict):
                todo += [one[key] for key in sorted(one, reverse=True)]
            elif isinstance(one, list):
                todo += reversed(one)
            else:
                self.config.fail(f"has {name}={self.config.quote(value)}")
        return found

    def _shift(self, waiting: dict[tuple[str, int], Node]) -> None:
        """Calls of a model inside count from 1 in Keras 2, and among the outputs in Keras 3."""
        for name, layer in self.layers.items():
            if not isinstance(layer, Network):
                continue
            count = sum(key[0] == name for key in waiting)
            inner = {
                r.node for node in waiting.values() for r in _references((node.args, node.named)) if r.layer == name
            }
            outer = {r.node for r in self.results if r.layer == name}
            is_one = self.config.keras < (3,) and 0 not in inner | outer
            if is_one:
                for key, node in waiting.items():
                    waiting[key] = node._replace(args=_moved(node.args, name), named=_moved(node.named, name))
            functional = layer.kind in ("Functional", "Model") and self.config.keras >= (3,) and 0 not in outer
            if is_one or functional or (outer and max(outer) >= count):
                self.results = [_moved(r, name) for r in self.results]

    def _sort(self, waiting: dict[tuple[str, int], Node]) -> None:
        needs = {
            key: {(r.layer, r.node) for r in _references((node.args, node.named))} for key, node in waiting.items()
        }
        readers: dict[tuple[str, int], list[tuple[str, int]]] = {}
        for key, read in needs.items():
            for one in read:
                if one not in waiting:
                    waiting[key].layer.config.fail(f"reads call {one[1]} of {printable(one[0])}, which there is not")
                readers.setdefault(one, []).append(key)
        missing = {key: len(read) for key, read in needs.items()}
        ready = [key for key, count in missing.items() if not count]
        while ready:
            key = ready.pop(0)
            self.nodes.append(waiting.pop(key))
            for reader in readers.get(key, []):
                missing[reader] -= 1
                if not missing[reader]:
                    ready.append(reader)
        if waiting:
            names = ", ".join(sorted({printable(name) for name, _ in waiting}))
            self.config.fail(f"has layers that read each other in a circle: {names}")
        made = {(node.layer.name, node.number) for node in self.nodes}
        for end in self.results:
            if (end.layer, end.node) not in made:
                self.config.fail(f"gives out call {end.node} of {printable(end.layer)}, which there is not")

    # ------------------------------------------------------------------------------------ running

    def build(self, shapes: list[Shape], named: Mapping[str, Any]) -> list[Shape]:
        if len(shapes) not in (0, len(self.inputs)):
            self.config.fail(f"is called with {len(shapes)} inputs, has {len(self.inputs)}")
        given = dict(zip([layer.name for layer in self.inputs], shapes, strict=False))
        found: dict[tuple[str, int], list[Shape]] = {}
        for node in self.nodes:
            self.maker.calls += 1
            if self.maker.calls > _MOST_CALLS:
                self.config.fail(f"calls layers more than {_MOST_CALLS} times")
            look = partial(_look, self.config, found)
            if isinstance(node.layer, Input) and node.layer in self.inputs:
                entry = node.layer
                if node.layer.name not in given and self.is_sequence and entry.config.get("batch_shape", 0) is None:
                    self.config.fail("was saved before it was built, so that nothing is known of its input")
                there = [given[entry.name]] if entry.name in given else []
                found[entry.name, 0] = there if entry.config.get("batch_shape", 0) is None else entry.built(there, {})
                continue
            if isinstance(node.layer, Input):
                self.config.fail(f"has an input layer, {printable(node.layer.name)}, that is none of its inputs")
            inputs = [look(r) for r in _references(node.args)]
            plain: dict[str, Any] = {k: v for k, v in node.named.items() if not any(True for _ in _references(v))}
            for name, value in node.named.items():
                if references := list(_references(value)):
                    plain[f"{name} shapes"] = [look(r) for r in references]
            found[node.layer.name, node.number] = node.layer.built(inputs, plain)
        self.shapes = found
        return [_look(self.config, found, end) for end in self.results]

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        given = dict(zip([layer.name for layer in self.inputs], inputs, strict=True))
        found: dict[tuple[str, int], list[Signal]] = {}
        for node in self.nodes:
            key = node.layer.name, node.number
            if node.layer.name in given and isinstance(node.layer, Input):
                found[key] = [given[node.layer.name]]
                continue
            args = [found[r.layer, r.node][r.tensor] for r in _references(node.args)]
            named = Arguments({name: _filled(value, found) for name, value in node.named.items()})
            found[key] = node.layer.called(frame, args, named)
        return [found[end.layer, end.node][end.tensor] for end in self.results]


def _look(config: Config, found: Mapping[tuple[str, int], list[Shape]], reference: Reference) -> Shape:
    outputs = found[reference.layer, reference.node]
    if not 0 <= reference.tensor < len(outputs):
        config.fail(f"reads output {reference.tensor} of {printable(reference.layer)}, which has {len(outputs)}")
    return outputs[reference.tensor]


def _networks(layer: KerasLayer) -> Iterator[Network]:
    if isinstance(layer, Network):
        yield layer
    for part in layer.parts.values():
        for inner in part if isinstance(part, list) else [part]:
            yield from _networks(inner)


def _reference(value: Any) -> Reference | None:
    """``["lstm", 0, 0]``, or None."""
    if isinstance(value, Reference):
        return value
    if isinstance(value, (list, tuple)) and len(value) in (3, 4) and isinstance(value[0], str):
        node, tensor = value[1:3]
        if all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in (node, tensor)):
            return Reference(value[0], node, tensor)
    return None


def _references(value: Any) -> Iterator[Reference]:
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _references(one)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _references(one)


def _moved(value: Any, layer: str) -> Any:
    """With calls of one layer counted from 0."""
    if isinstance(value, Reference):
        return value._replace(node=value.node - 1) if value.layer == layer else value
    if isinstance(value, (list, tuple)):
        return [_moved(one, layer) for one in value]
    return {key: _moved(one, layer) for key, one in value.items()} if isinstance(value, Mapping) else value


def _filled(value: Any, found: Mapping[tuple[str, int], list[Signal]]) -> Any:
    if isinstance(value, Reference):
        return found[value.layer, value.node][value.tensor]
    return [_filled(one, found) for one in value] if isinstance(value, (list, tuple)) else value


def partial_call(layer: KerasLayer, node: Any) -> tuple[Any, Mapping[str, Any]]:
    """The arguments of one call, with References where the file names what other layers gave out."""
    if isinstance(node, dict):
        args, named = _revived(layer, node.get("args", [])), _revived(layer, node.get("kwargs", {}))
        if not isinstance(args, list) or not isinstance(named, dict):
            layer.config.fail(f"is called with {layer.config.quote(node)}")
        return args, named
    tensors = node if isinstance(node, list) and node and isinstance(node[0], list) else [node]
    args, named = [], {}
    for one in tensors:
        reference = _reference(one)
        if reference is None:
            layer.config.fail(f"is called with {layer.config.quote(one)}")
        args.append(reference)
        options = one[3] if len(one) == 4 else {}
        if not isinstance(options, dict):
            layer.config.fail(f"is called with {layer.config.quote(one)}")
        named.update({name: _found(value) for name, value in options.items()})
    return args, named


def _found(value: Any) -> Any:
    """References in an argument of Keras 2."""
    if (reference := _reference(value)) is not None:
        return reference
    return [_found(one) for one in value] if isinstance(value, list) else value


def _revived(layer: KerasLayer, value: Any) -> Any:
    if isinstance(value, list):
        return [_revived(layer, one) for one in value]
    if not isinstance(value, dict):
        return value
    kind, config = value.get("class_name"), value.get("config")
    if kind == "__keras_tensor__" and isinstance(config, dict):
        reference = _reference(config.get("keras_history"))
        if reference is None:
            layer.config.fail(f"is called with {layer.config.quote(value)}")
        return reference
    if kind == "__slice__" and isinstance(config, dict):
        parts = [config.get(name) for name in ("start", "stop", "step")]
        if any(part is not None and not isinstance(part, int) for part in parts) or parts[2] == 0:
            layer.config.fail(f"is called with {layer.config.quote(value)}")
        return slice(*parts)
    if kind == "__ellipsis__":
        return ...
    if kind == "__tuple__":
        return [_revived(layer, one) for one in value.get("items", [])]
    if isinstance(kind, str):
        layer.config.refuse(f"is called with a {printable(kind)}, which is not supported")
    return {name: _revived(layer, one) for name, one in value.items()}
