"""Linear recurrent unit: a diagonal linear recurrence with complex eigenvalues."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autodiff.functions import linear
from ..autodiff.primitive import Value
from ..autodiff.primitives import cos, exp, sin
from ..autodiff.tensor import named
from .gated import GatedCell

__all__ = ["LRUCell"]


class LRUCell(GatedCell):
    """Independent complex exponentials, mixed only on the way in and out.

    ::

        lambda = exp(-exp(nu) + i exp(theta))                   |lambda| < 1 whatever nu is
        s_t = lambda * s_{t-1} + exp(gamma) * (B x_t)           complex, kept as re_t and im_t
        h_t = Re(C s_t) + D x_t                                 output

    Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences". The gradient after q
    steps is |lambda|^q in each unit, exactly. At first |lambda|² is uniform in [r_min², r_max²] and gamma makes
    every unit's variance the same.

    Parameters
    ----------
    input_size, hidden_size, dtype, seed, init : see :class:`tinygrad_rnn.Cell`
    bias : bool
        Accepted for likeness; the paper has none, and with ``True`` there is one on the output.
    r_min, r_max : float
        The ring in which the eigenvalues begin, 0 <= r_min < r_max <= 1.

    Raises
    ------
    ValueError
        If r_min and r_max are not such numbers.
    """

    state_names = ("h", "re", "im")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = False,
        r_min: float = 0.0,
        r_max: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, **options)
        if not 0 <= r_min < r_max <= 1:
            raise ValueError(f"LRUCell: needs 0 <= r_min < r_max <= 1, got {r_min} and {r_max}")
        n = hidden_size
        tiny = np.finfo(self.dtype).eps
        square = np.clip(self._rng.uniform(size=n) * (r_max**2 - r_min**2) + r_min**2, tiny, 1 - tiny)
        self.nu: Any
        self.theta: Any
        self.gamma: Any
        self.B_re: Any
        self.B_im: Any
        self.C_re: Any
        self.C_im: Any
        self.D: Any
        self.b: Any = None
        self._keep("nu", (n,), np.log(-0.5 * np.log(square)))
        self._keep("theta", (n,), np.log(2 * np.pi * self._rng.uniform(tiny, 1.0, size=n)))
        self._keep("gamma", (n,), 0.5 * np.log(1.0 - square))
        for name, shape in (("B", (n, input_size)), ("C", (n, n))):
            for part in ("re", "im"):
                self._keep(f"{name}_{part}", shape, self._rng.normal(size=shape) / np.sqrt(2 * shape[1]))
        self._keep("D", (n, input_size), self._rng.normal(size=(n, input_size)) / np.sqrt(input_size))
        if bias:
            self._keep("b", (n,), self.preset.bias("output"))

    def step(self, x: Value, state: Any) -> Any:
        modulus, angle, scale = exp(-exp(self.nu)), exp(self.theta), exp(self.gamma)
        a, b = modulus * cos(angle), modulus * sin(angle)
        re = named(re=a * state.re - b * state.im + scale * linear(x, self.B_re))
        im = named(im=b * state.re + a * state.im + scale * linear(x, self.B_im))
        h = named(h=linear(re, self.C_re) - linear(im, self.C_im) + linear(x, self.D, self.b))
        return h, re, im
