"""Initial values of parameters: single functions, and presets that fill a whole cell."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
Rng: TypeAlias = np.random.Generator
Init: TypeAlias = Callable[[Shape, Rng], Array]

__all__ = [
    "PRESETS",
    "Init",
    "Preset",
    "glorot_uniform",
    "identity",
    "normal",
    "ones",
    "orthogonal",
    "preset",
    "uniform",
    "zeros",
]


def zeros(shape: Shape, rng: Rng) -> Array:
    """All zeros."""
    return np.zeros(shape)


def ones(shape: Shape, rng: Rng) -> Array:
    """All ones."""
    return np.ones(shape)


def uniform(bound: float) -> Init:
    """Uniform in ``[-bound, bound]``."""
    return lambda shape, rng: rng.uniform(-bound, bound, shape)


def normal(std: float) -> Init:
    """Gaussian with mean 0 and standard deviation `std`."""
    return lambda shape, rng: rng.normal(0.0, std, shape)


def glorot_uniform(shape: Shape, rng: Rng) -> Array:
    """Uniform with bound ``sqrt(6 / (fan_in + fan_out))`` (Glorot & Bengio 2010, eq. 16)."""
    bound = np.sqrt(6.0 / (shape[0] + shape[-1]))
    return rng.uniform(-bound, bound, shape)


def orthogonal(shape: Shape, rng: Rng) -> Array:
    """A matrix with orthonormal rows or columns, whichever are fewer, Haar distributed.

    Raises
    ------
    ValueError
        If `shape` has not two dimensions.
    """
    if len(shape) != 2:
        raise ValueError(f"orthogonal: needs a matrix, got shape {shape}")
    tall = (max(shape), min(shape))
    q, r = np.linalg.qr(rng.normal(size=tall))
    q = q * np.sign(np.diag(r))  # without the signs QR is not uniform over the orthogonal group
    return np.ascontiguousarray(q if shape == tall else q.T)


def identity(shape: Shape, rng: Rng) -> Array:
    """The identity, repeated downwards for stacked gates (Le, Jaitly & Hinton 2015)."""
    return _blocks(shape, lambda block: np.eye(block[0], block[1]))


def _blocks(shape: Shape, fill: Callable[[Shape], Array]) -> Array:
    """A matrix of shape (G*H, H), each gate's block (H, H) filled on its own."""
    rows, columns = shape
    if rows % columns:
        return fill(shape)
    return np.concatenate([fill((columns, columns)) for _ in range(rows // columns)])


@dataclass(frozen=True)
class Preset:
    """How a library or a paper fills the parameters of a cell.

    Attributes
    ----------
    name : str
        Printed on decay plots.
    input, recurrent : Init
        For weights of shape (G*H, I) and (G*H, H), G gates of H units.
    bias : callable
        From the roles of the gates ("input", "forget", "reset", "candidate", "output"), in their order,
        to the Init of their bias of shape (G*H,).
    second_bias : Init
        For the second bias vector that PyTorch's layout has.
    """

    name: str
    input: Init
    recurrent: Init
    bias: Callable[..., Init]
    second_bias: Init


def _pytorch(hidden_size: int) -> Preset:
    """Everything uniform in ±1/sqrt(hidden size), biases too (torch.nn.RNNBase)."""
    every = uniform(1.0 / np.sqrt(hidden_size))
    return Preset("pytorch", every, every, lambda *roles: every, every)


def _keras(hidden_size: int) -> Preset:
    """Glorot input kernels, one orthogonal recurrent kernel for all gates, forget bias 1 (Keras)."""

    def bias(*roles: str) -> Init:
        return lambda shape, rng: np.repeat(
            [1.0 if role == "forget" else 0.0 for role in roles], shape[0] // len(roles)
        )

    return Preset("keras", glorot_uniform, orthogonal, bias, zeros)


def _orthogonal(hidden_size: int) -> Preset:
    """An orthogonal recurrent matrix for each gate, Glorot inputs, no bias (Saxe et al. 2014)."""

    def recurrent(shape: Shape, rng: Rng) -> Array:
        return _blocks(shape, lambda block: orthogonal(block, rng))

    return Preset("orthogonal", glorot_uniform, recurrent, lambda *roles: zeros, zeros)


def _identity(hidden_size: int) -> Preset:
    """Identity recurrent matrices, small Gaussian inputs, no bias (Le, Jaitly & Hinton 2015)."""
    return Preset("identity", normal(0.001), identity, lambda *roles: zeros, zeros)


def _chrono(hidden_size: int, t_max: float = 100.0) -> Preset:
    """Forget gates that remember for 1 to `t_max` steps: b_f = log U(1, t_max - 1), b_i = -b_f.

    Tallec & Ollivier 2018, eq. 16; everything else as PyTorch fills it, other biases 0.
    """
    if not t_max > 2:
        raise ValueError(f"chrono: t_max must be more than 2 steps, got {t_max}")

    def bias(*roles: str) -> Init:
        sign = {"forget": 1.0, "input": -1.0}

        def fill(shape: Shape, rng: Rng) -> Array:
            logs = np.log(rng.uniform(1.0, t_max - 1.0, shape[0] // len(roles)))
            return np.concatenate([sign.get(role, 0.0) * logs for role in roles])

        return fill

    base = _pytorch(hidden_size)
    return Preset(f"chrono, T_max {t_max:g}", base.input, base.recurrent, bias, zeros)


PRESETS: dict[str, Callable[..., Preset]] = {
    "pytorch": _pytorch,
    "keras": _keras,
    "orthogonal": _orthogonal,
    "identity": _identity,
    "chrono": _chrono,
}


def preset(name: str, **options: Any) -> Callable[[int], Preset]:
    """A preset by name with options, such as ``preset("chrono", t_max=784)``, to pass to a cell.

    Raises
    ------
    ValueError
        If there is no preset of that name.
    """
    if name not in PRESETS:
        raise ValueError(f"no initialisation called {name!r}; choose from {', '.join(PRESETS)}")
    return functools.partial(PRESETS[name], **options)
