"""Layers without memory: dense, embedding, activations, dropout, reshaping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...autodiff import primitives as p
from .activations import LAYERS as FUNCTIONS
from .activations import activation_of
from .config import Shape
from .layer import Arguments, Frame, KerasLayer, Signal, as_array, register

__all__: list[str] = []


@register("InputLayer")
class Input(KerasLayer):
    """Where a value comes in."""

    keeps_mask = takes_integers = True
    takes = (0, 1)

    @property
    def declared(self) -> Shape:
        """The shape that the file says."""
        for name in ("batch_shape", "batch_input_shape"):
            if (shape := self.config.shape(name)) is not None:
                return shape
        shape = self.config.shape("shape")
        if shape is None:
            self.config.fail("has no shape")
        return (None, *shape)

    def build(self, shapes: list[Shape], named: Mapping[str, Any]) -> list[Shape]:
        declared = self.declared
        given = shapes[0] if shapes else declared
        if len(given) != len(declared) or any(
            None not in (a, b) and a != b for a, b in zip(given, declared, strict=True)
        ):
            self.config.fail(f"takes {declared}, is given {given}")
        return [tuple(b if a is None else a for a, b in zip(given, declared, strict=True))]

    def compute(self, frame: Frame, x: Any) -> Any:
        return x


@register(
    "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "Identity",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
)  # fmt: skip
class Dropout(KerasLayer):
    """Nothing, when nobody trains."""

    keeps_mask = takes_integers = True

    def compute(self, frame: Frame, x: Any) -> Any:
        return x


@register("Dense")
class Dense(KerasLayer):
    """``activation(x @ kernel + bias)`` on the last axis."""

    keeps_mask = True

    def setup(self) -> None:
        self.units = self.config.integer("units")
        self.has_bias = self.config.flag("use_bias", True)
        self.activation = activation_of(self.config, "activation")
        self.config.get("lora_rank") is None or self.config.refuse("has low-rank weights of its own (lora_rank)")

    def shape_after(self, shape: Shape) -> Shape:
        if len(shape) < 2:
            self.config.fail("needs an input with 2 axes or more")
        self.kernel = self.variable("kernel", (shape[-1], self.units))
        self.bias = self.variable("bias", (self.units,)) if self.has_bias else None
        self.note = f"{shape[-1]} -> {self.units}"
        return (*shape[:-1], self.units)

    def compute(self, frame: Frame, x: Any) -> Any:
        y = p.matmul(x, frame[self.kernel])
        return self.activation(y if self.bias is None else p.add(y, frame[self.bias]))


@register("Embedding")
class Embedding(KerasLayer):
    """A row of a table for each whole number."""

    takes_integers = True

    def setup(self) -> None:
        self.count, self.width = self.config.integer("input_dim"), self.config.integer("output_dim")
        self.masks_zero = self.config.flag("mask_zero", False)
        self.config.get("lora_rank") is None or self.config.refuse("has low-rank weights of its own (lora_rank)")

    def shape_after(self, shape: Shape) -> Shape:
        self.table = self.variable("embeddings", (self.count, self.width))
        self.note = f"{self.count} x {self.width}{', 0 is masked' if self.masks_zero else ''}"
        return (*shape, self.width)

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        places = as_array(inputs[0].value).astype(np.int64)
        if places.size and not 0 <= places.min() <= places.max() < self.count:
            self.config.fail(f"has {self.count} rows, is asked for {places.min()} to {places.max()}")
        return [Signal(p.take(frame[self.table], places, axis=0), places != 0 if self.masks_zero else None)]


@register("Masking")
class Masking(KerasLayer):
    """Timesteps at which all features have one value do not count, and become zeros."""

    takes_integers = True

    def setup(self) -> None:
        self.value = self.config.number("mask_value", 0.0)
        self.note = f"{self.value:g} is masked"

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        x = inputs[0].value
        there = (as_array(x) != self.value).any(axis=-1)
        return [Signal(p.where(there[..., None], x, np.zeros((), x.dtype)), there)]


@register("Activation")
class Activation(KerasLayer):
    """A function of every number."""

    keeps_mask = True

    def setup(self) -> None:
        self.function = activation_of(self.config, "activation")

    def compute(self, frame: Frame, x: Any) -> Any:
        return self.function(x)


@register(*FUNCTIONS)
class Function(KerasLayer):
    """An activation that is a layer with options."""

    keeps_mask = True

    def setup(self) -> None:
        self.function = FUNCTIONS[self.config["class_name"]](self.config)

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        if inputs[0].mask is not None and self.config["class_name"] == "Softmax":
            self.config.refuse("takes a softmax over what is partly masked")
        return super().run(frame, inputs, call)

    def compute(self, frame: Frame, x: Any) -> Any:
        return self.function(x)


@register("PReLU")
class PReLU(KerasLayer):
    """A rectifier whose slope below zero is learned."""

    keeps_mask = True

    def shape_after(self, shape: Shape) -> Shape:
        shared = self.config.axes("shared_axes", 0) if self.config.get("shared_axes") is not None else ()
        self.alpha = self.variable("alpha", [1 if k in shared else n for k, n in enumerate(shape) if k])
        return shape

    def compute(self, frame: Frame, x: Any) -> Any:
        return p.add(p.relu(x), p.multiply(frame[self.alpha], p.negative(p.relu(p.negative(x)))))


@register("Rescaling")
class Rescaling(KerasLayer):
    """``x * scale + offset``."""

    def setup(self) -> None:
        self.scale, self.offset = self.config.number("scale"), self.config.number("offset", 0.0)

    def compute(self, frame: Frame, x: Any) -> Any:
        return p.add(p.multiply(x, self.scale), self.offset)


def product(sizes: Shape) -> int | None:
    """How many numbers a shape holds, if that is known."""
    return None if any(n is None for n in sizes) else math.prod(n or 0 for n in sizes)


@register("Flatten")
class Flatten(KerasLayer):
    """All axes but the batch's as one."""

    takes_integers = True

    def shape_after(self, shape: Shape) -> Shape:
        if self.config.get("data_format") == "channels_first":
            self.config.refuse("reads channels first")
        return (shape[0], product(shape[1:]) if len(shape) > 1 else 1)

    def compute(self, frame: Frame, x: Any) -> Any:
        return p.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


