"""The built-in cells, the registry that finds them by name, and what they cost."""

from __future__ import annotations

from .chunker import ChunkerCell
from .clockwork import ClockworkCell
from .gated import GatedCell
from .gru import GRUCell
from .leaky import LeakyCell, MozerCell
from .lru import LRUCell
from .lstm import LSTMCell
from .lstm1997 import LSTM1997Cell, LSTM2000Cell
from .lstm_variants import CoupledLSTMCell, LayerNormLSTMCell
from .minimal import GRUResetBeforeCell, JANETCell, MGUCell
from .narx import NARXCell
from .odyssey import (
    CIFGCell,
    FGRCell,
    NFGCell,
    NIAFCell,
    NIGCell,
    NOAFCell,
    NOGCell,
    NPCell,
    PeepholeLSTMCell,
)
from .orthogonal import OrthogonalRNNCell
from .parallel import MinGRUCell, MinLSTMCell
from .registry import get, names
from .rnn import IRNNCell, JordanCell, RNNCell
from .second_order import SecondOrderCell
from .slstm import SLSTMCell
from .sru import SRUCell
from .table import Table, table

__all__ = [
    "CIFGCell", "ChunkerCell", "ClockworkCell", "CoupledLSTMCell", "FGRCell", "GRUCell", "GRUResetBeforeCell", "GatedCell",
    "IRNNCell", "JANETCell", "JordanCell", "LRUCell", "LSTM1997Cell", "LSTM2000Cell", "LSTMCell", "LayerNormLSTMCell",
    "LeakyCell", "MGUCell", "MinGRUCell", "MinLSTMCell", "MozerCell", "NARXCell", "NFGCell", "NIAFCell", "NIGCell",
    "NOAFCell", "NOGCell", "NPCell", "OrthogonalRNNCell", "PeepholeLSTMCell", "RNNCell", "SLSTMCell", "SRUCell",
    "SecondOrderCell", "Table", "get", "names", "table",
]  # fmt: skip
