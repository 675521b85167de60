"""Hypothesis profiles, and what is checked around every test."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, settings
from matplotlib import textpath
from matplotlib.backends import backend_agg
from matplotlib.mathtext import MathTextParser

import tinygrad_rnn as tg
from tinygrad_rnn.autodiff.scope import Context, context
from tinygrad_rnn.compiler import compiled

# What JAX compiles here runs once or twice.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

settings.register_profile("quick", deadline=None, max_examples=6, derandomize=True, print_blob=True)
settings.register_profile("full", settings.get_profile("quick"), max_examples=15)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.register_profile(
    "mutants", settings.get_profile("quick"), phases=[Phase.explicit, Phase.generate]
)  # no shrinking
settings.load_profile("quick")


def pytest_collection_finish() -> None:
    """What was imported stays, and graphs are large: the collector need not look at them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


@pytest.fixture(scope="session", autouse=True)
def cache_of_compiled_loops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled loops of the tests go to a directory of the session's own, one for all of its workers."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_RNN_CACHE", str(folder / "compiled"))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """What is written has to outlast a process here, not a power cut; a sync can take 10 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def mathematics_is_read_once() -> Iterator[None]:
    """Matplotlib makes a parser for every picture, which reads the numbers beside its ticks all over again."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (backend_agg, textpath):
            patch.setattr(module, "MathTextParser", functools.cache(MathTextParser))
        yield


@pytest.fixture(autouse=True)
def machine_code_only_where_it_is_asked_for(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """To make machine code takes seconds: without the slow tests, loops run in NumPy unless a test says
    ``backend="numba"``.
    """
    if request.config.option.markexpr == "not slow":
        chosen = compiled._backend
        monkeypatch.setattr(compiled, "_backend", lambda name: chosen(name or "numpy"))


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, the reference for cells, losses and optimisers; continuous integration has it."""
    return pytest.importorskip("torch", reason="PyTorch is the reference here: pip install torch")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--overwrite", action="store_true", help="renew golden DOT files and the snapshots of plots")


@pytest.fixture(autouse=True)
def every_graph_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever graph a test builds must satisfy the invariants that `Graph.check` states."""
    build = tg.Graph.__init__

    def checked(self: tg.Graph, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        self.check()

    monkeypatch.setattr(tg.Graph, "__init__", checked)


@pytest.fixture(autouse=True)
def nothing_ambient_is_left_behind() -> Iterator[None]:
    """No scope, switch or table of names may outlive the test that opened it."""
    assert context.get() == Context()
    yield
    assert context.get() == Context()
