"""The short way from text to machine code, held against Numba's own, and how short it is."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

numba = pytest.importorskip("numba", reason="compiled loops need pip install tinygrad-rnn[compile]")
from numba.core import event  # noqa: E402

from tinygrad_rnn.compiler import blas, fastmath, kernels  # noqa: E402
from tinygrad_rnn.compiler.expressions import EXPRESSIONS  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: Any) -> Path:
    """A cache of the test's own, and a process that has loaded nothing."""
    monkeypatch.setenv("TINYGRAD_RNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kernels, "_loaded", {})
    return tmp_path / "cache"


def by_numba(text: str, monkeypatch: Any) -> Any:
    """The same text, and the helpers it calls, compiled by Numba."""
    options = {"error_model": "numpy", "fastmath": {"contract"}}
    for name in ("_reduce_32", "_reduce_64", *fastmath.FUNCTIONS):
        monkeypatch.setattr(fastmath, name, numba.njit(**options)(getattr(fastmath, name)))
    words = {"np": np, "uint64": np.uint64, "uint32": np.uint32, "float32": np.float32, **vars(fastmath)}
    exec(text, words)
    return numba.njit(**options)(words["loop"])


def run(loop: Any, buffers: list[Any], stop: int, cut: int = 0) -> list[Any]:
    buffers = [buffer.copy() for buffer in buffers]
    loop(*map(np.uint64, (0, stop, cut, 0)), blas.product_addresses(), np.array([4, 3, 2], np.uint64), *buffers)
    return buffers


TEXT = """def loop(start, stop, cut, shift, blas, d, b0, b1, b2):
    n0 = d[0]
    n1 = d[1]
    zero, one = uint64(0), uint64(1)
    for done in range(stop - start):
        k = stop - one - done
        r0 = float32(-np.inf)
        o0 = ((k + one) & one) * n1
        for i0 in range(n0):
            v0 = b0[i0]
            r1 = float32(0)
            for i1 in range(n1):
                v1 = b1[o0 + i1]
                v2 = sigmoid_float32(v0 * v1) - tanh_float32(v1) / (exp_float32(v0) + float32(1.5))
                v3 = v2 if v2 > v1 or v2 != v2 else -v1
                v4 = (v3 != 0) & (v0 <= v1)
                r1 = v3 + r1
                b2[i1] += v3 if v4 else abs(v3) ** float32(1.5)
            r0 = r1 if r1 > r0 or r1 != r1 else r0
        b0[k] = r0
        if cut > zero:
            if k > zero and k % cut == zero:
                o0 = k & one
                b2[o0] = 0
"""


@pytest.mark.parametrize("cut", [0, 2])
def test_every_statement_does_what_numba_makes_of_it(folder: Path, monkeypatch: Any, cut: int) -> None:
    rng = np.random.default_rng(0)
    buffers = [rng.normal(size=n).astype(np.float32) for n in (4, 6, 3)]
    found = run(kernels.load(TEXT, [np.dtype(np.float32)] * 3), buffers, 4, cut)
    for ours, theirs in zip(found, run(by_numba(TEXT, monkeypatch), buffers, 4, cut), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(found[0], buffers[0]) and not np.array_equal(found[2], buffers[2])


def test_a_first_gradient_is_two_functions_of_few_words(folder: Path) -> None:
    cell = tg.cells.LSTMCell(8, 16, dtype=np.float32, seed=0)
    with event.install_recorder("numba:compile") as recorded:
        run = tg.unroll(tg.compile(cell, backend="numba"), np.ones((10, 2, 8), np.float32))
        tg.grad(run.outputs[-1].sum(), cell.parameters())
    assert sum(record.is_start for _, record in recorded.buffer) == 2, "helpers are written out at their calls"
    texts = [path.read_text() for path in folder.glob("*.py")]
    assert len(texts) == 2
    for text in texts:
        assert text.count("\n") <= 130
        assert not re.search(r"\bfloat32\([^\d]", text), "what is float32 already needs no conversion"
        assert not re.search(r"\bzero (\*|\+)|\((k|zero)\)", text)
        names = Counter(re.findall(r"\b[nobrv]\d+\b", text))
        assert min(names.values()) > 1, "a name that nobody reads"


def test_float32_stays_float32(folder: Path) -> None:
    """A number that is widened on its way has other bits, and costs twice."""
    names = [name for name, text in EXPRESSIONS.items() if "{2}" not in text]
    lines = [f"        b1[k] += {EXPRESSIONS[name].format('v0', 'v1', t='float32')}" for name in names]
    head = "def loop(start, stop, cut, shift, blas, d, b0, b1):\n    for k in range(stop - start):\n"
    body = "        v0 = b0[k]\n        v1 = b1[k]\n"
    text = "\n".join([head + body + lines[0], *lines[1:]]) + "\n"
    loop: Any = kernels.load(text, [np.dtype(np.float32)] * 2)
    (code,) = loop.inspect_llvm().values()
    assert "fpext" not in code and "double" not in code
