"""One call of a recurrent module: what it read and gave out, and what a backward pass sent through it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .edges import Span, listen

__all__ = ["Call", "Kind", "weights_of"]


@dataclass(frozen=True)
class Kind:
    """What a module is.

    Attributes
    ----------
    name : str
        Of its class in ``torch.nn``.
    states : tuple of str
    nonlinearity : str
        Of an RNN.
    dropout : float
        Between layers, as it was applied in the call.
    """

    name: str
    states: tuple[str, ...]
    nonlinearity: str = "tanh"
    dropout: float = 0.0

    @classmethod
    def of(cls, module: Any) -> Kind:
        """That of a module of ``torch.nn`` or a subclass."""
        name = next(base.__name__ for base in type(module).__mro__ if base.__module__.startswith("torch.nn.modules"))
        dropping = module.training and getattr(module, "num_layers", 1) > 1
        return cls(
            name,
            ("h", "c") if name.startswith("LSTM") else ("h",),
            getattr(module, "nonlinearity", "tanh"),
            module.dropout if dropping and hasattr(module, "dropout") else 0.0,
        )

    @property
    def steps_once(self) -> bool:
        """Whether a call is a single step."""
        return self.name.endswith("Cell")


@dataclass(eq=False)
class Call:
    """What is kept of a call, in copies that no later change reaches.

    Attributes
    ----------
    kind : Kind
    weights : dict of str to torch.Tensor
    given, gave : dict of str to torch.Tensor
        What the call read and gave out: ``x`` and the states by name; ``outputs`` and the states.
    layout : Layout or None
        Of a sequence; ``None`` of a single step.
    random : torch.Tensor or None
        The state of the random numbers before a call that drew masks of dropout.
    cotangents, gradients : dict of str to torch.Tensor
        What the latest backward pass brought to what the call gave, and what the call sent to each Tensor it read.
    inside : dict of str to torch.Tensor
        The part of `cotangents` that comes from the call itself.
    asks : frozenset of str
        The Tensors it read that ask for a gradient, so that `gradients` can be compared with.
    forward : int
        The number of the forward pass of the model that it is part of; 0 if of none.
    number : int
        Of all calls that were kept.
    previous, joined : Call or None, tuple of bool
        The step before in a loop, and for each state whether it is the very one that this gave.
    differentiated : bool
        Whether a backward pass before the latest can itself be differentiated (``create_graph``).
    """

    kind: Kind
    weights: Mapping[str, Any]
    given: dict[str, Any]
    gave: dict[str, Any]
    layout: Any
    random: Any
    asks: frozenset[str]
    forward: int = 0
    number: int = 0
    previous: Call | None = None
    joined: tuple[bool, ...] = ()
    span: Span = (0, -1)
    handed: dict[str, weakref.ref[Any]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    cotangents: dict[str, Any] = field(default_factory=dict)
    gradients: dict[str, Any] = field(default_factory=dict)
    inside: dict[str, Any] = field(default_factory=dict)
    differentiated: bool = False
    _task: int = -1
    _has_graph: bool = False

    def connect(
        self, torch: Any, reads: Mapping[str, Any], outputs: Mapping[str, Any], begin: Callable[[Call], int]
    ) -> None:
        """Listen to the Tensors of the call; `begin` is told when a gradient comes, and says of which pass.

        A gradient is heard where it enters the node, as what hooks of the user's on the Tensor have made of it.
        """

        def receive(name: str, slot: int, gradients: Any) -> None:
            if gradients[slot] is not None:
                self._in_task(begin(self), torch.is_grad_enabled())
                self.cotangents[name] = gradients[slot].detach().clone()

        for name, tensor in outputs.items():
            if tensor.requires_grad:
                tensor.grad_fn.register_prehook(partial(receive, name, tensor.output_nr))
        self.span = listen(torch, outputs, reads, self._sent, self._turned)
        self.handed = {name: weakref.ref(tensor) for name, tensor in outputs.items()}
        self.versions = {name: tensor._version for name, tensor in outputs.items()}

    def _in_task(self, task: int, has_graph: bool) -> None:
        if task != self._task:  # another pass through the same graph: what the one before brought is another matter
            self._task, self.differentiated = task, self._has_graph
            self._has_graph |= has_graph
            self.cotangents, self.gradients, self.inside = {}, {}, {}

    def _sent(self, name: str, contribution: Any) -> None:
        _add(self.gradients, name, contribution.detach())

    def _turned(self, name: str, contribution: Any) -> None:
        _add(self.inside, name, contribution.detach())


def _add(total: dict[str, Any], name: str, part: Any) -> None:
    total[name] = total[name].add_(part) if name in total else part.clone()


def weights_of(module: Any, computed: Mapping[str, Any]) -> dict[str, Any]:
    """The very Tensors that a module multiplied with, by PyTorch's names.

    None is asked for that a parametrization would compute anew: that may draw random numbers, or iterate. Those that
    a cell computed in its call are given.
    """
    if hasattr(module, "_flat_weights"):
        flat = zip(module._flat_weights_names, module._flat_weights, strict=True)
        return {name: weight for name, weight in flat if weight is not None}
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]
    return {name: computed[name] if name in computed else getattr(module, name) for name in names}
