"""How each pointwise primitive is written inside a loop."""

from __future__ import annotations

__all__ = ["EXPRESSIONS"]

EXPRESSIONS: dict[str, str] = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "negative": "-{0}",
    "power": "{0} ** {1}",
    "square": "{0} * {0}",
    "sqrt": "np.sqrt({0})",
    "abs": "abs({0})",
    "sign": "np.sign({0})",
    "exp": "exp_{t}({0})",
    "log": "np.log({0})",
    "log1p": "np.log1p({0})",
    "expm1": "np.expm1({0})",
    "erf": "erf_{t}({0})",
    "sin": "np.sin({0})",
    "cos": "np.cos({0})",
    "tanh": "tanh_{t}({0})",
    "sigmoid": "sigmoid_{t}({0})",
    "relu": "{0} if {0} > 0 or {0} != {0} else {t}(0)",
    "softplus": "({0} if {0} > 0 or {0} != {0} else {t}(0)) + np.log1p(exp_{t}(-abs({0})))",
    "maximum": "{0} if {0} > {1} or {0} != {0} else {1}",
    "minimum": "{0} if {0} < {1} or {0} != {0} else {1}",
    "where": "{1} if {0} else {2}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "root": "np.sqrt({0})",
    "arctan": "np.arctan({0})",
    "arctan2": "np.arctan2({0}, {1})",
    "hypot": "np.hypot({0}, {1})",
    "floor": "np.floor({0})",
    "ceil": "np.ceil({0})",
    "trunc": "np.trunc({0})",
    "isnan": "np.isnan({0})",
    "isinf": "np.isinf({0})",
    "isfinite": "np.isfinite({0})",
    "zeros_like": "{t}(0)",
    "ones_like": "{t}(1)",
    "logical_and": "({0} != 0) & ({1} != 0)",
    "logical_or": "({0} != 0) | ({1} != 0)",
    "logical_xor": "({0} != 0) ^ ({1} != 0)",
    "logical_not": "{0} == 0",
    "broadcast_to": "{0}",
    "astype": "{0}",
    "stop_gradient": "{0}",
    "identity": "{0}",
}
"""From a primitive's name to an expression in its operands ``{0}``, ``{1}``; ``{t}`` is the result's dtype.

Operands are converted to a common dtype before, as NumPy would; those of ``where`` to that of the result.
"""
