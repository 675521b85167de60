"""What the states of a loop are called: as its arguments are, or as its code takes them apart."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..names import state_name
from .graph import Graph, Operation
from .place import Line, line_of, lines_of

__all__ = ["argument_titles", "class_name", "gate_names", "result_names", "state_names", "title", "unique"]

_KEY = re.compile(r"\[['\"](\w+)['\"]\](?:\.value)?$|\.(\w+)$|^(\w+)$")
_PLACE = re.compile(r"^(.*) at (.*):(\d+)$")


def title(body: Any) -> str:
    """What a loop is called: as the function that is its body."""
    name = _source(body)[0]
    return name if name.isidentifier() and name not in ("scan_fn", "body_fn", "body_fun", "body") else "scan"


def class_name(operations: Sequence[Operation]) -> str:
    """What the class of a cell is called: as the one whose code the body runs, such as ``LSTMCell`` of a library."""
    lines = [line for operation in operations for line in lines_of(operation.equation)]
    owners = Counter(line.function.partition(".")[0] for line in lines if line.function.endswith("Cell.__call__"))
    return owners.most_common(1)[0][0] if owners else "ScanCell"


def argument_titles(body: Any) -> list[str]:
    """What the arguments of a body are called, empty where they are not: ``w.ih`` for ``w['ih']``."""
    info = getattr(body.jaxpr, "debug_info", None)
    return [label(str(path)) for path in getattr(info, "arg_names", None) or ()]


def label(path: str) -> str:
    """A path in a pytree as a name."""
    return re.sub(r"\[['\"]?([^\]'\"]*)['\"]?\]", r".\1", path).strip(".").removesuffix(".value")


def _source(body: Any) -> tuple[str, str, int]:
    """The function that a body was: its name, file and line."""
    info = getattr(body.jaxpr, "debug_info", None)
    found = _PLACE.match(str(getattr(info, "func_src_info", "")))
    return (found[1], found[2], int(found[3])) if found else ("", "", 0)


def state_names(body: Any, carries: Sequence[int], consts: int, graph: Graph, inputs: Sequence[int]) -> list[str]:
    """The names of some of a body's carries.

    Parameters
    ----------
    body : ClosedJaxpr
    carries : sequence of int
        Which, of all.
    consts : int
        How many arguments stand before the carries.
    graph : Graph
        The body.
    inputs : sequence of int
        As which values it reads them.
    """
    info = getattr(body.jaxpr, "debug_info", None)
    paths = list(getattr(info, "arg_names", None) or ())
    found: list[str] = []
    for k in carries:
        path = str(paths[consts + k]) if consts + k < len(paths) else ""
        match = _KEY.search(path)
        found.append(next(filter(None, match.groups())) if match and "args" not in path else "")
    if not all(found):
        unpacked = _unpacked(body, carries, graph, inputs)
        found = [name or (unpacked[k] if unpacked else "") for k, name in enumerate(found)]
    return [state_name(name) if name.isidentifier() else "" for name in found]


def _unpacked(body: Any, carries: Sequence[int], graph: Graph, inputs: Sequence[int]) -> list[str] | None:
    """As what the code takes the carry apart: ``h, c = carry``."""
    _, file, number = _source(body)
    lines = [Line(file, number, "")] if file else []
    read = [op for op in graph.operations if set(op.reads).intersection(inputs)]
    lines += [line for line in map(line_of, (op.equation for op in read)) if line is not None]
    for line in dict.fromkeys(lines):
        for names in _takings(line):
            if len(names) == len(carries) or max(carries) < len(names):
                return [names[k] for k in (range(len(carries)) if len(names) == len(carries) else carries)]
    return None


@lru_cache(maxsize=256)
def _takings(line: Line) -> tuple[tuple[str, ...], ...]:
    """All assignments of an argument to several names in the function that stands at a line."""
    function = next(_functions(line), None)
    if function is None:
        return ()
    arguments = {argument.arg for argument in (*function.args.posonlyargs, *function.args.args)}
    found = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in arguments:
            for target in node.targets:
                if isinstance(target, ast.Tuple) and all(isinstance(one, ast.Name) for one in target.elts):
                    found.append(tuple(one.id for one in target.elts))  # type: ignore[attr-defined]
    return tuple(found)


def _functions(line: Line) -> Iterator[Any]:
    """The functions around a line, the innermost first."""
    tree = _tree(line.file)
    around = [
        node
        for node in ast.walk(tree or ast.Module([], []))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and min([node.lineno, *(d.lineno for d in node.decorator_list)]) <= line.number <= (node.end_lineno or 0)
    ]
    yield from reversed(around)


@lru_cache(maxsize=32)
def _tree(file: str) -> ast.Module | None:
    try:
        return ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None


def gate_names(body: Any, graph: Graph, taken: Collection[str]) -> dict[int, str]:
    """What the code calls the values of a body: as the variables that they are assigned to.

    A function that is gone through several times names nothing, a variable what it is assigned last, and of two names
    that of the outer function counts.

    Parameters
    ----------
    body : ClosedJaxpr
    graph : Graph
        The body, at any batch.
    taken : collection of str
        Names that are given already.
    """
    given = set(taken).union(str(op.equation.params["name"]) for op in graph.operations if op.kind == "name")
    reached: dict[tuple[str, str], int] = {}
    again: set[tuple[str, str]] = set()
    found: dict[tuple[int, tuple[str, ...]], tuple[tuple[str, str], list[int]]] = {}
    for operation in graph.operations:
        within = _within(lines_of(operation.equation), body)
        for depth, line in enumerate(reversed(within)):
            function = line.file, line.function
            if line.number < reached.get(function, 0):
                again.add(function)
            reached[function] = line.number
            if (names := _assigned(line)) and len(operation.outputs) == 1:
                found.setdefault((depth, names), (function, []))[1].extend(operation.outputs)
    spoken = {number for op in graph.operations if op.kind == "name" for number in op.outputs}
    chosen: dict[int, str] = {}
    for (_, names), (function, numbers) in sorted(found.items(), key=lambda one: one[0][0]):
        last = numbers[-1:] if len(names) == 1 else numbers if len(numbers) == len(names) else []
        for name, number in zip(names, last, strict=False):
            if function not in again and name not in given and number not in {*chosen, *spoken}:
                chosen[number] = name
                given.add(name)
    return chosen


def _within(lines: Sequence[Line], body: Any) -> Sequence[Line]:
    """The lines inside a body, the innermost first."""
    name, file, _ = _source(body)
    for k, line in enumerate(lines):
        if line.file == file and line.function.rpartition(".")[2] == name:
            return lines[: k + 1]
    return lines[:1]


@lru_cache(maxsize=1024)
def _assigned(line: Line) -> tuple[str, ...]:
    """The variables that the statement at a line assigns to, one for each of its values."""
    found: tuple[str, ...] = ()
    for node in ast.walk(_tree(line.file) or ast.Module([], [])):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.lineno <= line.number <= (node.end_lineno or 0):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            several = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            targets = target.elts if several else [target]  # type: ignore[attr-defined]
            plain = [one.id for one in targets if isinstance(one, ast.Name)]
            found = tuple(plain) if len(plain) == len(targets) else ()
    return found


def result_names(body: Any, numbers: Sequence[int]) -> list[str]:
    """The names of some of a body's results."""
    info = getattr(body.jaxpr, "debug_info", None)
    paths = list(getattr(info, "result_paths", None) or ())
    found = []
    for k in numbers:
        match = _KEY.search(str(paths[k])) if k < len(paths) else None
        name = next(filter(None, match.groups())) if match else ""
        found.append(name if name.isidentifier() and name != "result" else "y")
    return found


def unique(names: Sequence[str], taken: Sequence[str] = ("x",)) -> list[str]:
    """Names made different, by a number."""
    found: list[str] = []
    for name in names:
        number, one = 1, name
        while one in found or one in taken:
            number += 1
            one = f"{name}{number}"
        found.append(one)
    return found
