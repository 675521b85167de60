"""ONNX's own cases for every operator that is in the table, against the outputs recorded with them."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg

from .gradients import assert_gradient

onnx = pytest.importorskip("onnx")
from onnx import TensorProto  # noqa: E402

DOCS = Path(__file__).resolve().parents[4] / "docs"


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


# ----------------------------------------------------------------------------------- gradients

PLACES = {"roi", "scales", "sizes"}


def in_double(message):
    """A graph, its subgraphs and its attributes with numbers of 64 bits in place of those of 32."""
    for field, value in message.ListFields():
        parts = value if field.is_repeated else [value]
        if field.message_type:
            for part in parts:
                in_double(part)
        elif field.name in ("elem_type", "data_type") and value == TensorProto.FLOAT:
            setattr(message, field.name, TensorProto.DOUBLE)
    if isinstance(message, onnx.TensorProto) and message.data_type == TensorProto.DOUBLE:
        message.data_type = TensorProto.FLOAT
        message.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(message).astype(float), message.name))
    if isinstance(message, onnx.NodeProto) and message.op_type == "Cast":
        for attribute in message.attribute:
            attribute.i = TensorProto.DOUBLE if attribute.i == TensorProto.FLOAT else attribute.i


def has_gradient(case):
    """Whether it has numbers of 32 bits, none of its arrays is empty, and it draws nothing at random."""
    inputs = case.data_sets[0][0]
    types = {port.type.tensor_type.elem_type for port in case.model.graph.input}
    plain = all(isinstance(value, (np.ndarray, np.generic)) and np.size(value) for value in inputs)
    return TensorProto.FLOAT in types and plain and not case.name.startswith("test_training_dropout")


def check(case):
    rng = np.random.default_rng(0)
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    in_double(model)
    names = [port.name for port in model.graph.input]
    arrays = {}
    for name, value in zip(names, case.data_sets[0][0], strict=True):
        value = np.asarray(value)
        moved = 0.0 if name in PLACES else 0.01 * rng.uniform(0.1, 1, value.shape)  # no number stands on an edge
        arrays[name] = value.astype(float) + moved if value.dtype == np.float32 else value
    assert_gradient(tg.load_onnx(model.SerializeToString()), arrays, PLACES)


def test_gradients_of_all_cases_are_those_of_finite_differences(conformance):
    cases = [case for case in conformance.cases() if has_gradient(case)]
    assert len(cases) > 550
    for case in cases:
        try:
            check(case)
        except AssertionError as error:
            raise AssertionError(case.name) from error
