"""The operators of ONNX, by kind; importing this fills the table."""

from . import (  # noqa: F401
    control,
    convolution,
    elementwise,
    linear,
    normalise,
    quantise,
    recurrent,
    reduce,
    resize,
    scatter,
    sequences,
    shape,
)
