"""Files of named arrays: safetensors, NumPy's .npz, and what torch.save wrote; nothing in them is executed."""

from __future__ import annotations

import math
import re
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from .. import files
from .file_format import check_regular, format_of
from .packages import import_package
from .refusal import printable

Array = npt.NDArray[Any]

__all__ = ["load_npy", "load_npz", "load_pt", "load_safetensors", "load_tensors", "save_safetensors"]


_FREE, _EXPANSION = 1 << 28, 100
"""What a zip may unpack to: so many bytes, or so many times what it is."""

_DAMAGED = (
    ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, TypeError,
    SyntaxError, tokenize.TokenError, UnicodeError, KeyError, OverflowError, RecursionError, MemoryError,
)  # fmt: skip
"""What the readers of zip and NumPy make of a damaged file."""


def save_safetensors(arrays: dict[str, Any], path: str | Path, metadata: dict[str, str] | None = None) -> Path:
    """Write arrays by name to a safetensors file, such as ``cell.state_dict()``.

    Parameters
    ----------
    arrays : dict of str to array
    path : path
    metadata : dict of str to str, optional
        Text for the file's header.

    Returns
    -------
    Path
    """
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in arrays.items()}
    return files.write(path, save(whole, metadata))


def load_safetensors(path: str | Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the metadata of a safetensors file, whoever wrote it.

    Numbers in bfloat16, which NumPy has not, come as float32, in which they are the same.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or of another format, or an array has another type that NumPy has not.
    """
    from safetensors import SafetensorError, deserialize, safe_open

    check_regular(path)
    arrays: dict[str, Array] = {}
    raw: dict[str, Any] = {}
    try:
        with safe_open(str(path), framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118
                try:
                    if file.get_slice(name).get_dtype() == "BF16":
                        raw = raw or dict(deserialize(Path(path).read_bytes()))  # type: ignore[no-untyped-call]
                        arrays[name] = _of_bfloat16(**raw[name])
                    else:
                        arrays[name] = np.array(file.get_tensor(name))
                    if arrays[name].dtype.kind == "V":  # which another library may have taught NumPy
                        raise TypeError(f"NumPy has no type {arrays[name].dtype}")
                except (TypeError, ValueError, AttributeError) as error:  # a type that NumPy has not, such as float8
                    raise ValueError(f"{path}: {printable(name)} cannot be read: {printable(str(error))}") from None
            return arrays, dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged, or no safetensors file: {printable(str(error))}") from None


def _of_bfloat16(data: Any, shape: list[int], dtype: str) -> Array:
    halves = np.frombuffer(data, "<u2").astype(np.uint32)  # the upper half of a float32
    return (halves << 16).view(np.float32).reshape(shape)


def load_npz(path: str | Path) -> dict[str, Array]:
    """The arrays of an ``.npz`` file, by name.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, holds anything but arrays of numbers, or unpacks to much more than it is.
    """
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_unpacked(archive, path)
            arrays = {}
            for part in archive.infolist():
                with archive.open(part) as file:
                    arrays[part.filename.removesuffix(".npy")] = _read_npy(file, part.file_size)
            return arrays
    except _DAMAGED as error:
        raise ValueError(f"{path} is damaged, or no .npz file of arrays of numbers: {printable(str(error))}") from None


def load_npy(path: str | Path) -> Array:
    """The array of an ``.npy`` file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or holds anything but numbers.
    """
    check_regular(path)
    try:
        with Path(path).open("rb") as file:
            return _read_npy(file, Path(path).stat().st_size)
    except _DAMAGED as error:
        raise ValueError(f"{path} is damaged, or no .npy file of numbers: {printable(str(error))}") from None


def _check_unpacked(archive: zipfile.ZipFile, path: str | Path) -> None:
    unpacked = sum(part.file_size for part in archive.infolist())
    if unpacked > max(_FREE, _EXPANSION * Path(path).stat().st_size):
        raise ValueError(f"it would unpack to {unpacked:,} bytes")


def _read_npy(file: Any, size: int) -> Array:
    """An array of numbers out of a stream that has so many bytes."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its version {version} is unknown")
    shape, is_fortran, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    if dtype.hasobject:
        raise ValueError("it holds objects of Python's, which would be run to be read")
    count = math.prod(shape)
    if any(length < 0 for length in shape) or count * dtype.itemsize > size:
        raise ValueError(f"its shape {shape} of {dtype} is larger than the file")
    data = file.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise ValueError("it ends too early")
    flat = np.frombuffer(data, dtype).copy()
    return flat.reshape(shape[::-1]).T if is_fortran else flat.reshape(shape)


def load_pt(path: str | Path) -> Any:
    """What ``torch.save`` wrote, as far as it is tensors and plain values in dicts and lists; on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If PyTorch is not installed, or older than 2.6 (CVE-2025-32434: such a file can execute code there).
    ValueError
        If the file is damaged, a scripted module, or holds objects, which would execute code of whoever made it.
    """
    check_regular(path)
    torch = import_package("torch", f"{path}")
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):
        raise ImportError(
            f"{path}: PyTorch {torch.__version__} may execute what is in such a file; it needs 2.6 or newer"
        )
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _check_unpacked(archive, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever PyTorch's reader makes of a damaged stream
        raise ValueError(f"{path} {printable(_why_not(str(error)))}") from None


def _why_not(message: str) -> str:
    """What is wrong with a file that PyTorch refused."""
    if "TorchScript" in message or "torch.jit" in message:
        return "is a scripted module, whose code would be run; load it with torch.jit.load and give its state_dict()"
    if found := re.search(r"GLOBAL ([\w.]+)", message):
        return (
            f"holds a {found[1]}, not tensors alone, and to make that would run code of whoever wrote the file; where"
            " you trust it, load it in PyTorch and give its state_dict()"
        )
    reason, *_ = " ".join(message.split()).split(". ")
    return f"is damaged, or nothing that torch.save wrote{f': {reason}' if ' ' in reason else ''}"


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "pt": load_pt,
    "safetensors": lambda path: load_safetensors(path)[0],
    "npz": load_npz,
}


def load_tensors(path: str | Path) -> Any:
    """What a file of weights holds, whatever it is called.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is of another format, or cannot be read.
    """
    found = format_of(path)
    if found not in _READERS:
        raise ValueError(f"{path} is no file of weights alone (.pt, .safetensors or .npz){_OTHERS.get(found, '')}")
    return _READERS[found](path)


_OTHERS = {"onnx": "; tg.load_onnx opens it", "keras": "; tg.load_keras opens it, if Keras wrote it"}
