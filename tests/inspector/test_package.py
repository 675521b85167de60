"""The package itself: public names come when they are used, and are the same whoever imports what in which order."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import inspector

SHADOWED = ["export", "figure", "render"]


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


# One process, in which the package is imported afresh for every list of statements: all of it, or what shares names
# with functions.
ORDERS = """
import json, sys, types
import matplotlib.figure, networkx, tinygrad_rnn
orders, shared = json.loads(sys.argv[1])
for number, statements in enumerate(orders):
    for name in [name for name in sys.modules if name.partition(".")[0] == "inspector"]:
        if number < 2 or name.removeprefix("inspector.") in ["inspector", *shared]:
            del sys.modules[name]
    for statement in statements:
        exec(statement, {})
    import inspector
    for name in inspector.__all__:
        value = getattr(inspector, name)
        assert not isinstance(value, types.ModuleType), (statements, name)
        assert value is getattr(sys.modules[value.__module__], name), (statements, name)
"""


def test_no_module_takes_the_place_of_the_function_of_its_name() -> None:
    folder = Path(inspector.__file__).parent
    assert [name for name in inspector.__all__ if (folder / f"{name}.py").exists()] == SHADOWED
    forms = [
        "import inspector.{0}",
        "from inspector import {0}",
        "import inspector; inspector.{0}",
        "from inspector.{0} import {0}",
    ]
    statements = [form.format(name) for form in forms for name in SHADOWED]
    statements += [
        "from inspector import *",
        "import inspector.cli.main",
        "import inspector.cli.draw",
        "from inspector.plots import curves",
    ]
    rng = np.random.default_rng(0)
    orders = [list(rng.permutation(statements)) for _ in range(6)] + [[f"import inspector.{name}"] for name in SHADOWED]
    in_a_process(ORDERS, json.dumps([orders, SHADOWED]))


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
