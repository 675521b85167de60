"""What it means that a compiled cell gives the same results as the eager one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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
            if steps <= 8:
                found[-1] |= _twice(cell, run, inputs, np.random.default_rng(seed))
    _same_findings(cell, *found)
    return run.tape is not None


def same_in_an_ensemble(
    cell: Any, way: tuple[int, int, dict[str, Any], Any], seed: int, backend: str, members: int = 2
) -> bool:
    """Run cells of one plan one by one and as an ensemble, with one random loss, and compare; whether there can be
    an ensemble.
    """
    steps, batch, options, _ = way
    rng = np.random.default_rng(seed)
    cells = [cell.twin(number) for number in range(members)]
    x = rng.normal(size=(steps, batch, cell.input_size)).astype(cell.dtype)
    starts = [rng.normal(size=(members, *s.shape)).astype(cell.dtype) * 0.5 for s in cell.initial_state(batch)]
    ensemble = tg.compile(cells, backend=backend)
    inputs = [[tg.tensor(x, True), *(tg.tensor(start, True) for start in starts)] for _ in range(2)]
    with np.errstate(all="ignore"):
        try:
            run = tg.unroll(ensemble, inputs[1][0], tuple(inputs[1][1:]), **options)
        except ValueError as error:
            assert "which an ensemble cannot" in str(error)
            assert tg.unroll(tg.compile(cell, backend=backend), x, **options).tape is None
            return False
        runs = [
            tg.unroll(one, inputs[0][0], tuple(s[k] for s in inputs[0][1:]), **options) for k, one in enumerate(cells)
        ]
        found = _members_found(runs, run, inputs, seed)
        with pytest.raises(NotImplementedError, match="members one by one"):
            tg.grad(run.stacked.sum(), run.names[sorted(run.names)[0]], create_graph=True)
    _same_findings(cell, *found)
    return True


def _members_found(runs: list[Any], run: Any, inputs: list[list[Any]], seed: int) -> list[dict[Any, Any]]:
    """Values, gradients and norms of runs of several cells, and of the ensemble's."""
    both, names = (_Together(runs), run), sorted(run.names)
    losses = [random_loss(one, np.random.default_rng(seed)) for one in both]
    found = [_values(one) for one in both]
    for here, one, loss in zip(found, both, losses, strict=True):
        here |= {("by", *key): g.data for key, g in zip(names, _by_names(one, loss, names), strict=True)}
    if not losses[0].requires_grad:
        return found
    for here, loss, tensors in zip(found, losses, inputs, strict=True):
        loss.backward()
        here |= {("grad of input", k): tensor.grad for k, tensor in enumerate(tensors)}
    tables = [dict(one.cell.named_parameters()) for one in runs]
    for name, parameter in run.cell.named_parameters():
        parts = [table[name].grad for table in tables]
        found[0]["grad of", name] = None if parts[0] is None else np.stack(parts)
        found[1]["grad of", name] = parameter.grad
    trace, alone = inspector.trace(run, losses[1]), [inspector.trace(one, losses[0]) for one in runs]
    for name in trace.names[1:]:
        found[0]["norm", name] = np.stack([one.norm(name) for one in alone], axis=1)
        found[1]["norm", name] = trace.member_norms(name)
    return found


class _Together:
    """Runs of several cells, side by side as those of an ensemble."""

    def __init__(self, runs: list[Any]) -> None:
        self.runs = runs
        self.stacked = tg.stack([run.stacked for run in runs], axis=1)
        self.outputs = [tg.stack(parts) for parts in zip(*[run.outputs for run in runs], strict=True)]
        self.states = [self._state(parts) for parts in zip(*[run.states for run in runs], strict=True)]
        self.final_state = self._state([run.final_state for run in runs])
        self.names = {key: tg.stack([run.names[key] for run in runs]) for key in runs[0].names}
        self.names |= {key: value for key, value in runs[0].names.items() if key[0] == "x"}

    def __len__(self) -> int:
        return len(self.outputs)

    @staticmethod
    def _state(parts: Any) -> Any:
        return tuple(tg.stack(values) for values in zip(*parts, strict=True))


def _by_names(run: Any, loss: Any, names: list[Any]) -> list[Any]:
    """Gradients by named values, those of several runs stacked."""
    if not isinstance(run, _Together):
        return list(tg.grad(loss, [run.names[key] for key in names]))
    alone = [tg.grad(loss, [one.names[key] for key in names]) for one in run.runs]
    return [
        sum(parts) if key[0] == "x" else tg.stack(parts)
        for key, parts in zip(names, zip(*alone, strict=True), strict=True)
    ]


def _same_findings(cell: Any, eager: dict[Any, Any], compiled: dict[Any, Any]) -> None:
    if eager.pop("refused", None):  # eagerly nothing requires a gradient; compiled, nothing may get one
        compiled.pop("refused", None)
    assert eager.keys() == compiled.keys(), sorted(map(str, eager.keys() ^ compiled.keys()))
    finite = all(np.isfinite(value).all() for key, value in eager.items() if key[0] in ("value", "output", "state"))
    for key, left in eager.items():
        if not finite and key[0] not in ("value", "output", "state"):
            continue  # 0 * inf is another thing in another order
        if key[0] == "twice" and not np.isfinite(left).all():
            continue
        alike(left, compiled[key], str(key), 1e-4 if cell.dtype == np.float32 else 1e-9)


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
    found = _values(run)
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
    found |= {
        ("by", *key): g.data for key, g in zip(names, tg.grad(loss, [run.names[key] for key in names]), strict=True)
    }
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


def _values(run: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {("value", *key): value.data for key, value in run.names.items()}
    found |= {("output", t): value.data for t, value in enumerate(run.outputs)}
    found |= {("state", t, k): value.data for t, state in enumerate(run.states) for k, value in enumerate(state)}
    return found | {"stacked": run.stacked.data}


def _twice(cell: Any, run: Any, inputs: list[Any], rng: Any) -> dict[Any, Any]:
    """Recorded gradients, and the gradients of a sum of them."""
    loss = random_loss(run, rng)
    names = sorted(run.names)
    by = [*inputs, *cell.parameters()]
    once = tg.grad(loss, [*by, *(run.names[key] for key in names[:: max(1, len(names) // 3)])], create_graph=True)
    total = sum((gradient * rng.normal(size=gradient.shape).astype(gradient.dtype)).sum() for gradient in once)
    found = {("once", k): gradient.data for k, gradient in enumerate(once)}
    return found | {("twice", k): gradient.data for k, gradient in enumerate(tg.grad(total, by))}


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
