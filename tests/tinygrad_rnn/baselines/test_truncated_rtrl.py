"""The rule of 1997 against autodiff through the cut graph, for one batch and for stacked on-line trials."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.baselines.online1997 import OnlineLSTM1997, stream
from tinygrad_rnn.baselines.truncated_rtrl import truncated_rtrl_gradients

Array = np.ndarray


def net(seed: int, **options: Any) -> tg.models.SequenceModel:
    """A net of random architecture, with weights large enough for everything to matter."""
    rng = np.random.default_rng(seed)
    size, blocks = rng.integers(1, 4, 2)
    chosen = {
        "block_size": int(size), "bias": [True, False, "gates"][seed % 3], "output_gate": seed % 5 != 4,
        "recurrent": seed % 7 != 6, "cell_input": ["g", "sigmoid", "tanh"][seed % 4 % 3],
        "cell_output": ["h", "identity"][seed // 2 % 2], "truncated": True, **options,
    }  # fmt: skip
    cell = tg.cells.LSTM1997Cell(int(rng.integers(1, 4)), int(size * blocks), seed=seed, **chosen)
    model = tg.models.SequenceModel(
        cell, int(rng.integers(1, 4)), output="sigmoid", bias=bool(seed % 2), see_inputs=seed % 3 == 1, seed=seed
    )
    model.load_state_dict({name: rng.normal(size=p.shape) for name, p in model.named_parameters()})
    return model


def drawn(
    model: tg.models.SequenceModel, steps: int, batch: int, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    inputs = rng.normal(size=(steps, batch, model.cell.input_size))
    return inputs, rng.random((steps, batch, model.readout.output_size)), rng.random((steps, batch)) < 0.6


def half_squared_error(y: Any, target: Array, mask: Array) -> Any:
    return 0.5 * tg.sum(tg.square(y - target) * mask[..., None])


def by_autodiff(model: Any, inputs: Array, targets: Array, mask: Array) -> dict[str, Array]:
    loss = half_squared_error(model(inputs).outputs, targets, mask)
    names, parameters = zip(*model.named_parameters(), strict=True)
    return {name: g.data for name, g in zip(names, tg.grad(loss, parameters), strict=True)}


@pytest.mark.parametrize("seed", range(20))
def test_the_rule_by_hand_is_the_gradient_of_the_cut_graph(seed: int) -> None:
    model = net(seed)
    rng = np.random.default_rng(seed)
    batch = drawn(model, int(rng.integers(1, 30)), int(rng.integers(1, 4)), rng)
    mine, reference = truncated_rtrl_gradients(model.cell, model.readout, *batch), by_autodiff(model, *batch)
    assert list(mine) == list(reference)
    for name, g in reference.items():
        assert np.abs(mine[name] - g).max() <= 1e-12 * np.abs(g).max(), name


def test_the_full_gradient_is_another() -> None:
    model = net(0, recurrent=True)
    batch = drawn(model, 10, 2, np.random.default_rng(0))
    mine = truncated_rtrl_gradients(model.cell, model.readout, *batch)
    model.cell.truncated = False
    assert np.abs(mine["cell.R_i"] - by_autodiff(model, *batch)["cell.R_i"]).max() > 1e-3


def test_storage_does_not_grow_with_time() -> None:
    model = net(3)
    peaks = []
    for steps in (10, 1000):
        batch = drawn(model, steps, 2, np.random.default_rng(0))
        tracemalloc.start()
        truncated_rtrl_gradients(model.cell, model.readout, *batch)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2000  # a net's partial derivatives take about as much at a single step


def lists(models: list[Any], counts: list[int]) -> list[list[tuple[Array, ...]]]:
    """For each trial sequences of its own, of all lengths."""
    rng = np.random.default_rng(7)
    found = []
    for model, count in zip(models, counts, strict=True):
        drawn_ = [drawn(model, int(rng.integers(1, 9)), 1, rng) for _ in range(count)]
        found.append([(x[:, 0], t[:, 0], m[:, 0]) for x, t, m in drawn_])
    return found


def trials(seed: int, count: int) -> tuple[list[Any], list[Any]]:
    """Twice the same models: one to be trained, one for reference."""
    twins: list[list[Any]] = [[], []]
    for k in range(count):
        weights = np.random.default_rng(100 + k)
        for side in twins:
            side.append(net(seed))
        state = {name: weights.normal(size=p.shape) for name, p in twins[0][k].named_parameters()}
        for side in twins:
            side[k].load_state_dict(state)
    return twins[0], twins[1]


@pytest.mark.parametrize("seed", [0, 1, 2, 8])
def test_stacked_trials_are_each_sgd_by_autodiff(seed: int) -> None:
    models, references = trials(seed, 3)
    streams = lists(models, [4, 9, 6])
    rates = np.array([0.5, 0.1, 0.9])
    trainer = OnlineLSTM1997(models, [iter(s) for s in streams], rates, update="string")
    errors = trainer.train(10_000)
    trainer.store()
    assert trainer.sequences.tolist() == [4, 9, 6] and not trainer.running.any()
    for model, reference, sequences, lr, seen in zip(models, references, streams, rates, errors, strict=True):
        sgd = tg.optim.SGD(reference.parameters(), lr=float(lr))
        worst = []
        for x, target, mask in sequences:
            y = reference(x[:, None]).outputs[:, 0]
            worst.append(float((np.abs(y.data - target) * mask[:, None]).max()))
            sgd.zero_grad()
            if mask.any():
                half_squared_error(y, target, mask).backward()
                sgd.step()
        np.testing.assert_allclose(seen, worst, rtol=1e-10, atol=1e-14)
        for name, array in reference.state_dict().items():
            np.testing.assert_allclose(model.state_dict()[name], array, rtol=1e-10, atol=1e-13, err_msg=name)


def step_by_step(model: Any, x: Array, target: Array, mask: Array, lr: float) -> None:
    """SGD at every step of one sequence: the weights of each step are leaves of their own, as they were then."""
    own = dict(model.named_parameters())
    leaves: list[dict[str, tg.Tensor]] = []
    state = model.cell.State(*map(tg.tensor, model.cell.initial_state(1)))
    for t in range(len(x)):
        leaves.append({name: tg.tensor(p.data, requires_grad=True) for name, p in own.items()})
        for name, leaf in leaves[t].items():
            part, parameter = name.split(".")
            setattr(getattr(model, part), parameter, leaf)
        state = model.cell(tg.tensor(x[None, t]), state)
        features = tg.concatenate([state.h, x[None, t]], axis=1) if model.see_inputs else state.h
        y = tg.sigmoid(model.readout(features))
        if mask[t]:
            loss = half_squared_error(y, target[None, t], np.array([True]))
            for name, parameter in own.items():
                shares = tg.grad(loss, [step[name] for step in leaves])
                parameter.data = parameter.data - lr * np.sum([share.data for share in shares], axis=0)
    for name, parameter in own.items():
        setattr(getattr(model, name.split(".")[0]), name.split(".")[1], parameter)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_at_every_step_the_weights_of_then_and_now_mix_as_they_did(seed: int) -> None:
    models, references = trials(seed, 2)
    streams = lists(models, [3, 5])
    trainer = OnlineLSTM1997(models, [iter(s) for s in streams], 0.3)
    while trainer.running.any():
        trainer.train(3)
    trainer.store()
    for model, reference, sequences in zip(models, references, streams, strict=True):
        for sequence in sequences:
            step_by_step(reference, *sequence, 0.3)
        for name, array in reference.state_dict().items():
            np.testing.assert_allclose(model.state_dict()[name], array, rtol=1e-10, atol=1e-13, err_msg=name)


def test_a_stream_cuts_a_task_into_its_sequences() -> None:
    task = tg.tasks.Parity(2, 6)
    found = list(itertools.islice(stream(task, np.random.default_rng(1), together=5), 7))
    rng = np.random.default_rng(1)
    whole = [task.batch(5, rng), task.batch(5, rng)]
    for k, (x, target, mask) in enumerate(found):
        batch, b = whole[k // 5], k % 5
        assert len(x) == batch.lengths[b] and mask[-1] and mask.sum() == 1
        np.testing.assert_array_equal(x, batch.inputs[: len(x), b])
        np.testing.assert_array_equal(target, batch.targets[: len(x), b])


@pytest.mark.slow
def test_two_kinds_of_sequences_are_learned_on_line() -> None:
    rng = np.random.default_rng(0)
    models = []
    for seed in range(3):
        cell = tg.cells.LSTM1997Cell(1, 2, truncated=True, seed=seed)
        models.append(tg.models.SequenceModel(cell, 1, output="sigmoid", seed=seed))
    task = tg.tasks.TwoSequence(T=10, N=3)
    trainer = OnlineLSTM1997(models, [stream(task, rng) for _ in models], 1.0)
    trainer.train(10_000)
    trainer.store()
    test = task.batch(200, rng)
    right = [task.correct(model(test.inputs, test.lengths).outputs.data, test).mean() for model in models]
    assert min(right) > 0.95, right


def endless(model: Any) -> Iterator[Any]:
    while True:
        yield tuple(part[:, 0] for part in drawn(model, 3, 1, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"update": "epoch"}, ValueError, "update"),
        ({"lr": -0.5}, ValueError, "lr must be positive"),
        ({"lr": [0.1, 0.2, 0.3]}, ValueError, "one number or 2"),
        ({"models": []}, ValueError, "at least one"),
        ({"models": [net(0), net(1)]}, ValueError, "one architecture"),
        ({"models": [net(0), "net"]}, TypeError, "SequenceModels, got str"),
        ({"streams": []}, ValueError, "as many streams"),
        ({"models": [net(0, truncated=False)] * 2}, ValueError, "truncated=True"),
        ({"streams": [iter([(np.zeros((2, 9)), np.zeros((2, 1)), np.ones(2))])] * 2}, ValueError, "must be inputs"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], error: type[Exception], says: str) -> None:
    arguments: dict[str, Any] = {"models": [net(0), net(0)], "lr": 0.1, **change}
    arguments.setdefault("streams", [endless(model) for model in arguments["models"]])
    with pytest.raises(error, match=says):
        OnlineLSTM1997(**arguments)


def test_time_comes_in_whole_steps() -> None:
    trainer = OnlineLSTM1997([net(0)], [endless(net(0))], 0.1)
    with pytest.raises(TypeError, match="OnlineLSTM1997: steps must be an integer"):
        trainer.train(2.5)  # type: ignore[arg-type]


def test_gradients_refuse_what_does_not_fit() -> None:
    model = net(0)
    inputs, targets, mask = drawn(model, 4, 2, np.random.default_rng(0))
    with pytest.raises(TypeError, match="LSTM1997Cell, got LSTMCell"):
        truncated_rtrl_gradients(tg.cells.LSTMCell(1, 1), model.readout, inputs, targets, mask)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"truncated_rtrl_gradients: inputs .* need targets"):
        truncated_rtrl_gradients(model.cell, model.readout, inputs, targets[1:], mask)
    with pytest.raises(ValueError, match="readout must see"):
        truncated_rtrl_gradients(model.cell, tg.models.Linear(99, 1), inputs, targets, mask)
