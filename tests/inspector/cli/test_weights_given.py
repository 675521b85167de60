"""``--weights``: what a run computes with is what the file holds, and what does not fit is told by file, key and
shape.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from inspector.cli.main import main
from inspector.loading.load import LoadError, load_weights

CELL = tg.cells.LSTMCell(3, 4, seed=7)
SIZES = ("--input-size", "3", "--hidden-size", "4")


def loss_of(arguments: list[str], folder: Path) -> float:
    assert main(["decay", "-T", "5", *arguments, "--json", str(folder / "a.json"), "-o", str(folder / "a.svg")]) == 0
    found = json.loads((folder / "a.json").read_text())
    (only,) = found.values()
    return float(only["loss"])


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
@pytest.mark.parametrize("naming", ["{}", "{}_l0", "encoder.rnn.{}", "encoder.{}_l0"])
def test_a_file_holds_the_weights_of_a_run(kind: str, naming: str, tmp_path: Path) -> None:
    path = tmp_path / f"w.{kind}"
    arrays: dict[str, Any] = {naming.format(name): value for name, value in CELL.state_dict().items()}
    if "." in naming:
        arrays["head.weight"] = np.ones(3)
    if kind == "npz":
        np.savez(path, **arrays)
    else:
        tg.save_safetensors(arrays, path)
    cell = tg.cells.LSTMCell(3, 4, seed=0)
    load_weights(cell, path)
    for name, value in CELL.state_dict().items():
        np.testing.assert_array_equal(cell.state_dict()[name], value)
    assert cell.initialisation == "loaded weights"


def test_every_command_with_a_cell_takes_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, **CELL.state_dict())
    got = loss_of(["--cell", "lstm", *SIZES, "--weights", str(path), "--seed", "3"], tmp_path)
    rng, target = np.random.default_rng(3), np.random.default_rng(4)
    run = tg.unroll(CELL, rng.normal(size=(5, 1, 3)))
    assert got == pytest.approx(tg.losses.mse_loss(run.outputs[-1], target.normal(size=(1, 4))).item(), rel=1e-15)
    assert got != loss_of(["--cell", "lstm", *SIZES, "--seed", "3"], tmp_path)


def test_several_cells_take_their_weights_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gru = tg.cells.GRUCell(3, 4, seed=9)
    paths = [str(tmp_path / "lstm.npz"), str(tmp_path / "gru.npz")]
    np.savez(paths[0], **CELL.state_dict())
    np.savez(paths[1], **gru.state_dict())
    out = ["-o", str(tmp_path / "a.svg"), "--json", str(tmp_path / "a.json")]
    cells = ["--cell", "lstm", "--cell", "gru", *SIZES, "-T", "4", *out]
    assert main(["decay", *cells, "--weights", paths[0], "--weights", paths[1]]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["LSTM"]["initialisation"] == found["GRU"]["initialisation"] == "loaded weights"
    assert main(["decay", *cells, "--weights", paths[0]]) == 2
    assert "give --weights as often as --cell, in the same order: 2 cells, 1 file" in capsys.readouterr().err


def test_what_does_not_fit_is_told_by_file_key_and_shape(tmp_path: Path) -> None:
    right = CELL.state_dict()
    without = {name: value for name, value in right.items() if name != "weight_hh"}
    twice = {f"{half}.{name}": value for half in ("encoder", "decoder") for name, value in right.items()}
    cases: dict[str, tuple[dict[str, Any], list[str]]] = {
        "shape": ({**right, "weight_ih": np.ones((16, 5))}, ["weight_ih", "(16, 3)", "(16, 5)", "--input-size"]),
        "missing": (without, ["missing ['weight_hh']"]),
        "mistyped": ({**without, "wieght_hh": right["weight_hh"]}, ["nearest to wieght_hh is weight_hh"]),
        "unknown": ({**right, "peephole": np.ones(3)}, ["peephole"]),
        "complex": ({**right, "bias_ih": np.ones(16, complex)}, ["bias_ih", "complex"]),
        "text": ({**right, "bias_ih": np.array(["a"] * 16)}, ["bias_ih"]),
        "twice": (twice, ["encoder, decoder"]),
        "empty": ({}, ["missing"]),
    }
    for name, (arrays, says) in cases.items():
        path = tmp_path / f"{name}.npz"
        np.savez(path, **arrays)
        cell = tg.cells.LSTMCell(3, 4, seed=0)
        with pytest.raises(LoadError) as error:
            load_weights(cell, path)
        assert str(path) in str(error.value) and "load_state_dict" not in str(error.value)
        for part in says:
            assert part in str(error.value), name
        np.testing.assert_array_equal(
            cell.state_dict()["bias_hh"], tg.cells.LSTMCell(3, 4, seed=0).state_dict()["bias_hh"]
        )


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("exploded"),)


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("objects.npz", weight_ih=np.array([Bomb()], dtype=object), allow_pickle=True)
    Path("pickled.npz").write_bytes(pickle.dumps(Bomb()))
    np.save("array.npy", np.ones(3))
    Path("array.npy").rename("array.npz")
    for name in ("objects.npz", "pickled.npz", "array.npz", "none.npz", "none.safetensors"):
        with pytest.raises((LoadError, ImportError), match=name.replace(".", r"\.")):
            load_weights(tg.cells.LSTMCell(3, 4), Path(name))
    assert not Path("exploded").exists()


@given(st.data())
def test_damaged_files_are_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    np.savez(folder / "a.npz", **CELL.state_dict())
    tg.save_safetensors(CELL.state_dict(), folder / "a.safetensors")
    path = folder / data.draw(st.sampled_from(["a.npz", "a.safetensors"]))
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(
        data.draw(st.sampled_from([whole[:cut], whole[:cut] + b"\xff" * 8 + whole[cut + 8 :], b"\x00" * cut]))
    )
    try:
        load_weights(tg.cells.LSTMCell(3, 4), path)
    except LoadError as error:
        assert str(path) in str(error)
