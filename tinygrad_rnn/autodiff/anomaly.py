"""The first NaN or infinity, and where it appeared."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["AnomalyError", "anomaly_error", "is_finite", "kind_of"]


class AnomalyError(ArithmeticError):
    """A NaN or an infinity appeared.

    Attributes
    ----------
    node : Tensor
        The operation whose output, or whose backward step, is not finite.
    gate : str or None
        The gate or state of the cell that the operation serves, where that is known.
    """

    def __init__(self, message: str, node: Any = None, gate: str | None = None) -> None:
        super().__init__(message)
        self.node = node
        self.gate = gate


def is_finite(value: Any) -> bool:
    """Whether `value` holds neither NaN nor infinity."""
    array = np.asarray(value)
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def kind_of(value: Any) -> str:
    """What a `value` that is not finite holds; NaN, if it holds both."""
    return "NaN" if np.isnan(value).any() else "infinity"


def anomaly_error(node: Any, value: Any, sweep: str, gate: str | None = None) -> AnomalyError:
    """The error for a `value` that the forward or backward step of `node` came up with."""
    array = np.asarray(value)
    op = node.op.name if node.op else "leaf"
    what = f"the output of {op}" if sweep == "forward" else f"the gradient that {op} sends back"
    gate = gate or node.name
    where = [f"layer {'/'.join(node.scope.layers)}"] if node.scope and node.scope.layers else []
    where += [f"timestep {node.timestep}"] if node.timestep is not None else []
    where += [f"gate {gate}"] if gate else []
    at = " at " + ", ".join(where) if where else ""
    return AnomalyError(f"{kind_of(array)} in {what} (shape {array.shape}){at}", node, gate)
