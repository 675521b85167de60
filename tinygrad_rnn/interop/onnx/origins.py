"""Where a node comes from: the modules around it and the line of source that asked for it, as exporters note them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .graph import Node

__all__ = ["DEEPEST", "layers_of", "line_of", "target_of", "with_layers"]

DEEPEST = 16
"""How deep layers, subgraphs and functions may stand in one another."""
LONGEST = 10_000
"""Characters of a note that are looked at."""
SCOPES, STACK = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.stack_trace"
FRAME = re.compile(r'^ *File "([^"\n]*)", line (\d+), in [^\n]*\n? *([^\n]*)', re.MULTILINE)
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\s*=(?!=)[^;]*")


def _note(proto: Any, key: str) -> str:
    return next((entry.value[:LONGEST] for entry in proto.metadata_props if entry.key == key), "")


def layers_of(proto: Any) -> tuple[str, ...] | None:
    """The modules around a node: PyTorch writes them into its name, ``/encoder/rnn/Gemm``, or beside it.

    Returns
    -------
    tuple of str or None
        None if nothing is said.
    """
    if scopes := _note(proto, SCOPES):
        names = [name.strip(" '\"") for name in scopes.strip("[]").split(",")]
        if names[0].startswith("_empty_nn_module"):
            return None
        return tuple(name.rpartition(".")[2] for name in names[:-1] if name)[:DEEPEST]
    parts = [part for part in proto.name.split("/") if part]
    return tuple(parts[:-1][:DEEPEST]) if proto.name.startswith("/") else None


def line_of(proto: Any) -> str:
    """The line of source, ``model.py:41: z = torch.sigmoid(a)``: the innermost outside of PyTorch; empty if none is
    said.
    """
    frames = [frame for frame in FRAME.findall(_note(proto, STACK)) if not re.search(r"(^|/)torch/", frame[0])]
    if not frames:
        return ""
    file, number, code = frames[-1]
    return f"{file.rpartition('/')[2]}:{number}: {code.strip()}"


def target_of(line: str) -> str:
    """The variable to which a line of source assigns; empty unless it does that and nothing else."""
    code = line.split(": ", 1)[-1]
    found = ASSIGNMENT.fullmatch(code)
    return found.group(1) if found else ""


def with_layers(nodes: Sequence[Node]) -> list[Node]:
    """Nodes of which an exporter did not say where they stand, where it did of others: where their first operand does.

    Parameters
    ----------
    nodes : sequence of Node
        In order.
    """
    made: dict[str, tuple[str, ...]] = {}
    found = []
    for node in nodes:
        layers = node.layers
        if layers is None:
            layers = next((made[name] for name in node.inputs if name in made), ())
            node = replace(node, layers=layers)
        made.update(dict.fromkeys(node.outputs, layers))
        found.append(node)
    return found
