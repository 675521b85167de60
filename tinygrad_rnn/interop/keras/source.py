"""The two kinds of files in which Keras keeps whole models: .keras and .h5."""

from __future__ import annotations

import io
import mmap
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..file_format import check_regular
from ..packages import import_package
from ..weights import printable
from .config import parse
from .hdf5 import Folder, check_heaps, listing, strings

__all__ = ["Source", "opened"]

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_LARGEST_TEXT = 1 << 26
_FREE, _EXPANSION = 1 << 28, 100
"""A part of a zip up to this size, or to so many times what is stored of it; Keras stores without packing."""

_DAMAGED = (
    OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, KeyError, OverflowError,
    UnicodeError, MemoryError, TypeError,
)  # fmt: skip
"""What the readers of zip and HDF5 make of a damaged file."""


@dataclass
class Source:
    """What a file holds.

    Attributes
    ----------
    name : str
        Of the file.
    model : dict
        The JSON object of the model.
    version : tuple of int
    producer : str
    weights : Folder
    is_legacy : bool
        Whether weights are listed by layer, as in an .h5 file.
    """

    name: str
    model: dict[str, Any]
    version: tuple[int, ...]
    producer: str
    weights: Folder
    is_legacy: bool


@contextmanager
def opened(path: str | Path) -> Iterator[Source]:
    """A file of Keras', as long as its weights are read.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, too large for what is stored, or holds no model.
    ImportError
        If h5py is not installed.
    """
    name = Path(path).name
    if Path(path).is_dir():
        raise FileNotFoundError(
            f"there is no file {path} (a folder is no file; TensorFlow's SavedModel is not supported)"
        )
    check_regular(path)
    if not Path(path).stat().st_size:
        raise ValueError(f"{printable(name)} is empty")
    h5py = import_package("h5py", "load_keras")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                parts = _parts(name, archive)
            check_heaps(printable(name), parts[_WEIGHTS])
            with h5py.File(io.BytesIO(parts[_WEIGHTS]), "r") as file:
                yield _zipped(name, parts, listing(name, file))
        elif not h5py.is_hdf5(path):  # before all of it is searched
            raise ValueError(f"{printable(name)} is damaged, or no file of Keras': it is neither a zip nor HDF5")
        else:
            with Path(path).open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
                check_heaps(printable(name), data)
            with h5py.File(path, "r") as file:
                yield _single(name, file)
    except _DAMAGED as error:
        raise ValueError(f"{printable(name)} is damaged, or no file of Keras': {printable(str(error))}") from None


def _parts(name: str, archive: zipfile.ZipFile) -> dict[str, bytes]:
    """The three files inside, by their names; others are left alone."""
    names = [info.filename for info in archive.infolist()]
    found = {}
    for part in (_CONFIG, _METADATA, _WEIGHTS):
        if names.count(part) != 1:
            count = "twice" if part in names else "not"
            hint = "; its weights are in a form that is not supported" if part == _WEIGHTS and part not in names else ""
            raise ValueError(f"{printable(name)}: {part} is {count} in the file{hint}")
        info = archive.getinfo(part)
        most = _LARGEST_TEXT if part != _WEIGHTS else max(_FREE, _EXPANSION * info.compress_size)
        if info.file_size > most:
            raise ValueError(f"{printable(name)}: {part} is {info.file_size:,} bytes, packed in {info.compress_size:,}")
        with archive.open(info) as file:
            found[part] = file.read(most + 1)
        if len(found[part]) > most:
            raise ValueError(f"{printable(name)}: {part} is larger than it says")
    return found


def _zipped(name: str, parts: dict[str, bytes], weights: Folder) -> Source:
    metadata = parse(f"{name}: {_METADATA}", parts[_METADATA])
    said = str(metadata.get("keras_version", ""))
    version = _version(name, said)
    return Source(name, parse(f"{name}: {_CONFIG}", parts[_CONFIG]), version, f"Keras {said}", weights, False)


def _single(name: str, file: Any) -> Source:
    h5py = import_package("h5py", "load_keras")
    model = strings(name, file, "model_config")
    if not model:
        hint = ": it holds weights alone" if "layer_names" in file.attrs or "layers" in file else ""
        raise ValueError(f"{printable(name)} holds no model{hint}; save the whole one, with model.save")
    if file.get("model_weights", getclass=True, getlink=True) is not h5py.HardLink:
        raise ValueError(f"{printable(name)} has no group model_weights")
    if len(model) != 1 or len(model[0]) > _LARGEST_TEXT:
        raise ValueError(f"{printable(name)}: model_config is no text of a usual size")
    group = file["model_weights"]
    if not isinstance(group, h5py.Group):
        raise ValueError(f"{printable(name)}: model_weights is no group")
    said = {key: [*strings(name, file, key), *strings(name, group, key), ""][0] for key in ("keras_version", "backend")}
    version = _version(name, said["keras_version"] or "1")
    producer = f"Keras {said['keras_version']}" + f", backend {said['backend']}" * bool(said["backend"])
    config = parse(f"{name}: model_config", model[0])
    return Source(name, config, version, producer, listing(name, group), True)


def _version(name: str, text: str) -> tuple[int, ...]:
    found = re.match(r"(\d{1,4})(?:\.(\d{1,4}))?", text)
    if found is None or not 2 <= int(found[1]) <= 3:
        raise ValueError(f"{printable(name)} was written by Keras {printable(text) or '?'}; versions 2 and 3 are known")
    return tuple(int(number or 0) for number in found.groups())
