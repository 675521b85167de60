"""The operators of ONNX, by kind; importing this fills the table."""

from . import control, convolution, elementwise, linear, normalise, recurrent, reduce, scatter, sequences, shape  # noqa: F401
