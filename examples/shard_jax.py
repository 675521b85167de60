"""A cell that was tried here, trained on eight devices by JAX: the batch is split, the gradients are the same.

    python examples/shard_jax.py

The eight devices are simulated on the processor; on a machine with accelerators take the first line out. Needs
``pip install tinygrad-rnn[jax]``.
"""

from __future__ import annotations

import os

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import tinygrad_rnn as tg

STEPS, BATCH, INPUTS, HIDDEN = 50, 32, 8, 16


def main() -> None:
    cell = tg.cells.PeepholeLSTMCell(INPUTS, HIDDEN, dtype=np.float32, seed=0)
    apply, params = tg.to_jax(cell)
    x = np.random.default_rng(0).normal(size=(STEPS, BATCH, INPUTS)).astype(np.float32)

    @jax.jit
    def gradient(params: dict[str, jax.Array], x: jax.Array) -> dict[str, jax.Array]:
        return jax.grad(lambda p: jnp.square(apply(p, x)[0][-1]).mean())(params)

    mesh = Mesh(np.array(jax.devices()), ("batch",))
    split = jax.device_put(x, NamedSharding(mesh, PartitionSpec(None, "batch", None)))
    everywhere = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
    sharded = gradient(everywhere, split)

    run = tg.unroll(cell, x)
    ours = tg.grad((run.outputs[-1] ** 2).mean(), cell.parameters())
    print(f"{len(jax.devices())} devices, {BATCH // len(jax.devices())} sequences each")
    largest = 0.0
    for own, name in zip(ours, params, strict=True):
        difference = float(np.abs(own.data - np.asarray(sharded[name])).max() / np.abs(own.data).max())
        largest = max(largest, difference)
        print(f"  {name:10} {difference:.1e} of the largest entry")
    assert largest < 1e-4, "the devices disagree"
    print(f"largest difference to the gradients here: {largest:.1e}")


if __name__ == "__main__":
    main()
