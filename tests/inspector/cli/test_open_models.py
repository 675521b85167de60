"""``inspector open`` on models: what is in the file is said, and its recurrent parts are run, drawn and diagnosed."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from inspector.cli.main import main

from .characters import characters

KERAS = Path(__file__).parents[2] / "tinygrad_rnn" / "interop" / "keras" / "files"


def said(arguments: list[Any], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert main(["open", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    if code:
        assert captured.err.startswith("inspector: error: ") and captured.err.count("\n") == 1
    return captured.err if code else captured.out


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_onnx_file_on_one_screen(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    characters(here / "a.bin")  # its content says what it is
    text = said(["a.bin"], capsys)
    for line in (
        "a.bin: ONNX, pytorch, opset 17",
        "in   words (batch, seq) int64",
        "out  logits (batch, seq, 7) float32",
        "/rnn/LSTM_1",
        "inspector open a.bin --diagnose",
    ):
        assert line in text
    assert len(text.splitlines()) < 25


def test_a_keras_file_whatever_it_is_called(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("h5py")
    shutil.copy(KERAS / "tagger.keras", "model.onnx")
    assert "model.onnx: Keras, Keras 3" in said(["model.onnx"], capsys)
    shutil.copy(KERAS / "before.h5", "weights.bin")
    text = said(["weights.bin"], capsys)
    assert "SimpleRNN" in text and "(batch, 6, 3) float32" in text and "float64" not in text


def test_the_gradient_is_that_of_the_target_in_float64(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tg.load_onnx(characters(here / "a.onnx")).astype(np.float64)
    words = np.arange(9)[None] % 7
    np.save("x.npy", words)
    text = said(["a.onnx", "--input", "x.npy", "--target", "logits[0,-1,3]", "--report", "a.html"], capsys)
    assert "the gradient of logits[0,-1,3], in float64" in text and "words: given, (1, 9)" in text
    call = model(words)
    trace = inspector.trace(call.runs["/rnn/LSTM_1"], call["logits"][0, -1, 3])
    assert trace.norm("h").dtype == np.float64
    printed = said(["a.onnx", "--input", "words=x.npy", "--target", "[0,-1,3]", "--layer", "LSTM_1"], capsys)
    assert printed.endswith(f"/rnn/LSTM_1\n{trace}\n")


def test_without_a_target_the_largest_number_of_the_last_step(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tg.load_onnx(characters(here / "a.onnx")).astype(np.float64)
    text = said(["a.onnx", "--length", 5, "--layer", "LSTM"], capsys)
    words = np.random.default_rng(0).integers(0, 7, (1, 5))
    call = model(words)
    best = int(call["logits"].data[0, -1].argmax())
    assert f"the gradient of logits[0, -1, {best}], the largest of 7 numbers" in text
    assert "words: random whole numbers below 7, (1, 5), seed 0" in text
    assert str(inspector.trace(call.runs["/rnn/LSTM"], call["logits"][0, -1, best])) in text
    several = said(["a.onnx", "-T", 5, "--batch", 3, "--layer", "LSTM"], capsys)
    assert "the largest numbers of logits[:, -1, :] along its last axis, 3 of them, added" in several


def test_a_layer_alone_is_traced_whatever_the_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    characters(here / "a.onnx")
    assert said(["a.onnx", "--layer", "LSTM_1"], capsys) == said(["a.onnx", "--layer", "LSTM_1", "-T", 50], capsys)
    assert said(["a.onnx", "--seed", 0], capsys) == said(["a.onnx", "-T", 50], capsys)
    np.savez("w.npz", **{f"a.{name}": v for name, v in tg.cells.GRUCell(2, 4, seed=0).state_dict().items()})
    assert said(["w.npz", "--layer", "a"], capsys).endswith(said(["w.npz", "--layer", "a", "-T", 50], capsys))
    np.savez("none.npz", conv=np.ones(3))
    Path("a.json").write_text("{}")
    for file, says in {
        "a.onnx": "no recurrent part is called 'zzz'; there are /rnn/LSTM, /rnn/LSTM_1",
        "w.npz": "no recurrent weights behind 'zzz'; there are a",
        "none.npz": "there is no recurrent network in this file",
        "a.json": "a.json is JSON, in which there is nothing to run",
    }.items():
        assert says in said([file, "--layer", "zzz"], capsys, 2)


def test_free_axes_that_clash_with_fixed_ones_are_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(characters(here / "a.onnx").read_bytes())
    model.graph.node[2].input.extend(["", "", "start"])
    model.graph.input.append(onnx.helper.make_tensor_value_info("start", onnx.TensorProto.FLOAT, (1, 2, 4)))
    onnx.save(model, "a.onnx")
    clash = said(["a.onnx", "--diagnose"], capsys, 2)
    assert "; free axes were set to batch = 1, seq = 50: --batch and --length set them\n" in clash
    assert "LSTMCell(3, 4), 3 steps" in said(["a.onnx", "--batch", 2, "-T", 3], capsys)
    np.save("h.npy", np.ones((1, 5, 4)))
    assert "input 'start' is (1, 2, 4) float32, got (1, 5, 4)" in said(["a.onnx", "--input", "start=h.npy"], capsys, 2)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("axes", [("s77", "s27"), (None, None)])
def test_where_axes_have_no_telling_names_the_run_says_which_is_time(
    axes: Any, batch_first: bool, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    characters(here / "a.onnx", axes, batch_first)
    text = said(["a.onnx", "-T", 5, "--batch", 2], capsys)
    assert str((2, 5) if batch_first else (5, 2)) in text and "LSTMCell(3, 4), 5 steps" in text


def test_every_part_is_drawn_and_diagnosed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    characters(here / "a.onnx")
    text = said(["a.onnx", "-T", 4, "--draw", "--diagnose"], capsys)
    assert "a-rnn-LSTM.svg: /rnn/LSTM, LSTMCell(3, 4) over 4 steps" in text and "\n/rnn/LSTM_1\nLSTMCell(4, 4)," in text
    assert "<svg" in Path("a-rnn-LSTM_1.svg").read_text()
    assert "choose it with --layer: /rnn/LSTM, /rnn/LSTM_1" in said(["a.onnx", "--draw", "b.svg"], capsys, 2)
    said(["a.onnx", "-T", 2, "--draw", "b.tex", "--layer", "/rnn/LSTM"], capsys)
    assert Path("b.tex").exists()


def test_weights_alone_are_run_as_a_network(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = tg.cells.GRUCell(2, 4, seed=0)
    np.savez("a.npz", **{f"encoder.{name}": value for name, value in cell.state_dict().items()})
    cell.load_state_dict(cell.state_dict())
    x = np.random.default_rng(1).normal(size=(6, 1, 2))
    np.savez("x.npz", x=x)
    run = tg.unroll(cell, x)
    text = said(["a.npz", "--input", "x.npz", "--target", "y[-1,0,2]"], capsys)
    assert str(inspector.trace(run, run.outputs[-1][0, 2])) in text
    one = {"decoder.weight_ih": np.ones((4, 2)), "decoder.weight_hh": np.eye(4)}
    np.savez("b.npz", **{f"encoder.{name}": value for name, value in cell.state_dict().items()}, **one)
    assert "choose one of its networks with --layer: encoder, decoder" in said(["b.npz", "--diagnose"], capsys, 2)
    assert "RNNCell(2, 4), 50 steps" in said(["b.npz", "--length", 50, "--layer", "decoder"], capsys)


def test_parts_that_the_target_was_not_computed_from_are_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("h5py")
    text = said([KERAS / "shared.keras", "--target", "z[0,-1,0]"], capsys)
    assert "nothing of it goes to twice:1\n" in text and "\ntwice\n" in text and "\ntwice:1\n" not in text
    assert "the loss does not depend on any value of this run" in said(
        [KERAS / "shared.keras", "--target", "z[0,-1,0]", "--layer", "twice:1"], capsys, 2
    )


@pytest.mark.parametrize("name", ["gru", "mgu"])
def test_cells_of_ours_come_back_in_double_precision_without_what_may_be_left_out(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    cell = tg.cells.get(name)(2, 4, seed=0, dtype=np.float32)
    tg.save_onnx(cell, "cell.onnx")  # the standard operator, or a Scan that begins with zeros in float32
    text = said(["cell.onnx", "-T", 6, "--batch", 2, "--target", "outputs[-1,0,1]"], capsys)
    ours = tg.cells.get(name)(2, 4)
    ours.load_state_dict(cell.state_dict())
    run = tg.unroll(ours, np.random.default_rng(0).normal(size=(6, 2, 2)))
    assert "h_init" not in text and str(inspector.trace(run, run.outputs[-1][0, 1])).splitlines()[1] in text


def test_names_with_markup_stay_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(characters(here / "a.onnx").read_bytes())
    markup = "/<script>alert(1)</script>&\"'\x1b[2J/LSTM"
    model.graph.node[2].name = markup
    model.graph.node[2].output[0] = model.graph.node[3].input[0] = "<b>y0\x1b"
    onnx.save(model, "a.onnx")
    text = said(["a.onnx", "-T", 3, "--draw", "--report", "--level", "operation"], capsys)
    assert "\x1b" not in text and "a-script-alert-1-script-2J-LSTM.svg" in text
    for path in (*here.glob("*.svg"), Path("a.html")):
        written = path.read_text()
        assert "<script>alert" not in written and "<b>y0" not in written and "\x1b" not in written
    ElementTree.parse(here / "a-script-alert-1-script-2J-LSTM.svg")


def test_weights_without_a_recurrent_network_are_listed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("a.npz", **{f"conv{k}\x1b": np.ones((k + 1, 3), np.float32) for k in range(45)})
    text = said(["a.npz"], capsys)
    assert text.startswith("a.npz: 45 tensors, and no recurrent network") and text.endswith("  and 5 more\n")
    assert r"  conv0\x1b   1 x 3  float32" in text
    assert "there is no recurrent network in this file" in said(["a.npz", "--diagnose"], capsys, 2)
    np.savez("b.npz")
    assert "there are no tensors in it" in said(["b.npz"], capsys, 2)


WRONG = {
    "target": (["--target", "logitz"], "--target: no output is called 'logitz'; did you mean logits?"),
    "place": (["--target", "logits[0,77]"], "index 77 is out of bounds for axis 1 with size 50; logits has shape"),
    "index": (["--target", "logits[x]"], "an index is whole numbers and slices between commas"),
    "no index": (["--target", "logits[]"], "an index is whole numbers and slices between commas"),
    "nothing": (["--target", "logits[1:1]"], "--target logits[1:1] chooses no number; logits has shape (1, 50, 7)"),
    "layer": (["--layer", "lsmt", "-T", "3"], "--layer: no recurrent part is called 'lsmt'"),
    "input": (["--input", "wrods=x.npy"], "no input is called 'wrods'; did you mean words?; there are words"),
    "twice": (["--input", "words=x.npy", "--input", "words=x.npy"], "'words' is given twice"),
    "too many": (["--input", "x.npy", "--input", "x.npy"], "--input x.npy: every input is given already"),
    "no file": (["--input", "none.npy"], "--input none.npy: there is no file none.npy"),
    "dtype": (["--input", "f.npy"], "a.onnx: input 'words' holds int64, got float64"),
    "objects": (["--input", "o.npy"], "it holds objects of Python's"),
    "value": (["--input", "words=[[300]]"], "node /embed/Gather (Gather)"),
    "number": (["--input", "words=[[3,"], "there is no file [[3,, and it is no number or list of numbers"),
    "pipe": (["--input", "words=pipe"], "--input words=pipe: pipe is a pipe or device, not a regular file"),
    "long": (["--input", f"words=[{'9.5,' * 400}0]"], "a.onnx: input 'words' holds int64, got float64"),
    "given": (["--input", "x.npy", "--length", "5"], "--length 5: the file leaves no such axis free in what is given"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_on_one_line(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, says = WRONG[name]
    characters(here / "a.onnx")
    os.mkfifo("pipe")
    np.save("x.npy", np.zeros((1, 4), np.int64))
    np.save("f.npy", np.zeros((1, 4)))
    np.save("o.npy", np.array([{}], object), allow_pickle=True)
    assert says in said(["a.onnx", *options], capsys, 2)


def test_what_cannot_be_opened_is_said_on_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "saved").mkdir()
    (here / "saved" / "saved_model.pb").touch()
    with zipfile.ZipFile("a.pt2", "w") as archive:
        archive.writestr("a/models/model.json", "{}")
    os.mkfifo("pipe")
    for name, content, says in [
        ("pipe", None, "pipe is a pipe or device, not a regular file"),
        ("a.pt2", None, "a.pt2 is a program of torch.export, which is not read; export it as ONNX"),
        ("none.keras", None, "there is no file none.keras"),
        ("saved", None, "saved is a folder of TensorFlow's (SavedModel), not a file"),
        ("a\x1b[2J.gguf", b"GGUF\3\0\0\0", "a�[2J.gguf is no ONNX"),
        ("a.gguf", b"GGUF\3\0\0\0", "a.gguf is no ONNX, Keras, safetensors, PyTorch or .npz file"),
        ("a.json", b'{"a": 1}', "a.json is JSON, but no record of the inspector's"),
        ("b.json", b'{"a": ', "b.json is no JSON"),
    ]:
        if content is not None:
            (here / name).write_bytes(content)
        assert says in said([name], capsys, 2)


@pytest.mark.parametrize(
    ("package", "name", "content", "says"),
    [
        ("onnx", "a.onnx", b"\x08\x08\x12\x07pytorch", "a.onnx is damaged, or no ONNX file"),
        ("h5py", "\x1b[31mred.keras", b"PK nothing", r"\x1b[31mred.keras is damaged"),
    ],
)
def test_damage_is_said_on_one_line(
    package: str, name: str, content: bytes, says: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(package)
    (here / name).write_bytes(content)
    assert says in said([name], capsys, 2)


def test_records_of_our_own_are_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tg.unroll(tg.cells.RNNCell(2, 3, seed=0), np.ones((4, 1, 2)))
    inspector.trace(run, run.outputs[-1].sum()).to_json("trace.json")
    text = said(["trace.json"], capsys)
    assert text.startswith("trace.json: numbers of an analysis") and "  norms: x, h, z_h" in text
    inspector.gates(run, run.outputs[-1].sum()).to_json("gates.json")
    assert "  log_ratios: log of norm after to norm before (nonlinearity 1, t 4)" in said(["gates.json"], capsys)
    inspector.report({"mine\x1b[2J": (run, run.outputs[-1].sum())}, path="page.json", remedies=False)
    text = said(["page.json"], capsys)
    assert "data of a page" in text and "(T = 4)" in text and "\x1b" not in text
    Path("s.jsonl").write_text("".join(json.dumps({"job": ["rnn", 5, None, seed]}) + "\n" for seed in range(3)))
    assert "rnn, T = 5, default: 3 runs" in said(["s.jsonl"], capsys)
