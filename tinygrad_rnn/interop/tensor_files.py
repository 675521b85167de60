"""Files of named arrays: safetensors, NumPy's .npz, and what torch.save wrote; nothing in them is executed."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import files
from .torch_import import import_torch

Array = npt.NDArray[Any]

__all__ = ["SUFFIXES", "load_npz", "load_pt", "load_safetensors", "load_tensors", "save_safetensors"]


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

    _check(path)
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
                    raise ValueError(f"{path}: {name} cannot be read: {error}") from None
            return arrays, dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged, or no safetensors file: {error}") from None


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
        If the file is damaged, or holds anything but arrays of numbers.
    """
    _check(path)
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged, or no .npz file of arrays of numbers: {error}") from None


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
    _check(path)
    torch = import_torch(f"{path}")
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):
        raise ImportError(
            f"{path}: PyTorch {torch.__version__} may execute what is in such a file; it needs 2.6 or newer"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever PyTorch's reader makes of a damaged stream
        raise ValueError(f"{path} {_why_not(str(error))}") from None


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


def _check(path: str | Path) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")


SUFFIXES: Mapping[str, Callable[[Any], Any]] = {
    "pt": load_pt,
    "pth": load_pt,
    "ckpt": load_pt,
    "safetensors": lambda path: load_safetensors(path)[0],
    "npz": load_npz,
}
"""How files are read, by their suffixes."""


def load_tensors(path: str | Path) -> Any:
    """What a file holds, read as its suffix says.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the suffix is none of `SUFFIXES`, or the file cannot be read.
    """
    return SUFFIXES[files.suffix_of(path, SUFFIXES)](path)
