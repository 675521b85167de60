"""What every experiment in this folder does: print what was measured against what was expected, and draw it.

An experiment is a script with a function ``measure(quick, rng)`` that returns its lines and what its picture
needs, and a function ``draw(found, path)`` that writes the picture; :func:`main` does the rest. The script's
docstring is the text beside the picture. Lines have one of three kinds:

- exact: a closed form or a published count; it must hold within its tolerance;
- published: a number somebody printed, next to ours; it is told, not enforced;
- trend: an ordering or a shape that holds for most seeds; it is told too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Line", "exact", "main", "published", "trend"]


@dataclass(frozen=True)
class Line:
    """One thing measured.

    Attributes
    ----------
    name : str
    measured, expected : str
        As they are printed.
    tolerance : str
    verdict : {"PASS", "FAIL", "differs", "agrees"}
        PASS and FAIL for exact lines; the others for what is told only.
    """

    name: str
    measured: str
    expected: str
    tolerance: str
    verdict: str

    def __str__(self) -> str:
        return f"{self.name}: {self.measured}, {self.expected}, {self.tolerance}, {self.verdict}"


def exact(name: str, measured: Any, expected: Any, tolerance: float = 0.0, relative: bool = False) -> Line:
    """A number that must be what theory says, within `tolerance`, absolute or relative to the expected."""
    room = tolerance * abs(expected) if relative else tolerance
    verdict = "PASS" if abs(measured - expected) <= room else "FAIL"  # a NaN fails
    said = "exact" if not tolerance else f"±{tolerance:.3g}" + (" relative" if relative else "")
    return Line(name, _number(measured), _number(expected), said, verdict)


def published(name: str, measured: Any, expected: Any, spread: str = "", agrees: bool = False) -> Line:
    """A number beside the one in the paper; `spread` says over how many seeds and how far it ranges."""
    return Line(
        name,
        _number(measured),
        f"published {_number(expected)}",
        spread or "told only",
        "agrees" if agrees else "differs",
    )


def trend(name: str, measured: Any, expected: str, holds: bool, spread: str = "") -> Line:
    """An ordering or a shape, and whether it holds this time."""
    return Line(name, _number(measured), expected, spread or "trend", "agrees" if holds else "differs")


def main(
    title: str,
    measure: Callable[[bool, np.random.Generator], tuple[list[Line], Any]],
    draw: Callable[[Any, Path], None],
    arguments: list[str] | None = None,
    suffix: str = ".png",
) -> int:
    """Run an experiment from the command line: print its lines, write its picture, and fail if an exact line does.

    Parameters
    ----------
    title : str
        The module's docstring; its first line is the title, its rest what is true and what is often said.
    measure : function (quick, rng) -> (lines, found)
    draw : function (found, path)
        Writes the picture.
    arguments : list of str, optional
        Of the command line.
    suffix : str
        Of the picture.
    """
    script = Path(sys.modules[measure.__module__].__file__ or "claim").stem
    parser = argparse.ArgumentParser(description=title, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, smaller nets")
    parser.add_argument("--out", type=Path, default=Path("pictures/claims"), help="folder for the picture")
    options = parser.parse_args(arguments)
    lines, found = measure(options.quick, np.random.default_rng(options.seed))
    for line in lines:
        print(line)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{script}{suffix}"
    draw(found, path)
    print(path)
    return 1 if any(line.verdict == "FAIL" for line in lines) else 0


def _number(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return f"{float(value):.6g}"
