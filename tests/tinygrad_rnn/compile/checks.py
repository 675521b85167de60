"""What it means that a compiled cell gives the same results as the eager one."""

from __future__ import annotations

from typing import Any

import numpy as np

import inspector
import tinygrad_rnn as tg

BACKENDS = ("numpy", "numba")


def close(left: Any, right: Any, message: str = "") -> None:
    """Equal up to rounding in float64."""
    left, right = np.asarray(left), np.asarray(right)
    with np.errstate(over="ignore", invalid="ignore"):
        scale = max(1.0, float(np.max(np.abs(left[np.isfinite(left)]), initial=0.0)))
    np.testing.assert_allclose(right, left, rtol=1e-10, atol=1e-12 * scale, err_msg=message)


def loss_of(run: Any, seed: int) -> Any:
    """A loss that reads all outputs, one of them again, and the last states."""
    rng = np.random.default_rng(seed)
    loss = (run.stacked * rng.normal(size=run.stacked.shape)).sum() + (run.outputs[len(run) // 2] ** 2).sum()
    final = run.final_state
    while isinstance(final, tuple):
        final = final[-1]
    return loss + (final * 0.5).sum()


def same_run(eager: Any, compiled: Any) -> None:
    """Every value of every timestep."""
    assert list(dict.fromkeys(n for n, _ in compiled.names)) == list(dict.fromkeys(n for n, _ in eager.names))
    for key, value in eager.names.items():
        close(value.data, compiled.names[key].data, str(key))
    close(eager.stacked.data, compiled.stacked.data)
    for t in range(len(eager)):
        close(eager.outputs[t].data, compiled.outputs[t].data)


def same_gradients(cell: Any, eager: Any, compiled: Any, inputs: tuple[Any, Any], losses: tuple[Any, Any]) -> None:
    """By inputs, parameters and every named value, all at once and from the losses alone."""
    names = list(eager.names)
    wanted = [inputs[0], *cell.parameters(), *(eager.names[key] for key in names)]
    again = [inputs[1], *cell.parameters(), *(compiled.names[key] for key in names)]
    labels = ["X", *(name for name, _ in cell.named_parameters()), *map(str, names)]
    for label, left, right in zip(labels, tg.grad(losses[0], wanted), tg.grad(losses[1], again), strict=True):
        assert right.dtype == left.dtype
        close(left.data, right.data, label)


def same_trace(eager: Any, compiled: Any, losses: tuple[Any, Any]) -> None:
    """Everything that the inspector says."""
    left, right = inspector.trace(eager, losses[0]), inspector.trace(compiled, losses[1])
    assert (left.names, left.states, left.parameters) == (right.names, right.states, right.parameters)
    for name in left.names:
        close(left.norm(name), right.norm(name), name)
    for name in left.parameters:
        close(left.parameter_norm(name), right.parameter_norm(name), name)
        close(left.parameter_gradient(name), right.parameter_gradient(name), name)


def same(cell: Any, x: Any, compiled: Any = None, **options: Any) -> None:
    """Values, gradients and trace of a cell, eager and compiled."""
    compiled = compiled or tg.compile(cell, backend="numpy")
    inputs = tg.tensor(x, requires_grad=True), tg.tensor(x, requires_grad=True)
    with np.errstate(all="ignore"):
        runs = tg.unroll(cell, inputs[0], **options), tg.unroll(compiled, inputs[1], **options)
        assert all(part.tape is not None for part in runs[1].cells), "it ran eagerly"
        losses = loss_of(runs[0], 1), loss_of(runs[1], 1)
        same_run(*runs)
        same_gradients(cell, *runs, inputs, losses)
        same_trace(*runs, losses)
