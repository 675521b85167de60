"""A training run as one file: arrays in safetensors, everything else as JSON in its header."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import files

Array = npt.NDArray[Any]

__all__ = ["Checkpoint", "load_safetensors", "save_safetensors"]


@dataclass(frozen=True)
class Checkpoint:
    """Everything that decides how training goes on.

    Attributes
    ----------
    arrays : dict of str to array
        Parameters, optimiser state, criterion and carried states, by dotted name.
    facts : dict
        Steps made, the random generator's state, history, and the settings it was made with; plain JSON.
    """

    arrays: dict[str, Array]
    facts: dict[str, Any]

    def part(self, name: str) -> dict[str, Array]:
        """The arrays below a dotted name."""
        start = f"{name}."
        return {key[len(start) :]: array for key, array in self.arrays.items() if key.startswith(start)}

    def write(self, path: str | Path) -> Path:
        """Write to `path`; what stood there before stays until the new file is whole."""
        return save_safetensors(self.arrays, path, {"training": json.dumps(self.facts)})

    @classmethod
    def read(cls, path: str | Path) -> Checkpoint:
        """Read what :meth:`write` wrote.

        Raises
        ------
        ValueError
            If the file is damaged, or is no checkpoint of a training run.
        """
        arrays, metadata = load_safetensors(path)
        if "training" not in metadata:
            raise ValueError(f"{path} is a safetensors file, but no checkpoint of a training run")
        return cls(arrays, json.loads(metadata["training"]))


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
        If the file is damaged or of another format.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with safe_open(str(path), framework="numpy") as file:
            return {name: np.array(file.get_tensor(name)) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, TypeError) as error:
        raise ValueError(f"{path} is damaged, or no safetensors file: {error}") from None
