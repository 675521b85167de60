"""``inspector open``, and ``--weights`` without a cell: what is in a file is said, and every command takes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.cli.main import main


def network() -> tg.Stacked:
    pair = tg.Bidirectional(tg.cells.ProjectedLSTMCell(3, 5, 2, seed=0), tg.cells.ProjectedLSTMCell(3, 5, 2, seed=1))
    return tg.Stacked(
        pair, tg.Bidirectional(tg.cells.ProjectedLSTMCell(4, 5, 2, seed=2), tg.cells.ProjectedLSTMCell(4, 5, 2, seed=3))
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two networks and something else; no PyTorch is needed to read it."""
    arrays = {f"encoder.rnn.{name}": value for name, value in network().state_dict().items()}
    arrays |= {f"decoder.{name}": value for name, value in tg.cells.GRUCell(2, 4, seed=0).state_dict().items()}
    return tg.save_safetensors({**arrays, "head.weight": np.ones((2, 4))}, tmp_path / "my model.safetensors")


def said(arguments: list[Any], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert main([str(a) for a in arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_everything_in_a_file_is_listed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(["open", file], capsys).splitlines()
    assert lines[0].endswith("my model.safetensors: 2 recurrent networks")
    assert lines[3].split() == ["encoder.rnn", "ProjectedLSTM", "2", "2", "3", "5", "4", "float64", "640"]
    assert lines[2].split() == ["decoder", "GRU", "1", "1", "2", "4", "4", "float64", "96"]
    assert lines[-1] == f"one of them: inspector open '{file}' --layer decoder"


def test_one_of_several_and_what_to_do_with_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(["open", file, "--prefix", "decoder."], capsys)
    assert "encoder" not in text and f"inspector diagnose --weights '{file}' --prefix decoder -T 100" in text
    assert "nothing" not in text
    error = said(["open", file, "--prefix", "decodr"], capsys, 2)
    assert (
        "no recurrent weights behind 'decodr'; did you mean decoder or encoder.rnn?; there are decoder, encoder.rnn"
        in error
    )


def test_what_is_wrong_with_one_network_is_said_beside_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(
        tmp_path / "a.npz",
        **{"a.weight_ih_l0": np.ones((12, 2)), "b.weight_ih": np.ones((4, 2)), "b.weight_hh": np.eye(4)},
    )
    text = said(["open", tmp_path / "a.npz"], capsys)
    assert "'a' has missing ['weight_hh_l0']" in text and "b" in text and "RNN" in text


@pytest.mark.parametrize("prefix", ["encoder.rnn", "decoder"])
def test_the_network_of_a_file_needs_no_cell(
    prefix: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell: Any = network() if prefix == "encoder.rnn" else tg.cells.GRUCell(2, 4, seed=0)
    rng, target = np.random.default_rng(0), np.random.default_rng(1)
    run = tg.unroll(cell, rng.normal(size=(6, 1, cell.input_size)))
    trace = inspector.trace(run, tg.losses.mse_loss(run.outputs[-1], target.normal(size=(1, 4))))
    out, found = tmp_path / "a.svg", tmp_path / "a.json"
    said(["decay", "--weights", file, "--prefix", prefix, "-T", 6, "-o", out, "--json", found], capsys)
    (facts,) = json.loads(found.read_text()).values()
    assert facts["loss"] == pytest.approx(trace.to_dict()["loss"], rel=1e-14)


@pytest.mark.slow
def test_commands_take_a_stack_out_of_a_file(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--weights", file, "--prefix", "encoder", "-T", 3]
    assert "derivatives by" in said(["check", *given[:-1], 2], capsys)
    for command in ("graph", "gates"):
        said([command, *given, "-o", tmp_path / f"{command}.svg"], capsys)
    assert "Bidirectional(ProjectedLSTMCell(3, 5, 2)" in said(["diagnose", *given, "-o", tmp_path / "d.svg"], capsys)


def test_a_cell_and_a_prefix(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["decay", "--cell", "gru", "--input-size", 2, "--hidden-size", 4, "-T", 3, "-o", tmp_path / "a.svg"]
    said([*given, "--weights", file, "--prefix", "decoder"], capsys)
    assert "has no weight_ih, weight_hh, bias_ih, bias_hh behind 'encoder'" in said(
        [*given, "--weights", file, "--prefix", "encoder"], capsys, 2
    )


def test_files_of_pytorch(torch: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = torch.nn.ModuleDict({"rnn": torch.nn.RNN(3, 4, 2)})
    torch.save({"epoch": 3, "state_dict": module.state_dict()}, tmp_path / "a.ckpt")
    assert "state_dict.rnn  RNN      2       1           3       4" in said(["open", tmp_path / "a.ckpt"], capsys)
    torch.save(module, tmp_path / "b.pt")
    assert "b.pt holds a torch." in said(["open", tmp_path / "b.pt"], capsys, 2)
    said(["decay", "--weights", tmp_path / "a.ckpt", "-T", 3, "-o", tmp_path / "a.svg"], capsys)


def test_names_in_a_file_steer_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gru = tg.cells.GRUCell(2, 4, seed=0).state_dict()
    arrays = {f"{prefix}.{name}": value for prefix in ("\x1b[31mred", "b\n; $(c)") for name, value in gru.items()}
    path = tg.save_safetensors(arrays, tmp_path / "a.safetensors")
    worse = tg.save_safetensors({"\x1b[2J.weight_ih": np.ones((12, 4))}, tmp_path / "b.safetensors")
    heard = [said(["open", path], capsys), said(["open", path, "--prefix", "nope"], capsys, 2)]
    heard += [said(["decay", "--weights", path], capsys, 2), said(["open", worse], capsys)]
    heard += [said(["decay", "--cell", "gru", "--weights", path], capsys, 2)]
    assert all("\x1b" not in text for text in heard)


def test_what_is_missing_is_said(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--prefix says which network of a file is meant: give --weights FILE" in said(
        ["decay", "--cell", "gru", "--prefix", "decoder"], capsys, 2
    )
    assert "give --cell NAME, or --weights FILE" in said(["decay"], capsys, 2)
    assert "several recurrent networks, 'decoder', 'encoder.rnn'; choose one with --prefix" in said(
        ["decay", "--weights", file], capsys, 2
    )
    assert "there is no file none.pt" in said(["open", "none.pt"], capsys, 2)
