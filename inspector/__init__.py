"""The eyes: draws the graph of a recurrent run and measures where in time its gradient survives."""

from .trace import GradientTrace, trace
