"""ONNX files: the bytes, the data that stand beside them, and their arrays; nothing in them is believed."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..file_format import check_regular
from ..packages import import_package
from ..refusal import UnsupportedError
from ..weights import printable

Array = npt.NDArray[Any]

__all__ = ["BFLOAT16", "DTYPES", "PRODUCER", "Source", "defaults_of", "is_open", "read", "shapes_of"]

PRODUCER = "tinygrad_rnn"
"""Who made a file, if we did: its weights are initialisers, and its nodes of constants are none."""

LARGEST = 2**31
"""Bytes that a file may have: more than protobuf can hold."""
SHARED = 4
"""How many times over the arrays of a file may use the data that stand beside it."""

DTYPES: dict[int, np.dtype[Any]] = {
    number: np.dtype(name)
    for number, name in {
        1: "float32",
        2: "uint8",
        3: "int8",
        4: "uint16",
        5: "int16",
        6: "int32",
        7: "int64",
        9: "bool",
        10: "float16",
        11: "float64",
        12: "uint32",
        13: "uint64",
        16: "float32",
    }.items()
}
"""From ONNX's numbers of element types to ours; bfloat16, which NumPy has not, comes as float32."""

BFLOAT16 = 16
_FIELDS = {1: "float_data", 11: "double_data", 7: "int64_data", 12: "uint64_data", 13: "uint64_data"}


class Source:
    """Where a model comes from.

    Attributes
    ----------
    name : str
        For messages.
    folder : Path or None
        Where data outside of the file may stand; None for bytes.
    """

    def __init__(self, name: str, folder: Path | None) -> None:
        self.name = printable(name)
        self.folder = folder
        self._allowance: dict[Path, int] = {}

    def dtype(self, number: int, what: str) -> np.dtype[Any]:
        """The dtype for ONNX's number of an element type.

        Raises
        ------
        UnsupportedError
            If there is none here.
        """
        if number in DTYPES:
            return DTYPES[number]
        names = {value: key for key, value in import_package("onnx", self.name).TensorProto.DataType.items()}
        if number == 0 or number not in names:
            raise ValueError(f"{self.name}: {what} has elements of no known type ({number}); the file is damaged")
        raise UnsupportedError(f"{self.name}: {what} holds {names[number].lower()}, which has no counterpart here")

    def array(self, tensor: Any, what: str) -> Array:
        """The numbers of a TensorProto.

        Raises
        ------
        ValueError
            If its shape and its data do not fit.
        UnsupportedError
            If NumPy has no such numbers.
        """
        dtype = self.dtype(tensor.data_type, what)
        shape = tuple(tensor.dims)
        if any(size < 0 for size in shape) or len(shape) > 32:
            raise ValueError(f"{self.name}: {what} has shape {shape}; the file is damaged")
        if tensor.HasField("segment"):
            raise UnsupportedError(f"{self.name}: {what} is stored in segments")
        count = math.prod(shape)
        if tensor.data_location == tensor.EXTERNAL:
            return self._decoded(self._external(tensor, what), tensor.data_type, shape, what)
        if tensor.HasField("raw_data"):
            return self._decoded(tensor.raw_data, tensor.data_type, shape, what)
        values = getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data"))
        if len(values) != count:
            raise ValueError(f"{self.name}: {what} has shape {shape} and {len(values)} numbers; the file is damaged")
        if tensor.data_type in (10, BFLOAT16):  # as bits
            bits = np.array(values, np.int64).astype(np.uint16)
            return self._decoded(bits.tobytes(), tensor.data_type, shape, what)
        return np.array(values, np.int64 if dtype.kind in "ib" else dtype).astype(dtype).reshape(shape)

    def _decoded(self, data: bytes, number: int, shape: tuple[int, ...], what: str) -> Array:
        dtype = np.dtype("<u2") if number == BFLOAT16 else DTYPES[number].newbyteorder("<")
        if len(data) != math.prod(shape) * dtype.itemsize:
            raise ValueError(
                f"{self.name}: {what} has shape {shape} of {DTYPES[number]} and {len(data)} bytes; the file is damaged"
            )
        flat = np.frombuffer(data, dtype)
        if number == BFLOAT16:
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        return flat.astype(DTYPES[number]).reshape(shape)

    def _external(self, tensor: Any, what: str) -> bytes:
        """The data of a tensor that stand in another file, which must lie in the folder of the model."""
        about = {entry.key: entry.value for entry in tensor.external_data}
        location = about.get("location", "")
        if self.folder is None:
            raise ValueError(f"{self.name}: {what} stands in another file, {printable(location)!r}; give the path")
        path = self._inside(location, what)
        size = path.stat().st_size
        try:
            offset, length = int(about.get("offset") or 0), int(about.get("length") or -1)
        except ValueError:
            raise ValueError(f"{self.name}: {what} stands nowhere in {path.name}; the file is damaged") from None
        length = size - offset if length < 0 else length
        if not 0 <= offset <= offset + length <= size:
            raise ValueError(
                f"{self.name}: {what} should have {length} bytes at {offset} of {printable(path.name)}, which has"
                f" {size}"
            )
        left = self._allowance.setdefault(path, SHARED * size) - length
        if left < 0:
            raise ValueError(f"{self.name}: {printable(path.name)} is used more than {SHARED} times over")
        self._allowance[path] = left
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def _inside(self, location: str, what: str) -> Path:
        assert self.folder is not None
        folder = os.path.realpath(self.folder)
        path = Path(os.path.realpath(Path(folder) / location)) if "\0" not in location else Path(folder)
        outside = Path(location).is_absolute() or ".." in Path(location).parts or Path(folder) not in path.parents
        if outside:
            raise ValueError(
                f"{self.name}: {what} stands in {printable(location)!r}, outside the folder of the file, where nothing"
                " is read"
            )
        if not path.is_file():
            raise ValueError(f"{self.name}: {what} stands in {printable(location)!r}, and there is no such file")
        return path


