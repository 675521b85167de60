"""Commands about other people's models: watch, open."""

from __future__ import annotations

import argparse
import itertools
import re
import shlex
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shtab

import inspector
import tinygrad_rnn as tg
from tinygrad_rnn.autodiff.ancestry import ancestors
from tinygrad_rnn.interop.file_format import format_of
from tinygrad_rnn.interop.imported import Imported
from tinygrad_rnn.interop.weights import Group, groups_among, printable
from tinygrad_rnn.plurals import counted
from tinygrad_rnn.recurrent.unroll import Run

from ..formats import WRITERS
from ..loading.load import tensors_in
from ..loading.model_inputs import BATCH, LENGTH, Sizes, call_model
from ..loading.models import model_in, model_of, part_of, target_of
from ..loading.records import describe_record
from ..loading.suggest import did_you_mean
from ..picture.scene import LEVELS
from ..tracing.values import recorded_values
from ..watching.script import Models, run_script
from ..watching.watching import Watching
from .family import CHECK_FAILED, INTERRUPTED, OK, command, option
from .options import ending_in, file_name, natural, path, positive


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
    option(
        "file", type=path, metavar="FILE", complete=shtab.FILE, help="of ONNX, Keras, PyTorch, safetensors or NumPy"
    ),
    option(
        "--layer", "--prefix", metavar="NAME", help="which of its recurrent parts, such as encoder.rnn (default: all)"
    ),
    option(
        "--draw",
        nargs="?",
        const=True,
        type=ending_in(*WRITERS),
        metavar="FILE",
        help="draw its graph, coloured by the gradient (default: MODEL-LAYER.svg)",
    ),
    option("--level", choices=LEVELS, default="cell", help="how much detail the drawing has (default: cell)"),
    option("--diagnose", action="store_true", help="say what is wrong with its gradient, and what would help"),
    option(
        "--report",
        nargs="?",
        const=True,
        type=ending_in("html"),
        metavar="FILE",
        help="write a page about its run (default: MODEL.html)",
    ),
    option(
        "--input",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="an .npy, an .npz with several, or NAME=NUMBER; the others are random",
    ),
    option("-T", "--length", type=positive, metavar="N", help=f"timesteps, where they are free (default: {LENGTH})"),
    option("--batch", type=positive, metavar="N", help=f"sequences, where they are free (default: {BATCH})"),
    option("--seed", type=natural, metavar="N", help="of random inputs (default: 0)"),
    option(
        "--target",
        metavar="NAME[INDEX]",
        help="the output whose gradient is looked at, as logits[-1,0,3] (default: the largest number of the last step)",
    ),
)
def _open(a: argparse.Namespace) -> tuple[int, str]:
    """Nothing in the file is executed; what it is, its content says. In a file of weights, a plain RNN is taken for one
    with tanh, as weights do not say. All is computed in float64.

    inspector open model.onnx                                     what is in it
    inspector open tagger.keras --diagnose -T 200                 on random inputs
    inspector open model.onnx --draw --layer /rnn/LSTM_1 --input x.npy --input sr=16000
    inspector open model.safetensors --layer encoder.rnn --report
    """
    a.progress(f"reading {a.file}")
    kind = format_of(a.file)
    is_run = a.draw or a.diagnose or a.report or a.input or a.length or a.batch or a.target or a.seed is not None
    if kind == "json":
        if is_run or a.layer:
            raise ValueError(f"{a.file} is JSON, in which there is nothing to run: open it without options")
        return OK, describe_record(a.file)
    if kind in ("onnx", "keras"):
        model = model_in(a.file)
        if is_run or a.layer:
            return OK, _run(a, model.astype(np.float64), a.layer)
        return OK, "\n".join([str(model), *_next_for(a, model)])
    tensors = tensors_in(a.file)
    groups = groups_among(tensors)
    if not (groups or is_run or a.layer):
        return OK, "\n".join(_listed(a.file, tensors))
    chosen = _choose(groups, a.layer or "")
    if not is_run:
        trace = ["", _run(a, model_of(chosen[0], a.file), None)] if a.layer and len(chosen) == 1 else []
        return OK, "\n".join([_table(a, groups, chosen), *trace])
    if len(chosen) > 1:
        names = ", ".join(printable(group.prefix) for group in chosen)
        raise ValueError(f"choose one of its networks with --layer: {names}")
    return OK, _run(a, model_of(chosen[0], a.file), None)


def _run(a: argparse.Namespace, model: Imported, part: str | None) -> str:
    """Run a model, and do with its recurrent parts, or one of them, what is asked for."""
    a.progress(f"running {a.file}")
    seed = a.seed or 0
    called = call_model(model, a.input, Sizes(a.length, a.batch), seed)
    runs = part_of(called.call, part)
    target = target_of(model, called.call, a.target)
    lines = [f"{printable(a.file.name)}: the gradient of {target.text}, in float64"]
    lines += [f"  on {said}" + (f", seed {seed}" if ": random" in said else "") for said in called.inputs]
    reached = _reached(runs, target.loss) or runs  # of which the analysis says itself that nothing arrives there
    lines += [f"  nothing of it goes to {printable(name)}" for name in runs if name not in reached]
    return "\n".join([*lines, *_acts(a, reached, target.loss)])


