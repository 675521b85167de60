"""The data of a page as if each step had been many, to try long runs without running them."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

TYPES = {"f4": "<f4", "l4": "<f4", "l2": "<u2", "u1": "u1"}


def stretched(data: dict[str, Any], times: int) -> dict[str, Any]:
    """Changes `data`; the map of reach and the rows of gates become pooled ones."""
    for run in data["runs"]:
        run["T"] *= times
        run["begin"] = times * (run["begin"] + 1) - 1
        for packed in (run["whole"], *run["norms"].values()):
            _repeat(packed, times)
        for gate in run["gates"]:
            _repeat(gate["mean"], times)
            gate["pool"] = times
        _repeat(run["weights"]["norms"], times)
        _repeat(run["ways"]["shares"], times, axis=1)
        run["reach"]["pool"] = times
        run["reach"]["steps"] = [times * step for step in run["reach"]["steps"]]
        for level in run["levels"]:
            for tile in level["tiles"]:
                for name in ("lineNorms", "shapeNorms", "shapeMeans"):
                    _repeat(tile[name], times)
        for slider in run["sliders"]:
            _repeat(slider["curves"], times)
    return data


def _repeat(packed: dict[str, Any], times: int, axis: int = -1) -> None:
    raw = np.frombuffer(base64.b64decode(packed["b"]), TYPES[packed["d"]]).reshape(packed["s"])
    longer = np.repeat(raw, times, axis=axis)
    packed["s"], packed["b"] = list(longer.shape), base64.b64encode(longer.tobytes()).decode()


def silenced(data: dict[str, Any], share: float) -> dict[str, Any]:
    """Changes `data`: in the first `share` of time no gradient arrives at any state."""
    for run in data["runs"]:
        for packed in (run["whole"], *(run["norms"][state] for state in run["states"])):
            raw = np.frombuffer(base64.b64decode(packed["b"]), TYPES[packed["d"]]).copy()
            raw[: int(share * len(raw))] = 0
            packed["b"] = base64.b64encode(raw.tobytes()).decode()
    return data
