"""HDF5 files of strangers: what is in them, without following a link out of them or believing a size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..packages import import_package
from ..weights import printable

Array = npt.NDArray[Any]

__all__ = ["Folder", "check_heaps", "listing", "read", "strings"]

_DEEPEST, _MOST = 64, 200_000
_LARGEST_STRING = 1 << 28
_HEAP, _SIGNATURE = b"GCOL\x01\0\0\0", b"\x89HDF\r\n\x1a\n"
_NAMES = (b"model_config", b"keras_version", b"backend", b"layer_names", b"weight_names", b"dtype")
"""Of the attributes that are read; of long ones the parts are numbered."""
_ANY_LENGTH = 9
"""The class of such a type."""
_FILTERS = {1, 2, 3, 32000}
"""Deflate, shuffle, Fletcher's sums and LZF: what h5py brings along; others would be loaded from plugins."""
_SMALL, _EXPANSION = 1 << 24, 1_100
"""What may be declared without proof; above it no more than deflate could have packed into what is stored."""


def check_heaps(who: str, data: Any) -> None:
    """Refuse heaps of texts that would make the HDF5 library look for the next text without end, or for a longer one
    than there can be, for which it takes memory before it looks.

    Raises
    ------
    ValueError
        If a heap, or an object in it, has no size or reaches out of what it lies in, or if a text is said to be longer
        than its heap.
    """
    heaps: dict[int, int] = {}
    steps, start, first = 0, data.find(_HEAP), max(data.find(_SIGNATURE), 0)
    while start >= 0:
        place, end = start + 16, start + int.from_bytes(data[start + 8 : start + 16], "little")
        if end > len(data):
            raise ValueError(f"{who} is damaged: a heap at byte {start} reaches beyond the file")
        while place + 16 <= end:
            size = int.from_bytes(data[place + 8 : place + 16], "little")
            size = 16 + (size + 7) // 8 * 8 if data[place : place + 2] != b"\0\0" else size
            steps += 1
            if size < 16 or place + size > end or steps > _MOST + len(data) // 16:
                raise ValueError(f"{who} is damaged: a heap at byte {start} has no end")
            place += size
        heaps[start - first] = end - start
        start = data.find(_HEAP, start + 8)
    total = 0
    for place in _texts(data):
        length, address = (int.from_bytes(data[k : k + n], "little") for k, n in ((place, 4), (place + 4, 8)))
        total += length
        if length > heaps.get(address, 0) or total > max(_SMALL, len(data)):
            raise ValueError(f"{who} is damaged: a text at byte {place} of {length:,} bytes is in no heap of that size")


def _texts(data: Any) -> Iterator[int]:
    """Where it is written how long the texts of attributes are, and where they lie, if they may have any length."""
    for name in _NAMES:
        found = data.find(name)
        while found >= 0:
            for head in (found - 8, found - 9):
                if head >= 0 and data[head] in ((1, 2) if head == found - 8 else (3,)):
                    yield from _of_message(data, head, found, len(name))
            found = data.find(name, found + 1)


def _of_message(data: Any, head: int, place: int, least: int) -> Iterator[int]:
    """The same, of an attribute's message that begins at `head`, with its name at `place`, if it is one."""
    sizes = [int.from_bytes(data[k : k + 2], "little") for k in (head + 2, head + 4, head + 6)]
    sizes = [size + -size % 8 for size in sizes] if data[head] == 1 else sizes
    kind, space, start = (place + sum(sizes[:k]) for k in (1, 2, 3))
    if sizes[0] <= least or start + 1 >= len(data) or data[kind] & 15 != _ANY_LENGTH:
        return
    rank, dims = data[space + 1], space + (8 if data[space] == 1 else 4)
    count = math.prod(int.from_bytes(data[dims + 8 * k : dims + 8 * k + 8], "little") for k in range(rank))
    yield from range(start, min(start + 16 * count, len(data) - 11), 16)


@dataclass
class Folder:
    """A group: what is in it by name, arrays still unread."""

    group: Any
    path: str
    folders: dict[str, Folder] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)

    def everything(self) -> dict[str, Any]:
        """All arrays below, by their paths from here."""
        found = dict(self.arrays)
        for name, folder in self.folders.items():
            found |= {f"{name}/{path}": array for path, array in folder.everything().items()}
        return found


