"""Hooks on the recurrent parts of a model: every call is kept until its backward pass."""

from __future__ import annotations

import functools
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tinygrad_rnn.interop.packages import import_package

from .call import Call, Kind, weights_of
from .hooks import Hook
from .layout import Layout
from .loops import find_previous
from .passes import Passes

__all__ = ["Capture"]


class Capture:
    """Listens to a model and its recurrent parts; between two passes to be looked at it only counts.

    Parameters
    ----------
    model : torch.nn.Module
    parts : mapping of str to torch.nn.Module
    passes : Passes
        Where the calls go.

    Attributes
    ----------
    unheard : dict of str to str
        Why the latest call of a part was not kept.
    """

    def __init__(self, model: Any, parts: Mapping[str, Any], passes: Passes) -> None:
        self._torch = import_package("torch", "watch")
        self._model, self._parts, self._passes = model, parts, passes
        self.unheard: dict[str, str] = {}
        self._random: dict[str, Any] = {}
        self._computed: dict[str, dict[str, Any]] = {name: {} for name in parts}
        self._weights: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._handles: list[Any] = []
        self._skip = 0
        self._closed = False
        self.listen()

    def listen(self) -> None:
        """Keep every call from now on."""
        self._remove()
        if self._closed:
            return
        enter, leave = (lambda *_: self._passes.enter()), (lambda *_: self._passes.leave())
        self._handles.append(self._model.register_forward_pre_hook(Hook(enter)))
        self._handles.append(self._model.register_forward_hook(Hook(leave), always_call=True))
        for name, module in self._parts.items():
            before, after = functools.partial(self._before, name), functools.partial(self._after, name)
            self._handles.append(module.register_forward_pre_hook(Hook(before)))
            self._handles.append(module.register_forward_hook(Hook(after), with_kwargs=True, prepend=True))
            for weight, parametrization in getattr(module, "parametrizations", {}).items():
                keep = functools.partial(self._keep_computed, name, weight)
                self._handles.append(parametrization.register_forward_hook(Hook(keep)))

    def rest(self, passes: int) -> None:
        """Let so many backward passes go by: no hook is on a module meanwhile, one is on a weight of each part.

        Where all weights are frozen there is nothing to count by, and every pass is kept.
        """
        weights = [[one for one in module.parameters() if one.requires_grad] for module in self._parts.values()]
        if any(weights) and not self._closed:
            self._remove()
            self._skip = passes
            self._handles = [one[0].register_hook(self._count) for one in weights if one]

    def close(self) -> None:
        """Take every hook off for good, whatever backward pass is still to come."""
        self._closed = True
        self._remove()

    def _remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _count(self, _: Any) -> None:
        if self._passes.is_new(self._torch):
            self._passes.backwards += 1
            self._skip -= 1
            if self._skip == 0:
                self._torch.autograd.Variable._execution_engine.queue_callback(self.listen)

    def _keep_computed(self, name: str, weight: str, _: Any, __: Any, value: Any) -> None:
        self._computed[name][weight] = value

    def _before(self, name: str, module: Any, _: Any) -> None:
        if Kind.of(module).dropout:
            self._random[name] = self._torch.get_rng_state()

    def _after(self, name: str, module: Any, arguments: Any, options: Any, output: Any) -> None:
        """Keep a call; whatever happens here, the training goes on."""
        if self._torch.compiler.is_compiling():
            return
        try:
            if not self._torch.is_grad_enabled():
                self.unheard[name] = "it was called under no_grad, so that no gradient can come back"
            else:
                self._keep(name, module, *_parse(module, arguments, options, output))
        except Exception as error:
            self.unheard[name] = f"its call was not understood ({type(error).__name__}: {error})"
            warnings.warn(f"watch: {name or 'the model'}: {self.unheard[name]}", RuntimeWarning, stacklevel=2)
        finally:
            self._computed[name].clear()

    def _keep(self, name: str, module: Any, given: dict[str, Any], gave: dict[str, Any], layout: Layout | None) -> None:
        if not any(tensor.requires_grad for tensor in gave.values()):
            self.unheard[name] = "neither its parameters nor its inputs ask for a gradient"
            return
        self.unheard.pop(name, None)
        torch, passes = self._torch, self._passes
        cache = torch.nn.utils.parametrize._cache
        cached = {key: cache.get((id(module), key)) for key in getattr(module, "parametrizations", {})}
        weights = weights_of(
            module, {key: one for key, one in cached.items() if one is not None} | self._computed[name]
        )
        reads = {**given, **weights}
        uses = Counter(id(tensor) for tensor in reads.values())
        call = Call(
            Kind.of(module),
            {},
            {key: tensor.detach().clone() for key, tensor in given.items()},
            {key: tensor.detach().clone() for key, tensor in gave.items()},
            layout,
            self._random.pop(name, None),
            frozenset(key for key, tensor in reads.items() if tensor.requires_grad and uses[id(tensor)] == 1),
            passes.forward,
        )
        call.connect(torch, reads, gave, functools.partial(passes.begin, torch, name))
        if layout is None:
            states = {key: tensor for key, tensor in given.items() if key != "x"}
            find_previous(torch, call, states, passes.tips(name))
            passes.follow(name, call)
        call.weights = self._copies(name, call, weights)
        passes.add(name, call)

    def _copies(self, name: str, call: Call, weights: Mapping[str, Any]) -> dict[str, Any]:
        """Copies of the weights, one for all steps of a loop and all calls in a forward pass.

        Between these it is the numbers that are compared: a change of ``.data`` leaves no other trace.
        """
        stamp = call.forward, [(id(weight), weight._version) for weight in weights.values()]
        before, kept = self._weights.get(name, ((0, []), {}))
        goes_on = call.previous is not None or call.forward == before[0] != 0
        goes_on = goes_on and all(weight.is_leaf for weight in weights.values())  # or an id may come again
        if not (goes_on and stamp[1] == before[1]):
            same = kept.keys() == weights.keys() and all(_is_same(self._torch, kept[key], weights[key]) for key in kept)
            kept = kept if same else {key: weight.detach().clone() for key, weight in weights.items()}
        self._weights[name] = stamp, kept
        return kept


def _is_same(torch: Any, one: Any, other: Any) -> bool:
    like = one.dtype == other.dtype and one.device == other.device
    return like and bool(torch.equal(one, other))


def _parse(module: Any, arguments: Any, options: Any, output: Any) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """What a call read and what it gave out, by name, and how a sequence was laid out."""
    given = dict(zip(("input", "hx"), arguments, strict=False)) | dict(options)
    x, start, kind = given["input"], given.get("hx"), Kind.of(module)
    read = {} if start is None else _by_name(kind, start)
    if kind.steps_once:
        return {"x": x, **read}, _by_name(kind, output), None
    outputs, final = output
    layout = Layout.of(module, x)
    if layout.packed is not None:
        x, outputs = x.data, outputs.data
    return {"x": x, **read}, {"outputs": outputs, **_by_name(kind, final)}, layout


def _by_name(kind: Kind, states: Any) -> dict[str, Any]:
    return dict(zip(kind.states, states if isinstance(states, (tuple, list)) else (states,), strict=True))
