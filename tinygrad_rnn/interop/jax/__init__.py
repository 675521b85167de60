"""Functions of JAX as functions of ours, with every ``lax.scan`` as a run of a cell."""
