"""sweep: a grid of runs over cells, lengths, initialisations and seeds, in parallel and resumable."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import operator
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import msgspec
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from tqdm import tqdm

import tinygrad_rnn as tg
from tinygrad_rnn import files
from tinygrad_rnn.plurals import counted

from .loading.load import make_cell, source_digest
from .loading.processes import processes
from .picture.curve_styles import styles
from .picture.paper import Width
from .plots.curves import along_time, band, mark_rows, quantiles
from .plots.figures import axes_of, picture
from .plots.legends import legend, title
from .results import Labelled, Result, optional
from .tracing.decay import decay_rate
from .tracing.trace import norms as norms_of
from .tracing.trace import trace

__all__ = ["Job", "Sweep", "run_job", "sweep"]

COLUMNS = ("cell", "length", "init", "seed", "state", "factor", "half_life", "first_norm", "last_norm", "loss")
_RESTARTS = 3


class Job(NamedTuple):
    """One run of the grid, all that a worker needs to know."""

    cell: str
    length: int
    init: str | None
    seed: int
    input_size: int = 8
    hidden_size: int = 16
    batch: int = 1
    loss: str = "last"


@np.errstate(all="ignore")
def run_job(job: Job) -> dict[str, Any]:
    """Unroll a new cell over random inputs, trace the loss, and give the norms of every state, as plain numbers."""
    cell = make_cell(job.cell, job.input_size, job.hidden_size, seed=job.seed, init=job.init)
    rng = np.random.default_rng([job.seed, job.length])
    run = tg.unroll(cell, rng.normal(size=(job.length, job.batch, job.input_size)))
    read = run.stacked if job.loss == "all" else run.outputs[-1]
    found = trace(run, tg.losses.mse_loss(read, rng.normal(size=read.shape)))
    norms = {state: found.norm(state).tolist() for state in found.states}
    made_with = {"version": tg.__version__, "source": source_digest(job.cell)}
    return {"job": list(job), "loss": float(found.loss.item()), "norms": norms, **made_with}


class _Record(TypedDict):
    """A line of a record."""

    job: Job
    loss: float
    norms: dict[str, list[float]]
    version: str
    source: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Sweep(Result):
    """What came out of a grid of runs.

    Attributes
    ----------
    results : tuple of dict
        One a run, in the order of the grid: its ``job``, its ``loss``, by state the ``norms`` (T,), and what it was
        made with: the ``version`` of the library and a digest of the ``source`` of a cell that is none of the
        library's.
    not_finite : str or None
        How many runs have a loss or a gradient that is not finite, and which is the first; none if all are finite.
    """

    results: tuple[Mapping[str, Any], ...]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The tidy table: one row a run and state, see :data:`COLUMNS`; `factor` and `half_life` as in
        :class:`~inspector.Decay`.
        """
        for result in self.results:
            job = Job(*result["job"])
            for state, norms in result["norms"].items():
                decay = decay_rate(norms)
                yield (
                    job.cell,
                    job.length,
                    job.init or "default",
                    job.seed,
                    state,
                    *decay,
                    norms[0],
                    norms[-1],
                    result["loss"],
                )

    def records(self) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """The tidy table."""
        return COLUMNS, self.rows()

    def facts(self) -> dict[str, Any]:
        """The tidy table as a list of objects, ``"runs"``."""
        return {"runs": [dict(zip(COLUMNS, row, strict=True)) for row in self.rows()]}

    def tables(self) -> dict[str, Labelled]:
        """How every state decays, on the grid; NaN for the states that a cell has not."""
        rows: list[Any] = list(self.rows())
        axes: dict[str, list[Any]] = {
            name: list(dict.fromkeys(row[k] for row in rows)) for k, name in enumerate(COLUMNS[:5])
        }
        values = np.full((len(COLUMNS) - 5, *map(len, axes.values())), np.nan)
        for row in rows:
            place: Any = (slice(None), *(axes[name].index(row[k]) for k, name in enumerate(axes)))
            values[place] = row[5:]
        return {name: Labelled(table, axes, name) for name, table in zip(COLUMNS[5:], values, strict=True)}

    def to_dict(self) -> dict[str, Any]:
        """The tidy table alone, of which all else is made."""
        return {name: value for name, value in super().to_dict().items() if name in ("runs", "not_finite")}

    def to_pandas(self) -> Any:
        """The tidy table as a pandas DataFrame.

        Raises
        ------
        ModuleNotFoundError
            If pandas is not installed.
        """
        return optional("pandas", "to_pandas").DataFrame(list(self.rows()), columns=list(COLUMNS))

    @picture
    def plot(self, ax: Axes | None = None, length: int | None = None, *, width: Width = None) -> Axes:
        """Decay against steps back for each cell and initialisation: the median over seeds, and bands of half and of
        nine tenths.

        Norms are those of the whole state, relative to the one at the loss.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure when omitted.
        length : int, optional
            The runs of this length; the longest when omitted.
        width : float or str, optional
            Of a new figure; as for :func:`~inspector.plot_decay`.
        """
        jobs = [Job(*result["job"]) for result in self.results]
        length = max(job.length for job in jobs) if length is None else length
        groups: dict[tuple[str, str | None], list[npt.NDArray[np.float64]]] = {}
        inits = list(dict.fromkeys(job.init for job in jobs))
        for job, result in zip(jobs, self.results, strict=True):
            if job.length == length:
                groups.setdefault((job.cell, job.init), []).append(_relative(result["norms"]))
        axes, looks = axes_of(ax, 8.0, 4.6), styles(job.cell for job in jobs)
        lines: list[Any] = []
        zeros: list[Any] = []
        broken: list[Any] = []
        for (cell, init), curves in groups.items():
            norms, levels = np.stack(curves), quantiles(np.stack(curves, axis=1))
            label = f"{cell}, {init or 'default'}" if len(inits) > 1 else cell
            look = looks[cell].among(inits.index(init), len(inits))
            lines.append(band(axes, np.arange(length), levels, look, f"{label}: {decay_rate(levels[2][::-1])}"))
            zeros.append(((norms == 0).all(axis=0), look.colour))
            broken.append((~np.isfinite(norms).all(axis=0), look.colour))
        along_time(axes, "state")
        mark_rows(axes, zeros, broken)
        axes.set(xlabel="steps back k", ylabel="‖∂L/∂state‖₂ k steps back, relative to the last step")
        seeds = counted(len({job.seed for job in jobs}), "seed")
        title(axes, f"Decay over {counted(length, 'step')}, {seeds}: median, half, and nine tenths")
        legend(axes, lines)
        return axes

    @property
    def not_finite(self) -> str | None:
        """How many runs are not finite, and which is the first."""
        ill = [
            result
            for result in self.results
            if not np.isfinite([result["loss"], *itertools.chain(*result["norms"].values())]).all()
        ]
        if not ill:
            return None
        job = Job(*ill[0]["job"])
        steps = [t for norms in ill[0]["norms"].values() for t in np.flatnonzero(~np.isfinite(norms))]
        where = f"the gradient at t = {max(steps)}" if steps else "the loss"
        return (
            f"not finite in {len(ill)} of {counted(len(self.results), 'run')}: first in {job.cell}, T = {job.length},"
            f" {job.init or 'default'}, seed {job.seed}: {where}"
        )

    def __repr__(self) -> str:
        cells = ", ".join(dict.fromkeys(Job(*result["job"]).cell for result in self.results))
        return f"<Sweep: {counted(len(self.results), 'run')} of {cells}>"

    def _text(self) -> str:
        table: dict[tuple[str, ...], list[float]] = {}
        for cell, length, init, _, state, factor, *_ in self.rows():
            table.setdefault((f"{cell} {state}", str(init), str(length)), []).append(factor)
        lines = [f"{'':20}{'init':>12}{'T':>7}{'runs':>6}{'factor a step back: median':>28}{'lowest':>9}{'highest':>9}"]
        for (name, init, length), factors in table.items():
            known = [factor for factor in factors if not math.isnan(factor)]
            told = (
                f"{np.median(known):>28.4g}{min(known):>9.3g}{max(known):>9.3g}"
                if known
                else f"{'no decay to measure':>28}"
            )
            left_out = f"  of the {len(known)} with a decay to measure" if 0 < len(known) < len(factors) else ""
            lines.append(f"{name:20}{init:>12}{length:>7}{len(factors):>6}{told}{left_out}")
        return "\n".join(lines)


