"""The programme of differences against NetworkX's network simplex, which solves its dual."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.layout.network import Arc, lowest


@st.composite
def programmes(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[list[int], list[Arc]]:
    """Lines upwards or in a level row between variables above the first, each with a cost that keeps it short."""
    count = draw(st.integers(2, 9))
    arcs = [(0, v, draw(st.integers(0, 2))) for v in range(1, count)]
    cost = [0] * count
    for _ in range(draw(st.integers(0, 14))):
        low, high = sorted(draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True)))
        arcs.append((low, high, draw(st.integers(0, 3))))
        price = draw(st.integers(0, 3))
        cost[high] += price
        cost[low] -= price
    return cost, arcs


def least_sum(cost: list[int], arcs: list[Arc]) -> int:
    """The least possible sum, by way of the cheapest flow."""
    graph = nx.MultiDiGraph()
    graph.add_nodes_from((v, {"demand": price}) for v, price in enumerate(cost))
    graph.add_edges_from((low, high, {"weight": -least}) for low, high, least in arcs)
    value, _ = nx.network_simplex(graph)
    return -int(value)


@given(programmes())
def test_the_sum_is_the_least_possible(programme: tuple[list[int], list[Arc]]) -> None:
    cost, arcs = programme
    y = lowest(cost, arcs)
    assert all(y[high] - y[low] >= least for low, high, least in arcs)
    assert sum(price * value for price, value in zip(cost, y, strict=True)) == least_sum(cost, arcs)


@given(programmes())
def test_of_the_best_solutions_it_is_the_lowest(programme: tuple[list[int], list[Arc]]) -> None:
    cost, arcs = programme
    y = lowest(cost, arcs)
    best = least_sum(cost, arcs)
    for v in range(1, len(y)):
        if y[v] > 0:
            lower = [*arcs, (v, 0, 1 - y[v])]
            assert nx.negative_edge_cycle(_reversed(lower)) or least_sum(cost, lower) > best


def _reversed(arcs: list[Arc]) -> nx.DiGraph:
    """A graph with a negative cycle where no numbers keep to the arcs."""
    graph = nx.DiGraph()
    for low, high, least in arcs:
        if not graph.has_edge(low, high) or graph[low][high]["weight"] > -least:
            graph.add_edge(low, high, weight=-least)
    return graph


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValueError, match="contradict"):
        lowest([0, 0], [(0, 1, 1), (1, 0, 0)])


def test_a_sum_without_a_least_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing keeps"):
        lowest([1, -1], [(0, 1, 0)])
