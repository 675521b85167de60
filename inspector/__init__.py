"""The eyes: draws the graph of a recurrent run and measures where in time its gradient survives."""

from .analysis.band import Band, band
from .analysis.jacobians import Jacobians, jacobians
from .analysis.lyapunov import Lyapunov, lyapunov
from .analysis.phase import Phases, phase_diagram
from .analysis.reach import Reach, reach
from .analysis.steps import step_jacobians
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
    "Band", "Decay", "DecayRecorder", "GradientTrace", "GraphvizMissingError", "Jacobians", "Lyapunov", "Phases", "Reach", "band", "decay_rate",
    "export", "figure", "jacobians", "lyapunov", "phase_diagram", "plot_decay", "plot_heat_map", "plot_training", "reach", "render",
    "render_program", "report", "step_jacobians", "to_networkx", "trace",
]  # fmt: skip
