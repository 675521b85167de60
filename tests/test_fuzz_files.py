"""Damaged files of every format end in a model or in an error that is documented; see fuzz_files.py."""

from __future__ import annotations

import io
import json
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests import fuzz_files
from tinygrad_rnn.interop import tensor_files

pytest.importorskip("h5py", reason="Keras' files need pip install tinygrad-rnn[keras]")


def told(number: int, seed: int, files: dict[str, bytes]) -> tuple[int, str]:
    """How many mutants were read and refused, and what was wrong."""
    wrong: list[str] = []
    counts = fuzz_files.fuzz(files, seed, range(number), lambda name, k, text: wrong.append(f"{name}, {k}: {text}"))
    return sum(counts.values()), "\n".join(wrong)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return fuzz_files.seeds()


def test_mutants_of_real_files_are_read_or_refused(files: dict[str, bytes]) -> None:
    assert told(100, 20261129, files) == (100, "")


@pytest.mark.slow
def test_more_mutants_of_real_files_are_read_or_refused(files: dict[str, bytes], torch: Any) -> None:
    assert told(300, 1, fuzz_files.seeds(torch)) == (300, "")


def test_what_a_reader_does_wrong_is_noticed(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(path: Path) -> str:
        content = path.read_bytes()
        if content.startswith(b"dies"):
            raise SystemExit
        if content.startswith(b"writes"):
            Path("elsewhere").touch()
        if content.startswith(b"steers"):
            fuzz_files._printable("\x1b[2J", path)
        return "opened"

    monkeypatch.setattr(fuzz_files, "read", careless)
    monkeypatch.setattr(fuzz_files, "mutant", lambda data, rng: data)
    names = [b"dies", b"opens", b"steers", b"writes"]
    number, wrong = told(4, 0, {name.decode(): name for name in names})
    assert number == 7 and [line.partition(",")[0] for line in wrong.splitlines() if ", " in line][:1] == ["dies"]
    assert "SystemExit" in wrong and "steers a terminal: '\\x1b[2J'" in wrong and "wrote ['elsewhere']" in wrong


def test_mutants_are_those_of_their_number_and_reach_inside(files: dict[str, bytes]) -> None:
    rng = np.random.default_rng
    data = files["tagger.keras"]
    assert fuzz_files.mutant(data, rng([0, 3])) == fuzz_files.mutant(data, rng([0, 3]))
    changed = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [fuzz_files.changed_zip(data, rng(k)) for k in range(40)]
    for one in found:
        with zipfile.ZipFile(io.BytesIO(one)) as archive:
            assert archive.testzip() is None  # sums are right, so that what is inside is read
            if "config.json" in archive.namelist():
                text = archive.read("config.json")
                changed += text not in data
    assert changed > 3


# -------------------------------------------------------------------------- what nobody hits by chance


def npz(folder: Path, *parts: tuple[str, bytes], packed: bool = False) -> Path:
    path = folder / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for part in parts:
            archive.writestr(*part)
    return path


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(118)
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + data


HEADERS = {
    "oversized": ("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }", "is larger than the file"),
    "negative": ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", "is larger than the file"),
    "objects": ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "objects of Python's"),
    "code": ("__import__('os').system('touch run')", "malformed node"),
    "deep": ("(" * 100 + ")" * 100, "is damaged"),
    "unended": ("{'descr': '<f8', 'fortran_order", "is damaged"),
    "short": ("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }", "it ends too early"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_numpy_arrays_are_not_believed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    header, says = HEADERS[name]
    with pytest.raises(ValueError, match=says):
        tg.load_torch(npz(tmp_path, ("weight_ih.npy", npy(header, b"x" * 10))))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_a_zip_that_unpacks_to_much_more_than_it_is_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_files, "_FREE", 1 << 20)
    zeros = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (50000,), }", bytes(400_000))
    path = npz(tmp_path, *[(f"{k}.npy", zeros) for k in range(3)], packed=True)
    with pytest.raises(ValueError, match=r"it would unpack to 1,200,.* bytes"):
        tg.load_torch(path)


def test_so_is_one_of_pytorchs(torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_files, "_FREE", 1 << 20)
    torch.save({"weight_ih": torch.zeros(4, 2)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as whole, zipfile.ZipFile(tmp_path / "b.pt", "w") as bomb:
        for part in whole.infolist():
            is_data = part.filename.endswith("/0")
            content = bytes(5_000_000) if is_data else whole.read(part)
            bomb.writestr(part.filename, content, zipfile.ZIP_DEFLATED if is_data else zipfile.ZIP_STORED)
    with pytest.raises(ValueError, match=r"it would unpack to 5,000,.* bytes"):
        tg.load_torch(tmp_path / "b.pt")


@pytest.mark.parametrize("suffix", ["keras", "h5", "onnx", "npz", "safetensors", "json"])
def test_a_file_of_zeros_is_refused_without_reading_all_of_it(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    with path.open("wb") as file:
        file.truncate(1 << 32)  # which takes no room on the disk
    start = time.process_time()
    if suffix == "json":
        with pytest.raises(ValueError, match="larger than a record"):
            fuzz_files.describe_record(path)
    else:
        assert fuzz_files.read(path) == "refused"
    assert time.process_time() - start < 0.5


def test_a_safetensors_file_is_as_large_as_it_says(tmp_path: Path) -> None:
    for entry in (
        {"dtype": "F64", "shape": [10**12], "data_offsets": [0, 8 * 10**12]},
        {"dtype": "F64", "shape": [-1], "data_offsets": [0, 8]},
        {"dtype": "F64", "shape": [2], "data_offsets": [0, 8]},
    ):
        header = json.dumps({"weight_ih": entry}).encode()
        path = tmp_path / "a.safetensors"
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
        with pytest.raises(ValueError, match=r"a\.safetensors is damaged"):
            tg.load_torch(path)