def sweep(
    cells: Sequence[str],
    lengths: Sequence[int],
    inits: Sequence[str | None] = (None,),
    seeds: Iterable[int] = range(10),
    *,
    input_size: int = 8,
    hidden_size: int = 16,
    batch: int = 1,
    loss: str = "last",
    executor: Executor | None = None,
    path: str | Path | None = None,
) -> Sweep:
    """Run every combination, in parallel.

    Parameters
    ----------
    cells : sequence of str
        Names from the registry, or ``path/to/file.py:MyCell``.
    lengths : sequence of int
        Timesteps.
    inits : sequence of str or None
        Initialisations by name, ``None`` for the cell's own.
    seeds : iterable of int
        Of weights, inputs and targets.
    input_size, hidden_size, batch : int
    loss : {"last", "all"}
        The outputs that the loss reads, against random targets.
    executor : concurrent.futures.Executor, optional
        Where to run, for instance ``dask.distributed.Client(...).get_executor()`` or an
        ``mpi4py.futures.MPIPoolExecutor``. When omitted, processes on this machine, which are started again should one
        of them die.
    path : path, optional
        A file of lines of JSON to which each run is added as soon as it is finished. What it holds already is not run
        again: call `sweep` once more with the same arguments to go on after an interruption. Runs of a cell whose file
        has changed since, or of another version of the library, are made again, with a warning.

    Returns
    -------
    Sweep

    Raises
    ------
    ValueError
        If the grid is empty, `loss` is neither, or the file at `path` is no such file or damaged, naming the line.
    LoadError
        If a cell cannot be found or made.
    OSError
        If there is no place for the record.
    RuntimeError
        If the file of a cell changes while the sweep runs.
    """
    if loss not in ("last", "all"):
        raise ValueError(f"sweep: loss must be last or all, got {loss!r}")
    lengths, seeds = ([operator.index(number) for number in numbers] for numbers in (lengths, seeds))
    jobs = [
        Job(*place, input_size, hidden_size, batch, loss) for place in itertools.product(cells, lengths, inits, seeds)
    ]
    if not jobs:
        raise ValueError("sweep: give at least one cell, length, initialisation and seed")
    if path is not None:
        files.check(path)
    for cell, init in itertools.product(cells, inits):
        make_cell(cell, input_size, hidden_size, init=init)
    sources = {cell: source_digest(cell) for cell in cells}
    done = {} if path is None else _done(Path(path), set(jobs), sources)
    missing = [job for job in dict.fromkeys(jobs) if job not in done]
    with tqdm(total=len(set(jobs)), initial=len(set(jobs)) - len(missing), desc="sweeping", disable=None) as bar:
        for result in _results(missing, executor):
            job = Job(*result["job"])
            if result["source"] != sources[job.cell]:
                raise RuntimeError(
                    f"sweep: the file of {job.cell} has changed while the sweep was running; run it again"
                )
            done[job] = result
            if path is not None:
                _append(Path(path), result)
            bar.update()
    return Sweep(tuple(done[job] for job in jobs))


