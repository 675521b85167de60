"""What the engine needs: NumPy, and nothing else until it is used; and what it imports when."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import tinygrad_rnn as tg
run = tg.unroll(tg.cells.LSTMCell(2, 3, seed=0), np.ones((4, 1, 2)))
run.stacked.sum().backward()
tg.unroll(tg.compile(tg.cells.GRUCell(2, 3, seed=0)), np.ones((4, 1, 2))).stacked.sum().backward()
print(tg.cells.table(["lstm"]))
try:
    import tqdm
except ImportError:
    print("nothing else is there")
"""


def test_the_engine_works_with_numpy_alone(tmp_path: Path) -> None:
    """An interpreter without site-packages, and a folder with nothing but NumPy and the engine."""
    packages = Path(np.__file__).parents[1]
    for name, folder in (("numpy", packages), ("numpy.libs", packages), ("tinygrad_rnn", Path(tg.__file__).parents[1])):
        if (folder / name).exists():
            (tmp_path / name).symlink_to(folder / name)
    command = [sys.executable, "-I", "-S", "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1,664" in done.stdout and "nothing else is there" in done.stdout


def _imported(code: str) -> set[str]:
    """The modules that are there after `code` in an interpreter of its own."""
    command = [sys.executable, "-c", f"{code}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"]
    return set(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


BUILT_IN = sum(op.forward.__module__.startswith("tinygrad_rnn.") for op in tg.PRIMITIVES.values())
OTHERS = {"matplotlib", "networkx", "numba", "safetensors", "msgspec", "tqdm", "scipy"}
ROOMS = {f"tinygrad_rnn.{room}" for room in ("compiler", "tasks", "training", "baselines", "models", "optim")}


def test_nothing_is_imported_before_it_is_used() -> None:
    found = _imported("import tinygrad_rnn")
    assert "numpy" not in found
    assert {name for name in found if name.startswith("tinygrad_rnn")} == {"tinygrad_rnn"}


def test_a_run_imports_neither_compiler_nor_tasks_nor_training() -> None:
    code = "import tinygrad_rnn as tg; tg.unroll(tg.cells.LSTMCell(2, 3), [[[0.0, 1.0]]]).stacked.sum().backward()"
    found = _imported(code)
    assert "tinygrad_rnn.cells" in found
    assert not found & (OTHERS | ROOMS)


def test_compiling_and_training_import_what_they_need_and_no_plots() -> None:
    found = _imported("from tinygrad_rnn import compile, tasks, training")
    assert {"tinygrad_rnn.compiler", "tinygrad_rnn.tasks", "tinygrad_rnn.training"} <= found
    assert not found & OTHERS


def test_every_public_name_is_found_in_each_way_of_asking() -> None:
    code = """
from tinygrad_rnn import *
import tinygrad_rnn as tg
assert dir(tg) == tg.__all__ and len(set(tg.__all__)) == len(tg.__all__)
for name in tg.__all__:
    assert globals()[name] is getattr(tg, name)
assert tg.compile.__module__ == "tinygrad_rnn.compiler.compiled" and tg.compiler.compile is tg.compile
"""
    _imported(code)


@pytest.mark.parametrize("first", ["primitive", "graph", "sweep", "cotangent"])
def test_all_primitives_are_registered_whichever_module_comes_first(first: str) -> None:
    _imported(f"import tinygrad_rnn.autodiff.{first}, tinygrad_rnn as tg; assert {BUILT_IN} == len(tg.PRIMITIVES)")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"tinygrad_rnn.*has no attribute 'lstm'"):
        _ = tg.lstm
    with pytest.raises(ImportError, match="lstm"):
        exec("from tinygrad_rnn import lstm")


TOGETHER = """
import sys, threading
sys.setswitchinterval(1e-6)
import inspector, tinygrad_rnn as tg
failed, barrier = [], threading.Barrier(12)
def first(package, name):
    barrier.wait()
    try:
        getattr(package, name)
    except BaseException as error:
        failed.append((name, error))
wanted = [(tg, name) for name in ("Cell", "compile", "cells", "fit", "models", "tanh", "init", "tasks")]
wanted += [(inspector, name) for name in ("draw", "trace", "diagnose", "report")]
threads = [threading.Thread(target=first, args=one) for one in wanted]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failed)
"""


def test_threads_may_ask_for_their_first_names_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


EACH_FIRST = """
import sys, tinygrad_rnn as tg

for name in ["init", "losses", "optim", "models", "training", "files", "Cell", "compile", "tanh", "named", "fit"]:
    for module in [one for one in sys.modules if one.startswith("tinygrad_rnn")]:
        del sys.modules[module]
    import tinygrad_rnn as fresh
    getattr(fresh, name)
"""


def test_any_name_may_be_the_first_that_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", EACH_FIRST], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
