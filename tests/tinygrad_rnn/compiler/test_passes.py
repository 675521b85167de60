"""Every pass keeps what a program computes, and does what it is for."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.random_cells import BATCH, SIZE, cells, wide_cells
from tests.strategies import FEW
from tests.tinygrad_rnn.compiler.cells import CELLS, OTHERS
from tests.tinygrad_rnn.compiler.checks import close
from tests.tinygrad_rnn.compiler.programs import F64, B, H, N, feeds, traced, written
from tinygrad_rnn.compiler.adjoint import derive_adjoint
from tinygrad_rnn.compiler.errors import UntraceableError
from tinygrad_rnn.compiler.passes import BACKWARD, FORWARD, optimise
from tinygrad_rnn.compiler.passes.assembly import assemble
from tinygrad_rnn.compiler.passes.common import share_common
from tinygrad_rnn.compiler.passes.dead import remove_dead
from tinygrad_rnn.compiler.passes.decomposition import decompose
from tinygrad_rnn.compiler.passes.distribution import distribute
from tinygrad_rnn.compiler.passes.gather import gather_sums
from tinygrad_rnn.compiler.passes.merge import merge_products
from tinygrad_rnn.compiler.passes.push import push_slices
from tinygrad_rnn.compiler.passes.recomputation import recompute, worth_keeping
from tinygrad_rnn.compiler.passes.simplification import simplify
from tinygrad_rnn.compiler.program import Program, Type
from tinygrad_rnn.compiler.symbol import Builder, Symbol
from tinygrad_rnn.compiler.tracing import trace_step

PASSES = [
    assemble,
    decompose,
    distribute,
    gather_sums,
    merge_products,
    push_slices,
    remove_dead,
    share_common,
    simplify,
]


def assert_same(before: Program, after: Program) -> None:
    given_ = feeds(before)
    with np.errstate(all="ignore"):
        left, right = before.evaluate(given_), after.evaluate(given_)
    assert left.keys() == right.keys()
    for key in left:
        close(left[key], right[key], str(key))


def cut(program: Program) -> Program:
    """The program with every output a new input to what reads it, so that what each reads of the others shows."""
    made = {step.target for step in program.body}
    observed = [value for value in dict.fromkeys(program.outputs.values()) if value in made]
    start = max(program.types) + 1
    new = {value: start + k for k, value in enumerate(observed)}
    names = {value: key for key, value in reversed(program.outputs.items())}
    body = tuple(replace(step, operands=tuple(new.get(o, o) for o in step.operands)) for step in program.body)
    return replace(
        program,
        types={**program.types, **{index: program.types[value] for value, index in new.items()}},
        inputs={**program.inputs, **{("read", " ".join(names[value])): index for value, index in new.items()}},
        body=body,
    )


def ops(program: Program) -> Counter[str]:
    return Counter(step.op.name for step in program.body)


# ------------------------------------------------------------------------------------------- every pass


@pytest.mark.parametrize("apply", PASSES, ids=lambda p: p.__name__)
@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_a_pass_keeps_what_a_step_and_its_adjoint_compute(kind: Any, apply: Any) -> None:
    for masked in (False, True):
        step = traced(kind(N, H, seed=0), masked=masked)
        assert_same(step, apply(step))
        adjoint = derive_adjoint(optimise(step, FORWARD), [("state", "h")])
        assert_same(adjoint, apply(adjoint))


@FEW
@given(drawn=cells(), passes=st.lists(st.sampled_from(PASSES), max_size=5), masked=st.booleans())
def test_passes_in_any_order_keep_what_random_cells_compute(drawn: tg.Cell, passes: list[Any], masked: bool) -> None:
    try:
        step = traced(drawn, BATCH, masked)
    except UntraceableError:
        return
    assert drawn.input_size == SIZE
    assert_same(step, optimise(step, tuple(passes)))
    assert_same(cut(step), cut(optimise(step, tuple(passes))))
    adjoint = derive_adjoint(step)
    assert_same(adjoint, optimise(adjoint, tuple(passes)))


def test_recomputation_keeps_what_the_adjoint_computes() -> None:
    for kind in [*CELLS, *map(tg.cells.get, OTHERS)]:
        step = optimise(traced(kind(N, H, seed=0)), FORWARD)
        adjoint = derive_adjoint(step, [next(key for key in step.outputs if key[0] == "state")])
        again = recompute(adjoint, step, worth_keeping(adjoint, step))
        inputs = feeds(step)
        every = step.with_body(step.body, {("forward", v): v for v in range(max(step.types) + 1) if v in _known(step)})
        with np.errstate(all="ignore"):
            values = {**every.evaluate(inputs), **inputs}
            rest = {key: value for key, value in feeds(adjoint).items() if key[0] in ("carry", "seed")}
            left, right = adjoint.evaluate(values | rest), again.evaluate(values | rest)
        for key in left:
            close(left[key], right[key], f"{kind.__name__} {key}")
        assert len([key for key in again.inputs if key[0] == "forward"]) < len(
            [key for key in adjoint.inputs if key[0] == "forward"]
        )


def test_what_is_kept_is_neither_given_nor_one_cheap_operation_on_what_is_at_hand() -> None:
    builder = Builder()
    x = builder.input(("x", ""), Type((B, H), F64))
    h = builder.input(("state", "h"), Type((B, H), F64))
    w = builder.input(("operand", 0), Type((H, H), F64))
    costly = tg.tanh(h @ w)
    twice, unread = costly * 2.0, tg.exp(x)
    values = {
        "costly": costly,
        "of a costly one": twice,
        "of a cheap one": twice + x,
        "of an unread one": unread + x,
        "of the given": x - h,
        "of weights alone": tg.exp(w),
        "a state": tg.exp(costly),
        "an input": x,
    }
    step = builder.program({("state", "h"): values["a state"], **{("output", name): v for name, v in values.items()}})
    number = {name: step.outputs["output", name] for name in values}
    step = step.with_body(step.body, {("state", "h"): number["a state"]})
    builder = Builder(step)
    builder.inputs = {("forward", v): v for v in number.values()}
    adjoint = builder.program({("value", name): tg.negative(Symbol(builder, v)) for name, v in number.items()})
    assert worth_keeping(adjoint, step) == {number["costly"], number["of an unread one"]}


def _known(step: Program) -> set[int]:
    return {*step.inputs.values(), *step.constants, *(one.target for one in step.body)}


@pytest.mark.parametrize(
    "apply", [(apply,) for apply in PASSES] + [FORWARD], ids=lambda ps: ps[0].__name__ if len(ps) == 1 else "all"
)
def test_what_reads_an_output_goes_on_reading_it(apply: Any) -> None:
    """Its gradient is that of its own uses; a pass that lets them read what lies behind it would lose them."""

    def make(x: Any, h: Any, w: Any) -> Any:
        joined = tg.concatenate([x, h], axis=1)
        part = (joined @ w)[:, :4]
        turned = tg.transpose(h)
        e = tg.exp(joined)
        return joined, joined @ w, part, part[:, 1:3], turned, tg.transpose(turned), e, e[:, 1:], (h * 2.0)[:, :2]

    program = written(make, (B, N), (B, H), (N + H, 5), weights=1)
    assert_same(cut(program), cut(optimise(program, apply)))


@settings(parent=FEW, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=wide_cells(), masked=st.booleans())
def test_passes_keep_what_each_output_of_a_random_cell_reads_of_the_others(drawn: tg.Cell, masked: bool) -> None:
    states = [Type(state.shape, state.dtype) for state in drawn.initial_state(BATCH)]
    try:
        step = trace_step(drawn, Type((BATCH, drawn.input_size), drawn.dtype), states, masked).program
    except UntraceableError:
        return
    assert_same(cut(step), cut(optimise(step, FORWARD)))


# ---------------------------------------------------------------------------------------- what each is for


def test_dead_code_goes() -> None:
    program = written(lambda x: (tg.exp(x), x * 2.0)[:1], (B, H))
    assert ops(program) == {"exp": 1, "multiply": 1} and ops(remove_dead(program)) == {"exp": 1}


def test_the_same_is_computed_once_but_outputs_stay_apart() -> None:
    program = written(lambda x: tg.exp(x) + tg.exp(x) * 2.0 + tg.exp(x * 2.0), (B, H))
    assert ops(share_common(program))["exp"] == 2
    twins = written(lambda x: (tg.tanh(x), tg.tanh(x)), (B, H))
    assert ops(share_common(twins))["tanh"] == 2
    final = replace(twins, outputs={("operand", k): value for k, value in enumerate(twins.outputs.values())})
    assert ops(share_common(final)) == {"tanh": 1, "identity": 1}
    kinds = written(lambda x: (x > 1) * 1.0 + (x > True) * 1.0, (B, H))
    assert ops(share_common(kinds))["greater"] == 2


def test_operations_that_change_nothing_go() -> None:
    program = written(lambda x: tg.exp(tg.transpose(tg.transpose(x)).reshape(B, H)[:, 0:H]), (B, H))
    assert ops(remove_dead(simplify(program))) == {"exp": 1}
    nested = written(lambda x: tg.exp(x[:, 1:4][:, 1:3]), (B, 5))
    (cut,) = [step for step in remove_dead(simplify(nested)).body if step.op.name == "getitem"]
    assert cut.attributes["index"] == (slice(0, B), slice(2, 4))
    kept = written(lambda x: tg.transpose(x), (B, B))
    assert ops(simplify(kept)) == {"transpose": 1}


def test_products_over_joined_features_are_taken_apart() -> None:
    program = written(lambda x, h, w: tg.concatenate([x, h], axis=1) @ w, (B, N), (B, H), (N + H, 5), weights=1)
    apart = remove_dead(distribute(program))
    assert ops(apart) == {"matmul": 2, "getitem": 2, "add": 1}
    assert_same(program, apart)


def test_products_that_share_an_operand_become_one() -> None:
    program = written(lambda x, a, b: (x @ a.T) * (x @ b.T), (B, N), (H, N), (5, N)[:0] or (H, N), weights=2)
    merged = remove_dead(merge_products(program))
    assert ops(merged)["matmul"] == 1 and ops(merged)["concatenate"] == 1
    assert_same(program, merged)


def test_slices_move_in_front_of_pointwise_operations_unless_the_whole_is_needed() -> None:
    program = written(lambda x, b: tg.tanh((x + b)[:, :H]) * (x + b)[:, H:], (B, 2 * H), (2 * H,), weights=1)
    pushed = remove_dead(push_slices(share_common(program)))
    assert all(pushed.types[s.target].shape == (B, H) for s in pushed.body if s.op.name == "add")
    whole = written(lambda x: (tg.exp(x), tg.exp(x)[:, :2]), (B, H))
    assert_same(whole, push_slices(whole))
    shared = written(lambda x: (lambda y: (y, y[:, :2]))(tg.exp(x)), (B, H))
    assert_same(shared, push_slices(shared))


def test_slices_are_put_together_again() -> None:
    cell = tg.cells.LSTMCell(N, H, seed=0)
    adjoint = derive_adjoint(optimise(traced(cell), FORWARD))
    assert ops(adjoint)["scatter"] > 4
    assert ops(optimise(adjoint, BACKWARD))["scatter"] == 0
    gap = written(lambda a: tg.scatter(a, (slice(0, B), slice(1, 3)), (B, 5)), (B, 2))
    assert ops(assemble(gap)) == {"broadcast_to": 2, "concatenate": 1}
    assert_same(gap, assemble(gap))
    overlapping = written(
        lambda a, b: (
            tg.scatter(a, (slice(0, B), slice(0, 3)), (B, 5)) + tg.scatter(b, (slice(0, B), slice(2, 5)), (B, 5))
        ),
        (B, 3),
        (B, 3),
    )
    assert_same(overlapping, assemble(overlapping))
    inside = written(lambda a: tg.scatter(a, (slice(0, B), slice(1, 3), slice(0, 2)), (B, 4, 3)), (B, 2, 2))
    assert ops(assemble(inside)) == {"broadcast_to": 3, "concatenate": 2}
    assert_same(inside, assemble(inside))


@given(st.sets(st.integers(1, 5), min_size=1), st.integers(1, 63), st.integers(0, 1))
def test_zeros_fill_only_what_no_slice_covers(cuts: set[int], chosen: int, axis: int) -> None:
    spans = list(itertools.pairwise([0, *sorted(cuts), 6]))
    given = [bool(chosen >> k & 1) for k in range(len(spans))]
    assume(any(given))
    parts = [slice(*span) for span, there in zip(spans, given, strict=True) if there]

    def whole(part: slice) -> Any:
        return (slice(0, B), part) if axis else (part, slice(0, B))

    shape = (B, 6) if axis else (6, B)
    program = written(
        lambda *xs: sum_of([tg.scatter(x, whole(part), shape) for x, part in zip(xs, parts, strict=True)]),
        *(np.zeros(shape)[whole(part)].shape for part in parts),
    )
    gaps = [there for there, _ in itertools.groupby(given)].count(False)
    found = remove_dead(assemble(program))
    assert ops(found) == Counter({"concatenate": 1} | ({"broadcast_to": gaps} if gaps else {}))
    assert_same(program, found)


def sum_of(values: list[Any]) -> Any:
    return functools.reduce(tg.add, reversed(values))


def test_sums_of_parts_become_the_sum_of_the_whole() -> None:
    def make(a: Any, b: Any) -> Any:
        return tg.concatenate([a, b], axis=1), tg.concatenate([a.sum(axis=0), b.sum(axis=0)])

    program = written(make, (B, H), (B, 2))
    gathered = remove_dead(gather_sums(program))
    assert ops(gathered) == {"concatenate": 1, "sum": 1}
    assert_same(program, gathered)


# -------------------------------------------------------------------------------------------- in words


def test_a_program_reads_well() -> None:
    text = str(traced(tg.cells.RNNCell(N, H, seed=0)))
    assert text.splitlines()[:2] == ["%0: float64[2, 3] = input x", "%1: float64[2, 4] = input state h"]
    assert "%13: float64[2, 4] = tanh(%12)" in text and text.endswith("output before z_h = %12")
    sliced = str(written(lambda x: x[:, 1:3] * 2.0 + np.ones(2), (B, H)))
    assert "getitem(%0, index=(:, 1:3))" in sliced and "multiply(%1, 2.0)" in sliced and "constant" in sliced
