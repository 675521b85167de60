"""Attention: dot products, sums, several heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...autodiff import functions
from ...autodiff import primitives as p
from .config import Shape
from .layer import Arguments, Array, Frame, KerasLayer, Signal, as_array, register

__all__: list[str] = []


def _causal(queries: int, keys: int) -> Array:
    return np.tril(np.ones((queries, keys), bool))


def _both(one: Array | None, two: Array | None) -> Array | None:
    return two if one is None else one if two is None else one & two


@register("Attention", "AdditiveAttention")
class Attention(KerasLayer):
    """Luong's dot products, or Bahdanau's sums."""

    takes = (2, 3)
    knows = frozenset({"return_attention_scores", "use_causal_mask"})

    def setup(self) -> None:
        self.is_additive = self.config["class_name"] == "AdditiveAttention"
        self.mode = self.config.choice("score_mode", ("dot", "concat"), "dot")
        self.has_scale = self.config.flag("use_scale", self.is_additive)
        if self.config.flag("causal", False):
            self.config.refuse("is causal by an option of Keras 2")

    def build(self, shapes: list[Shape], named: Mapping[str, Any]) -> list[Shape]:
        query, value = shapes[:2]
        for shape in shapes:
            self.rank(shape, 3)
        self.scale = self.variable("scale", (query[-1],) if self.is_additive else ()) if self.has_scale else None
        concat = not self.is_additive and self.mode == "concat"
        self.factor = self.variable("concat_score_weight", ()) if concat else None
        output = (*query[:-1], value[-1])
        return [output, (*query[:-1], value[1])] if named.get("return_attention_scores") else [output]

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        query, value = inputs[0].value, inputs[1].value
        key = inputs[2].value if len(inputs) > 2 else value
        scale = None if self.scale is None else frame[self.scale]
        if self.is_additive or self.factor is not None:
            total = p.add(functions.expand_dims(query, 2), functions.expand_dims(key, 1))
            if self.is_additive:
                scores = p.tanh(total) if scale is None else p.multiply(scale, p.tanh(total))
                scores = p.sum(scores, axis=-1)
            else:
                summed = p.sum(p.tanh(total if scale is None else p.multiply(scale, total)), axis=-1)
                scores = summed if self.factor is None else p.multiply(frame[self.factor], summed)
        else:
            scores = p.matmul(query, p.transpose(key, (0, 2, 1)))
            scores = scores if scale is None else p.multiply(scores, scale)
        there = inputs[1].mask[:, None, :] if inputs[1].mask is not None else None
        if call.named.get("use_causal_mask"):
            there = _both(there, _causal(query.shape[1], value.shape[1])[None])
        if there is not None:
            scores = p.where(there, scores, p.subtract(scores, np.array(1e9, scores.dtype)))
        weights = functions.softmax(scores)
        y = p.matmul(weights, value)
        mask = inputs[0].mask
        y = y if mask is None else p.where(mask[..., None], y, np.zeros((), y.dtype))
        return [Signal(y, mask), Signal(weights)][: 2 if call.named.get("return_attention_scores") else 1]


class Projection(KerasLayer):
    """A matrix on the last axes of an input: one dense part of several heads."""

    def declare(self, before: tuple[int | None, ...], after: tuple[int, ...], has_bias: bool) -> Projection:
        """With these axes before and after."""
        self.kernel = self.variable("kernel", (*before, *after))
        self.bias = self.variable("bias", after) if has_bias else None
        return self

    def apply(self, frame: Frame, x: Any, letters: str) -> Any:
        """By the subscripts of an einsum."""
        y = functions.einsum(letters, x, frame[self.kernel])
        return y if self.bias is None else p.add(y, frame[self.bias])


@register("MultiHeadAttention")
class MultiHeadAttention(KerasLayer):
    """Attention in several projections side by side."""

    takes = (1, 3)
    knows = frozenset(
        {"value", "key", "query_mask", "value_mask", "key_mask", "attention_mask", "use_causal_mask"}
        | {"return_attention_scores"}
    )

    def setup(self) -> None:
        self.heads, self.width = self.config.integer("num_heads"), self.config.integer("key_dim")
        self.value_width = self.width if self.config.get("value_dim") is None else self.config.integer("value_dim")
        self.has_bias = self.config.flag("use_bias", True)
        for name in ("attention_axes", "sliding_window"):
            value = self.config.get(name)
            if value is not None and value not in ([1], (1,), 1):
                self.config.refuse(f"has {name}={self.config.quote(value)}")
        if self.config.flag("use_gate", False):
            self.config.refuse("has a gate (use_gate)")
        names = {"query_dense": "query", "key_dense": "key", "value_dense": "value", "output_dense": "attention_output"}
        for key, name in names.items():
            self.parts[key] = Projection(name, f"{self.path}/{name}", self.config, self._maker)

    def build(self, shapes: list[Shape], named: Mapping[str, Any]) -> list[Shape]:
        flat = [*shapes, *(shape for name in ("value", "key") for shape in named.get(f"{name} shapes", []))]
        if not 2 <= len(flat) <= 3:
            self.config.fail(f"is called with {len(flat)} of query, value and key")
        query, value = flat[:2]
        key = flat[2] if len(flat) > 2 else value
        for shape in flat:
            self.rank(shape, 3)
        wide = (self.heads, self.width)
        given = self.config.get("output_shape")
        width = query[-1] if given is None else self.config.integers("output_shape", 1)[0]
        self.parts["query_dense"].declare(query[-1:], wide, self.has_bias)
        self.parts["key_dense"].declare(key[-1:], wide, self.has_bias)
        self.parts["value_dense"].declare(value[-1:], (self.heads, self.value_width), self.has_bias)
        if width is None:
            self.config.fail("has an input of unknown width")
        self.parts["output_dense"].declare((self.heads, self.value_width), (width,), self.has_bias)
        self.note = f"{self.heads} heads of {self.width}"
        scores = (query[0], self.heads, query[1], key[1])
        return [(*query[:-1], width), *([scores] if named.get("return_attention_scores") else [])]

    def run(self, frame: Frame, inputs: list[Signal], call: Arguments) -> list[Signal]:
        flat = [*inputs, *map(self._cast, call.signals("value")), *map(self._cast, call.signals("key"))]
        for k, name in enumerate(("query_mask", "value_mask", "key_mask")[: len(flat)]):
            for given in call.signals(name):
                flat[k] = Signal(flat[k].value, as_array(given.value).astype(bool))
        query, value = flat[:2]
        key = flat[2] if len(flat) > 2 else value
        q = self.parts["query_dense"].apply(frame, query.value, "btd,dnh->btnh")
        k = self.parts["key_dense"].apply(frame, key.value, "bsd,dnh->bsnh")
        v = self.parts["value_dense"].apply(frame, value.value, "bsd,dnh->bsnh")
        scores = functions.einsum("bsnh,btnh->bnts", k, p.multiply(q, np.array(self.width**-0.5, q.dtype)))
        there = None if query.mask is None else query.mask[:, :, None]
        there = _both(there, None if value.mask is None else value.mask[:, None, :])
        if len(flat) > 2:
            there = _both(there, None if key.mask is None else key.mask[:, None, :])
        if call.named.get("use_causal_mask"):
            there = _both(there, _causal(q.shape[1], k.shape[1])[None])
        for signal in call.signals("attention_mask"):
            there = _both(there, as_array(signal.value).astype(bool))
        if there is not None:
            there = there[:, None] if there.ndim == 3 else there
            scores = p.where(there, scores, np.array(np.finfo(scores.dtype).min * 0.7, scores.dtype))
        weights = functions.softmax(scores)
        y = functions.einsum("bnts,bsnh->btnh", weights, v)
        y = self.parts["output_dense"].apply(frame, y, "btnh,nho->bto")
        return [Signal(y, query.mask), Signal(weights)][: 2 if call.named.get("return_attention_scores") else 1]
