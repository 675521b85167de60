"""The eyes: draws the graph of a recurrent run and measures where in time its gradient survives."""

from .analysis.gates import Gates, gates
from .analysis.saliency import Saliency, saliency
from .analysis.weights import Weights, weights
from .drawing.engines import GraphvizMissingError
from .during import DecayRecorder, animate_training, plot_snapshots, plot_training
from .export import export, to_networkx
from .figure import figure
from .plot import Decay, decay_rate, plot_decay, plot_heat_map
from .program import render_program
from .render import render
from .report import report
from .trace import GradientTrace, trace

__all__ = [
    "Decay", "DecayRecorder", "Gates", "GradientTrace", "GraphvizMissingError", "Saliency", "Weights", "animate_training",
    "decay_rate", "export", "figure", "gates", "plot_decay", "plot_heat_map", "plot_snapshots", "plot_training", "render",
    "render_program", "report", "saliency", "to_networkx", "trace", "weights",
]  # fmt: skip
