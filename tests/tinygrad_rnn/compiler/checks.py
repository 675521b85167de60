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


# ------------------------------------------------------------------------------------------ random cells


def same_in_everything(cell: Any, way: tuple[int, int, dict[str, Any], Any], seed: int, backend: str) -> bool:
    """Run a cell eagerly and compiled, with a random loss, and compare all that can be seen; whether it compiled."""
    steps, batch, options, checkpoint = way
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(steps, batch, cell.input_size)).astype(cell.dtype)
    starts = [rng.normal(size=s.shape).astype(cell.dtype) * 0.5 for s in cell.initial_state(batch)]
    compiled = tg.compile(cell, backend=backend, checkpoint=checkpoint)
    found = []
    with np.errstate(all="ignore"):
        for one in (cell, compiled):
            inputs = [tg.tensor(x, True), *(tg.tensor(start, True) for start in starts)]
            run = tg.unroll(one, inputs[0], tuple(inputs[1:]), **options)
            found.append(_everything(cell, run, inputs, np.random.default_rng(seed)))
    if found[0].pop("refused", None):  # eagerly nothing requires a gradient; compiled, nothing may get one
        found[1].pop("refused", None)
    assert found[0].keys() == found[1].keys(), sorted(map(str, found[0].keys() ^ found[1].keys()))
    values = [value for key, value in found[0].items() if key[0] in ("value", "output", "state")]
    finite = all(np.isfinite(value).all() for value in values)
    for key, left in found[0].items():
        if not finite and key[0] not in ("value", "output", "state"):
            continue  # 0 * inf is another thing in another order
        alike(left, found[1][key], str(key), 1e-4 if cell.dtype == np.float32 else 1e-9)
    return run.tape is not None


def alike(left: Any, right: Any, message: str, eps: float) -> None:
    """Equal up to rounding, both of them ``None``, or the same text."""
    if left is None or right is None or isinstance(left, (str, tuple, list)):
        assert (left is None) == (right is None), f"{message}: eager {type(left)}, compiled {type(right)}"
        assert left is None or left == right, f"{message}: eager {left}, compiled {right}"
        return
    left, right = np.asarray(left), np.asarray(right)
    assert (left.shape, left.dtype) == (right.shape, right.dtype), message
    scale = max(1.0, float(np.max(np.abs(left[np.isfinite(left)]), initial=0.0)))
    np.testing.assert_allclose(right, left, rtol=eps, atol=eps * scale, err_msg=message)


def _everything(cell: Any, run: Any, inputs: list[Any], rng: Any) -> dict[Any, Any]:
    """Values, gradients and trace of a run, with a loss that reads some of what there is, and now and then little."""
    found: dict[Any, Any] = {("value", *key): value.data for key, value in run.names.items()}
    found |= {("output", t): value.data for t, value in enumerate(run.outputs)}
    found |= {("state", t, k): value.data for t, state in enumerate(run.states) for k, value in enumerate(state)}
    found["stacked"] = run.stacked.data
    loss = random_loss(run, rng)
    parameters = dict(cell.named_parameters())
    for tensor in (*inputs, *parameters.values()):
        tensor.grad = None
    try:
        loss.backward()
    except ValueError as error:
        found["refused"] = str(error)
    found |= {("grad of input", k): tensor.grad for k, tensor in enumerate(inputs)}
    found |= {("grad of", name): tensor.grad for name, tensor in parameters.items()}
    names = sorted(run.names)
    found |= {("by", *key): g.data for key, g in zip(names, tg.grad(loss, [run.names[key] for key in names]), strict=True)}
    for key in names[:: max(1, len(names) // 3)]:
        found[("by alone", *key)] = tg.grad(loss, run.names[key])[0].data
    try:
        trace = inspector.trace(run, loss)
    except ValueError as error:
        return found | {"trace refused": str(error)}
    found["names"] = trace.names
    found |= {("norm", name): trace.norm(name) for name in trace.names}
    found |= {("parameter norm", name): trace.parameter_norm(name) for name in trace.parameters}
    found |= {("parameter", name): trace.parameter_gradient(name) for name in trace.parameters}
    return found


def random_loss(run: Any, rng: Any) -> Any:
    """A single number computed from some of the outputs, names and final states of a run."""
    terms = []
    if rng.random() < 0.6:
        terms.append((run.stacked * rng.normal(size=run.stacked.shape).astype(run.stacked.dtype)).sum())
    if rng.random() < 0.5:
        terms.append((run.outputs[int(rng.integers(len(run)))] ** 2).sum())
    for name in sorted({name for name, _ in run.names} - {"x"}):
        if rng.random() < 0.4:
            every = [t for t in range(len(run)) if rng.random() < 0.7]
            terms += [tg.tanh(run.names[name, t]).sum() * float(rng.normal()) for t in every if (name, t) in run.names]
    if not terms or rng.random() < 0.3:
        state = run.final_state
        terms.append((state[int(rng.integers(len(state)))] * 0.5).sum())
    return sum(terms[1:], terms[0])
