"""What gated cells share: a net input for each gate, with weights of its own."""

from __future__ import annotations

from typing import Any

from ..autodiff.functions import linear
from ..autodiff.primitive import Value
from ..recurrent.cell import Cell

__all__ = ["GatedCell"]


class GatedCell(Cell):
    """A cell whose gates and layers each have their own W (rows, I), R (rows, sources) and b (rows,).

    A subclass declares them with :meth:`declare` and reads them with :meth:`net`, so that its step is its
    equations.
    """

    def declare(
        self, name: str, role: str, *, bias: bool = True, rows: int | None = None, sources: int | None = None
    ) -> None:
        """Declare ``W_name``, ``R_name`` and ``b_name``.

        Parameters
        ----------
        name : str
            The symbol of the gate.
        role : {"input", "forget", "reset", "candidate", "output"}
            Decides how an initialisation fills the bias.
        bias : bool
        rows : int, optional
            Units; hidden_size when omitted.
        sources : int, optional
            Values that feed back, hidden_size when omitted; 0 leaves ``R_name`` out.
        """
        rows = self.hidden_size if rows is None else rows
        sources = self.hidden_size if sources is None else sources
        fill = self.preset
        self._keep(f"W_{name}", (rows, self.input_size), fill.input)
        if sources:
            self._keep(f"R_{name}", (rows, sources), fill.recurrent)
        if bias:
            self._keep(f"b_{name}", (rows,), fill.bias(role))

    def _keep(self, name: str, shape: tuple[int, ...], init: Any) -> None:
        setattr(self, name, self.parameter(name, shape, init))

    def net(self, name: str, x: Value, h: Value | None = None) -> Value:
        """The net input W x + R h + b of the gate called `name`, (batch, rows)."""
        a = linear(x, getattr(self, f"W_{name}"), getattr(self, f"b_{name}", None))
        return a if h is None else a + linear(h, getattr(self, f"R_{name}"))
