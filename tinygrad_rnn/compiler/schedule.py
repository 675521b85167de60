"""When each instruction runs: once, ahead of the loop, in the loop, after it, or on a sum over all timesteps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..autodiff.primitives import matmul
from .passes.dead import remove_dead
from .program import Instruction, Key, Program
from .totals import Totals

__all__ = ["Schedule", "schedule"]


@dataclass(frozen=True)
class Schedule:
    """A program over time, in five parts that run one after the other.

    Attributes
    ----------
    once : Program
        What depends on parameters alone. Outputs ``("once", value)``.
    ahead : Program
        Products of the inputs by weights and what leads to them: all timesteps in one product.
        Outputs ``("ahead", value)``.
    loop : Program
        One timestep. Reads the above; besides the program's own outputs it gives ``("keep", value)``, kept for
        all timesteps, and ``("sum", value)``, added up over them.
    after : Program
        Products that nothing in the loop waits for, again for all timesteps at once.
    total : Program
        Sums over time, which give the gradients of parameters: the outer products of all timesteps are one
        product of matrices.
    """

    once: Program
    ahead: Program
    loop: Program
    after: Program
    total: Program

    def parts(self) -> dict[str, Program]:
        """The parts by name, in the order in which they run."""
        return {"once": self.once, "ahead": self.ahead, "loop": self.loop, "after": self.after, "total": self.total}


def schedule(program: Program) -> Schedule:
    """Decide when each instruction of a step, or of its adjoint, runs."""
    moving = [value for (role, _), value in program.inputs.items() if role != "operand"]
    recurrent = [value for (role, _), value in program.inputs.items() if role in ("state", "carry")]
    moves, recurs = program.depending(moving), program.depending(recurrent)
    fixed = set(program.types) - moves
    products = {step.target for step in program.body if _by_weights(program, step, fixed)}
    free = products - recurs
    made = program.producers().keys()
    ahead = (program.needed(free) & made) - fixed
    awaited = program.needed(v for (role, _), v in program.outputs.items() if role in ("state", "carry"))
    late = {s.target for s in program.body if s.op is matmul and _of_matrices(program, s)} - awaited - fixed - ahead
    after = program.depending(late) - fixed
    totals = Totals(program, fixed, after)
    total = totals.program
    outputs = {key: value for key, value in program.outputs.items() if key[0] != "operand"}
    after_outputs = {key: value for key, value in outputs.items() if value in after}
    after_needs = _reads(program, after & program.needed([*after_outputs.values(), *_inputs(total, "after")]), after)
    loop_outputs: dict[Key, int] = {key: value for key, value in outputs.items() if value not in after}
    passing = made - ahead - fixed | set(recurrent)
    loop_outputs |= {("keep", value): value for value in sorted((after_needs | totals.kept - after) & passing)}
    loop_outputs |= {("sum", value): value for value in sorted(totals.sums)}
    in_loop = program.needed(loop_outputs.values()) & made - fixed - ahead
    after_outputs |= {("after", value): value for value in _inputs(total, "after")}
    return Schedule(
        once=_part(
            program, fixed & made, {}, "once", _reads(program, made - fixed, made - fixed) | set(loop_outputs.values())
        ),
        ahead=_part(
            program,
            ahead,
            {"once": fixed & made},
            "ahead",
            _reads(program, made - ahead, made - ahead) | set(loop_outputs.values()),
        ),
        loop=_part(program, in_loop, {"once": fixed & made, "ahead": ahead}, outputs=loop_outputs),
        after=_part(
            program,
            after,
            {"once": fixed & made, "ahead": ahead, "keep": in_loop | set(recurrent)},
            outputs=after_outputs,
        ),
        total=total,
    )


def _by_weights(program: Program, step: Instruction, fixed: set[int]) -> bool:
    """Whether an instruction multiplies something that moves by a matrix that does not."""
    if step.op is not matmul or len(step.values) != 2 or step.values[0] in fixed or step.values[1] not in fixed:
        return False
    return _of_matrices(program, step)


def _of_matrices(program: Program, step: Instruction) -> bool:
    """Whether all operands of a product are single matrices, not stacks of them."""
    return all(len(program.types[value].shape) == 2 for value in step.values)


def _reads(program: Program, readers: Iterable[int], inside: set[int]) -> set[int]:
    """What the instructions behind `readers` read from elsewhere."""
    wanted = set(readers)
    return {value for step in program.body if step.target in wanted for value in step.values} - inside


def _inputs(total: Program, role: str) -> list[int]:
    return [name for kind, name in total.inputs if kind == role and isinstance(name, int)]


def _part(
    program: Program,
    own: set[int],
    known: Mapping[str, set[int]],
    role: str = "",
    wanted: Iterable[int] = (),
    outputs: Mapping[Key, int] | None = None,
) -> Program:
    """The instructions of `own` as a program, with the results of earlier parts as inputs."""
    body = tuple(step for step in program.body if step.target in own)
    if outputs is None:
        outputs = {(role, value): value for value in sorted(set(wanted) & own)}
    kept = known.get("keep", set())
    inputs = {key: value for key, value in program.inputs.items() if value not in kept}
    for name, values in known.items():
        inputs |= {(name, value): value for value in sorted(values)}
    part = remove_dead(replace(program, inputs=inputs, body=body, outputs=outputs))
    needed = part.needed(part.outputs.values())
    return replace(part, inputs={key: value for key, value in inputs.items() if value in needed})
