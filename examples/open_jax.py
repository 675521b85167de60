"""A GRU written with Equinox, opened as it is: where its gradient goes, through the gates of the library's own code.

    python examples/open_jax.py

Needs ``pip install tinygrad-rnn[jax] equinox``.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import inspector
import tinygrad_rnn as tg

STEPS, BATCH, INPUTS, HIDDEN = 60, 8, 3, 16


class Encoder(eqx.Module):
    cell: eqx.nn.GRUCell
    head: eqx.nn.Linear

    def __call__(self, xs: jax.Array) -> jax.Array:
        h, _ = jax.lax.scan(lambda h, x: (self.cell(x, h), None), jnp.zeros(HIDDEN), xs)
        return self.head(h)


def main() -> None:
    one, two = jax.random.split(jax.random.key(0))
    module = Encoder(eqx.nn.GRUCell(INPUTS, HIDDEN, key=one), eqx.nn.Linear(HIDDEN, 2, key=two))
    x = np.random.default_rng(0).normal(size=(BATCH, STEPS, INPUTS)).astype(np.float32)

    model = tg.from_jax(jax.vmap(module), x)
    print(model)
    call = model(x)
    (run,) = call.runs.values()
    print(inspector.diagnose(run, tg.mean(tg.square(call["output"]))))


if __name__ == "__main__":
    main()
