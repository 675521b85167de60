"""Whatever the documentation shows is run: doctests of all modules, Python blocks of README and docs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import runpy
import shutil
from pathlib import Path
from types import ModuleType

import pytest

import inspector
import tinygrad_rnn

ROOT = Path(__file__).resolve().parents[1]

FENCE = re.compile(r"^```(?P<language>\S+)(?P<options>[^\n]*)\n(?P<code>.*?)^```\s*$", re.DOTALL | re.MULTILINE)
"""A fenced block; ``python no-run`` after the fence marks one that only shows what something looks like."""


def modules(package: ModuleType) -> list[str]:
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    return [package.__name__, *(module.name for module in found if not module.name.endswith("__main__"))]


def pages() -> list[Path]:
    return [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))) if page.exists()]


def blocks(page: Path) -> str:
    """The Python blocks of a page as one program, at the lines on which they stand."""
    text = page.read_text(encoding="utf-8")
    program = ""
    for match in FENCE.finditer(text):
        if match["language"] in ("python", "py") and "no-run" not in match["options"] and ">>>" not in match["code"]:
            line = text.count("\n", 0, match.start("code"))
            program += "\n" * (line - program.count("\n")) + match["code"]
    return program


def run(page: Path, folder: Path) -> None:
    """Run the blocks of a page; line numbers in a traceback are those of the page."""
    script = folder / f"{page.stem}.py"
    script.write_text(blocks(page), encoding="utf-8")
    runpy.run_path(str(script), run_name="__main__")


@pytest.mark.parametrize("name", [*modules(tinygrad_rnn), *modules(inspector)])
def test_doctests(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name.rpartition(".")[2] in ("blas", "denormals", "fastmath", "lowering", "sums"):
        pytest.importorskip("numba", reason="compiled loops need pip install tinygrad-rnn[compile]")
    if name.startswith("tinygrad_rnn.interop.torch_out.") or name == "tinygrad_rnn.interop.torch.step":
        pytest.importorskip("torch", reason="modules of PyTorch need pip install tinygrad-rnn[torch]")
    if name.startswith(("tinygrad_rnn.interop.jax.", "tinygrad_rnn.interop.jax_out.")):
        pytest.importorskip("jax", reason="functions of JAX need pip install tinygrad-rnn[jax]")
    if name == "inspector.page.widget":
        pytest.importorskip("anywidget", reason="the widget needs pip install tinygrad-rnn[notebook]")
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert failed == 0, f"{failed} examples in the docstrings of {name} do not give what they show"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_pages(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run in order, in one namespace, in an empty folder."""
    if "import torch\n" in blocks(page):
        pytest.importorskip("torch", reason="the page is about PyTorch models: pip install torch")
    if "import jax\n" in blocks(page):
        pytest.importorskip("jax", reason="the page is about JAX: pip install jax")
    if "import onnx\n" in blocks(page):
        pytest.importorskip("onnx", reason="the page is about ONNX files: pip install tinygrad-rnn[onnx]")
    if page.name == "keras.md":
        pytest.importorskip("h5py", reason="the page is about Keras' files: pip install tinygrad-rnn[keras]")
        shutil.copy(ROOT / "tests/tinygrad_rnn/interop/keras/files/masked.keras", tmp_path / "tagger.keras")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    run(page, tmp_path)
    failed, _ = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert failed == 0, f"{failed} examples in {page.name} do not give what they show"


def test_the_pages_are_found_and_their_blocks_can_fail(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "text\n```python\nx = 1\n```\n```python no-run\nnonsense(\n```\n```text\nout\n```\n```python\nraise"
        " ValueError(x)\n```\n"
    )
    with pytest.raises(ValueError, match="1") as caught:
        run(page, tmp_path)
    assert caught.traceback[-1].lineno + 1 == page.read_text().split("\n").index("raise ValueError(x)") + 1
