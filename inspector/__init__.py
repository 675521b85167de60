"""The eyes: draws the graph of a recurrent run and measures where in time its gradient survives."""

from .analysis.weights import Weights, weights
from .drawing.engines import GraphvizMissingError
from .during import DecayRecorder, plot_training
from .export import export, to_networkx
from .figure import figure
from .plot import Decay, decay_rate, plot_decay, plot_heat_map
from .program import render_program
from .render import render
from .report import report
from .trace import GradientTrace, trace

__all__ = [
    "Decay", "DecayRecorder", "GradientTrace", "GraphvizMissingError", "Weights", "decay_rate", "export", "figure", "plot_decay", "plot_heat_map",
    "plot_training", "render", "render_program", "report", "to_networkx", "trace", "weights",
]  # fmt: skip
