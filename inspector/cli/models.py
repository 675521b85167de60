"""Commands about other people's models: watch."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..watching.script import Models, run_script
from ..watching.watching import Watching
from .family import CHECK_FAILED, INTERRUPTED, OK, command, option
from .options import file_name, path, positive


@command(
    "watch",
    option(
        "--every", type=positive, metavar="N", help="look at every so many backward passes only, and record the decay"
    ),
    option(
        "--report",
        dest="folder",
        type=path,
        metavar="FOLDER",
        help="write a page about each recurrent part into a folder",
    ),
    option("script", type=path, metavar="SCRIPT", help="the training script"),
    option("arguments", nargs=argparse.REMAINDER, metavar="...", help="its own arguments"),
)
def _watch(a: argparse.Namespace) -> tuple[int, str]:
    """The script runs as it is: losses, gradients and random numbers stay the same. At the end, also when it fails or
    is interrupted, the latest backward pass that was looked at is told. The exit code is the script's.

    inspector watch train.py --epochs 3                           what stands behind the script is for it
    inspector watch --every 100 --report pages train.py
    """
    a.progress("")
    if a.folder is not None:
        a.folder.mkdir(exist_ok=True)
    models = Models(a.every)
    code = OK
    try:
        run_script(a.script, a.arguments, models)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else CHECK_FAILED if left.code else OK
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        if not models.started:
            raise
        traceback.print_exception(error.with_traceback(_in_script(error, a.script)))
        code = CHECK_FAILED
    return code, "\n".join(_says(models, a))


def _in_script(error: BaseException, script: Path) -> Any:
    """The part of a traceback that is the script's own."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename != str(script):
        found = found.tb_next
    return found


def _says(models: Models, a: argparse.Namespace) -> Iterator[str]:
    for reason in models.refused:
        yield f"not watched: {reason.removeprefix('watch: ')}"
    if not models.watched and not models.refused:
        yield "no model with a recurrent part (torch.nn.RNN, LSTM, GRU or their Cell) was called"
    for watching in models.watched:
        yield f"\n{watching.model}\n{watching}"
        if watching.recorder is not None:
            yield f"\n{watching.recorder}"
        if a.folder is not None:
            a.progress("writing pages")
            yield f"\n{', '.join(map(str, _pages(watching, a.folder)))}"


def _pages(watching: Watching, folder: Path) -> Iterator[Path]:
    for name in watching.names:
        if watching.has_seen(name):
            yield watching[name].report(folder / f"{file_name(name or watching.model)}.html")
    if watching.recorder is not None and watching.recorder.steps:
        yield watching.recorder.save(folder / f"{file_name(watching.model)}-training.svg")
