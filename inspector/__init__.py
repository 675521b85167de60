"""The eyes: draws the graph of a recurrent run and measures where in time its gradient survives."""

from .analysis.band import Band, band
from .analysis.reach import Reach, reach
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
    "Band", "Decay", "DecayRecorder", "GradientTrace", "GraphvizMissingError", "Reach", "band", "decay_rate", "export", "figure", "plot_decay", "plot_heat_map",
    "plot_training", "reach", "render", "render_program", "report", "to_networkx", "trace",
]  # fmt: skip
