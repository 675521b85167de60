"""Which format a file has: by its content, and by its name only where the content does not say."""

from __future__ import annotations

import zipfile
from pathlib import Path

__all__ = ["check_regular", "format_of"]

_SUFFIXES = {
    "onnx": ("onnx",),
    "keras": ("keras", "h5", "hdf5"),
    "safetensors": ("safetensors",),
    "pt": ("pt", "pth", "ckpt"),
    "npz": ("npz",),
    "json": ("json", "jsonl"),
}
"""How files of each format are usually called."""


def format_of(path: str | Path) -> str:
    """``"onnx"``, ``"keras"``, ``"safetensors"``, ``"pt"``, ``"npz"`` or ``"json"``.

    Nothing but its first bytes is read, and the names in a zip.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is empty or no regular file, or neither content nor suffix is known.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder{_kind_of_folder(path)}, not a file")
    check_regular(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise ValueError(f"{path} is damaged: it is empty")
    found = _by_content(path, head, size)
    if found is None:
        suffix = path.suffix.lower().removeprefix(".")
        found = next((name for name, suffixes in _SUFFIXES.items() if suffix in suffixes), None)
    if found is None:
        raise ValueError(f"{path} is no ONNX, Keras, safetensors, PyTorch or .npz file")
    return found


def check_regular(path: str | Path) -> None:
    """Refuse what cannot be read like a file: FileNotFoundError if there is none, ValueError for a pipe or device."""
    if Path(path).is_file():
        return
    if Path(path).exists() and not Path(path).is_dir():
        raise ValueError(f"{path} is a pipe or device, not a regular file")
    raise FileNotFoundError(f"there is no file {path}")


def _by_content(path: Path, head: bytes, size: int) -> str | None:
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras"
    if head.startswith(b"PK"):
        return _zipped(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return "safetensors"
    if head[0] == 0x80 and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):  # a pickle, as torch.save wrote before zips
        return "pt"
    if head[0] == 0x08 and head[1:2] < b"\x40" and head[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42"):
        return "onnx"  # the version of the format, and the field behind it
    return "json" if head.lstrip()[:1] in (b"{", b"[") else None


def _zipped(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeError, ValueError):
        return None
    if "config.json" in names and ("model.weights.h5" in names or "metadata.json" in names):
        return "keras"
    if any(name.rpartition("/")[2] in ("data.pkl", "constants.pkl") for name in names):
        return "pt"
    if any(name.endswith("models/model.json") for name in names):
        raise ValueError(f"{path} is a program of torch.export, which is not read; export it as ONNX")
    return "npz" if any(name.endswith(".npy") for name in names) else None


def _kind_of_folder(path: Path) -> str:
    return " of TensorFlow's (SavedModel)" if (path / "saved_model.pb").exists() else ""
