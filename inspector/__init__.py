"""The eyes: draws the graph of a recurrent run and measures where in time its gradient survives."""

from .compare import Comparison, compare_graphs
from .drawing.engines import GraphvizMissingError
from .during import DecayRecorder, plot_training
from .export import export, to_networkx
from .plot import Decay, decay_rate, plot_decay, plot_heat_map
from .program import render_program
from .render import render
from .report import report
from .trace import GradientTrace, trace

__all__ = [
    "Comparison", "Decay", "DecayRecorder", "GradientTrace", "GraphvizMissingError", "compare_graphs", "decay_rate", "export", "plot_decay", "plot_heat_map",
    "plot_training", "render", "render_program", "report", "to_networkx", "trace",
]  # fmt: skip
