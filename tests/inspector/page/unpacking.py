"""The numbers of a page back again, by what the schema says of them and not by the code that packs."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def unpack(packed: dict[str, Any]) -> Array:
    """NaN where not there."""
    kind = {"f4": "<f4", "l4": "<f4", "l2": "<u2", "u1": "u1"}[packed["d"]]
    raw = np.frombuffer(base64.b64decode(packed["b"]), kind).reshape(packed["s"])
    if packed["d"] == "f4":
        return raw.astype(float)
    if packed["d"] == "l4":
        return 10.0 ** raw.astype(float)
    low, high = packed["lo"], packed["hi"]
    if packed["d"] == "u1":
        return np.where(raw == 0, np.nan, low + (raw.astype(float) - 1) / 254 * (high - low))
    found = 10.0 ** (low + (raw.astype(float) - 1) / 65533 * (high - low))
    return np.where(raw == 65535, np.nan, np.where(raw == 0, 0.0, found))
