"""A training run as one file: arrays in safetensors, everything else as JSON in its header, and a checksum of both."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from ..interop.tensor_files import load_safetensors, save_safetensors

Array = npt.NDArray[Any]

__all__ = ["Checkpoint", "Facts"]


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
