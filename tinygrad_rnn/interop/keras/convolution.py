"""Convolutions and pooling, channels last."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...autodiff import functions
from ...autodiff import primitives as p
from .activations import activation_of
from .config import Shape
from .layer import Arguments, Frame, KerasLayer, Signal, register

__all__: list[str] = []


class Window(KerasLayer):
    """What looks at a window around every place."""

    size_name = "kernel_size"

    def setup(self) -> None:
        self.dims = int(self.config["class_name"][-2])
        self.size = self.config.integers(self.size_name, self.dims)
        strides = {"strides": self.config.get("strides") or (1 if self.size_name == "kernel_size" else list(self.size))}
        self.strides = self.config.inside(strides).integers("strides", self.dims)
        self.dilation = self.config.integers("dilation_rate", self.dims, 1)
        padding = self.config.get("padding", "valid")
        self.padding = self.config.inside({"padding": str(padding).lower()}).choice(
            "padding", ("valid", "same", "causal")
        )
        if self.config.get("data_format") == "channels_first":
            self.config.refuse("reads channels first")
        if self.padding == "causal" and self.dims != 1:
            self.config.fail("is causal in two dimensions")

    def margins(self, sizes: tuple[int | None, ...]) -> list[tuple[int, int]]:
        """How much is put before and after along each axis."""
        found = []
        for n, k, s, d in zip(sizes, self.size, self.strides, self.dilation, strict=True):
            reach = d * (k - 1)
            if self.padding == "causal":
                found.append((reach, 0))
            elif self.padding == "same" and n is not None:
                total = max((-(-n // s) - 1) * s + reach + 1 - n, 0)
                found.append((total // 2, total - total // 2))
            else:
                found.append((0, 0))
        return found

    def after(self, shape: Shape) -> tuple[int | None, ...]:
        """The sizes of the output between batch and channels."""
        self.rank(shape, self.dims + 2)
        found: list[int | None] = []
        for n, (a, b), k, s, d in zip(
            shape[1:-1], self.margins(shape[1:-1]), self.size, self.strides, self.dilation, strict=True
        ):
            found.append(None if n is None else (n + a + b - d * (k - 1) - 1) // s + 1)
            if found[-1] is not None and found[-1] < 1:
                self.config.fail(f"looks at windows of {self.size} in an input of {shape[1:-1]}")
        return tuple(found)

    def windows(self, x: Any, fill: float = 0.0) -> list[Any]:
        """For each place of the window what stands there, (batch, ..., channels)."""
        margins = self.margins(x.shape[1:-1])
        if any(max(pair) for pair in margins):
            x = p.pad(x, [(0, 0), *margins, (0, 0)], constant_values=fill)
        counts = self.after((x.shape[0], *x.shape[1:-1], x.shape[-1])) if self.padding == "valid" else tuple(
            (n - d * (k - 1) - 1) // s + 1
            for n, k, s, d in zip(x.shape[1:-1], self.size, self.strides, self.dilation, strict=True)
        )  # fmt: skip
        found = []
        for place in np.ndindex(*self.size):
            index: list[Any] = [slice(None)]
            for k, d, s, n in zip(place, self.dilation, self.strides, counts, strict=True):
                index.append(slice(k * d, k * d + s * ((n or 1) - 1) + 1, s))
            found.append(p.getitem.on((x,), {"index": tuple(index)}))
        return found


@register("Conv1D", "Conv2D", "Convolution1D", "Convolution2D")
class Conv(Window):
    """A convolution."""

    def setup(self) -> None:
        super().setup()
        self.filters, self.groups = self.config.integer("filters"), self.config.integer("groups", 1)
        self.activation = activation_of(self.config, "activation")
        self.has_bias = self.config.flag("use_bias", True)

    def shape_after(self, shape: Shape) -> Shape:
        counts, channels = self.after(shape), shape[-1]
        if channels is None or channels % self.groups or self.filters % self.groups:
            self.config.fail(f"has {self.groups} groups for {channels} channels and {self.filters} filters")
        self.kernel = self.variable("kernel", (*self.size, channels // self.groups, self.filters))
        self.bias = self.variable("bias", (self.filters,)) if self.has_bias else None
        self.note = f"{channels} -> {self.filters}, {' x '.join(map(str, self.size))}"
        return (shape[0], *counts, self.filters)

    def compute(self, frame: Frame, x: Any) -> Any:
        columns, kernel = self.windows(x), frame[self.kernel]
        width = x.shape[-1] // self.groups
        rows = p.reshape(kernel, (math.prod(self.size), width, self.filters))
        share = self.filters // self.groups
        parts = []
        for group in range(self.groups):
            some = [c[..., group * width : (group + 1) * width] for c in columns] if self.groups > 1 else columns
            weights = rows[:, :, group * share : (group + 1) * share] if self.groups > 1 else rows
            joined = functions.concatenate(some, -1) if len(some) > 1 else some[0]
            parts.append(p.matmul(joined, p.reshape(weights, (-1, share))))
        y = functions.concatenate(parts, -1) if len(parts) > 1 else parts[0]
        return self.activation(y if self.bias is None else p.add(y, frame[self.bias]))


@register("MaxPooling1D", "MaxPooling2D", "MaxPool1D", "MaxPool2D")
class MaxPooling(Window):
    """The largest of each window."""

    size_name = "pool_size"

    def shape_after(self, shape: Shape) -> Shape:
        return (shape[0], *self.after(shape), shape[-1])

    def compute(self, frame: Frame, x: Any) -> Any:
        return p.max(functions.stack(self.windows(x, -np.inf), 0), axis=0)


@register("AveragePooling1D", "AveragePooling2D", "AvgPool1D", "AvgPool2D")
class AveragePooling(MaxPooling):
    """The mean of each window, of what lies inside."""

    def compute(self, frame: Frame, x: Any) -> Any:
        total = p.sum(functions.stack(self.windows(x), 0), axis=0)
        ones = np.ones((1, *x.shape[1:-1], 1), x.dtype)
        return p.divide(total, np.sum([np.asarray(w) for w in self.windows(ones)], axis=0, dtype=x.dtype))


@register(
    "GlobalAveragePooling1D", "GlobalAvgPool1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPool1D",
    "GlobalMaxPooling2D",
)  # fmt: skip
class GlobalPooling(KerasLayer):
    """The mean or the largest over all places; the mean of those that count."""

    def setup(self) -> None:
        self.dims = int(self.config["class_name"][-2])
        self.is_mean = "Max" not in self.config["class_name"]
        self.keeps = self.config.flag("keepdims", False)
        if self.config.get("data_format") == "channels_first":
            self.config.refuse("reads channels first")

    def shape_after(self, shape: Shape) -> Shape:
        self.rank(shape, self.dims + 2)
        return (shape[0], *(1,) * (self.dims * self.keeps), shape[-1])

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        x, mask = inputs[0]
        axes = tuple(range(1, self.dims + 1))
        if not self.is_mean:
            return [Signal(p.max(x, axis=axes, keepdims=self.keeps))]
        if mask is None or self.dims != 1:
            return [Signal(functions.mean(x, axes, self.keeps))]
        total = p.sum(p.where(mask[..., None], x, np.zeros((), x.dtype)), axis=axes, keepdims=self.keeps)
        return [Signal(p.divide(total, mask[..., None].sum(axis=1, keepdims=self.keeps).astype(x.dtype)))]
