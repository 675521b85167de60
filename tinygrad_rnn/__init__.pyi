"""The public names and where they live: what type checkers read, and what `__init__.py` imports from."""

from . import autodiff as autodiff
from . import baselines as baselines
from . import cells as cells
from . import compiler as compiler
from . import files as files
from . import interop as interop
from . import losses as losses
from . import models as models
from . import optim as optim
from . import recurrent as recurrent
from . import tasks as tasks
from . import training as training
from .autodiff.ancestry import parts as parts
from .autodiff.anomaly import AnomalyError as AnomalyError
from .autodiff.arrangement import *
from .autodiff.backward import grad as grad
from .autodiff.backward import jacobian as jacobian
from .autodiff.discrete import *
from .autodiff.elementary import *
from .autodiff.functions import *
from .autodiff.gradcheck import GradcheckError as GradcheckError
from .autodiff.gradcheck import gradcheck as gradcheck
from .autodiff.gradcheck import gradgradcheck as gradgradcheck
from .autodiff.graph import Graph as Graph
from .autodiff.node import Edge as Edge
from .autodiff.node import Node as Node
from .autodiff.primitive import PRIMITIVES as PRIMITIVES
from .autodiff.primitive import Primitive as Primitive
from .autodiff.primitive import elementwise as elementwise
from .autodiff.primitive import primitive as primitive
from .autodiff.primitive import variadic as variadic
from .autodiff.primitives import *
from .autodiff.products import *
from .autodiff.reductions import *
from .autodiff.scope import Scope as Scope
from .autodiff.scope import detect_anomaly as detect_anomaly
from .autodiff.scope import no_grad as no_grad
from .autodiff.scope import scope as scope
from .autodiff.tensor import Tensor as Tensor
from .autodiff.tensor import named as named
from .autodiff.tensor import tensor as tensor
from .compiler import CompileWarning as CompileWarning
from .compiler import compile as compile
from .interop.jax.load import from_jax as from_jax
from .interop.jax_out.function import to_jax as to_jax
from .interop.keras.program import load_keras as load_keras
from .interop.onnx.load import load_onnx as load_onnx
from .interop.onnx_out.save import save_onnx as save_onnx
from .interop.refusal import UnsupportedError as UnsupportedError
from .interop.tensor_files import load_safetensors as load_safetensors
from .interop.tensor_files import save_safetensors as save_safetensors
from .interop.torch.step import from_torch as from_torch
from .interop.torch_out.module import to_torch as to_torch
from .interop.weights import load_torch as load_torch
from .recurrent import init as init
from .recurrent.cell import Cell as Cell
from .recurrent.stacks import Bidirectional as Bidirectional
from .recurrent.stacks import Stacked as Stacked
from .recurrent.unroll import Run as Run
from .recurrent.unroll import unroll as unroll
from .training import fit as fit

__version__: str
