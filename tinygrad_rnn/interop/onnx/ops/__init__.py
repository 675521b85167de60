"""The operators of ONNX, by kind; importing this fills the table."""

from . import control, convolution, elementwise, linear, normalise, recurrent, reduce, scatter, shape  # noqa: F401
