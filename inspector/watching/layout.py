"""How a module lays out its sequences, and ours: (T, batch, features)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """How the inputs and outputs of a call are laid out.

    Attributes
    ----------
    unbatched : bool
        Whether there is no axis for the sequences of a batch.
    batch_first : bool
    packed : PackedSequence or None
        Without its numbers: which sequence is how long.
    """

    unbatched: bool
    batch_first: bool
    packed: Any = None

    @classmethod
    def of(cls, module: Any, given: Any) -> Layout:
        """That of a call of ``torch.nn.RNN``, ``LSTM`` or ``GRU`` with an input."""
        if hasattr(given, "batch_sizes"):
            return cls(False, module.batch_first, given._replace(data=None))
        return cls(given.ndim == 2, module.batch_first)

    def sequence(self, tensor: Any) -> Any:
        """A Tensor laid out as the input as (T, batch, features); zeros where a sequence has ended."""
        if self.packed is not None:
            from torch.nn.utils.rnn import pad_packed_sequence

            return pad_packed_sequence(self.packed._replace(data=tensor))[0]
        if self.unbatched:
            return tensor.unsqueeze(1)
        return tensor.transpose(0, 1) if self.batch_first else tensor

    def state(self, tensor: Any) -> Any:
        """A state of every layer and direction as (layers * directions, batch, features)."""
        return tensor.unsqueeze(1) if self.unbatched else tensor

    @property
    def lengths(self) -> Any:
        """The lengths of packed sequences in the order in which they were given, a tensor (batch,), or ``None``."""
        if self.packed is None:
            return None
        import torch
        from torch.nn.utils.rnn import pad_packed_sequence

        ones = torch.ones(int(self.packed.batch_sizes.sum()), 1)
        order = self.packed._replace(data=ones)
        return pad_packed_sequence(order)[1]
