"""ONNX's own cases for every operator that is in the table, against the outputs recorded with them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tinygrad_rnn as tg

onnx = pytest.importorskip("onnx")

OTHER_NUMBERS = ("FLOAT4", "FLOAT6", "FLOAT8", "BFLOAT16", "bfloat16", "INT4", "INT2", "string")
REFUSED = ("training_dropout", "training_mode", "identity_sequence", "identity_opt", "if_seq", "if_opt")


def cases():
    """Those of one node, of operators that are in the table; making them takes seconds."""
    from tinygrad_rnn.interop.onnx.build import OPERATORS  # once those of every file are in it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        made = collect_testcases(None)
    return [case for case in made if [node.op_type in OPERATORS for node in case.model.graph.node] == [True]]


def array_of(value):
    if value is None or isinstance(value, list):
        return value and [array_of(part) for part in value]
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def assert_equal(found, expected):
    if expected is None or isinstance(expected, list):
        assert type(found) is type(expected)
        for ours, theirs in zip(found or (), expected or (), strict=True):
            assert_equal(ours, theirs)
        return
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.data, expected, rtol=1e-3, atol=1e-6)


def is_beyond(case):
    """Whether a case needs numbers that NumPy has not, or what is refused on purpose."""
    opset = next(entry.version for entry in case.model.opset_import if entry.domain == "")
    return opset < 7 or any(part in case.name for part in (*OTHER_NUMBERS, *REFUSED))


def test_every_case_of_every_operator_passes_but_for_those_that_are_refused():
    failed, refused, passed = [], 0, 0
    found_cases = cases()
    for case in found_cases:
        try:
            model = tg.load_onnx(case.model.SerializeToString())
            for inputs, outputs in case.data_sets:
                with np.errstate(all="ignore"):
                    call = model(*map(array_of, inputs))
                assert len(call) == len(outputs)
                for found, expected in zip(call.values(), map(array_of, outputs), strict=True):
                    assert_equal(found, expected)
            passed += 1
        except tg.UnsupportedError:
            refused += 1
        except Exception as error:
            if not is_beyond(case):
                failed.append(f"{case.name}: {error}")
    assert failed == []
    common = [case for case in found_cases if not is_beyond(case)]
    assert len(common) > 500 and passed >= 0.95 * len(common)
