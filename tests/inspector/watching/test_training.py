"""Watching changes nothing in a training, keeps no more than a pass, and sees what a backward went through."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import inspector


def tagger(torch: Any, dropout: float = 0.3) -> Any:
    """Embedding, convolution, two-layer bidirectional LSTM with dropout, attention, loss."""

    class Tagger(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(12, 5)
            self.mix = torch.nn.Conv1d(5, 6, 3, padding=1)
            self.rnn = torch.nn.LSTM(6, 4, 2, batch_first=True, bidirectional=True, dropout=dropout)
            self.score = torch.nn.Linear(8, 1)
            self.out = torch.nn.Linear(8, 3)

        def forward(self, words: Any) -> Any:
            mixed = self.mix(self.embed(words).transpose(1, 2)).transpose(1, 2)
            states, _ = self.rnn(mixed)
            return self.out((states * torch.softmax(self.score(states), 1)).sum(1))

    torch.manual_seed(0)
    return Tagger()


def train(torch: Any, model: Any, steps: int, looked_at: Any = None) -> list[Any]:
    """The losses, gradients and random numbers of a few training steps."""
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    words, labels = torch.randint(0, 12, (steps, 4, 7)), torch.randint(0, 3, (steps, 4))
    record = []
    for k in range(steps):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(words[k]), labels[k])
        loss.backward()
        record += [loss.detach(), torch.get_rng_state(), *[parameter.grad.clone() for parameter in model.parameters()]]
        optimiser.step()
        if looked_at is not None:
            looked_at()
    return record


@pytest.mark.parametrize("every", [None, 2])
def test_training_stays_the_same_bit_by_bit(torch: Any, every: int | None) -> None:
    model = tagger(torch)
    twin = copy.deepcopy(model)
    torch.manual_seed(1)
    alone = train(torch, twin, 5)
    watching = inspector.watch(model, every=every)
    torch.manual_seed(1)
    watched = train(torch, model, 5, lambda: watching["rnn"].agreement)
    assert all(torch.equal(one, other) for one, other in zip(alone, watched, strict=True))
    assert watching["rnn"].agreement < 1e-5


def test_close_leaves_no_hook(torch: Any) -> None:
    model = tagger(torch)
    hooks = lambda: [  # noqa: E731
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._forward_hooks_always_called), len(m._backward_hooks))
        for m in model.modules()
    ]
    before = hooks()
    with inspector.watch(model) as watching:
        assert hooks() != before
        model(torch.randint(0, 12, (2, 7))).sum().backward()
    assert hooks() == before
    assert watching["rnn"].agreement < 1e-5  # what was seen stays
    watching.close()


def _alive(torch: Any) -> int:
    gc.collect()
    return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())


def test_no_more_than_a_pass_is_kept(torch: Any) -> None:
    model = tagger(torch)
    watching = inspector.watch(model)
    counts = []
    for steps in (3, 197):
        train(torch, model, steps)
        counts.append(_alive(torch))
    assert counts[0] == counts[1]
    assert watching["rnn"].reached


def test_passes_without_a_backward_are_not_kept(torch: Any) -> None:
    cell = torch.nn.LSTMCell(2, 3)
    watching = inspector.watch(cell)
    counts = []
    for passes in (2, 30):
        for _ in range(passes):
            state = None
            for row in torch.randn(5, 1, 2):
                state = cell(row, state)
        counts.append(_alive(torch))
    assert counts[0] == counts[1]
    with pytest.raises(RuntimeError, match="no backward pass"):
        watching[""]


def test_a_run_keeps_the_weights_of_its_pass(torch: Any) -> None:
    module = torch.nn.GRU(2, 3)
    watching = inspector.watch(module)
    x = torch.randn(4, 1, 2)
    module(x)[0].sum().backward()
    before = module.weight_hh_l0.detach().clone()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2.0)
        x.zero_()
    seen = watching[""]
    np.testing.assert_array_equal(seen.run.cell.state_dict()["weight_hh"], before.numpy())
    assert seen.agreement < 1e-5


def test_copies_and_files_of_the_model_are_free_of_hooks(torch: Any) -> None:
    model = tagger(torch)
    watching = inspector.watch(model)
    words = torch.randint(0, 12, (2, 7))
    model(words).sum().backward()
    seen = watching["rnn"]
    twin = copy.deepcopy(model.rnn)
    buffer = io.BytesIO()
    torch.save(model.rnn, buffer)
    assert b"inspector" not in buffer.getvalue()
    back = pickle.loads(pickle.dumps(model.rnn))
    for other in (twin, back):
        other(torch.randn(2, 7, 6))[0].sum().backward()
    assert watching["rnn"] is seen


def test_only_what_a_backward_went_through_counts(torch: Any) -> None:
    module = torch.nn.GRU(2, 3)
    watching = inspector.watch(module)
    x = torch.randn(4, 1, 2)
    module(x)[0].sum().backward()
    seen = watching[""]
    with torch.no_grad():
        module(2 * x)
    module(3 * x)
    assert watching[""] is seen
    module(4 * x)[0].sum().backward()
    assert watching[""] is not seen
    np.testing.assert_allclose(watching[""].run.inputs[1].data, 4 * x[1].double().numpy())


def test_several_calls_in_one_pass(torch: Any) -> None:
    module = torch.nn.GRU(2, 3, dtype=torch.float64)
    watching = inspector.watch(module)
    x = torch.randn(3, 4, 1, 2, dtype=torch.float64)
    first, second, third = (module(one)[0] for one in x)
    (first.sum() + second.detach().sum() + third.pow(2).sum()).backward()
    calls = watching.calls("")
    assert len(calls) == 3
    assert [seen.reached for seen in calls] == [True, False, True]
    assert calls[0].agreement < 1e-13 and calls[2].agreement < 1e-13
    assert watching[""] is calls[2]
    assert (calls[1].trace().norm("h") == 0).all()
    assert "no gradient reached" in str(calls[1])
    assert "(3 calls)" in str(watching)


def test_accumulated_gradients_and_a_second_backward(torch: Any) -> None:
    module = torch.nn.LSTM(2, 3, dtype=torch.float64)
    watching = inspector.watch(module)
    for scale in (1.0, 5.0):  # p.grad holds both, each pass is compared on its own
        module(torch.randn(4, 1, 2, dtype=torch.float64))[0].mul(scale).sum().backward()
        assert watching[""].agreement < 1e-13
    outputs = module(torch.randn(4, 1, 2, dtype=torch.float64))[0]
    outputs.sum().backward(retain_graph=True)
    once = watching[""].trace().norm("h")
    outputs.mul(3.0).sum().backward()
    assert watching[""].agreement < 1e-13
    np.testing.assert_allclose(watching[""].trace().norm("h"), 3 * once)


def test_weights_and_inputs_used_elsewhere_too(torch: Any) -> None:
    module = torch.nn.GRU(3, 3, dtype=torch.float64)
    watching = inspector.watch(module)
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    penalty = sum(parameter.pow(2).sum() for parameter in module.parameters())
    ((module(x)[0] + x).pow(2).sum() + penalty).backward()
    assert watching[""].agreement < 1e-13
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    (module(x)[0] + x).pow(2).sum().backward()
    assert watching[""].agreement < 1e-13
    assert "inputs" in watching[""].remark


def test_frozen_weights_without_anything_to_compare(torch: Any) -> None:
    module = torch.nn.GRU(2, 3)
    module.requires_grad_(False)
    watching = inspector.watch(module)
    start = torch.zeros(1, 1, 3, requires_grad=True)
    module(torch.randn(4, 1, 2), start)[0].sum().backward()
    assert watching[""].agreement < 1e-5  # by the initial state
    module(torch.randn(4, 1, 2))
    watching = inspector.watch(module)
    module(torch.randn(4, 1, 2))
    with pytest.raises(RuntimeError, match="ask for a gradient"):
        watching[""]


def test_the_first_sequences_of_a_batch_alone(torch: Any) -> None:
    module = torch.nn.LSTM(2, 3, num_layers=2, dtype=torch.float64)
    watching = inspector.watch(module, max_batch=2)
    x = torch.randn(5, 6, 2, dtype=torch.float64, requires_grad=True)
    module(x)[0].pow(2).sum().backward()
    seen = watching[""]
    assert seen.run.outputs[0].shape == (2, 3)
    assert seen.agreement < 1e-13
    np.testing.assert_allclose(seen.trace().gradient("x", 3), x.grad[3, :2].numpy(), atol=1e-14)
    module(x.detach())[0].pow(2).sum().backward()
    assert watching[""].agreement == np.inf
    assert "part of the batch" in str(watching)
    assert "outputs agree" in str(watching)


def test_a_shared_module_and_a_weight_that_is_computed(torch: Any) -> None:
    torch.manual_seed(0)
    module = torch.nn.LSTM(3, 3, dtype=torch.float64)
    torch.nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
    model = torch.nn.ModuleDict({"first": module, "again": module})
    watching = inspector.watch(model)
    assert watching.names == ("first",)
    x = torch.randn(4, 1, 3, dtype=torch.float64)
    model["again"](model["first"](x)[0])[0].sum().backward()
    assert [seen.agreement < 1e-13 for seen in watching.calls("first")] == [True, True]


def test_half_precision(torch: Any) -> None:
    module = torch.nn.LSTM(4, 8)
    watching = inspector.watch(module)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = torch.randn(5, 2, 4)
        loss = module(x)[0].float().pow(2).sum() + module(2 * x)[0].float().sum()
    loss.backward()
    for seen in watching.calls(""):
        assert 1e-6 < seen.agreement < 0.05
        assert seen.trusted


def test_a_gradient_that_is_not_a_number(torch: Any) -> None:
    module = torch.nn.GRU(2, 3)
    watching = inspector.watch(module)
    (module(torch.randn(4, 1, 2))[0] * float("nan")).sum().backward()
    assert watching[""].agreement == np.inf
    assert "not finite" in str(watching)


def test_every_records_the_decay(torch: Any) -> None:
    model = tagger(torch)
    watching = inspector.watch(model, every=3)
    train(torch, model, 8)
    assert watching.recorder is not None
    assert watching.recorder.steps == [1, 4, 7]
    assert set(watching.recorder.curves) == {
        f"layer{k}/{way}/{s}" for k in (0, 1) for way in ("forward", "backward") for s in "hc"
    }
    assert watching.recorder.plot().get_images() or watching.recorder.plot().get_lines()


def test_every_with_several_parts_names_them(torch: Any) -> None:
    model = torch.nn.ModuleDict({"a": torch.nn.GRU(2, 3), "b": torch.nn.GRU(3, 3)})
    watching = inspector.watch(model, every=1)
    model["b"](model["a"](torch.randn(4, 1, 2))[0])[0].sum().backward()
    assert watching.recorder is not None
    assert set(watching.recorder.curves) == {"a/h", "b/h"}


def test_trouble_of_ours_is_a_warning_and_the_training_goes_on(torch: Any) -> None:
    class Odd(torch.nn.GRU):  # type: ignore[misc, name-defined]
        def forward(self, given: Any) -> Any:
            return super().forward(given)[0]  # no final state

    module = Odd(2, 3)
    watching = inspector.watch(module)
    with pytest.warns(RuntimeWarning, match="not understood"):
        module(torch.randn(4, 1, 2)).sum().backward()
    assert module.weight_hh_l0.grad is not None
    with pytest.raises(RuntimeError, match="not understood"):
        watching[""]


def test_a_forward_of_its_own_is_not_trusted(torch: Any) -> None:
    class Doubling(torch.nn.GRU):  # type: ignore[misc, name-defined]
        def forward(self, given: Any) -> Any:
            outputs, final = super().forward(given)
            return 2 * outputs, final

    module = Doubling(2, 3)
    watching = inspector.watch(module)
    module(torch.randn(4, 1, 2))[0].sum().backward()
    assert not watching[""].trusted
    assert "do not trust" in str(watching)
    assert "forward is not that of torch.nn.GRU" in watching[""].remark


def test_an_error_in_a_backward_leaves_the_next_one_whole(torch: Any) -> None:
    class Fails(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(context: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(context: Any, gradient: Any) -> Any:
            raise RuntimeError("broken")

    module = torch.nn.GRU(2, 3)
    watching = inspector.watch(module)
    x = torch.randn(4, 1, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="broken"):
        module(Fails.apply(x))[0].sum().backward()
    module(x)[0].sum().backward()
    assert watching[""].agreement < 1e-5


def test_a_part_under_checkpointing(torch: Any) -> None:
    from torch.utils.checkpoint import checkpoint

    module = torch.nn.GRU(2, 3, dtype=torch.float64)
    watching = inspector.watch(module)
    x = torch.randn(4, 1, 2, dtype=torch.float64, requires_grad=True)
    for reentrant in (False, True):
        checkpoint(lambda x: module(x)[0], x, use_reentrant=reentrant).sum().backward()
        assert watching[""].agreement < 1e-13


def test_no_warning_is_left_behind(torch: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = tagger(torch)
        watching = inspector.watch(model)
        train(torch, model, 1)
        assert str(watching) and watching._repr_html_()