def _acts(a: argparse.Namespace, runs: dict[str, Run], loss: tg.Tensor) -> Iterator[str]:
    """Do with the recurrent parts what is asked for, and say what came of it."""
    stem = file_name(a.file.stem)
    if a.draw:
        if a.draw is not True and len(runs) > 1:
            raise ValueError(
                f"--draw {a.draw} draws one recurrent part: choose it with --layer: {', '.join(map(printable, runs))}"
            )
        taken: set[str] = set()
        for name, run in runs.items():
            a.progress(f"drawing {printable(name)}")
            out = a.draw if a.draw is not True else Path(_free(f"{stem}-{_plain(name)}", ".svg", taken))
            yield f"{inspector.draw(run, a.level, trace=inspector.trace(run, loss)).save(out)}: {_about(name, run)}"
    for name, run in runs.items():
        a.progress(f"looking at {printable(name)}")
        if a.diagnose:
            yield f"\n{printable(name)}\n{inspector.diagnose(run, loss)}"
        elif not a.draw and not a.report:
            yield f"\n{printable(name)}\n{inspector.trace(run, loss)}"
    if a.report:
        a.progress("writing the page")
        pairs = {printable(name): (run, loss) for name, run in runs.items()}
        out = inspector.report(pairs, path=f"{stem}.html" if a.report is True else a.report)
        yield f"{out}: {', '.join(pairs)}"


def _reached(runs: dict[str, Run], loss: tg.Tensor) -> dict[str, Run]:
    """The runs with values of which the loss was computed."""
    known = {node.id for node in ancestors([loss])}
    return {
        name: run for name, run in runs.items() if any(value.id in known for value in recorded_values(run).values())
    }


def _about(name: str, run: Run) -> str:
    return f"{printable(name)}, {run.cell!r} over {counted(len(run), 'step')}"


def _plain(name: str) -> str:
    """A name out of a file as part of one of ours."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60] or "part"


def _next_for(a: argparse.Namespace, model: Imported) -> Iterator[str]:
    if any(layer.recurrent for layer in model.layers):
        file = shlex.quote(str(a.file))
        yield ""
        yield "what to do with it:"
        yield f"  inspector open {file} --diagnose    what is wrong with its gradient, and what would help"
        yield f"  inspector open {file} --draw        its recurrent parts, coloured by the gradient"
        yield f"  inspector open {file} --report      everything on one page"


def _table(a: argparse.Namespace, groups: dict[str, Group], chosen: list[Group]) -> str:
    """The networks whose weights a file holds."""
    rows = [_HEADS, *(_row(group) for group in chosen)]
    widths = [max(len(row[k]) for row in rows if k == 0 or len(row) > 2) for k in range(len(_HEADS))]
    lines = [f"{a.file}: {counted(len(groups), 'recurrent network')}"]
    lines += ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
    file, prefix = shlex.quote(str(a.file)), shlex.quote(printable(chosen[0].prefix))
    if len(chosen) > 1:
        return "\n".join([*lines, "", f"one of them: inspector open {file} --layer {prefix}"])
    which = f"--weights {file}" + (f" --prefix {prefix}" if len(groups) > 1 else "")
    return "\n".join([*lines, "", "what to do with it:", *(f"  inspector {do.format(which)}" for do in _NEXT)])


_NEXT = (
    "diagnose {} -T 100            what is wrong with its gradient, and what would help",
    "decay {} -T 200               where the gradient dies",
    "graph {} -T 3 --level cell    its graph",
    "gates {}                      which gates are saturated",
    "report {}                     everything on one page",
)


def _listed(file: Path, tensors: dict[str, Any]) -> Iterator[str]:
    """The tensors of a file in which there is no recurrent network."""
    yield f"{file}: {counted(len(tensors), 'tensor')}, and no recurrent network by PyTorch's names (weight_ih_l0...)"
    shown = list(tensors.items())[:_SCREEN]
    width = max(len(printable(name)) for name, _ in shown)
    for name, value in shown:
        kind = str(value.dtype).removeprefix("torch.")
        yield f"  {printable(name):{width}}  {' x '.join(map(str, value.shape))}  {kind}"
    if len(tensors) > len(shown):
        yield f"  and {len(tensors) - len(shown)} more"


_SCREEN = 40
"""Tensors that are listed."""


def _choose(groups: dict[str, Group], prefix: str) -> list[Group]:
    wanted = prefix.strip(".")
    if not groups:
        raise ValueError("there is no recurrent network in this file by PyTorch's names (weight_ih_l0 and the like)")
    if not wanted:
        return list(groups.values())
    found = [group for path, group in groups.items() if f".{wanted}." in f".{path}."]
    if not found:
        names = [printable(path) or "the top level" for path in groups]
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
