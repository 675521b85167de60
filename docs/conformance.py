"""ONNX's own cases for each operator that load_onnx has: how many pass, and why others are not run."""

from __future__ import annotations

import functools
import re
import textwrap
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import onnx

import tinygrad_rnn as tg
from tinygrad_rnn.interop.onnx import build  # noqa: F401 - which fills the table
from tinygrad_rnn.interop.onnx.operators import OPERATORS

__all__ = ["Outcome", "cases", "outcomes", "table"]

WITHOUT_COUNTERPART = "numbers that NumPy has not"
REASONS = {"drops at random": "dropout in training is random"}


class Outcome(NamedTuple):
    """What became of one case: `reason` says why it was set aside, `error` what went wrong, if either did."""

    operator: str
    case: str
    reason: str
    error: str


@functools.cache
def cases() -> tuple[Any, ...]:
    """All of ONNX's cases whose operator has a counterpart, of one node each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = [case for case in collect_testcases(None) if len(case.model.graph.node) == 1]
    nodes = [case.model.graph.node[0] for case in found]
    claimed = [node.op_type in OPERATORS or _is_defined(node) for node in nodes]
    return tuple([case for case, is_claimed in zip(found, claimed, strict=True) if is_claimed])


def outcomes() -> Iterator[Outcome]:
    """What became of each case."""
    for case in cases():
        yield _outcome(case, case.model.graph.node[0].op_type)


def _is_defined(node: Any) -> bool:
    """Whether ONNX itself defines an operator by others that have counterparts."""
    try:
        schema = onnx.defs.get_schema(node.op_type)
    except onnx.defs.SchemaError:
        return False
    return schema.has_function and {inner.op_type for inner in schema.function_body.node} <= OPERATORS.keys()


def _outcome(case: Any, kind: str) -> Outcome:
    try:
        model = tg.load_onnx(case.model.SerializeToString())
        for inputs, outputs in case.data_sets:
            with np.errstate(all="ignore"):
                call = model(*(_array(value) for value in inputs))
            for found, expected in zip(call.values(), outputs, strict=True):
                _compare(found, _array(expected))
    except Exception as error:
        reason = next((words for sign, words in REASONS.items() if sign in str(error)), "")
        reason = WITHOUT_COUNTERPART if _is_beyond_numpy(case) else reason
        return Outcome(kind, case.name, reason, "" if reason else f"{type(error).__name__}: {error}")
    return Outcome(kind, case.name, "", "")


def _array(value: Any) -> Any:
    if value is None or isinstance(value, list):
        return value and [_array(part) for part in value]
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _compare(found: Any, expected: Any) -> None:
    if expected is None or isinstance(expected, list):
        if type(found) is not type(expected):
            raise AssertionError(f"a {type(found).__name__}, not a {type(expected).__name__}")
        for ours, theirs in zip(found or (), expected or (), strict=True):
            _compare(ours, theirs)
        return
    if found.dtype != expected.dtype:
        raise AssertionError(f"{found.dtype}, not {expected.dtype}")
    np.testing.assert_allclose(found.data, expected, rtol=1e-3, atol=1e-6)


def _is_beyond_numpy(case: Any) -> bool:
    """Whether a case has numbers that NumPy has not, such as bfloat16 and those of less than 8 bits, or text."""
    names = {number: name for name, number in onnx.TensorProto.DataType.items()}
    ports = [*case.model.graph.input, *case.model.graph.output]
    text = " ".join([case.name, *(names[port.type.tensor_type.elem_type] for port in ports)]).upper()
    return re.search(r"FLOAT4|FLOAT6|FLOAT8|BFLOAT16|INT4|INT2|STRING|E4M3|E5M2|E8M0|_U?INT[24]\b", text) is not None


def table(outcomes: Iterable[Outcome]) -> str:
    """The part of docs/onnx.md: operators all of whose cases pass, and a table of the others."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        found[outcome.operator][outcome.reason or outcome.error or "passed"] += 1
    total, passed = sum(c.total() for c in found.values()), sum(c["passed"] for c in found.values())
    whole = [f"{name} {count['passed']}" for name, count in sorted(found.items()) if count.keys() == {"passed"}]
    none = sorted(OPERATORS.keys() - found.keys())
    rows = ["| operator | cases | pass | not run |", "|---|---|---|---|"]
    for name, count in sorted(found.items()):
        if count.keys() != {"passed"}:
            rest = "; ".join(f"{n}: {reason}" for reason, n in sorted(count.items()) if reason != "passed")
            rows.append(f"| {name} | {count.total()} | {count['passed']} | {rest} |")
    return "\n\n".join(
        [
            f"Of the {total:,} cases that onnx {onnx.__version__} has for the {len(found)} operators below, {passed:,}"
            " pass. Operators all of whose cases pass, and how many there are:",
            "```text\n" + "\n".join(textwrap.wrap(", ".join(whole), 120)) + "\n```",
            "The others:",
            "\n".join(rows),
            f"ONNX has no cases of one node for {', '.join(none)}.",
        ]
    )
