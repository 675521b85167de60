"""load_onnx: an ONNX file as a function of its inputs, with the initialisers as parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...autodiff.tensor import Tensor
from ...recurrent.unroll import Run
from ..imported import Imported, Layer, Port
from ..refusal import UnsupportedError
from ..weights import printable
from .build import Builder
from .file import Source, read
from .graph import Graph, Node
from .operators import Runs
from .recognise import KIND

__all__ = ["load_onnx"]


def load_onnx(source: Any) -> Imported:
    """A model out of an ONNX file.

    Nothing in the file is executed, and nothing outside of its folder is read. What is not supported is refused before
    anything runs.

    Parameters
    ----------
    source : path or bytes
        Bytes must hold all of their data.

    Returns
    -------
    Imported
        Called with arrays or Tensors; its parameters are the file's initialisers of floating point, and the arrays of
        such in its constants, by their names.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If the onnx package is not installed.
    UnsupportedError
        If an operator, option or type of data has no counterpart here; names the node.
    ValueError
        If the file is damaged.
    """
    model, place = read(source, "load_onnx")
    try:
        program = _Program(model, place)
    except (UnicodeDecodeError, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"{place.name} is damaged: {printable(str(error))}") from None
    return Imported(program, program.builder.parameters, place.name)


class _Program:
    """A model as :class:`~tinygrad_rnn.interop.imported.Imported` runs it.

    Attributes
    ----------
    model : ModelProto
        As it was read, without the numbers of parameters.
    places : dict of str to TensorProto
        Where in it the parameters stand.
    """

    format = "ONNX"

    def __init__(self, model: Any, source: Source) -> None:
        self.source = source
        self.model, self.builder = model, Builder(model, source)
        places = self.builder.places.items()
        written = self.builder.parameters.keys() | self.builder.ahead.keys()
        self.places = {name: tensor for name, tensor in places if name in written}
        for tensor in self.places.values():
            tensor.ClearField("raw_data")
        self.producer = f"{model.producer_name or 'unknown'} {model.producer_version}".strip()
        self.producer += f", opset {self.builder.opset}"
        known = {tensor.name for tensor in model.graph.initializer} - self.builder.defaults
        ports = [port for port in model.graph.input if port.name not in known]
        ports.sort(key=lambda port: port.name in self.builder.defaults)
        self.inputs = {port.name: _port(port, source) for port in ports}
        self.outputs = {port.name: _port(port, source) for port in model.graph.output}
        missing = {port.name for port in ports if port.type.WhichOneof("value") == "optional_type"}
        self.optional = frozenset(missing | self.builder.defaults)
        self.layers = self._layers()

    def run(self, values: dict[str, Any], parameters: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Run]]:
        """The outputs, and the runs of the recurrent parts."""
        runs = Runs(sum(value.size for value in values.values() if isinstance(value, Tensor)))
        graph = self.builder.graph
        missing = dict.fromkeys(self.optional)
        results = graph.run({**missing, **self.builder.constants, **parameters, **values}, self.source.name, runs)
        runs.left[0] = math.inf  # what is asked of a run later is no matter of the file
        return {name: _as_tensors(value) for name, value in zip(self.outputs, results, strict=True)}, runs

    def _layers(self) -> tuple[Layer, ...]:
        """The nodes that read parameters, as they are or cut and turned by other nodes."""
        made: dict[str, frozenset[str]] = {name: frozenset() for name in self.builder.constants}
        made |= {name: frozenset([name]) for name in self.builder.parameters}
        layers = []
        for node in _nodes(self.builder.graph):
            recurrent = node.kind in ("RNN", "LSTM", "GRU", "Scan", "Loop", KIND)
            names = frozenset[str]().union(*[made.get(name, ()) for name in node.reads])
            if node.reads <= made.keys():
                made.update(dict.fromkeys(node.outputs, names))
                continue
            read = [self.builder.parameters[name] for name in sorted(names)]
            if recurrent or any(array.size > 1 for array in read):
                note = ", ".join(" x ".join(map(str, array.shape)) or "1" for array in read)
                size = sum(array.size for array in read)
                layers.append(Layer(node.name, node.kind, node.inputs, node.outputs, size, recurrent, note))
        return tuple(layers)


def _nodes(graph: Graph) -> Iterator[Node]:
    """Those of a graph and of its branches."""
    for node in graph.nodes:
        if node.kind == "If":
            for branch in node.graphs:
                yield from _nodes(branch)
        else:
            yield node


def _as_tensors(value: Any) -> Any:
    """An output: a sequence as a list of Tensors, None for a value that is missing."""
    if isinstance(value, list):
        return [_as_tensors(part) for part in value]
    return value if value is None or isinstance(value, Tensor) else Tensor(np.array(value))


def _port(port: Any, source: Source) -> Port:
    """Shape and dtype of an input or output."""
    kind = port.type
    if kind.WhichOneof("value") == "optional_type":
        kind = kind.optional_type.elem_type
    is_sequence = kind.WhichOneof("value") == "sequence_type"
    kind = kind.sequence_type.elem_type if is_sequence else kind
    if kind.WhichOneof("value") not in ("tensor_type", None):
        raise UnsupportedError(f"{source.name}: {printable(port.name)} is no tensor and no sequence of such")
    kind = kind.tensor_type
    if any(axis.dim_value < 0 for axis in kind.shape.dim):
        raise ValueError(f"{source.name}: {printable(port.name)} has a negative size; the file is damaged")
    sizes: tuple[int | str, ...] = (
        ("...",)
        if not kind.HasField("shape")
        else tuple(
            axis.dim_value if axis.WhichOneof("value") == "dim_value" else axis.dim_param or "?"
            for axis in kind.shape.dim
        )
    )
    return Port(sizes, source.dtype(kind.elem_type, printable(port.name)), is_sequence)
