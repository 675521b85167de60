"""load_keras: a model that Keras saved, as a function of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...autodiff.tensor import Tensor
from ...recurrent.unroll import Run
from ..imported import Imported, Layer, Port
from ..refusal import UnsupportedError
from ..weights import printable
from . import attention, convolution, merging, normalization, recurrent  # noqa: F401 - each registers its layers
from .config import Shape
from .layer import Arguments, Frame, KerasLayer, Signal
from .network import Maker, Network
from .source import opened
from .weights import arrays_of

__all__ = ["load_keras"]


class KerasProgram:
    """A model of Keras' that can be run."""

    format = "Keras"
    optional: frozenset[str] = frozenset()

    def __init__(self, model: Network, producer: str) -> None:
        self.producer = producer
        self._model = model
        shapes = model.build([], {})
        entries = {layer.name: model.shapes[layer.name, 0][0] for layer in model.inputs}
        free = sum(len(shape) > 1 and shape[1] is None for shape in entries.values())
        self.inputs = {
            layer.name: Port(_axes(entries[layer.name], f"T of {layer.name}" if free > 1 else "T"), layer.config.dtype)
            for layer in model.inputs
        }
        self.outputs: dict[str, Port] = {}
        for end, shape in zip(model.results, shapes, strict=True):
            name, count = end.layer, 0
            while name in self.outputs:
                count += 1
                name = f"{end.layer}:{count}"
            layer = model.layers.get(end.layer)
            self.outputs[name] = Port(
                _axes(shape, "?" if free > 1 else "T"), np.dtype(np.float32) if layer is None else _real(layer)
            )
        self.layers = tuple(_listed(model))

    def run(
        self, values: dict[str, Tensor], parameters: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Run]]:
        """The outputs, and the runs of the recurrent layers."""
        frame = Frame(parameters)
        results = self._model.run(frame, [Signal(value) for value in values.values()], Arguments({}))
        tensors = [y.value if isinstance(y.value, Tensor) else Tensor(y.value) for y in results]
        return dict(zip(self.outputs, tensors, strict=True)), frame.runs


def _axes(shape: Shape, time: str) -> tuple[int | str, ...]:
    names = ["batch", time, *["?"] * len(shape)]
    return tuple(name if size is None else size for name, size in zip(names, shape, strict=False))


def _real(layer: KerasLayer) -> np.dtype[Any]:
    return layer.config.dtype if layer.config.dtype.kind == "f" else np.dtype(np.float32)


def _listed(model: Network) -> list[Layer]:
    """The layers, those of models inside with them, as a listing has them."""
    reads: dict[str, list[str]] = {}
    for node in model.nodes:
        names = reads.setdefault(node.layer.name, [])
        names += [r.layer for r in _flat((node.args, list(node.named.values()))) if r.layer not in names]
    found: list[Layer] = []
    for layer in model.layers.values():
        if isinstance(layer, Network):
            found += _listed(layer)
            continue
        count = sum(int(np.prod(v.shape, dtype=np.int64)) for v in layer.all_variables() if v.used)
        inputs = tuple(reads.get(layer.name, ()))
        found.append(Layer(layer.path, layer.kind, inputs, (layer.path,), count, layer.recurrent, layer.note))
    return found


def _flat(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [one for inner in value for one in _flat(inner)]
    return [value] if hasattr(value, "_fields") else []


def load_keras(path: str | Path) -> Imported:
    """A model that Keras saved: ``.keras``, or a whole model as ``.h5``, of Keras 3 and 2.

    Keras is not needed, and nothing in the file is executed. Recurrent layers run as cells of ours, whose weights are
    computed in the graph from Keras' variables; sequences go in and out with the batch in front, as in Keras, while the
    runs have time in front. The model is as it predicts: without dropout, and with the averages of normalisation.

    Parameters
    ----------
    path : path

    Returns
    -------
    Imported
        Inputs are called as the input layers are, outputs as the output layers, parameters by the paths of Keras'
        variables, ``call.runs`` by the recurrent layers; names of a model inside another stand before those of its
        layers.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, weights and layers do not fit, or links lead out of it.
    UnsupportedError
        If a layer or option has no counterpart here, such as one of whoever wrote the file; with file and layer.
    ImportError
        If h5py is not installed.

    Examples
    --------
    >>> import tinygrad_rnn as tg
    >>> model = tg.load_keras("tagger.keras")               # doctest: +SKIP
    >>> call = model(x)                                     # doctest: +SKIP
    >>> inspector.draw(call.runs["lstm"])                   # doctest: +SKIP
    """
    with opened(path) as source:
        maker = Maker(source.name, source.version)
        try:
            model = maker.layer(source.model)
            if not isinstance(model, Network):
                raise UnsupportedError(f"{printable(source.name)} holds a {printable(model.kind)}, which is no model")
            program = KerasProgram(model.assemble(True), source.producer)
        except RecursionError:
            raise ValueError(f"{printable(source.name)}: models lie inside each other too deeply") from None
        arrays = arrays_of(source.name, model, source.weights, source.is_legacy)
        return Imported(program, arrays, source.name)
