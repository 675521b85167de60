"""The eyes: draws the graph of a recurrent run and measures where in time its gradient survives."""

from .analysis.asserts import assert_gradient_reaches, assert_no_detach, assert_same_graph
from .analysis.band import Band, band
from .analysis.diagnose import Diagnosis, diagnose
from .analysis.duality import Duality, duality
from .analysis.gates import Gates, gates
from .analysis.jacobians import Jacobians, jacobians
from .analysis.lyapunov import Lyapunov, lyapunov
from .analysis.path_orders import PathOrders, path_orders
from .analysis.phase import Phases, phase_diagram
from .analysis.reach import Reach, reach
from .analysis.saliency import Saliency, saliency
from .analysis.shares import Shares, shares
from .analysis.steps import step_jacobians
from .analysis.stops import Stop, Stops, stops
from .analysis.strongest_path import StrongestPath, strongest_path
from .analysis.waterfall import Waterfall, waterfall
from .analysis.weights import Weights, weights
from .analysis.whatif import WhatIf, what_if
from .compare import Comparison, compare_graphs
from .drawing.engines import GraphvizMissingError
from .during import DecayRecorder, animate_training, plot_snapshots, plot_training
from .equations import Equation, Equations, equations
from .export import export, to_networkx
from .figure import figure
from .plot import Decay, decay_rate, plot_decay, plot_heat_map
from .program import render_program
from .render import render
from .report import report
from .sweeps import Sweep, sweep
from .trace import GradientTrace, trace

__all__ = [
    "Band", "Comparison", "Decay", "DecayRecorder", "Diagnosis", "Duality", "Equation", "Equations", "Gates",
    "GradientTrace", "GraphvizMissingError", "Jacobians", "Lyapunov", "PathOrders", "Phases", "Reach", "Saliency",
    "Shares", "Stop", "Stops", "StrongestPath", "Sweep", "Waterfall", "Weights", "WhatIf", "animate_training",
    "assert_gradient_reaches", "assert_no_detach", "assert_same_graph", "band", "compare_graphs", "decay_rate",
    "diagnose", "duality", "equations", "export", "figure", "gates", "jacobians", "lyapunov", "path_orders",
    "phase_diagram", "plot_decay", "plot_heat_map", "plot_snapshots", "plot_training", "reach", "render",
    "render_program", "report", "saliency", "shares", "step_jacobians", "stops", "strongest_path", "sweep",
    "to_networkx", "trace", "waterfall", "weights", "what_if",
]  # fmt: skip
