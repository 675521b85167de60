"""Reverse-mode autodiff: primitives with their rules, Tensors that record them, the sweep, and the graph as data;
no idea of cells.
"""

from . import tensor as tensor  # whichever module is asked for first, every primitive is registered
