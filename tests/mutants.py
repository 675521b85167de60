"""Mutation testing: change one thing in the code, and see whether a test notices. ``make mutants`` runs it.

A mutant is the tree with one expression changed: an operator, a comparison, a constant, a condition, a call left out.
Before an area's mutants are judged, the quick tests of its folders run once in the unchanged tree, where all have to
pass, while coverage.py notes which test runs which line. Only a test that runs the changed line can notice the change:
those of the file that mirrors the changed one run first, then the others, then the mirror's slow ones and the pictures
(which have to pass in the unchanged tree, too). The first failure kills the mutant. What survives is printed as a
change of one line. Mutants that no test *can* notice stand in ``equivalent_mutants.txt``, each with its reason, and are
not counted.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from queue import Queue
from typing import Any, TypeAlias

import numpy as np
from coverage import CoverageData
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")
SECONDS = 120
"""Of processor time, which a mutant may take in a run of tests; one that never ends is noticed, too."""

QUICK = ("-m", "not slow", "--hypothesis-profile=mutants")

AREAS = {
    "rules": (
        "tinygrad_rnn/autodiff/primitives.py",
        "tinygrad_rnn/autodiff/functions.py",
        "tinygrad_rnn/autodiff/primitive.py",
    ),
    "functions": tuple(
        f"tinygrad_rnn/autodiff/{name}.py"
        for name in ("elementary", "discrete", "arrangement", "products", "reductions", "dispatch")
    ),
    "sweep": (
        "tinygrad_rnn/autodiff/sweep.py",
        "tinygrad_rnn/autodiff/cotangent.py",
        "tinygrad_rnn/autodiff/backward.py",
        "tinygrad_rnn/autodiff/batching.py",
        "tinygrad_rnn/autodiff/graph.py",
        "tinygrad_rnn/autodiff/node.py",
    ),
    "compiler": (
        "tinygrad_rnn/compiler/passes/*.py",
        "tinygrad_rnn/compiler/adjoint.py",
        "tinygrad_rnn/compiler/levels.py",
        "tinygrad_rnn/compiler/memory.py",
        "tinygrad_rnn/compiler/fuse.py",
        "tinygrad_rnn/compiler/schedule.py",
        "tinygrad_rnn/compiler/totals.py",
    ),
    "analyses": ("inspector/tracing/trace.py", "inspector/analysis/*.py"),
}

BINARY = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "*", ast.Pow: "*"}
COMPARED = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
COSMETIC = {
    "linewidth",
    "fontsize",
    "alpha",
    "zorder",
    "pad",
    "labelpad",
    "size",
    "figsize",
    "markersize",
    "constrained_layout",
    "width_ratios",
    "height_ratios",
}
"""Arguments that only say how thick or large something is drawn: a matter of taste, not of truth."""


Contexts: TypeAlias = "dict[str, dict[int, list[str]]]"
"""Of each file, which tests run which line; "" runs what is run at import."""


@cache
def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Mutant:
    """One changed place: the file, the lines from the beginning of the statement, the characters from `start` to
    `stop`, and what stands there instead.
    """

    path: str
    lines: range
    start: int
    stop: int
    text: str

    def source(self) -> str:
        """The whole file, changed."""
        source = read(self.path)
        return source[: self.start] + self.text + source[self.stop :]

    def __str__(self) -> str:
        """``path: line before => line after``, without line numbers, which move."""
        source = read(self.path)
        first, last = source.rfind("\n", 0, self.start) + 1, source.find("\n", self.stop)
        before, after = source[first:last], source[first : self.start] + self.text + source[self.stop : last]
        return f"{self.path}: {' '.join(before.split())} => {' '.join(after.split())}"

    def folder(self) -> Path:
        """Where the tests of the file are, in the tree."""
        folder = Path("tests", *Path(self.path).parts[:-1])
        while not (ROOT / folder).exists():
            folder = folder.parent
        return folder

    def tests(self, contexts: Contexts) -> list[list[str]]:
        """What to run, one after the other, until something fails: options, files and names of tests for pytest."""
        there = contexts[self.path]
        tests = dict.fromkeys(test for line in self.lines for test in there.get(line, [])) or {"": None}
        if "" in tests:  # what runs at import can matter wherever the file is used
            tests |= dict.fromkeys(itertools.chain(*there.values()))
        names = list(dict.fromkeys(test.split("|")[0] for test in tests if test))  # name|setup, name|run, name|teardown
        files = Counter(name.split("::")[0] for name in names)
        mirror = str(self.folder() / f"test_{Path(self.path).name}")
        own = max(files, key=lambda file: (file == mirror, files[file]), default=str(self.folder()))
        nearest = [name for name in names if name.startswith(f"{own}::")]
        others = sorted(set(names) - set(nearest))
        pictures = ["tests/test_snapshots.py"] if self.path.startswith("inspector") else []
        quick = [[*QUICK, *part] for part in (nearest, others) if part]
        return [*quick, ["--hypothesis-profile=full", own, *pictures]]


def changes(tree: ast.Module, source: str) -> Iterator[tuple[ast.AST, str]]:
    """Each node that can be changed, with the text that takes its place."""
    ignored = {node for parent in ast.walk(tree) for part in _unmutated(parent) for node in ast.walk(part)}
    lines = source.splitlines(keepends=True)

    def text(node: ast.expr) -> str:
        first, last = node.lineno - 1, (node.end_lineno or 0) - 1
        found = [line.encode() for line in lines[first : last + 1]]
        found[-1] = found[-1][: node.end_col_offset]
        found[0] = found[0][node.col_offset :]
        return b"".join(found).decode()

    for node in ast.walk(tree):
        if node in ignored:
            continue
        match node:
            case ast.BinOp(left, op, right) if type(op) in BINARY:
                yield node, f"({text(left)}) {BINARY[type(op)]} ({text(right)})"
            case ast.Compare(left, [op], [right]):
                yield node, f"({text(left)}) {COMPARED[type(op)]} ({text(right)})"
            case ast.BoolOp(op, values):
                yield node, (" or " if isinstance(op, ast.And) else " and ").join(f"({text(v)})" for v in values)
            case ast.UnaryOp(ast.USub() | ast.Not(), operand):
                yield node, f"({text(operand)})"
            case ast.Constant(bool() as value):
                yield node, str(not value)
            case ast.Constant(int() as value):
                yield node, str(value + 1)
            case ast.Constant(float() as value):
                yield node, str(value * 2 + (value == 0))
            case ast.If(test) | ast.IfExp(test) if not isinstance(test, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
                yield test, f"(not ({text(test)}))"
            case ast.comprehension(_, _, [test, *_]):
                yield test, "True"
            case ast.Expr(ast.Call()) | ast.AugAssign():
                yield node, "pass"


def _unmutated(node: ast.AST) -> list[ast.AST]:
    """The parts of a node that are not behaviour: annotations, messages of errors, docstrings, what is exported."""
    match node:
        case ast.Raise() | ast.Import() | ast.ImportFrom() | ast.Assert():
            return [node]
        case ast.AnnAssign(annotation=annotation):
            return [annotation]
        case ast.FunctionDef(returns=returns, args=arguments):
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            return [part for part in (returns, *(a.annotation for a in every if a)) if part is not None]
        case ast.keyword(arg=name) if name in COSMETIC:
            return [node]
        case ast.Call(ast.Name("axes_of"), [_, *size]) | ast.Call(ast.Name("Canvas"), size):  # how large a picture is
            return size
        case ast.Call(ast.Attribute(attr="default_rng"), seed):  # one is as good as another
            return list(seed)
        case ast.UnaryOp(ast.USub(), ast.Constant() as value):  # -1 becomes 1, and need not be -2 as well
            return [value]
        case ast.If(ast.Name("TYPE_CHECKING")):
            return [node]
        case _:
            return []


def mutants(patterns: tuple[str, ...]) -> list[Mutant]:
    """All mutants of the files that match."""
    found = []
    for path in sorted({path for pattern in patterns for path in ROOT.glob(pattern)}):
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines(keepends=True)
        starts = [0, *itertools.accumulate(map(len, lines))]
        tree = ast.parse(source)
        first = {node: part.lineno for part in ast.walk(tree) if isinstance(part, ast.stmt) for node in ast.walk(part)}
        for node, text in changes(tree, source):
            start, stop = (
                starts[line - 1] + len(lines[line - 1].encode()[:column].decode())  # columns of a tree count bytes
                for line, column in ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))  # type: ignore[attr-defined]
            )
            executed = range(min(first[node], node.lineno), node.end_lineno + 1)  # type: ignore[attr-defined]
            found.append(Mutant(str(path.relative_to(ROOT)), executed, start, stop, text))
    return found


def failed(stage: Sequence[str], folder: Path, seconds: int = resource.RLIM_INFINITY) -> str:
    """What pytest says in a copy of the tree if a test fails; nothing if none does."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *stage]
    limit = partial(resource.setrlimit, resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
    waits = None if seconds == resource.RLIM_INFINITY else 20 * seconds  # for what waits for itself
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            preexec_fn=limit,
            timeout=waits,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "never ends"
    passed = done.returncode in (0, 5)  # 5: this file has no test of that kind
    return "" if passed else done.stdout + done.stderr or f"pytest ended with {done.returncode}"


def contexts_of(drawn: Sequence[Mutant], folder: Path) -> tuple[str, Contexts]:
    """What pytest says if a quick test of these mutants' folders fails in the unchanged tree; which test runs what."""
    tests = sorted({path for mutant in drawn for path in (ROOT / mutant.folder()).glob("test_*.py")})
    changed = {mutant.path for mutant in drawn}
    said = failed(
        [
            *QUICK,
            *("--cov-context=test", "--cov-report=", f"--cov-config={os.devnull}"),
            *sorted({f"--cov={Path(path).parent}" for path in changed}),
            *(str(path.relative_to(ROOT)) for path in tests),
        ],
        folder,
    )
    data = CoverageData(str(folder / ".coverage"))
    data.read()
    return said, {path: data.contexts_by_lineno(str(folder.resolve() / path)) for path in changed}


def survives(judged: tuple[Mutant, Sequence[Sequence[str]]], folder: Path) -> bool:
    """Whether these tests pass in a copy of the tree that holds the mutant."""
    mutant, stages = judged
    target = folder / mutant.path
    kept = target.read_text(encoding="utf-8")
    target.write_text(mutant.source(), encoding="utf-8")
    try:
        return not any(failed(stage, folder, SECONDS) for stage in stages)
    finally:
        target.write_text(kept, encoding="utf-8")


def copies(count: int, into: Path) -> Queue[Path]:
    """As many copies of the tracked tree, one for each worker."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    free: Queue[Path] = Queue()
    for k in range(count):
        for name in filter(None, tracked.split("\0")):
            if (ROOT / name).is_file():
                (into / str(k) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, into / str(k) / name)
        free.put(into / str(k))
    return free


def equivalent() -> set[str]:
    """The mutants that no test can notice; a line each, indented lines below give the reason."""
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line[0].isspace() and not line.startswith("#")}


def main() -> int | str:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("areas", nargs="*", choices=[[], *AREAS], help=f"of {', '.join(AREAS)}; all when omitted")
    parser.add_argument("--number", type=int, default=40, help="mutants of each area")
    parser.add_argument("--only", default="", help="only files whose path holds this")
    parser.add_argument("--seed", type=int, default=0, help="which mutants")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    known, rng = equivalent(), np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.workers) as pool:
        free = copies(options.workers, Path(folder))

        def inside(judge: Callable[[Any, Path], Any], what: Any) -> Any:
            tree = free.get()
            try:
                return judge(what, tree)
            finally:
                free.put(tree)

        def judged(what: Sequence[Mutant], stages: Sequence[Sequence[Sequence[str]]], name: str) -> list[Mutant]:
            """Those that survive these stages."""
            left = pool.map(partial(inside, survives), list(zip(what, stages, strict=True)))
            return [
                m for m, alive in zip(what, tqdm(left, total=len(what), desc=name, disable=None), strict=True) if alive
            ]

        killed = number = 0
        for area in options.areas or AREAS:
            every = [m for m in mutants(AREAS[area]) if options.only in m.path and str(m) not in known]
            order = [every[k] for k in rng.permutation(len(every))]
            first = {mutant.path: mutant for mutant in reversed(order)}  # one of each file, then any
            drawn = sorted(order, key=lambda mutant: first[mutant.path] is not mutant)[: options.number]
            said, contexts = inside(contexts_of, drawn)
            stages = {mutant: mutant.tests(contexts) for mutant in drawn} if not said else {}
            alive = judged(drawn, [stages[m][:-1] for m in drawn], area) if stages else []
            slow = list(dict.fromkeys(tuple(stages[m][-1]) for m in alive))
            if failures := "".join([said, *pool.map(partial(inside, failed), slow)]):
                return f"the unchanged tree fails its own tests, which would kill every mutant of {area}\n{failures}"
            alive = judged(alive, [stages[m][-1:] for m in alive], f"{area}, slow tests")
            for mutant in alive:
                print(f"  {mutant}")
            print(f"{area}: {len(drawn) - len(alive)} of {len(drawn)} mutants killed", flush=True)
            killed, number = killed + len(drawn) - len(alive), number + len(drawn)
    print(f"score: {killed / max(number, 1):.1%} of {number} (seed {options.seed})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
