"""Curves and maps, drawn with Matplotlib."""
