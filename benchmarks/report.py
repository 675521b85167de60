"""What was measured, in words and tables: the page of results, and every number of speed that README and docs tell.

Those stand between ``<!-- measured: NAME -->`` and ``<!-- /measured -->``, and are written here out of
``results/results.json`` alone.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from plan import LARGE, LONG, MATRICES, MIDDLE, PEERS, SMALL, TRACED

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "results.json"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MEASURED = re.compile(r"(<!-- measured: (\w+) -->\n\n).*?(\n\n<!-- /measured -->)", re.DOTALL)
Results = dict[str, Any]


def stored() -> Results:
    """The results that are kept."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def renew() -> None:
    """Write what was measured into README and docs."""
    results = stored()
    for page in PAGES:
        page.write_text(renewed(page.read_text(encoding="utf-8"), results), encoding="utf-8")


def renewed(text: str, results: Results) -> str:
    """A page with what the results say in its marked places; what was not measured stays."""

    def written(match: re.Match[str]) -> str:
        parts, write = BLOCKS[match[2]]
        return match[1] + write(results) + match[3] if all(part in results for part in parts) else match[0]

    return MEASURED.sub(written, text)


def as_page(results: Results) -> str:
    """Everything, in Markdown."""
    parts = {
        "startup": _startup, "compile": _compiled, "memory": _memory, "ensemble": _ensemble, "analysis": _analyses,
        "drawing": _drawings, "watching": _watched,
    }  # fmt: skip
    machine = ", ".join(f"{key} {value}" for key, value in results["machine"].items()) + "."
    blocks = ["# Benchmark", _fill(machine)]
    if "pulses" in results:
        most = max(results["pulses"]) / min(results["pulses"])
        blocks.append(
            _fill(f"Between the parts a fixed piece of work took up to {most:.2f} times as long as at its quickest.")
        )
    if "alone" in results or "in turn" in results:
        blocks += [_fill(_HOW), *_raced(results)]
    for part, write in parts.items():
        if part in results:
            blocks += [f"## {part.capitalize()}", write(results)]
    return "\n\n".join(blocks) + "\n"


_HOW = (
    "Forward and backward over a whole sequence, float32, last-step loss, gradients of all parameters; ours and PyTorch"
    " eager also keep the gradient of every h_t and c_t, compiled ones of every gate, too. *Alone*: everybody in a"
    " process of its own, single runs, the least and the median. *In turn*: everybody takes turns in one process,"
    " medians; the ratio is that of neighbouring runs, with quartiles. All found the same gradients."
)


def _raced(results: Results) -> list[str]:
    alone, in_turn = (
        {(row["cell"], tuple(row["shape"])): row for row in results.get(way, [])} for way in ("alone", "in turn")
    )
    blocks = []
    for shape in dict.fromkeys(shape for _, shape in [*alone, *in_turn]):
        names = [name for name, size in dict.fromkeys([*alone, *in_turn]) if size == shape]
        found = [(name, alone.get((name, shape), _NOBODY), in_turn.get((name, shape), _NOBODY)) for name in names]
        who = [peer for peer in (*PEERS, TRACED) if any(peer in {**a["times"], **t["times"]} for _, a, t in found)]
        blocks.append(f"### (T, batch, inputs, hidden) = {shape}")
        if alone:
            rows = [[name, *(_least(a["times"].get(peer)) for peer in who)] for name, a, _ in found]
            blocks.append(_table(["alone, ms: least (median)", *who], rows))
        if in_turn:
            rows = [[name, *(_median(t["times"].get(peer)) for peer in who if peer != TRACED)] for name, _, t in found]
            blocks.append(_table(["in turn, ms", *(peer for peer in who if peer != TRACED)], rows))
        rivals = [peer for peer in who if peer not in (TRACED, "ours compiled")]
        rows = [[name, *(_both(a, t, peer) for peer in rivals)] for name, a, t in found]
        blocks.append(_table(["ours compiled to: alone / in turn", *rivals], rows))
    return ["## Sequences", *blocks]


_NOBODY: Results = {"times": {}, "ratios": {}}


def _least(time: Sequence[float] | None) -> str:
    return f"{_digits(time[3])} ({_digits(time[0])})" if time else ""


def _median(time: Sequence[float] | None) -> str:
    return _digits(time[0]) if time else ""


def _both(alone: Results, in_turn: Results, peer: str) -> str:
    ratio = _alone_ratio(alone, peer)
    parts = [] if ratio is None else [f"**{_share(ratio)}**"]
    if peer in in_turn["ratios"]:
        middle, low, high = in_turn["ratios"][peer][:3]
        parts.append(f"{_share(middle)} ({_share(low)}-{_share(high)})")
    return " / ".join(parts)


