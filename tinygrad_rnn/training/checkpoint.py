"""A training run as one file: arrays in safetensors, everything else as JSON in its header, and a checksum of both."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from .. import files

Array = npt.NDArray[Any]

__all__ = ["Checkpoint", "Facts", "load_safetensors", "save_safetensors"]


class Facts(TypedDict):
    """What a checkpoint holds besides arrays."""

    step: int
    sequences: int
    rows: list[dict[str, int | float]]
    solved: bool
    rng: dict[str, Any]
    settings: dict[str, str]
    hooks: list[str]


@dataclass(frozen=True)
class Checkpoint:
    """Everything that decides how training goes on.

    Attributes
    ----------
    arrays : dict of str to array
        Parameters, optimiser state, criterion and carried states, by dotted name.
    facts : Facts
        Steps made, the random generator's state, history, the settings it was made with and its hooks; plain JSON.
    """

    arrays: dict[str, Array]
    facts: Facts

    def part(self, name: str) -> dict[str, Array]:
        """The arrays below a dotted name."""
        start = f"{name}."
        return {key[len(start) :]: array for key, array in self.arrays.items() if key.startswith(start)}

    def write(self, path: str | Path) -> Path:
        """Write to `path`; what stood there before stays until the new file is whole."""
        text = json.dumps(self.facts)
        return save_safetensors(self.arrays, path, {"training": text, "sha256": _digest(self.arrays, text)})

    @classmethod
    def read(cls, path: str | Path) -> Checkpoint:
        """Read what :meth:`write` wrote.

        Raises
        ------
        ValueError
            If the file is damaged, or is no checkpoint of a training run.
        """
        import msgspec

        arrays, metadata = load_safetensors(path)
        if "training" not in metadata:
            raise ValueError(f"{path} is a safetensors file, but no checkpoint of a training run")
        text = metadata["training"]
        if metadata.get("sha256") != _digest(arrays, text):
            raise ValueError(f"{path} is damaged: its content does not match its checksum")
        try:
            return cls(arrays, msgspec.convert(json.loads(text), Facts))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is no checkpoint that can be gone on from: {error}") from None


def _digest(arrays: dict[str, Array], text: str) -> str:
    found = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        found.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        found.update(array.tobytes())
    return found.hexdigest()


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

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or of another format, or an array has a type that NumPy has not.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    arrays: dict[str, Array] = {}
    try:
        with safe_open(str(path), framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118
                try:
                    arrays[name] = np.array(file.get_tensor(name))
                    if arrays[name].dtype.kind == "V":  # which another library may have taught NumPy
                        raise TypeError(f"NumPy has no type {arrays[name].dtype}")
                except (TypeError, ValueError, AttributeError) as error:  # a type that NumPy has not, such as bfloat16
                    raise ValueError(f"{path}: {name} cannot be read: {error}") from None
            return arrays, dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged, or no safetensors file: {error}") from None
