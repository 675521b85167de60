"""Watched torch.nn.RNN, LSTM and GRU: every option, against PyTorch's gradients as a whole and at each timestep."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
import tinygrad_rnn as tg

pytestmark = pytest.mark.filterwarnings("ignore:.*LSTM with projections.*:UserWarning")


@st.composite
def passes(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["RNN", "LSTM", "GRU"]))
    layers = draw(st.integers(1, 2))
    options: dict[str, Any] = {"num_layers": layers, "bidirectional": draw(st.booleans()), "bias": draw(st.booleans())}
    options["batch_first"] = draw(st.booleans())
    if layers > 1:
        options["dropout"] = draw(st.sampled_from([0.0, 0.4]))
    if kind == "RNN":
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if kind == "LSTM":
        options["proj_size"] = draw(st.sampled_from([0, 2]))
    return {
        "kind": kind,
        "options": options,
        "layout": draw(st.sampled_from(["batch", "unbatched", "packed", "packed unsorted"])),
        "start": draw(st.booleans()),
        "reads": draw(st.sampled_from(["outputs", "last", "h", "c", "all"])),
        "leaf": draw(st.booleans()),
        "double": draw(st.booleans()),
        "seed": draw(st.integers(0, 1000)),
    }


@given(passes())
def test_a_pass_agrees_with_pytorch(torch: Any, drawn: dict[str, Any]) -> None:
    _, seen = watched_pass(torch, drawn)
    assert seen.agreement < (1e-12 if drawn["double"] else 1e-5), str(seen)
    assert seen.trusted
    assert "agrees to" in str(seen)


def watched_pass(torch: Any, drawn: dict[str, Any]) -> tuple[Any, Any]:
    """A module that was run and differentiated, and what was seen of it."""
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    torch.manual_seed(drawn["seed"])
    dtype = torch.float64 if drawn["double"] else torch.float32
    options, kind = drawn["options"], drawn["kind"]
    module = getattr(torch.nn, kind)(3, 4, dtype=dtype, **options)
    rows = options["num_layers"] * (2 if options["bidirectional"] else 1)
    widths = (options.get("proj_size") or 4, 4)
    x = torch.randn(5, 3, 3, dtype=dtype, requires_grad=drawn["leaf"])
    start = tuple(torch.randn(rows, 3, width, dtype=dtype, requires_grad=True) for width in widths)
    first, lay = options["batch_first"], drawn["layout"]
    if lay == "unbatched":
        given, start = x[:, 0], tuple(state[:, 0] for state in start)
    else:
        given = x.transpose(0, 1) if first else x
        if lay != "batch":
            lengths = [2, 5, 4] if lay == "packed unsorted" else [5, 4, 2]
            given = pack_padded_sequence(given, lengths, batch_first=first, enforce_sorted=lay == "packed")
    with inspector.watch(module) as watching:
        outputs, final = module(given, *([start if kind == "LSTM" else start[0]] if drawn["start"] else []))
        if lay.startswith("packed"):
            outputs = pad_packed_sequence(outputs, batch_first=first)[0]
        h, c = final if kind == "LSTM" else (final, final)
        {
            "outputs": outputs.pow(2).sum(),
            "last": (outputs[:, -1] if first and lay != "unbatched" else outputs[-1]).pow(2).sum(),
            "h": h.sin().sum(),
            "c": c.exp().sum(),
            "all": outputs.pow(3).sum() + h.sum() + (c * c).sum(),
        }[drawn["reads"]].backward()
    return module, watching[""]


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_each_timestep_is_what_a_loop_over_cells_has(torch: Any, kind: str) -> None:
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(3, 4, dtype=torch.float64)
    cell = getattr(torch.nn, f"{kind}Cell")(3, 4, dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): weight for name, weight in module.state_dict().items()})
    x = torch.randn(7, 2, 3, dtype=torch.float64)
    watching = inspector.watch(module)
    (module(x)[0] ** 2)[::3].sum().backward()

    state, states = None, []
    for row in x:
        state = cell(row, state)
        states.append(state if kind == "LSTM" else (state,))
        [value.retain_grad() for value in states[-1]]
    (torch.stack([state[0] for state in states]) ** 2)[::3].sum().backward()
    trace = watching[""].trace()
    for k, name in enumerate(("h", "c")[: len(states[0])]):
        for t, state in enumerate(states):
            expected = 0.0 if state[k].grad is None else state[k].grad.numpy()
            np.testing.assert_allclose(trace.gradient(name, t), np.broadcast_to(expected, (2, 4)), atol=1e-14)


def test_what_is_seen_is_a_run_that_every_analysis_takes(torch: Any, tmp_path: Any) -> None:
    torch.manual_seed(0)
    module = torch.nn.LSTM(3, 4, num_layers=2, dropout=0.5)
    watching = inspector.watch(module)
    module(torch.randn(6, 2, 3))[0][-1].sum().backward()
    seen = watching[""]
    assert isinstance(seen.run, tg.Run)
    assert seen.run.cell.dtype == np.float64
    assert inspector.draw(seen.run, "gate", trace=seen.trace()).svg.startswith("<?xml")
    assert inspector.reach(seen.run, seen.loss) and inspector.gates(seen.run) and seen.diagnose().verdict
    page = seen.report(tmp_path / "page.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and "<title>LSTM: LSTM(3, 4), 2 layers · T = 6</title>" in page
    data = json.loads(page.partition('type="application/json" id="data">')[2].partition("</script>")[0])["runs"][0]
    assert data["note"] == f"against PyTorch: {seen.proof}" and data["verdict"]["text"] == seen.diagnose().finding
    assert "loss" not in data  # its value means nothing
    assert seen.plot().get_lines()
    assert set(seen.to_dict()) >= {"agreement", "name"}


def test_the_loss_is_read_only_where_the_model_reads(torch: Any) -> None:
    module = torch.nn.GRU(2, 3)
    watching = inspector.watch(module)
    module(torch.randn(6, 1, 2))[0][2].sum().backward()
    norms = watching[""].trace().norm("h")
    assert (norms[:3] > 0).all()
    assert (norms[3:] == 0).all()


def test_a_long_part_is_compiled_and_says_the_same(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from inspector.watching import replay

    torch.manual_seed(0)
    module = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True, dtype=torch.float64)
    watching = inspector.watch(module)
    (module(torch.randn(9, 2, 3, dtype=torch.float64))[0] ** 2).sum().backward()
    eager = watching[""]
    assert not eager.run.cell.is_compiled
    monkeypatch.setattr(replay, "_LONG", 0)
    for much in (2**30, 0):
        monkeypatch.setattr(replay, "_MUCH", much)
        watching._seen.clear()
        compiled = watching[""]
        assert compiled.run.cell.is_compiled
        assert compiled.agreement < 1e-13
        for name in eager.trace().names:
            np.testing.assert_allclose(compiled.trace().norm(name), eager.trace().norm(name), rtol=1e-10)


def test_the_table_says_that_losses_of_many_steps_stand_together(torch: Any) -> None:
    module = torch.nn.GRU(2, 3)
    watching = inspector.watch(module)
    x = torch.randn(7, 2, 2)
    (module(x)[0] ** 2).sum().backward()
    assert watching[""].outcome.verdict == "well" and "losses of 7 steps together" in str(watching)
    assert " of what the loss of t = 6 alone sends back, " in f" {watching[''].diagnose()}"
    module(x)[0][-1].sum().backward()
    assert watching[""].readers == 1 and "together" not in str(watching)
    module(x)[1].sum().backward()
    assert watching[""].readers == 0 and "together" not in str(watching)


def test_the_curves_of_all_states_stand_under_each_other(torch: Any) -> None:
    module = torch.nn.GRU(2, 3, bidirectional=True)
    watching = inspector.watch(module)
    (module(torch.randn(7, 2, 2))[0] ** 2).sum().backward()
    lines = str(watching[""]).splitlines()[1:3]
    assert {line.index("×") - 7 for line in lines} == {len("  backward/h  ") + 2}


def test_a_replay_that_would_not_fit_is_in_float32_and_says_so(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from inspector.watching import seen

    monkeypatch.setattr(seen, "_ROOM", 0)
    for dtype, said in ((None, ", in float32: float64 would take 0.0 GB"), (np.float32, ""), (np.float64, "")):
        module = torch.nn.GRU(2, 3)
        watching = inspector.watch(module, dtype=dtype)
        module(torch.randn(4, 1, 2))[0].sum().backward()
        assert watching[""].run.cell.dtype == (np.float64 if dtype is np.float64 else np.float32)
        assert ("in float32" in str(watching)) == bool(said)
        assert said in str(watching)
