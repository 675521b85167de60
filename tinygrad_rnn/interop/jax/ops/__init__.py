"""The primitives of JAX in operations of ours, a family a file; importing them fills the table."""

from . import convolution, elementwise, indexing, linear, reduce, shape  # noqa: F401