def listing(who: str, root: Any) -> Folder:
    """Everything in a group, once.

    Raises
    ------
    ValueError
        If something in it is a link to elsewhere, is there twice, or is nested too deeply.
    """
    h5py = import_package("h5py", who)
    top = Folder(root, "")
    todo, count, seen = [top], 0, {_address(h5py, root)}
    while todo:
        folder = todo.pop()
        if folder.path.count("/") > _DEEPEST:
            raise ValueError(f"{who}: {printable(folder.path)} is nested more than {_DEEPEST} deep")
        for name in folder.group:
            count += 1
            path = f"{folder.path}/{name}".removeprefix("/")
            said = f"{who}: {printable(path)}"
            if count > _MOST:
                raise ValueError(f"{who} holds more than {_MOST} objects")
            link = folder.group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{said} is a link to elsewhere ({type(link).__name__}), which is not followed")
            found = folder.group[name]
            if (address := _address(h5py, found)) in seen:
                raise ValueError(f"{said} is in the file twice")
            seen.add(address)
            if isinstance(found, h5py.Group):
                folder.folders[name] = Folder(found, path)
                todo.append(folder.folders[name])
            elif isinstance(found, h5py.Dataset):
                folder.arrays[name] = found
            else:
                raise ValueError(f"{said} is a {type(found).__name__}, neither a group nor an array")
    return top


def _address(h5py: Any, found: Any) -> Any:
    info = h5py.h5o.get_info(found.id)
    return info.fileno, info.addr


def read(who: str, dataset: Any, shape: tuple[int, ...]) -> Array:
    """The numbers of an array that must have a shape; half precision as float32.

    Raises
    ------
    ValueError
        If it has another shape, is no array of numbers, or lies elsewhere or nowhere.
    """
    said = f"{who}: {printable(dataset.name)}"
    if dataset.shape != shape:
        raise ValueError(f"{said} has shape {dataset.shape}, must have {shape}")
    is_bfloat = dataset.dtype == np.dtype("V2") and strings(who, dataset, "dtype") == ["bfloat16"]
    if dataset.dtype.kind not in "fiub" and not is_bfloat:
        raise ValueError(f"{said} holds {printable(str(dataset.dtype))}, not numbers")
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"{said} lies in another file, which is not read")
    plist = dataset.id.get_create_plist()
    filters = {plist.get_filter(k)[0] for k in range(plist.get_nfilters())}
    if filters - _FILTERS:
        raise ValueError(f"{said} is packed by filters that are not known: {sorted(filters - _FILTERS)}")
    declared, stored = math.prod(shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if declared > max(_SMALL, _EXPANSION * stored):
        raise ValueError(f"{said} declares {declared:,} bytes, of which {stored:,} are stored")
    array = np.asarray(dataset[()])
    if is_bfloat:
        return (array.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    if array.dtype.kind == "f" and array.dtype.itemsize < 4:
        return array.astype(np.float32)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else None


def strings(who: str, group: Any, name: str) -> list[str]:
    """The texts of an attribute, or of its parts, which Keras numbers where it is long; empty if there is none.

    Raises
    ------
    ValueError
        If it holds anything else.
    """
    h5py = import_package("h5py", who)
    assert name.encode() in _NAMES
    found: list[str] = []
    for key in [name] if name in group.attrs else (f"{name}{k}" for k in range(_MOST)):
        if key not in group.attrs:
            break
        said = f"{who}: attribute {key} of {printable(group.name)}"
        kind = group.attrs.get_id(key)
        is_text = kind.dtype.kind == "S" or h5py.check_string_dtype(kind.dtype) is not None
        is_text = is_text and not kind.get_type().committed()  # or its size is written elsewhere
        count = math.prod(kind.shape or (1,))
        if count == 0:
            continue
        most = min(_LARGEST_STRING, group.file.id.get_filesize())
        if not is_text or count > _MOST or count * kind.dtype.itemsize > most:
            raise ValueError(f"{said} is no text, or longer than the file")
        for value in np.atleast_1d(np.asarray(group.attrs[key], object)).ravel():
            text = _text(value)
            if text is None:
                raise ValueError(f"{said} is no text")
            found.append(text)
    return found