def read(source: Any, who: str) -> tuple[Any, Source]:
    """The ModelProto of a file or of bytes.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no ONNX model.
    """
    onnx = import_package("onnx", who)
    if isinstance(source, (bytes, bytearray, memoryview)):
        data, place = bytes(source), Source(f"{len(source)} bytes", None)
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        check_regular(path)
        place = Source(path.name, path.parent)
        if path.stat().st_size >= LARGEST:
            raise ValueError(f"{place.name} is larger than an ONNX file can be (2 GiB)")
        data = path.read_bytes()
    else:
        raise TypeError(f"{who}: needs a path or bytes, got {type(source).__name__}")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # whatever protobuf makes of it
        reason = " ".join(str(error).split())
        raise ValueError(f"{place.name} is damaged, or no ONNX file: {printable(reason)}") from None
    if not model.HasField("graph") or (not model.graph.node and not model.graph.output):
        raise ValueError(f"{place.name} is damaged, or no ONNX file: there is no graph in it")
    if not _is_text(model):
        raise ValueError(f"{place.name} is damaged: a name in it is no text (UTF-8)")
    if not model.opset_import:
        raise ValueError(f"{place.name} is damaged: it does not say the version of its operators (opset_import)")
    return model, place


def _is_text(message: Any) -> bool:
    """Whether all strings of a message could be decoded: protobuf leaves others as bytes."""
    for field, value in message.ListFields():
        parts = [value] if isinstance(value, (str, bytes)) or hasattr(value, "ListFields") else value
        if field.type == field.TYPE_STRING and any(isinstance(part, bytes) for part in parts):
            return False
        if field.type == field.TYPE_MESSAGE and not all(map(_is_text, parts)):
            return False
    return True


def defaults_of(model: Any) -> set[str]:
    """Initialisers that a call may replace: inputs, too, as all of them had to be before version 4 of the format."""
    if model.ir_version < 4:
        return set()
    return {tensor.name for tensor in model.graph.initializer} & {port.name for port in model.graph.input}


def is_open(kind: Any) -> bool:
    """Whether a type has an axis of any length, which no weight has."""
    return any(axis.WhichOneof("value") != "dim_value" for axis in kind.tensor_type.shape.dim)


def shapes_of(model: Any, defaults: set[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of initialisers and inputs, where a call cannot change them."""
    found = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer if tensor.name not in defaults}
    for port in model.graph.input:
        kind = port.type.tensor_type
        known = kind.HasField("shape") and all(axis.WhichOneof("value") == "dim_value" for axis in kind.shape.dim)
        if known and port.name not in defaults:
            found.setdefault(port.name, tuple(axis.dim_value for axis in kind.shape.dim))
    return {name: shape for name, shape in found.items() if min(shape, default=0) >= 0 and len(shape) <= 32}
