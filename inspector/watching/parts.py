"""The recurrent parts of a PyTorch model, by name, and what keeps a part from being watched."""

from __future__ import annotations

from typing import Any

from tinygrad_rnn.interop.packages import import_package

__all__ = ["CELLS", "SEQUENCES", "recurrent_parts"]

SEQUENCES, CELLS = ("RNN", "LSTM", "GRU"), ("RNNCell", "LSTMCell", "GRUCell")
"""Classes of ``torch.nn`` that run a whole sequence at a call, and one step."""


def recurrent_parts(model: Any) -> dict[str, Any]:
    """The recurrent modules of a model, by their names in ``named_modules()``.

    Raises
    ------
    TypeError
        If `model` is no ``torch.nn.Module``, or a recurrent part is scripted or compiled.
    ValueError
        If there is no recurrent part.
    """
    torch = import_package("torch", "watch")
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"watch: needs a torch.nn.Module, got {type(model).__name__}")
    compiled: list[str] = []
    parts: dict[str, Any] = {}
    for name, module in model.named_modules():
        if getattr(module, "_compiled_call_impl", None) is not None or "_orig_mod" in module._modules:
            compiled.append(name)
        kind = getattr(module, "original_name", type(module).__name__)
        if isinstance(module, torch.jit.ScriptModule) and kind in (*SEQUENCES, *CELLS):
            raise TypeError(
                f"watch: {name or kind} is scripted (torch.jit): its calls cannot be seen; watch the model that was"
                " scripted, and train that"
            )
        if isinstance(module, _classes(torch)):
            inside = next((outer for outer in compiled if not outer or f"{name}.".startswith(f"{outer}.")), None)
            if inside is not None:
                raise TypeError(
                    f"watch: {name or kind} is compiled (torch.compile): its calls cannot be seen; watch the model that"
                    " was given to torch.compile, and call that for the passes to be looked at"
                )
            parts[name] = module
    if not parts:
        raise ValueError(
            f"watch: {type(model).__name__} has no recurrent part (torch.nn.{', '.join((*SEQUENCES, *CELLS))});"
            " a step written by hand becomes a cell with tg.from_torch"
        )
    return parts


def _classes(torch: Any) -> tuple[type, ...]:
    return tuple(getattr(torch.nn, name) for name in (*SEQUENCES, *CELLS))
