"""Reverse-mode autodiff: primitives with their rules, Tensors that record them, the sweep, and the graph as data;
no idea of cells.
"""
