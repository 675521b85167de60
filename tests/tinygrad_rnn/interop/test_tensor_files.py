"""Files of tensors: what is damaged or would have to be executed is refused, and nothing in them runs."""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.interop.tensor_files import load_tensors

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.(script|save). is:DeprecationWarning")


class Payload:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.fixture(scope="module")
def whole(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A state_dict in every format."""
    folder, module = tmp_path_factory.mktemp("whole"), torch.nn.LSTM(3, 4)
    torch.save(module.state_dict(), folder / "a.pt")
    torch.save(module.state_dict(), folder / "b.pth", _use_new_zipfile_serialization=False)
    arrays = {name: value.numpy() for name, value in module.state_dict().items()}
    np.savez(folder / "c.npz", **arrays)
    tg.save_safetensors(arrays, folder / "d.safetensors")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", ["a.pt", "b.pth", "c.npz", "d.safetensors"])
def test_every_format_is_read_and_half_of_it_refused(whole: dict[str, bytes], name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(whole[name])
    assert repr(tg.load_torch(path)) == repr(tg.load_torch(str(path))) == "LSTMCell(3, 4)"
    for damaged in (b"", b"no such format", whole[name][: len(whole[name]) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            tg.load_torch(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"there is no file .*{name}"):
        tg.load_torch(path)
    os.mkfifo(path)
    with pytest.raises(ValueError, match=f"{name} is a pipe or device, not a regular file"):
        tg.load_torch(path)


@pytest.mark.slow
@given(data=st.data())
def test_whatever_byte_is_damaged(whole: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """A file loads, or says that it does not: nothing else happens."""
    name = data.draw(st.sampled_from(sorted(whole)))
    content = bytearray(whole[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    with contextlib.suppress(ValueError, KeyError):
        tg.load_torch(path)


def test_nothing_in_a_file_is_executed(torch: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for number, content in enumerate(({"rnn": Payload(mark)}, {"rnn": argparse.Namespace(a=1)}, torch.nn.LSTM(2, 3))):
        path = tmp_path / f"{number}.pt"
        torch.save(content, path)
        with pytest.raises(
            ValueError, match=r"\.pt holds a (posix.system|argparse.Namespace|torch.nn.modules.rnn.LSTM), "
        ):
            tg.load_torch(path)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Payload(mark)))
    np.savez(tmp_path / "objects.npz", a=np.array([Payload(mark)], dtype=object))
    torch.jit.script(torch.nn.LSTM(2, 3)).save(str(tmp_path / "scripted.pt"))
    for name, message in (
        ("plain.pt", ""),
        ("objects.npz", "is damaged, or no"),
        ("scripted.pt", "is a scripted module"),
    ):
        with pytest.raises(ValueError, match=f"{name} {message}"):
            tg.load_torch(tmp_path / name)
    assert not mark.exists()


def test_an_old_pytorch_reads_no_file(torch: Any, whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pt").write_bytes(whole["a.pt"])
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(ImportError, match=r"a.pt: PyTorch 2.5.1\+cpu may execute .*; it needs 2.6 or newer"):
        tg.load_torch(tmp_path / "a.pt")


def test_bfloat16_comes_as_float32(torch: Any, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    values = torch.randn(2, 3, dtype=torch.float64)
    stored = {"a": values.bfloat16(), "b": values.half(), "c": torch.tensor(1.5, dtype=torch.bfloat16)}
    safetensors.save_file(stored, tmp_path / "a.safetensors")
    arrays, _ = tg.load_safetensors(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(arrays["a"], stored["a"].float().numpy())
    assert arrays["a"].dtype == np.float32 and arrays["b"].dtype == np.float16 and arrays["c"].shape == ()


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name, content, says in [
        ("a.onnx", b"\x08\x08\x12\x07pytorch", r"a.onnx is no file of weights alone .*; tg.load_onnx opens it"),
        ("a.bin", b"what is this", "a.bin is no ONNX, Keras, safetensors, PyTorch or .npz file"),
        ("b.bin", b"", "b.bin is damaged: it is empty"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=says):
            load_tensors(tmp_path / name)
    with pytest.raises(ValueError, match="is a folder, not a file"):
        load_tensors(tmp_path)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    arrays = {"weight_ih": np.ones((4, 2)), "weight_hh": np.eye(4)}
    np.savez(tmp_path / "a.npz", **arrays)
    (tmp_path / "a.npz").rename(tmp_path / "model.bin")
    written = tg.save_safetensors(arrays, tmp_path / "a.safetensors").rename(tmp_path / "a.pt")
    for path in (tmp_path / "model.bin", written):
        assert load_tensors(path).keys() == arrays.keys()
