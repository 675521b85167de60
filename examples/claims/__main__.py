"""Run the experiments of this folder side by side, and print what they found as one table.

``python examples/claims --quick`` runs all of them in a few minutes; names run some: ``python examples/claims
the_cliff``. Lines that must hold and do not make it fail; those that are only told do not.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

HERE = Path(__file__).resolve().parent
VERDICTS = ("PASS", "FAIL", "agrees", "differs")


def experiments() -> dict[str, str]:
    """Name and title of every experiment, in the order of their numbers."""
    found = {}
    for path in HERE.glob("*.py"):
        title = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        if title[:1] in ("E", "R") and title[1:2].isdigit():
            found[path.stem] = title
    return dict(sorted(found.items(), key=lambda item: (item[1][0], int(item[1][1:].partition(":")[0]))))


def run(name: str, options: argparse.Namespace) -> tuple[str, int, str]:
    """One experiment in a process of its own: its name, exit status and what it printed."""
    command = [sys.executable, str(HERE / f"{name}.py"), "--seed", str(options.seed), "--out", str(options.out)]
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *(["--quick"] if options.quick else [])],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **single},
    )
    return (
        name,
        done.returncode,
        done.stdout + (done.stderr if done.returncode not in (0, 1) or not done.stdout else ""),
    )


def table(title: str, said: str) -> list[str]:
    """An experiment's lines under its title, in columns."""
    rows = [[part.strip() for part in line.split(", ")] for line in said.splitlines() if line.endswith(VERDICTS)]
    shown = [title]
    for row in rows:
        name, _, measured = ", ".join(row[:-3]).rpartition(": ")
        shown.append(f"  {row[-1]:8}{name:58}{measured:>16}   {row[-3]} ({row[-2]})")
    return shown


def main(arguments: list[str] | None = None) -> int:
    known = experiments()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which; all of {', '.join(known)} when omitted")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, smaller nets")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument("--out", type=Path, default=Path("pictures/claims"), help="folder for the pictures")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="experiments at a time")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"no experiment called {unknown[0]}; there are {', '.join(known)}")
    names = options.names or list(known)
    with ThreadPoolExecutor(options.workers) as pool:
        jobs = pool.map(lambda name: run(name, options), names)
        found = list(tqdm(jobs, total=len(names), unit="experiment", disable=None))
    counts = dict.fromkeys(VERDICTS, 0)
    broken = []
    for name, status, said in found:
        print("\n".join(table(known[name], said)))
        for verdict in VERDICTS:
            counts[verdict] += sum(line.endswith(f" {verdict}") for line in said.splitlines())
        if status:
            broken.append(name)
        if status > 1 or (status and " FAIL" not in said):
            print(said, file=sys.stderr)
    print(
        f"\n{counts['PASS']} exact lines pass, {counts['FAIL']} fail; of those that are only told {counts['agrees']}"
        f" agree, {counts['differs']} differ. Pictures in {options.out}."
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
