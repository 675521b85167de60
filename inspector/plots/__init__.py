"""Curves and maps, drawn with Matplotlib in one style; what scripts draw pictures of their own with."""

from ..lazily import exports

__all__, __getattr__, __dir__ = exports(globals())
