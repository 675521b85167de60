"""Gradient descent and its adaptive relatives; the update rules are PyTorch's, number for number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .arguments import below_one, positive
from .autodiff.tensor import Tensor
from .recurrent.state_dicts import fitting

Array = npt.NDArray[Any]

__all__ = ["SGD", "Adam", "Optimizer", "RMSprop", "clip_grad_norm"]


class Optimizer:
    """What every optimiser has: parameters, a learning rate, ``step()`` and ``zero_grad()``.

    Parameters
    ----------
    parameters : iterable of Tensors
        Leaves that require a gradient.
    lr : float
        Learning rate, positive.

    Raises
    ------
    ValueError
        If there is no parameter, or a number is out of its range.
    TypeError
        If a parameter is not a leaf Tensor that requires a gradient.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        self.parameters = leaves(type(self).__name__, parameters)
        self.lr = lr
        positive(type(self).__name__, lr=lr)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for k, parameter in enumerate(self.parameters):
            if parameter.grad is not None:
                parameter.data = parameter._data - self.update(k, parameter.grad)

    def update(self, k: int, gradient: Array) -> Array:
        """What to subtract from parameter number `k`."""
        raise NotImplementedError

    memory: tuple[str, ...] = ()
    """Attributes with an array for each parameter, which change as training goes on."""

    def state_dict(self) -> dict[str, Array]:
        """What it remembers of the gradients so far, for a checkpoint: arrays called ``mean.0`` and the like."""
        return {f"{name}.{k}": np.array(value) for name in self.memory for k, value in enumerate(getattr(self, name))}

    def load_state_dict(self, mapping: Mapping[str, Any]) -> None:
        """Take up where :meth:`state_dict` left off. Nothing changes unless everything fits.

        Raises
        ------
        KeyError
            If an array is missing or unknown.
        ValueError
            If a shape differs, or a number is not finite.
        """
        who = f"{type(self).__name__}.load_state_dict"
        arrays = fitting(who, self.state_dict(), mapping)
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{who}: {name} holds a NaN or an infinity")
        for name in self.memory:
            old = getattr(self, name)
            new = [arrays[f"{name}.{k}"] for k in range(len(old))]
            setattr(self, name, [int(value) if isinstance(old[k], int) else value for k, value in enumerate(new)])

    def __repr__(self) -> str:
        settings = {key: value for key, value in vars(self).items() if key != "parameters" and key not in self.memory}
        return f"{type(self).__name__}({', '.join(f'{key}={value}' for key, value in settings.items())})"


class SGD(Optimizer):
    """Stochastic gradient descent: v = momentum v + g;  w = w - lr v.

    Parameters
    ----------
    parameters, lr : see :class:`Optimizer`
    momentum : float
        In [0, 1).
    """

    memory = ("velocity",)

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.0) -> None:
        super().__init__(parameters, lr)
        below_one("SGD", momentum=momentum)
        self.momentum = momentum
        self.velocity = [np.zeros(p.shape, p.dtype) for p in self.parameters]

    def update(self, k: int, gradient: Array) -> Array:
        self.velocity[k] = self.momentum * self.velocity[k] + gradient
        return self.lr * self.velocity[k]


class RMSprop(Optimizer):
    """Division by a running root mean square (Tieleman & Hinton 2012): v = alpha v + (1 - alpha) g².

    Parameters
    ----------
    parameters, lr : see :class:`Optimizer`
    alpha : float
        Decay of the running mean, in [0, 1).
    eps : float
        Added to the root, positive.
    """

    memory = ("mean_square",)

    def __init__(self, parameters: Iterable[Tensor], lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(parameters, lr)
        below_one("RMSprop", alpha=alpha)
        positive("RMSprop", eps=eps)
        self.alpha, self.eps = alpha, eps
        self.mean_square = [np.zeros(p.shape, p.dtype) for p in self.parameters]

    def update(self, k: int, gradient: Array) -> Array:
        v = self.mean_square[k] = self.alpha * self.mean_square[k] + (1 - self.alpha) * gradient**2
        return self.lr * gradient / (np.sqrt(v) + self.eps)


class Adam(Optimizer):
    """Adaptive moments with bias correction (Kingma & Ba 2015, algorithm 1).

    Parameters
    ----------
    parameters, lr : see :class:`Optimizer`
    betas : (float, float)
        Decays of the running mean of g and of g², in [0, 1).
    eps : float
        Added to the root, positive.
    """

    memory = ("mean", "mean_square", "steps")

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr)
        below_one("Adam", beta1=betas[0], beta2=betas[1])
        positive("Adam", eps=eps)
        self.betas, self.eps = betas, eps
        self.mean = [np.zeros(p.shape, p.dtype) for p in self.parameters]
        self.mean_square = [np.zeros(p.shape, p.dtype) for p in self.parameters]
        self.steps = [0] * len(self.parameters)

    def update(self, k: int, gradient: Array) -> Array:
        b1, b2 = self.betas
        self.steps[k] += 1
        m = self.mean[k] = b1 * self.mean[k] + (1 - b1) * gradient
        v = self.mean_square[k] = b2 * self.mean_square[k] + (1 - b2) * gradient**2
        correction1, correction2 = 1 - b1 ** self.steps[k], 1 - b2 ** self.steps[k]
        return (self.lr / correction1) * m / (np.sqrt(v / correction2) + self.eps)


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients together so that their joint L2 norm is at most `max_norm`.

    Only the magnitude changes, never the direction (Pascanu et al. 2013, algorithm 1).

    Returns
    -------
    float
        The joint norm before clipping.

    Raises
    ------
    ValueError
        If `max_norm` is not positive, or a gradient holds a NaN or an infinity.
    """
    positive("clip_grad_norm", max_norm=max_norm)
    found = [p for p in leaves("clip_grad_norm", parameters) if p.grad is not None]
    gradients = [np.asarray(leaf.grad) for leaf in found]
    for leaf, gradient in zip(found, gradients, strict=True):
        if not np.isfinite(gradient).all():
            raise ValueError(f"clip_grad_norm: the gradient of {leaf.path} holds a NaN or an infinity")
    largest = max((float(np.max(np.abs(g), initial=0.0)) for g in gradients), default=0.0)
    if largest == 0.0:
        return 0.0
    # dividing by the largest element first keeps the squares of huge gradients from overflowing
    squares = sum(float(np.sum(np.square(g / largest, dtype=np.float64))) for g in gradients)
    norm = largest * float(np.sqrt(squares))
    if norm > max_norm:
        for leaf, gradient in zip(found, gradients, strict=True):
            leaf.grad = (gradient / largest * (max_norm / np.sqrt(squares))).astype(leaf.dtype)
    return norm


def leaves(owner: str, parameters: Iterable[Tensor]) -> list[Tensor]:
    """The parameters as a list, if each is a leaf that requires a gradient, and stands there once.

    Raises
    ------
    TypeError, ValueError
        Naming the `owner`.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError(f"{owner}: parameters must be Tensors, got {type(parameters).__name__}")
    found = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not found:
        raise ValueError(f"{owner}: no parameters")
    for leaf in found:
        if not isinstance(leaf, Tensor) or leaf.op is not None or not leaf.requires_grad:
            raise TypeError(f"{owner}: every parameter must be a leaf Tensor with requires_grad, got {leaf!r}")
    if len({leaf.id for leaf in found}) < len(found):
        raise ValueError(f"{owner}: a parameter is given twice")
    return found
