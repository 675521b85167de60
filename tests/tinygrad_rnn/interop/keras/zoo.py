"""Models of every kind of layer that is read, made with Keras; `python -m tests.tinygrad_rnn.interop.keras.zoo` keeps
some of them with inputs, outputs and gradients in `files/`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "torch")

FILES = Path(__file__).parent / "files"
KEPT = ("tagger", "masked", "shared", "stacked", "encoder", "before.h5", "convolved")


def zoo(keras: Any) -> dict[str, Any]:
    """By name a model, the shapes of its inputs, and for inputs of whole numbers how many there are."""
    layers = keras.layers
    made: dict[str, Any] = {}

    def sequence(name: str, *parts: Any, shape: Any = (6, 3), ints: int = 0) -> None:
        made[name] = keras.Sequential([keras.Input(shape, dtype="int32" if ints else None), *parts]), [shape], ints
        made[name] = *made[name][:1], [tuple(6 if n is None else n for n in shape)], ints

    def wired(name: str, inputs: Any, outputs: Any, ints: int = 0) -> None:
        inputs = inputs if isinstance(inputs, list) else [inputs]
        shapes = [tuple(6 if n is None else n for n in x.shape[1:]) for x in inputs]
        made[name] = keras.Model(inputs, outputs), shapes, ints

    both = layers.Bidirectional
    sequence("tagger", layers.Embedding(7, 4), both(layers.GRU(3, return_sequences=True)),
             layers.TimeDistributed(layers.Dense(2, activation="softmax")), shape=(None,), ints=7)  # fmt: skip
    sequence("masked", layers.Embedding(7, 4, mask_zero=True), both(layers.LSTM(3, return_sequences=True)),
             layers.Dropout(0.5), layers.LSTM(2, return_sequences=True, go_backwards=True),
             layers.GRU(3, name="gru"), layers.Dense(2, name="dense"), shape=(6,), ints=7)  # fmt: skip
    x = keras.Input((6, 3))
    twice = layers.LSTM(2, return_sequences=True, name="twice")
    dense = layers.Dense(3, "relu", name="z")
    wired("shared", x, [dense(twice(dense(twice(x)))), layers.Add(name="a")([x, dense(twice(x))])])
    cells = [layers.LSTMCell(2), layers.GRUCell(3, reset_after=False), layers.SimpleRNNCell(2), layers.LSTMCell(4)]
    sequence("stacked", layers.RNN(cells, return_sequences=True),
             layers.RNN(layers.StackedRNNCells([layers.LSTMCell(3), layers.LSTMCell(2)])))  # fmt: skip
    past, now = keras.Input((None, 3), name="past"), keras.Input((None, 2), name="now")
    _, *states = layers.LSTM(4, return_state=True, name="encoder")(past)
    y, h, c = layers.LSTM(4, return_sequences=True, return_state=True, name="decoder")(now, initial_state=states)
    wired("encoder", [past, now], [layers.Dense(3)(y), h, c])
    sequence("before", layers.GRU(3, reset_after=False, return_sequences=True, recurrent_activation="hard_sigmoid"),
             layers.SimpleRNN(2, activation="relu", use_bias=False))  # fmt: skip
    inner = keras.Sequential([keras.Input((6, 3)), layers.Dense(2), layers.Dense(2), layers.BatchNormalization()])
    z = keras.Input((6, 2))
    deep = keras.Model(z, [layers.LSTM(2)(inner(layers.Dense(3)(z))), layers.GlobalMaxPooling1D()(z)], name="deep")
    a, b = deep(inner(x))
    wired("nested", x, [layers.Concatenate()([a, b]), deep(inner(layers.Activation("tanh")(x)))[0]])
    sequence("convolved", layers.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="gelu"),
             layers.BatchNormalization(), layers.MaxPooling1D(2, padding="same"),
             layers.Conv1D(4, 2, strides=2, padding="same", groups=2), layers.LayerNormalization(),
             layers.GRU(2, use_bias=False))  # fmt: skip
    for merge in ("sum", "mul", "ave", "concat", None):
        back = layers.LSTM(3, "sigmoid", return_sequences=True, return_state=True, go_backwards=True)
        own = both(layers.LSTM(3, return_sequences=True, return_state=True), merge_mode=merge, backward_layer=back)
        wired(f"both {merge}", x, list(own(x)))
        masked = layers.Masking()(x)
        y = both(layers.SimpleRNN(2), merge_mode=merge)(masked)
        wired(f"both {merge}, last, masked", x, list(y) if merge is None else y)
    wired("turned", x, both(layers.LSTM(2, go_backwards=True, return_sequences=True),
                            backward_layer=layers.GRU(2, return_sequences=True))(x))  # fmt: skip
    wired("both stacked", x, both(layers.RNN([layers.LSTMCell(2), layers.GRUCell(2)], return_sequences=True))(x))
    h, g = keras.Input((2,)), keras.Input((2,))
    wired("both from states", [x, h, g], both(layers.GRU(2, return_sequences=True))(x, initial_state=[h, g]))
    wired("masked from states", [x, h, g],
          layers.LSTM(2, return_sequences=True)(layers.Masking()(x), initial_state=[h, g]))  # fmt: skip
    wired("unrolled from states", [x, h, g],
          layers.LSTM(2, return_sequences=True, unroll=True)(layers.Masking()(x), initial_state=[h, g]))  # fmt: skip
    wired("zeros", x, layers.LSTM(2, return_sequences=True, zero_output_for_mask=True)(layers.Masking()(x)))
    sequence("merged masks", layers.Masking(), layers.LSTM(3, return_sequences=True), layers.GlobalAveragePooling1D())
    ids, more = keras.Input((6,), dtype="int32"), keras.Input((6,), dtype="int32")
    e, f = layers.Embedding(5, 3, mask_zero=True)(ids), layers.Embedding(5, 3, mask_zero=True)(more)
    wired("concatenated masks", [ids, more], layers.LSTM(2)(layers.Concatenate(axis=1)([e, f])), 5)
    wired("added masks", [ids, more], layers.LSTM(2)(layers.Add()([e, f])), 5)
    wired("attention", [ids, more], [
        layers.Attention(use_scale=True)([e, f]), layers.Attention(score_mode="concat")([e, f, e]),
        layers.AdditiveAttention()([e, f])], 5)  # fmt: skip
    wired(
        "causal", [ids, more], list(layers.Attention()([e, f], return_attention_scores=True, use_causal_mask=True)), 5
    )
    e = layers.Embedding(5, 3)(ids)  # Keras' backends differ about the gradient of a query that is masked out
    wired("heads", [ids, more], layers.MultiHeadAttention(2, 3)(e, f), 5)
    f = layers.Embedding(5, 3)(more)
    heads = layers.MultiHeadAttention(2, 3, output_shape=5, use_bias=False)
    wired("causal heads", [ids, more], heads(e, f, key=e, use_causal_mask=True), 5)
    p, q = keras.Input((4, 3)), keras.Input((4, 3))
    wired("merges", [p, q], [getattr(layers, kind)()([p, q]) for kind in (
        "Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract", "Concatenate")] + [
        layers.Dot(axes=2)([p, q]), layers.Dot(axes=(1, 1), normalize=True)([p, q]),
        layers.Concatenate(axis=1)([p, q]), layers.Add()([layers.GlobalMaxPooling1D()(p), q])])  # fmt: skip
    sequence("reshaped", layers.ZeroPadding1D((1, 2)), layers.Cropping1D(1), layers.UpSampling1D(2),
             layers.Permute((2, 1)),
             layers.Reshape((-1, 7)), layers.Flatten(), layers.RepeatVector(3), layers.PReLU(shared_axes=[1]),
             layers.Rescaling(2.0, 0.5), layers.LeakyReLU(0.1), layers.ELU(0.7), layers.Softmax(axis=1))  # fmt: skip
    sequence("pictures", layers.Conv2D(3, (2, 3), strides=(2, 1), padding="same"), layers.MaxPooling2D((1, 2)),
             layers.AveragePooling2D(2, padding="same"), layers.TimeDistributed(layers.Flatten()),
             layers.SimpleRNN(2), shape=(5, 6, 2))  # fmt: skip
    sequence("averages", layers.AveragePooling1D(3, strides=1, padding="same"),
             layers.GlobalMaxPooling1D(keepdims=True),
             layers.ReLU(max_value=2.0, negative_slope=0.1, threshold=0.2), layers.Dense(2))  # fmt: skip
    sequence("sequences of sequences", layers.TimeDistributed(both(layers.LSTM(2))), layers.GRU(2), shape=(4, 3, 2))
    normal = layers.Normalization()
    normal.adapt(np.random.default_rng(0).normal(2.0, 3.0, (20, 6, 3)))
    sequence("normal", normal, layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0]), layers.GRU(2))
    e = layers.Embedding(5, 3)(ids)
    w = layers.GRU(2)(e + 1.0)[:, None] * 2.0 - keras.ops.mean(e[:, 1:3, :2], axis=1, keepdims=True)
    wired("operations", ids, keras.ops.concatenate([w, keras.ops.exp(-w)], axis=-1), 5)
    frozen = layers.Dense(3)
    frozen.trainable = False
    wired("frozen", x, keras.Model(x, layers.LSTM(2)(layers.BatchNormalization()(frozen(layers.Dense(3)(x)))))(x))
    return made


def drawn(model: Any, shapes: Any, ints: int, rng: np.random.Generator, batch: int = 3) -> list[Any]:
    """Inputs; some steps at the beginning, the end and in the middle are zero, for masks. Weights take other values."""
    for variable in model.weights:
        if variable.dtype == "int32" or variable.name in ("mean", "variance", "count"):  # of Normalization, fixed
            continue
        values = rng.normal(0.0, 0.6, variable.shape)
        variable.assign(np.abs(values) + 0.5 if "variance" in variable.path else values)
    found = []
    for shape in shapes:
        if ints:
            found.append(rng.integers(0, ints, (batch, *shape)))
            found[-1][:, 0] = 1
        else:
            found.append(rng.normal(size=(batch, *shape)).astype(model.compute_dtype))
            if len(shape) == 2:
                found[-1][0, -2:] = found[-1][1, 2] = found[-1][2, 0] = 0.0
    return found


def gradients(keras: Any, model: Any, inputs: list[Any]) -> tuple[list[Any], list[Any], dict[str, Any]]:
    """Outputs, weights of them, and the gradient of the weighted sum by each trainable variable, from PyTorch."""
    import torch

    flat = keras.tree.flatten(model(inputs if len(inputs) > 1 else inputs[0]))
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0.5, 1.5, tuple(y.shape)).astype(str(y.dtype).partition(".")[2]) for y in flat]
    loss = sum((y * torch.from_numpy(w)).sum() for y, w in zip(flat, weights, strict=True))
    trained = {v.path: v.value for v in model.trainable_variables}
    found = torch.autograd.grad(loss, [*trained.values()], materialize_grads=True) if trained else ()
    return (
        [y.detach().numpy() for y in flat],
        weights,
        {path: gradient.numpy() for path, gradient in zip(trained, found, strict=True)},
    )


def keep() -> None:
    """Write the files."""
    import keras

    FILES.mkdir(exist_ok=True)
    for name in KEPT:
        base, _, suffix = name.partition(".")
        rng = np.random.default_rng(len(base))
        keras.utils.set_random_seed(0)
        model, shapes, ints = zoo(keras)[base]
        inputs = drawn(model, shapes, ints, rng)
        outputs, weights, found = gradients(keras, model, inputs)
        model.save(FILES / f"{base}.{suffix or 'keras'}")
        arrays = {f"input {k}": x for k, x in enumerate(inputs)} | {f"output {k}": y for k, y in enumerate(outputs)}
        arrays |= {f"weight {k}": w for k, w in enumerate(weights)} | {f"gradient {p}": g for p, g in found.items()}
        np.savez_compressed(FILES / f"{base}.npz", **arrays)


if __name__ == "__main__":
    keep()
