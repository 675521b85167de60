"""Records that the inspector itself has written: what a JSON file of ours says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinygrad_rnn.interop.weights import printable
from tinygrad_rnn.plurals import counted

from .load import LoadError

__all__ = ["describe_record"]

_LARGEST, _LINES, _LETTERS = 1 << 28, 40, 100


def describe_record(path: Path) -> str:
    """What is in the data of a page, the record of a sweep, or the numbers of an analysis, on one screen.

    Raises
    ------
    LoadError
        If the file is none of these.
    """
    if path.stat().st_size > _LARGEST:
        raise LoadError(f"{path} is larger than a record of ours ({_LARGEST >> 20} MiB)")
    try:
        text = path.read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [json.loads(text)]
    except (ValueError, RecursionError) as error:
        raise LoadError(f"{path} is no JSON: {printable(str(error))}") from None
    first = lines[0] if lines and isinstance(lines[0], dict) else {}
    if first.get("schema") == "inspector-page":
        kind, said = "data of a page", list(_page(first))
    elif "job" in first:
        kind, said = "record of a sweep", list(_sweep(lines))
    elif "not_finite" in first:
        kind, said = "numbers of an analysis", list(_analysis(first))
    else:
        raise LoadError(f"{path} is JSON, but no record of the inspector's")
    left = [f"  and {len(said) - _LINES} more"] if len(said) > _LINES else []
    return "\n".join([f"{path}: {kind}", *said[:_LINES], *left])


def _page(record: dict[str, Any]) -> Iterator[str]:
    runs = record.get("runs")
    for run in runs if isinstance(runs, list) else []:
        facts = run if isinstance(run, dict) else {}
        verdict = facts.get("verdict")
        finding = verdict.get("finding", "") if isinstance(verdict, dict) else ""
        yield f"  {_short(facts.get('label'))}: {_short(finding)} (T = {_short(facts.get('T'))})"


def _sweep(lines: list[Any]) -> Iterator[str]:
    jobs = [line["job"] for line in lines if isinstance(line, dict) and isinstance(line.get("job"), list)]
    for job, count in Counter(tuple(map(_short, [*job, "?", "?", "?"][:3])) for job in jobs).items():
        cell, length, init = job
        yield f"  {cell}, T = {length}, {'default' if init == 'None' else init}: {counted(count, 'run')}"


def _analysis(record: dict[str, Any]) -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, dict) and isinstance(value.get("axes"), dict):
            sizes = (len(labels) if isinstance(labels, list) else "?" for labels in value["axes"].values())
            axes = ", ".join(f"{_short(axis)} {size}" for axis, size in zip(value["axes"], sizes, strict=True))
            yield f"  {_short(name)}: {_short(value.get('what'))} ({axes})"
        elif isinstance(value, (str, int, float, bool)):
            yield f"  {_short(name)} = {_short(value)}"
        elif isinstance(value, (dict, list)):
            inside = ", ".join(one if isinstance(one, str) else "..." for one in value)
            yield f"  {_short(name)}: {_short(inside or 'none')}"


def _short(value: object) -> str:
    text = printable(str(value))
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"
