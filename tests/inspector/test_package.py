"""The package itself: public names come when they are used, and are the same whoever imports what in which order."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules, walk_packages
from types import ModuleType

import pytest

import inspector
import tinygrad_rnn


def in_a_process(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_public_name_is_there_and_no_other() -> None:
    for name in inspector.__all__:
        value = getattr(inspector, name)
        assert value.__name__ == name and value.__module__.startswith("inspector.")
        assert pickle.loads(pickle.dumps(value)) is value
    assert inspector.__all__ == dir(inspector)
    with pytest.raises(AttributeError, match="module 'inspector' has no attribute 'rendr'"):
        exec("inspector.rendr")
    with pytest.raises(ImportError, match="cannot import name 'rendr' from 'inspector'"):
        exec("from inspector import rendr")


@pytest.mark.parametrize("package", [inspector, tinygrad_rnn], ids=lambda package: package.__name__)
def test_no_public_name_is_that_of_a_module(package: ModuleType) -> None:
    """Whoever first imports such a module would make Python put it in the place of what has its name."""
    inner = [found.name for found in walk_packages(package.__path__, f"{package.__name__}.") if found.ispkg]
    shared = []
    for name in [package.__name__, *inner]:
        folder = import_module(name)
        modules = {found.name for found in iter_modules(folder.__path__)}
        public = {*getattr(folder, "__all__", ()), *vars(folder)}
        shared += [f"{name}.{one}" for one in modules & public if not isinstance(getattr(folder, one), ModuleType)]
    assert shared == []


def test_nothing_is_imported_before_it_is_used() -> None:
    code = "import sys; {0}; print(sorted({{name.partition('.')[0] for name in sys.modules}} & set(sys.argv[1:])))"
    heavy = ["graphviz", "matplotlib", "networkx", "numpy", "shtab", "tinygrad_rnn", "tqdm"]
    call = "from inspector.cli.main import main; main({!r})"
    assert in_a_process(code.format("import inspector"), *heavy) == "[]\n"
    for mistake_or_help in (["--help"], ["grpah"]):
        done = subprocess.run(
            [sys.executable, "-c", code.format(call.format(mistake_or_help)), *heavy],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "[]"
    listed = in_a_process(code.format(call.format(["cells"])), *heavy).splitlines()[-1]
    assert "numpy" in listed and "matplotlib" not in listed


def test_a_drawing_imports_neither_the_compiler_nor_the_network() -> None:
    code = """
import sys, numpy as np, tinygrad_rnn as tg, inspector
run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((4, 1, 2)))
inspector.draw(run, trace=inspector.trace(run, run.outputs[-1].sum())).svg
print(sorted({"tinygrad_rnn.compiler", "urllib.request", "http.client", "matplotlib"} & set(sys.modules)))
"""
    assert in_a_process(code) == "[]\n"
