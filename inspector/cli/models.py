"""Commands about other people's models: watch, open."""

from __future__ import annotations

import argparse
import itertools
import shlex
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shtab

import tinygrad_rnn as tg
from tinygrad_rnn.interop.tensor_files import SUFFIXES
from tinygrad_rnn.interop.weights import Group, printable
from tinygrad_rnn.plurals import counted

from ..loading.load import networks_in
from ..loading.suggest import did_you_mean
from ..watching.script import Models, run_script
from ..watching.watching import Watching
from .family import CHECK_FAILED, INTERRUPTED, OK, command, option
from .options import ending_in, file_name, path, positive


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
        a.folder = a.folder.resolve()  # the script may go elsewhere
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
    taken: set[str] = set()
    for watching in models.watched:
        yield f"\n{watching.model}\n{watching}"
        if watching.recorder is not None:
            yield f"\n{watching.recorder}"
        if a.folder is not None:
            a.progress("writing pages")
            yield f"\n{', '.join(map(str, _pages(watching, a.folder, taken)))}"


def _pages(watching: Watching, folder: Path, taken: set[str]) -> Iterator[Path]:
    for name in watching.names:
        if watching.has_seen(name):
            yield watching[name].report(folder / _free(file_name(name or watching.model), ".html", taken))
    if watching.recorder is not None and watching.recorder.steps:
        yield watching.recorder.save(folder / _free(f"{file_name(watching.model)}-training", ".svg", taken))


def _free(stem: str, suffix: str, taken: set[str]) -> str:
    """A name of its own for each file: several models may have parts of one name."""
    names = (f"{stem}{'' if k == 1 else f'-{k}'}{suffix}" for k in itertools.count(1))
    name = next(name for name in names if name.lower() not in taken)
    taken.add(name.lower())
    return name


_HEADS = ("prefix", "network", "layers", "directions", "inputs", "units", "outputs", "type", "parameters")


@command(
    "open",
    option("--prefix", default="", metavar="NAME", help="one of several in the file, such as encoder.rnn"),
    option(
        "file",
        type=ending_in(*SUFFIXES),
        metavar="FILE",
        complete=shtab.FILE,
        help=f"{', '.join(f'.{suffix}' for suffix in SUFFIXES)}",
    ),
)
def _open(a: argparse.Namespace) -> tuple[int, str]:
    """Nothing in the file is executed. A plain RNN is taken for one with tanh, as weights do not say.

    inspector open weights.pt
    inspector open model.safetensors --prefix encoder.rnn
    """
    a.progress(f"reading {a.file}")
    groups = networks_in(a.file)
    chosen = _choose(groups, a.prefix)
    rows = [_HEADS, *(_row(group) for group in chosen)]
    widths = [max(len(row[k]) for row in rows if k == 0 or len(row) > 2) for k in range(len(_HEADS))]
    lines = [f"{a.file}: {counted(len(groups), 'recurrent network')}"]
    lines += ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
    file, prefix = shlex.quote(str(a.file)), shlex.quote(printable(chosen[0].prefix))
    if len(chosen) > 1:
        return OK, "\n".join([*lines, "", f"one of them: inspector open {file} --prefix {prefix}"])
    which = f"--weights {file}" + (f" --prefix {prefix}" if len(groups) > 1 else "")
    return OK, "\n".join([*lines, "", "what to do with it:", *(f"  inspector {do.format(which)}" for do in _NEXT)])


_NEXT = (
    "diagnose {} -T 100            what is wrong with its gradient, and what would help",
    "decay {} -T 200               where the gradient dies",
    "graph {} -T 3 --level cell    its graph",
    "gates {}                      which gates are saturated",
    "report {}                     everything on one page",
)


def _choose(groups: dict[str, Group], prefix: str) -> list[Group]:
    wanted = prefix.strip(".")
    if not wanted:
        return list(groups.values())
    found = [group for path, group in groups.items() if f".{wanted}." in f".{path}."]
    if not found:
        names = [printable(path) for path in groups]
        raise ValueError(
            f"no recurrent weights behind {prefix!r}{did_you_mean(prefix, names)}; there are {', '.join(names)}"
        )
    return found


def _row(group: Group) -> tuple[str, ...]:
    """One network of a file, or what is wrong with it."""
    prefix = printable(group.prefix) or "-"
    try:
        network = group.network()
    except (KeyError, ValueError) as error:
        return prefix, str(error.args[0]).removeprefix("load_torch: ")
    layers = network.layers if isinstance(network, tg.Stacked) else (network,)
    first = layers[0].forward if isinstance(layers[0], tg.Bidirectional) else layers[0]
    numbers = (
        len(layers),
        1 if first is layers[0] else 2,
        network.input_size,
        getattr(first, "memory_size", first.hidden_size),
        network.hidden_size,
    )
    kind = type(first).__name__.removesuffix("Cell")
    size = sum(parameter.size for parameter in network.parameters())
    return (prefix, kind, *map(str, numbers), str(network.dtype), f"{size:,}")
