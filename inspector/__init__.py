"""The eyes: draws the graph of a recurrent run and measures where in time its gradient survives."""

from .plot import Decay, decay_rate, plot_decay, plot_heat_map
from .render import render
from .trace import GradientTrace, trace

__all__ = ["Decay", "GradientTrace", "decay_rate", "plot_decay", "plot_heat_map", "render", "trace"]
