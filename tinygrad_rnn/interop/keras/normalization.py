"""Layers that normalise, as they are when nobody trains."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...autodiff import functions
from ...autodiff import primitives as p
from .config import Shape
from .layer import Frame, KerasLayer, register

__all__: list[str] = []


@register("BatchNormalization", "BatchNormalizationV1", "BatchNormalizationV2")
class BatchNormalization(KerasLayer):
    """By the averages that the file has."""

    keeps_mask = True

    def setup(self) -> None:
        axes = self.config.axes("axis", -1)
        if len(axes) != 1:
            self.config.refuse(f"normalises over the axes {axes}; one is supported")
        if self.config.flag("renorm", False):
            self.config.refuse("renormalises (renorm)")
        self.place = axes[0]
        self.epsilon = self.config.number("epsilon", 1e-3)

    def shape_after(self, shape: Shape) -> Shape:
        axis = self.axis(self.place, shape)
        width = (shape[axis],)
        self.gamma = self.variable("gamma", width) if self.config.flag("scale", True) else None
        self.beta = self.variable("beta", width) if self.config.flag("center", True) else None
        self.mean = self.variable("moving_mean", width, trainable=False)
        self.variance = self.variable("moving_variance", width, trainable=False)
        self.form = tuple(-1 if k == axis else 1 for k in range(len(shape)))
        return shape

    def compute(self, frame: Frame, x: Any) -> Any:
        def wide(variable: Any) -> Any:
            return p.reshape(frame[variable], self.form)

        y = p.divide(p.subtract(x, wide(self.mean)), p.sqrt(p.add(wide(self.variance), self.epsilon)))
        y = y if self.gamma is None else p.multiply(y, wide(self.gamma))
        return y if self.beta is None else p.add(y, wide(self.beta))


@register("LayerNormalization")
class LayerNormalization(KerasLayer):
    """By mean and variance over some axes of each example."""

    keeps_mask = True

    def setup(self) -> None:
        self.epsilon = self.config.number("epsilon", 1e-3)
        self.by_size = self.config.flag("rms_scaling", False)

    def shape_after(self, shape: Shape) -> Shape:
        self.axes = tuple(sorted(self.axis(axis, shape) for axis in self.config.axes("axis", -1)))
        widths = [shape[axis] for axis in self.axes]
        scale, center = self.config.flag("scale", True), self.config.flag("center", True)
        self.gamma = self.variable("gamma", widths) if scale or self.by_size else None
        self.beta = self.variable("beta", widths) if center and not self.by_size else None
        self.form = tuple(shape[k] if k in self.axes else 1 for k in range(len(shape)))
        return shape

    def compute(self, frame: Frame, x: Any) -> Any:
        centred = x if self.by_size else p.subtract(x, functions.mean(x, self.axes, True))
        spread = functions.mean(p.square(centred), self.axes, True)
        y = p.divide(centred, p.sqrt(p.add(spread, self.epsilon)))
        y = y if self.gamma is None else p.multiply(y, p.reshape(frame[self.gamma], self.form))
        return y if self.beta is None else p.add(y, p.reshape(frame[self.beta], self.form))


@register("Normalization")
class Normalization(KerasLayer):
    """By mean and variance of the data that it was adapted to, or that it was given."""

    def setup(self) -> None:
        if self.config.flag("invert", False):
            self.config.refuse("is inverted (invert=True)")
        self.given = [self.config.get(name) for name in ("mean", "variance")]

    def shape_after(self, shape: Shape) -> Shape:
        given = self.config.get("axis", -1)
        axes = [] if given is None else [self.axis(axis, shape) for axis in self.config.axes("axis", -1)]
        self.form = tuple(shape[k] or 0 if k in axes else 1 for k in range(len(shape)))
        if self.given == [None, None]:
            widths = [shape[k] for k in sorted(axes)]
            self.mean = self.variable("mean", widths, trainable=False)
            self.variance = self.variable("variance", widths, trainable=False)
            self.variable("count", (), trainable=False, used=False)
        else:
            try:
                self.numbers = [np.asarray(value, np.float64) for value in self.given]
                self.numbers = [np.broadcast_to(value.reshape(-1), (math.prod(self.form),)) for value in self.numbers]
            except (ValueError, TypeError):
                self.config.fail(f"has the mean {self.config.quote(self.given[0])}, which does not fit {shape}")
        return shape

    def compute(self, frame: Frame, x: Any) -> Any:
        if self.given == [None, None]:
            mean, variance = (p.reshape(frame[v], self.form) for v in (self.mean, self.variance))
        else:
            mean, variance = (value.reshape(self.form).astype(x.dtype) for value in self.numbers)
        return p.divide(p.subtract(x, mean), p.maximum(p.sqrt(variance), 1e-7))
