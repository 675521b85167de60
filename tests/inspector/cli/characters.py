"""A small model of characters as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest


def characters(path: Path, axes: tuple[Any, Any] = ("batch", "seq"), batch_first: bool = True) -> Path:
    """Seven characters embedded, two layers of LSTM, and seven logits a step, as PyTorch exports them."""
    onnx = pytest.importorskip("onnx")
    helper, rng = onnx.helper, np.random.default_rng(0)

    def matrix(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    weights = {"embed": matrix(7, 3), "out": matrix(4, 7), "one": np.array([1])}
    weights |= {"W0": matrix(1, 16, 3), "R0": matrix(1, 16, 4), "W1": matrix(1, 16, 4), "R1": matrix(1, 16, 4)}
    transpose = [1, 0, 2] if batch_first else [0, 1, 2]
    nodes = [
        helper.make_node("Gather", ["embed", "words"], ["e"], name="/embed/Gather"),
        helper.make_node("Transpose", ["e"], ["x"], name="/rnn/Transpose", perm=transpose),
        helper.make_node("LSTM", ["x", "W0", "R0"], ["y0"], name="/rnn/LSTM", hidden_size=4),
        helper.make_node("Squeeze", ["y0", "one"], ["h0"], name="/rnn/Squeeze"),
        helper.make_node("LSTM", ["h0", "W1", "R1"], ["y1"], name="/rnn/LSTM_1", hidden_size=4),
        helper.make_node("Squeeze", ["y1", "one"], ["h1"], name="/rnn/Squeeze_1"),
        helper.make_node("Transpose", ["h1"], ["h"], name="/rnn/Transpose_1", perm=transpose),
        helper.make_node("MatMul", ["h", "out"], ["logits"], name="/out/MatMul"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("words", onnx.TensorProto.INT64, axes)],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, (*axes, 7))],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, producer_name="pytorch", opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path
