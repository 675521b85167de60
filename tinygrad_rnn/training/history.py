"""What was measured while a model trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import files
from ..plurals import counted

__all__ = ["History"]

_SUFFIXES = ("csv", "jsonl")


class History:
    """A row every so many steps.

    Attributes
    ----------
    rows : list of dict
        ``step`` and ``sequences`` so far; ``loss`` and ``gradient_norm``, means since the row before, the norm
        before clipping; ``accuracy`` on training sequences since then, and ``test_loss`` and
        ``test_accuracy`` on fresh ones where they were asked for.
    solved : bool
        Whether training ended because the problem was solved.
    """

    def __init__(self, rows: list[dict[str, float]] | None = None, solved: bool = False) -> None:
        self.rows = [] if rows is None else rows
        self.solved = solved

    def column(self, name: str) -> npt.NDArray[Any]:
        """One measure, an array with an element for each row.

        Raises
        ------
        KeyError
            If it was not measured; the message lists what was.
        """
        if not self.rows or name not in self.rows[0]:
            raise KeyError(
                f"history has no column {name!r}; it has {', '.join(self.rows[0]) if self.rows else 'no rows'}"
            )
        return np.array([row[name] for row in self.rows])

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return int(self.rows[-1]["step"]) if self.rows else 0

    @property
    def sequences(self) -> int:
        """How many sequences were seen."""
        return int(self.rows[-1]["sequences"]) if self.rows else 0

    def write(self, path: str | Path) -> Path:
        """Write the rows to a file: CSV, or one JSON object a line for ``.jsonl``.

        Raises
        ------
        ValueError
            If the suffix is neither.
        """
        if files.suffix_of(path, _SUFFIXES) == "jsonl":
            return files.write(path, "".join(json.dumps(row) + "\n" for row in self.rows))
        columns = list(self.rows[0]) if self.rows else ["step"]
        return files.write_csv(path, columns, ([row[name] for name in columns] for row in self.rows))

    @staticmethod
    def check(path: str | Path) -> None:
        """Find out before the training whether :meth:`write` will take `path`.

        Raises
        ------
        ValueError, OSError
            If it will not.
        """
        files.suffix_of(path, _SUFFIXES)
        files.check(path)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return (
            f"History({counted(self.steps, 'step')}, {counted(self.sequences, 'sequence')},"
            f" {'solved' if self.solved else 'not solved'})"
        )