def _alone_ratio(row: Results, peer: str, of: str = "ours compiled") -> float | None:
    times = row["times"]
    return times[of][3] / times[peer][3] if of in times and peer in times else None


def _startup(results: Results) -> str:
    rows = [[f"`{row['what']}`", f"{row['seconds']:.3f}", _digits(row["at most"])] for row in results["startup"]]
    return _table(["", "processor seconds", "at most, by aim"], rows)


def _compiled(results: Results) -> str:
    found = results["compile"]
    return f"LSTM, forward and adjoint: {found['cold']:.2f} s cold, {found['from cache']:.2f} s from the cache."


def _memory(results: Results) -> str:
    rows = [
        [str(tuple(row["shape"])), row["mode"], f"{row['seconds']:.3f}", f"{row['peak MB']:.1f}"]
        for row in results["memory"]
    ]
    return _table(["(T, batch, inputs, hidden)", "", "seconds", "peak MB"], rows)


def _ensemble(results: Results) -> str:
    found = results["ensemble"]
    return (
        f"Trace of {found['members']:,} LSTMs (100, 1, 8, 16): {found['seconds']:.2f} s in one call,"
        f" {found['eager seconds']:.1f} s one by one, eagerly."
    )


def _analyses(results: Results) -> str:
    return "\n\n".join([_long(results), _reach(results), _jacobians(results)])


def _long(results: Results) -> str:
    found = results["analysis"]["long"]
    names = list(found[0]["seconds"])
    rows = [[name, *(_digits(one["seconds"].get(name)) for one in found)] for name in names]
    head = _fill("Seconds for an LSTM of 16 units, batch 4, the loss at the last step unless all are named.")
    return f"{head}\n\n" + _table(["", *(f"T = {one['steps']:,}" for one in found)], rows)


def _reach(results: Results) -> str:
    ratios = {name: row["ratio"][0] for name, row in results["analysis"]["reach"].items()}
    return _fill(
        f"The map at T = 200, 64 units, batch 1, takes {ratios['rnn']:.1f} times one backward pass for a plain network,"
        f" {ratios['gru']:.1f} for a GRU and {ratios['lstm']:.1f} for an LSTM."
    )


def _jacobians(results: Results) -> str:
    rows = results["analysis"]["jacobians"]
    plain, compiled = (sorted(row["ratio"][0] for row in rows if row["compiled"] == kind) for kind in (False, True))
    return _fill(
        "The Jacobians of 1,000 steps of a plain network with 64 units take"
        f" {plain[0]:.1f} to {plain[-1]:.1f} times as long as `jax.jacrev` under `jax.vmap`, and {compiled[0]:.1f} to"
        f" {compiled[-1]:.1f} times as long as that compiled (float64 and float32)."
    )


def _drawings(results: Results) -> str:
    rows = []
    for row in results["drawing"]:
        times = [_digits(row["first"]), _digits(row["again"]), _digits(1e3 * row["first"] / row["steps"])]
        sizes = [f"{row['SVG MB']:.2f}", f"{row['peak MB']:.0f}"]
        rows.append([row["what"], row["level"], f"{row['steps']:,}", *times, *sizes])
    head = ["", "level", "T", "first", "again", "first, ms a step", "MB of SVG", "peak MB"]
    text = (
        "To SVG, every timestep drawn unless folded; two names are a comparison. Processor seconds of the first drawing"
        " in a process and of the next ones; peak MB is what drawing adds to the process's peak memory."
    )
    return f"{_fill(text)}\n\n{_table(head, rows, 2)}"


def _watched(results: Results) -> str:
    rows = []
    for row in results["watching"]:
        steps, batch, inputs, units, *_ = row["case"]
        replay = f"{1e3 * row['replay']:.0f} ms ({1e3 * row['replay'] / row['step']:.1f} steps)"
        added = [f"{row['watched']:+.1%}", f"{row['looked at']:+.1%}", replay, f"{row['MB']:.0f}"]
        rows.append([f"({steps}, {batch}, {inputs}, {units})", f"{row['step']:.1f}", *added])
    head = ["LSTM: (T, batch, inputs, units)", "training step, ms", "passed over", "looked at", "replay", "MB more"]
    return _table(head, rows)


def _others(results: Results) -> str:
    alone, in_turn = ({(row["cell"], tuple(row["shape"])): row for row in results[way]} for way in ("alone", "in turn"))
    rivals = {"torch.nn": "`torch.nn`", "JAX scan": "JAX `scan`, jitted", "PyTorch eager": "PyTorch eager"}
    cells = {"LSTM": "LSTM", "GRU": "GRU", "RNN": "RNN", "nameless": "a cell nobody has named"}
    matrices = {name: f"matrix state, {name}" for name in ("outer products", "delta rule", "full products")}
    rows = []
    for shape, names in [(SMALL, cells), (MIDDLE, cells), (LARGE, cells), (MATRICES, matrices)]:
        for name, called in names.items():
            a, t = alone[name, shape], in_turn[name, shape]
            place = str(shape) if name == next(iter(names)) else ""
            ratios = [
                f"{_share(_alone_ratio(a, peer))} / {_share(t['ratios'][peer][0])}" if peer in a["times"] else ""
                for peer in rivals
            ]
            rows.append([place, called, f"{_digits(a['times']['ours compiled'][3])} ms", *ratios])
    return _table(["(T, batch, inputs, hidden)", "cell", "ours", *rivals.values()], rows, 2)


