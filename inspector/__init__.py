"""The eyes: draws the graph of a recurrent run and measures where in time its gradient survives."""

from .analysis.path_orders import PathOrders, path_orders
from .analysis.shares import Shares, shares
from .analysis.strongest_path import StrongestPath, strongest_path
from .analysis.waterfall import Waterfall, waterfall
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
    "Decay", "DecayRecorder", "GradientTrace", "GraphvizMissingError", "PathOrders", "Shares", "StrongestPath", "Waterfall",
    "decay_rate", "export", "figure", "path_orders", "plot_decay", "plot_heat_map", "plot_training", "render", "render_program",
    "report", "shares", "strongest_path", "to_networkx", "trace", "waterfall",
]  # fmt: skip
