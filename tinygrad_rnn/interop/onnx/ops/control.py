"""Control flow: one of two subgraphs."""

from __future__ import annotations

from typing import Any

from ....autodiff.primitive import Value
from ..graph import Body
from ..operators import Results, operator, plain


@operator("If")
def _if(condition: Value, *, then_branch: Body, else_branch: Body) -> Any:
    chosen = plain(condition).reshape(-1)
    if chosen.size != 1:
        raise ValueError(f"the condition has {chosen.size} elements")
    return Results(then_branch() if chosen[0] else else_branch())
