"""The built-in cells, the registry that finds them by name, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from ..arguments import look_up
from ..recurrent.cell import Cell
from .chunker import ChunkerCell
from .clockwork import ClockworkCell
from .costs import Table, measure
from .gated import GatedCell
from .gru import GRUCell
from .leaky import LeakyCell, MozerCell
from .lru import LRUCell
from .lstm import LSTMCell
from .lstm1997 import LSTM1997Cell, LSTM2000Cell
from .lstm_variants import CoupledLSTMCell, LayerNormLSTMCell, ProjectedLSTMCell
from .minimal import GRUResetBeforeCell, JANETCell, MGUCell
from .narx import NARXCell
from .odyssey import CIFGCell, FGRCell, NFGCell, NIAFCell, NIGCell, NOAFCell, NOGCell, NPCell, PeepholeLSTMCell
from .orthogonal import OrthogonalRNNCell
from .parallel import MinGRUCell, MinLSTMCell
from .rnn import IRNNCell, JordanCell, RNNCell
from .second_order import SecondOrderCell
from .slstm import SLSTMCell
from .sru import SRUCell

__all__ = [
    "CIFGCell",
    "ChunkerCell",
    "ClockworkCell",
    "CoupledLSTMCell",
    "FGRCell",
    "GRUCell",
    "GRUResetBeforeCell",
    "GatedCell",
    "IRNNCell",
    "JANETCell",
    "JordanCell",
    "LRUCell",
    "LSTM1997Cell",
    "LSTM2000Cell",
    "LSTMCell",
    "LayerNormLSTMCell",
    "LeakyCell",
    "MGUCell",
    "MinGRUCell",
    "MinLSTMCell",
    "MozerCell",
    "NARXCell",
    "NFGCell",
    "NIAFCell",
    "NIGCell",
    "NOAFCell",
    "NOGCell",
    "NPCell",
    "OrthogonalRNNCell",
    "PeepholeLSTMCell",
    "ProjectedLSTMCell",
    "RNNCell",
    "SLSTMCell",
    "SRUCell",
    "SecondOrderCell",
    "Table",
    "get",
    "measure",
    "names",
    "table",
]

_REGISTRY: dict[str, type[Cell]] = {
    "rnn": RNNCell,
    "irnn": IRNNCell,
    "jordan": JordanCell,
    "lstm1997": LSTM1997Cell,
    "lstm2000": LSTM2000Cell,
    "lstm": LSTMCell,
    "peephole": PeepholeLSTMCell,
    "coupled": CoupledLSTMCell,
    "nig": NIGCell,
    "nfg": NFGCell,
    "nog": NOGCell,
    "niaf": NIAFCell,
    "noaf": NOAFCell,
    "cifg": CIFGCell,
    "np": NPCell,
    "fgr": FGRCell,
    "layernorm": LayerNormLSTMCell,
    "gru": GRUCell,
    "gru_before": GRUResetBeforeCell,
    "mgu": MGUCell,
    "janet": JANETCell,
    "narx": NARXCell,
    "leaky": LeakyCell,
    "mozer": MozerCell,
    "second_order": SecondOrderCell,
    "clockwork": ClockworkCell,
    "chunker": ChunkerCell,
    "mingru": MinGRUCell,
    "minlstm": MinLSTMCell,
    "sru": SRUCell,
    "lru": LRUCell,
    "slstm": SLSTMCell,
    "orthogonal": OrthogonalRNNCell,
    "projected": ProjectedLSTMCell,
}
"""A cell's colour in plots goes by its place: new ones come last."""


def names() -> list[str]:
    """The names of all built-in cells."""
    return list(_REGISTRY)


def get(name: str) -> type[Cell]:
    """The cell class of that name.

    Raises
    ------
    KeyError
        If there is none; the message suggests near matches and lists the names there are.
    """
    return look_up("cell", name, _REGISTRY)


def table(cells: Sequence[str] | None = None, input_size: int = 8, hidden_size: int = 16) -> Table:
    """Measure built-in cells.

    Parameters
    ----------
    cells : sequence of str, optional
        Names of the registry; all of them when omitted.
    input_size, hidden_size : int

    Returns
    -------
    Table
        From name to :class:`~tinygrad_rnn.cells.costs.Measure`; printing it gives one line a cell.

    Raises
    ------
    KeyError
        If there is no cell of a name.
    """
    rows = {name: measure(get(name)(input_size, hidden_size, seed=0)) for name in (names() if cells is None else cells)}
    return Table(rows, input_size, hidden_size)
