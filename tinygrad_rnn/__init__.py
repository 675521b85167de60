"""Reverse-mode autodiff on NumPy that builds explicit graphs of recurrent networks over time."""

from . import arrangement as _arrangement
from . import cells, init, losses, models, optim, tasks, training
from . import discrete as _discrete
from . import elementary as _elementary
from . import products as _products
from . import reductions as _reductions
from .ancestry import parts
from .anomaly import AnomalyError
from .arrangement import *  # noqa: F403
from .backward import grad, jacobian
from .cell import Cell
from .compile import CompileWarning, compile
from .discrete import *  # noqa: F403
from .elementary import *  # noqa: F403
from .functions import (
    clip,
    concatenate,
    cumsum,
    einsum,
    expand_dims,
    linear,
    log_softmax,
    mean,
    softmax,
    split,
    squeeze,
    stack,
    swapaxes,
)  # fmt: skip
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .graph import Edge, Graph, Node
from .primitive import PRIMITIVES, Primitive, elementwise, primitive, variadic
from .primitives import (
    abs,
    add,
    astype,
    broadcast_to,
    cos,
    divide,
    equal,
    exp,
    expm1,
    flip,
    getitem,
    greater,
    greater_equal,
    identity,
    less,
    less_equal,
    log,
    log1p,
    logsumexp,
    matmul,
    max,
    maximum,
    min,
    minimum,
    multiply,
    negative,
    not_equal,
    pad,
    power,
    prod,
    relu,
    reshape,
    scatter,
    scatter_along_axis,
    sigmoid,
    sign,
    sin,
    softplus,
    sqrt,
    square,
    stop_gradient,
    subtract,
    sum,
    take,
    take_along_axis,
    tanh,
    transpose,
    where,
)  # fmt: skip
from .products import *  # noqa: F403
from .reductions import *  # noqa: F403
from .scope import Scope, detect_anomaly, no_grad, scope
from .stacks import Bidirectional, Stacked
from .tensor import Tensor, named, tensor
from .training import fit, load_safetensors, save_safetensors
from .unroll import Run, unroll

__version__ = "0.1.0"

__all__ = [
    "PRIMITIVES",
    "AnomalyError",
    "Bidirectional",
    "Cell",
    "CompileWarning",
    "Edge",
    "GradcheckError",
    "Graph",
    "Node",
    "Primitive",
    "Run",
    "Scope",
    "Stacked",
    "Tensor",
    "abs",
    "add",
    "astype",
    "broadcast_to",
    "cells",
    "clip",
    "compile",
    "concatenate",
    "cos",
    "cumsum",
    "detect_anomaly",
    "divide",
    "einsum",
    "elementwise",
    "equal",
    "exp",
    "expand_dims",
    "expm1",
    "fit",
    "flip",
    "getitem",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "greater",
    "greater_equal",
    "identity",
    "init",
    "jacobian",
    "less",
    "less_equal",
    "linear",
    "load_safetensors",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "losses",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "models",
    "multiply",
    "named",
    "negative",
    "no_grad",
    "not_equal",
    "optim",
    "pad",
    "parts",
    "power",
    "primitive",
    "prod",
    "relu",
    "reshape",
    "save_safetensors",
    "scatter",
    "scatter_along_axis",
    "scope",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "softplus",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "stop_gradient",
    "subtract",
    "sum",
    "swapaxes",
    "take",
    "take_along_axis",
    "tanh",
    "tasks",
    "tensor",
    "training",
    "transpose",
    "unroll",
    "variadic",
    "where",
]  # fmt: skip
__all__ += _arrangement.__all__
__all__ += _discrete.__all__
__all__ += _elementary.__all__
__all__ += _products.__all__
__all__ += _reductions.__all__
