"""Models out of ONNX files, written back with the numbers that their parameters have now."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..imported import Imported
from ..onnx.file import BFLOAT16, DTYPES
from ..onnx.graph import apply
from ..onnx.operators import Runs
from ..packages import import_package
from ..refusal import UnsupportedError
from ..weights import printable

__all__ = ["proto_of"]


def proto_of(model: Imported, who: str) -> Any:
    """The file's own graph as a ModelProto, with the parameters as they are.

    Raises
    ------
    UnsupportedError
        If the model is not out of an ONNX file, or if a parameter has changed that has no place of its own there.
    """
    program: Any = model._program
    if model.format != "ONNX":
        raise UnsupportedError(
            f"{who}: {printable(model.name)} is a model of {model.format}; what is written is one of its recurrent"
            " parts, call.runs[name], or a model out of an ONNX file"
        )
    onnx = import_package("onnx", who)
    proto = onnx.ModelProto()
    try:
        parameters = dict(model.named_parameters())
        for name, parameter in parameters.items():
            if name in program.places:
                _fill(program.places[name], parameter.data)
            elif not np.array_equal(parameter.data, program.builder.parameters[name], equal_nan=True):
                raise UnsupportedError(
                    f"{who}: {printable(name)} has changed, and in {printable(model.name)} it stands in a function,"
                    " for all of its calls"
                )
        values = {**program.builder.constants, **{name: parameter.data for name, parameter in parameters.items()}}
        for name, nodes in program.builder.ahead.items():
            for node in nodes:
                (values[node.outputs[0]],) = apply(node, values, who, Runs())
            _fill(program.places[name], values[name])
        proto.CopyFrom(program.model)
    finally:
        for tensor in program.places.values():
            tensor.ClearField("raw_data")
    return proto


def _fill(tensor: Any, array: Any) -> None:
    """Give a tensor of a file its numbers, within the file."""
    for field in ("float_data", "double_data", "int32_data", "external_data", "data_location"):
        tensor.ClearField(field)
    if tensor.data_type == BFLOAT16:
        bits = np.ascontiguousarray(array, "<f4").view("<u4")
        nearest = bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)  # to even, as everybody rounds
        rounded = np.where(np.isnan(array), bits | np.uint32(0x400000), nearest)
        tensor.raw_data = (rounded >> 16).astype("<u2").tobytes()
    else:
        tensor.raw_data = np.ascontiguousarray(array, DTYPES[tensor.data_type].newbyteorder("<")).tobytes()
