"""What the engine needs: NumPy, and nothing else until it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

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