# --------------------------------------------------------------------------------------- running


def _results(jobs: Sequence[Job], executor: Executor | None) -> Iterator[dict[str, Any]]:
    """The results as they come in; with processes of our own, those that died are replaced."""
    if executor is not None:
        yield from _submitted(jobs, executor)
        return
    left = list(jobs)
    for attempt in itertools.count():
        try:
            with processes() as pool:
                for result in _submitted(left, pool):
                    left.remove(Job(*result["job"]))
                    attempt = 0
                    yield result
            return
        except BrokenExecutor:
            if attempt == _RESTARTS:
                raise


def _submitted(jobs: Sequence[Job], executor: Executor) -> Iterator[dict[str, Any]]:
    futures = [executor.submit(run_job, job) for job in jobs]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


# --------------------------------------------------------------------------------------- the record

_HEAD = b'{"job": ['


def _done(path: Path, jobs: set[Job], sources: Mapping[str, str]) -> dict[Job, dict[str, Any]]:
    """The runs that a file holds, as far as they were made with the cells and the library that there are now."""
    done, others = {}, set()
    for job, result in _read(path):
        if result["version"] == tg.__version__ and result["source"] == sources.get(job.cell):
            done[job] = result
        elif job in jobs:
            others.add(job)
    stale = others - done.keys()
    if stale:
        names = ", ".join(sorted({job.cell for job in stale}))
        was, they_are = ("was", "it is") if len(stale) == 1 else ("were", "they are")
        warnings.warn(
            f"sweep: {counted(len(stale), 'run')} in {path} {was} made with another version of {names}, or of the"
            f" library; {they_are} made again",
            stacklevel=3,
        )
    return done


def _read(path: Path) -> Iterator[tuple[Job, dict[str, Any]]]:
    """The runs that a file holds; a last line that was not finished is cut off."""
    data = path.read_bytes() if path.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    rest = data[len(whole) :]
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            yield _checked(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"sweep: {path} is no record of a sweep, or damaged: line {number}: {error}; give another path"
            ) from None
    if rest and rest[: len(_HEAD)] != _HEAD[: len(rest)]:
        raise ValueError(f"sweep: {path} is no record of a sweep; give another path")
    if rest:
        files.write(path, whole)


def _checked(line: bytes) -> tuple[Job, dict[str, Any]]:
    """A line's job and result, if it is as it was written."""
    record: Any = json.loads(line.decode())
    job = msgspec.convert(record, _Record)["job"]
    if record.pop("sha256") != _checksum(record):
        raise ValueError("it does not match its checksum")
    if any(len(norms) != job.length for norms in record["norms"].values()):
        raise ValueError(f"norms must have one number for each of {counted(job.length, 'step')}")
    return job, record


def _append(path: Path, result: Mapping[str, Any]) -> None:
    files.append(path, json.dumps({**result, "sha256": _checksum(result)}).encode() + b"\n")


def _checksum(result: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(result).encode()).hexdigest()


def _relative(norms: Mapping[str, Sequence[float]]) -> npt.NDArray[np.float64]:
    """Norm of the whole state against steps back, 1 at the loss."""
    whole = norms_of(np.stack(list(norms.values()), axis=1))[::-1]
    relative: npt.NDArray[np.float64] = whole / whole[0] if whole[0] else whole
    return relative