def _machine(results: Results) -> str:
    of = results["machine"]
    versions = ", ".join(f"{name} {of[name]}" for name in ("PyTorch", "JAX", "NumPy", "Numba"))
    return _fill(
        f"Measured on {of['date']} with {of['threads']} threads on {of['cores']} cores of {of['processor']}"
        f" ({of['memory']}, Python {of['Python']}, {versions}); [all numbers](benchmarks/results/results.md)."
    )


def _eager(results: Results) -> str:
    alone = {(row["cell"], tuple(row["shape"])): row for row in results["alone"]}
    ratios = [_alone_ratio(alone["LSTM", shape], "PyTorch eager", "ours eager") for shape in (SMALL, MIDDLE, LARGE)]
    small, long = (alone["LSTM", shape]["times"] for shape in (SMALL, LONG))
    longer = [long[peer][3] / small[peer][3] for peer in ("ours eager", "PyTorch eager")]
    traced, plain = small[TRACED][3], small["ours compiled"][3]
    found = results["compile"]
    return _fill(
        f"Eager and alone, ours takes {ratios[0]:.2f}, {ratios[1]:.2f} and {ratios[2]:.2f} times as long as PyTorch"
        f" eager (LSTM, the three sizes); T = 1,000 takes {longer[0]:.1f} times as long as T = 100 (PyTorch"
        f" {longer[1]:.1f}). An `inspector.trace` of the compiled LSTM at the smallest size takes {traced:.2f} ms, its"
        f" run included, where the gradients alone take {plain:.2f} ms. An LSTM compiles in {found['cold']:.1f} s, and"
        f" loads from the cache in {found['from cache']:.2f} s."
    )


def _lengths(results: Results) -> str:
    whole, sparse = (row["peak MB"] for row in results["memory"][:2])
    found = results["ensemble"]
    return _fill(
        f'`checkpoint="sqrt"` runs an LSTM of 64 units over T = 10,000 in {sparse:.0f} MB where all values take'
        f" {whole:.0f}, and a list of cells runs as one ensemble: the traces of {found['members']:,} LSTMs take"
        f" {found['seconds']:.2f} s. [docs/compile.md](docs/compile.md) says how."
    )


def _drawn(results: Results) -> str:
    found = {(row["what"], row["level"], row["steps"]): row for row in results["drawing"]}
    every = [_digits(found["LSTM", "operation", steps]["first"]) for steps in (10, 100, 1000)]
    folded = [found["LSTM, folded", "operation", steps] for steps in (1000, 10_000)]
    return _fill(
        f"Drawing every operation of an LSTM takes {every[0]} s of processor time for 10 timesteps, {every[1]} s for"
        f" 100 and {every[2]} s for 1,000; at the cell level 10,000 timesteps take"
        f" {_digits(found['LSTM', 'cell', 10_000]['first'])} s. Folded, as more than 20 timesteps are unless you ask"
        f" for them, 1,000 take {_digits(folded[0]['first'])} s and {folded[0]['SVG MB']:.2f} MB of SVG, 10,000"
        f" {_digits(folded[1]['first'])} s and {folded[1]['SVG MB']:.2f} MB."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """In Markdown; the first `words` columns are words, the others numbers."""
    marks = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, marks, *rows])


def _digits(number: float | None) -> str:
    """To three digits, hundredths at the finest."""
    if number is None:
        return ""
    return f"{number:.2f}" if number < 10 else f"{number:.1f}" if number < 100 else f"{number:,.0f}"


def _share(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.095 else f"{ratio:.3f}"


def _fill(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


BLOCKS: dict[str, tuple[tuple[str, ...], Callable[[Results], str]]] = {
    "machine": (("machine", "alone"), _machine),
    "others": (("alone", "in turn"), _others),
    "eager": (("alone", "compile"), _eager),
    "lengths": (("memory", "ensemble"), _lengths),
    "drawing": (("drawing",), _drawn),
    "analyses": (("analysis",), _long),
    "reach": (("analysis",), _reach),
    "jacobians": (("analysis",), _jacobians),
    "watching": (("watching",), _watched),
}
"""What is told of the results, by the name of its places: the parts it needs, and who writes it."""
