"""The eyes: draws the graph of a recurrent run and measures where in time its gradient survives."""

from .lazily import exports

__all__, __getattr__, __dir__ = exports(globals())
