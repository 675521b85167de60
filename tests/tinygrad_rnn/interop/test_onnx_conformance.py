"""ONNX's own cases for every operator that is in the table, against the outputs recorded with them."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.fixture(scope="module")
def conformance():
    spec = importlib.util.spec_from_file_location("conformance", DOCS / "conformance.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def outcomes(conformance):
    return list(conformance.outcomes())


def test_every_case_passes_but_for_numbers_that_numpy_has_not_and_dropout(outcomes):
    assert [outcome for outcome in outcomes if outcome.error] == []
    reasons = {outcome.reason for outcome in outcomes} - {""}
    assert reasons == {"numbers that NumPy has not", "dropout in training is random"}
    assert sum(not outcome.reason for outcome in outcomes) > 900
    of_operators = defaultdict(list)
    for outcome in outcomes:
        of_operators[outcome.operator].append(not outcome.reason)
    assert all(map(any, of_operators.values()))


def test_all_cases_of_recurrent_operators_and_loops_pass(outcomes):
    found = [outcome for outcome in outcomes if outcome.operator in ("RNN", "LSTM", "GRU", "Scan", "Loop")]
    assert len(found) >= 25 and not any(outcome.reason or outcome.error for outcome in found)


def test_what_is_set_aside_is_beyond_numpy_indeed(outcomes):
    """By the names of the cases, most of which say their types."""
    signs = ("float4", "float8", "bfloat16", "int2", "int4", "string", "e4m3", "e5m2", "e8m0", "dropout")
    aside = [outcome.case.lower() for outcome in outcomes if outcome.reason]
    assert [case for case in aside if not any(sign in case for sign in signs)] == []


def test_the_table_of_the_docs_is_the_truth(conformance, outcomes):
    page = (DOCS / "onnx.md").read_text(encoding="utf-8")
    if f"onnx {onnx.__version__} has" not in page:
        pytest.skip("another onnx has other cases")
    assert conformance.table(outcomes) in page, "docs/onnx.md is old: make docs"