@register("Reshape")
class Reshape(KerasLayer):
    """Another shape, but for the batch."""

    takes_integers = True

    def setup(self) -> None:
        target = self.config.get("target_shape")
        if not isinstance(target, (list, tuple)):
            self.config.fail("has no target_shape")
        inner = [self.config.inside({"target_shape": n}).integer("target_shape", least=-1) for n in target]
        if inner.count(-1) > 1:
            self.config.fail("has more than one size of -1")
        self.target = tuple(inner)

    def shape_after(self, shape: Shape) -> Shape:
        total, known = product(shape[1:]), math.prod(n for n in self.target if n != -1)
        if total is not None and (total != known if -1 not in self.target else not known or total % known):
            self.config.fail(f"makes {self.target} of {shape[1:]}, which is not as many numbers")
        return (
            shape[0],
            *(None if n == -1 and total is None else (total or 0) // known if n == -1 else n for n in self.target),
        )

    def compute(self, frame: Frame, x: Any) -> Any:
        known = math.prod(n for n in self.target if n != -1)
        sizes = tuple(math.prod(x.shape[1:]) // max(known, 1) if n == -1 else n for n in self.target)
        return p.reshape(x, (x.shape[0], *sizes))


@register("Permute")
class Permute(KerasLayer):
    """Axes in another order; they count from 1."""

    takes_integers = True

    def setup(self) -> None:
        self.order = self.config.axes("dims", 1)
        if sorted(self.order) != list(range(1, len(self.order) + 1)):
            self.config.fail(f"has dims {self.order}, which are no order of axes")

    def shape_after(self, shape: Shape) -> Shape:
        self.rank(shape, len(self.order) + 1)
        return (shape[0], *(shape[k] for k in self.order))

    def compute(self, frame: Frame, x: Any) -> Any:
        return p.transpose(x, (0, *self.order))


@register("RepeatVector")
class RepeatVector(KerasLayer):
    """A vector as a sequence."""

    takes_integers = True

    def setup(self) -> None:
        self.count = self.config.integer("n")

    def shape_after(self, shape: Shape) -> Shape:
        self.rank(shape, 2)
        return (shape[0], self.count, shape[1])

    def compute(self, frame: Frame, x: Any) -> Any:
        return p.broadcast_to(p.reshape(x, (x.shape[0], 1, x.shape[1])), (x.shape[0], self.count, x.shape[1]))


@register("ZeroPadding1D")
class ZeroPadding1D(KerasLayer):
    """Zeros before and after."""

    takes_integers = True

    def setup(self) -> None:
        self.width = self.config.integers("padding", 2, 1, least=0)

    def shape_after(self, shape: Shape) -> Shape:
        self.rank(shape, 3)
        return (shape[0], None if shape[1] is None else shape[1] + sum(self.width), shape[2])

    def compute(self, frame: Frame, x: Any) -> Any:
        return p.pad(x, [(0, 0), self.width, (0, 0)])


@register("Cropping1D")
class Cropping1D(KerasLayer):
    """Without the first and the last timesteps."""

    takes_integers = True

    def setup(self) -> None:
        self.width = self.config.integers("cropping", 2, 1, least=0)

    def shape_after(self, shape: Shape) -> Shape:
        self.rank(shape, 3)
        left = None if shape[1] is None else shape[1] - sum(self.width)
        if left is not None and left < 1:
            self.config.fail(f"cuts {self.width} of {shape[1]} timesteps")
        return (shape[0], left, shape[2])

    def compute(self, frame: Frame, x: Any) -> Any:
        return x[:, self.width[0] : x.shape[1] - self.width[1]]


@register("UpSampling1D")
class UpSampling1D(KerasLayer):
    """Every timestep several times."""

    takes_integers = True

    def setup(self) -> None:
        self.count = self.config.integer("size", 2)

    def shape_after(self, shape: Shape) -> Shape:
        self.rank(shape, 3)
        return (shape[0], None if shape[1] is None else shape[1] * self.count, shape[2])

    def compute(self, frame: Frame, x: Any) -> Any:
        batch, steps, width = x.shape
        wide = p.broadcast_to(p.reshape(x, (batch, steps, 1, width)), (batch, steps, self.count, width))
        return p.reshape(wide, (batch, steps * self.count, width))
