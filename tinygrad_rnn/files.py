"""Files that are whole or not there, whatever fails on the way, and that outlast a power cut; tables as CSV."""

from __future__ import annotations

import contextlib
import csv
import errno
import glob
import os
import stat
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

__all__ = ["append", "check", "suffix_of", "write", "write_csv"]

_STALE = 3600.0


def write(path: str | Path, content: str | bytes, *, mode: int | None = None) -> Path:
    r"""Write `content` to `path`; whatever stood there before stays until the new file is complete and on the disk.

    A file that is replaced keeps its mode, and a link goes on leading to it; a link of another user in a folder where
    all may write is refused. A process that is killed leaves nothing behind on Linux, but in the instant of the
    replacement a hidden copy that the next write to `path` removes. Where the system has no files without a name it is
    a hidden part of the new file, which a write an hour later removes.

    Parameters
    ----------
    path : path
    content : str or bytes
        Text is written as UTF-8; half a surrogate pair, which UTF-8 cannot hold, as ``\udc80``.
    mode : int, optional
        Of a new file, such as ``0o600``; what is usual when omitted.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    IsADirectoryError
        If `path` is a folder.
    OSError
        Of the system's own kind, naming `path`, if it cannot be written; what stood there is untouched.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import tinygrad_rnn as tg
    >>> tg.files.write(Path(tempfile.mkdtemp()) / "a.txt", "whole").read_text()
    'whole'
    """
    check(path)
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with _naming(path):
        target = _follow(Path(path))
        if Path(path).exists() and not Path(path).is_file():  # a device or a pipe has nothing that could be kept
            Path(path).write_bytes(data)
        else:
            _replace(target, data, mode)
    return Path(path)


def check(path: str | Path) -> None:
    """Find out before the work whether :func:`write` has a place for its result.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    IsADirectoryError
        If `path` is a folder.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {target.parent}")
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder")


def suffix_of(path: str | Path, known: Iterable[str]) -> str:
    """The suffix of a file's name, without the dot and in lower case, which has to be a known one.

    Raises
    ------
    ValueError
        If it is not, or nothing stands before it.

    Examples
    --------
    >>> import tinygrad_rnn as tg
    >>> tg.files.suffix_of("out/LSTM.SVG", ["svg", "png"])
    'svg'
    """
    name, suffixes = Path(path).name.lower(), [f".{suffix}" for suffix in known]
    found = Path(name).suffix
    if found in suffixes:
        return found[1:]
    *others, last = suffixes
    wanted = f"{', '.join(others)} or {last}" if others else last
    if name in ("", *suffixes):
        raise ValueError(f"{str(path)!r} is no name of a file; one such as 'a{suffixes[0]}' must end in {wanted}")
    raise ValueError(f"{str(path)!r} must end in {wanted}")


def append(path: str | Path, data: bytes) -> None:
    """Add to the end of a file, which is made if it is not there; the data are on the disk when this returns.

    Raises
    ------
    OSError
        Naming `path`; a part of `data` may then stand at the end of the file.
    """
    with _naming(path):
        target = _follow(Path(path))
        is_new = not target.exists()
        with _open(target, os.O_APPEND | os.O_CREAT) as handle:
            _put(handle, data)
        if is_new:
            _sync(target.parent)


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write a table that is safe to open in a spreadsheet, with :func:`write`.

    Text that a spreadsheet would take for a formula (it begins with ``= + - @``, a tab or a carriage return, and is no
    number) gets an apostrophe in front. Numbers are written so that they read back to the same bits.

    Parameters
    ----------
    path : path
    header : sequence of str
    rows : iterable of sequences
        Of text and numbers; ``None`` is an empty cell.

    Returns
    -------
    Path
    """
    lines: list[str] = []
    table = csv.writer(SimpleNamespace(write=lines.append))  # ends rows with \r\n, so that it quotes both within a cell
    table.writerow([_cell(name) for name in header])
    table.writerows([_cell(value) for value in row] for row in rows)
    return write(path, "".join(line.removesuffix("\r\n") + "\n" for line in lines))


def _cell(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


# --------------------------------------------------------------------------------------- the system


@contextlib.contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """What fails inside is said of `path`, not of a temporary name."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _follow(path: Path) -> Path:
    """Where a path leads; not through a link that somebody else may have planted in a folder where all may write,
    such as /tmp.
    """
    if path.is_symlink():
        link, folder = path.lstat(), path.parent.stat()
        is_shared = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
        if is_shared and link.st_uid not in (os.geteuid(), folder.st_uid):
            raise PermissionError(errno.EACCES, "This link belongs to another user")
    return Path(os.path.realpath(path))


def _replace(target: Path, data: bytes, mode: int | None) -> None:
    """Write beside `target` and rename, which the system does at once or not at all."""
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else mode
    part = f".{target.name[:40]}-{zlib.crc32(os.fsencode(target.name)):08x}"
    try:
        _replace_unnamed(target, part, data, mode)
    except (
        AttributeError,
        OSError,
    ):  # no such files here, or an error, which the plain way meets again if it is more than that
        _replace_named(target, part, data, mode)
    _sync(target.parent)


def _replace_unnamed(target: Path, part: str, data: bytes, mode: int | None) -> None:
    """By a file without a name, which the system removes should this process die."""
    with _open(target.parent, os.O_TMPFILE) as handle:
        _put(handle, data, mode)
        _name(f"/proc/self/fd/{handle}", target, target.with_name(f"{part}.part"))


def _name(source: str, target: Path, part: Path) -> None:
    """Give an open file the place of `target`."""

    def link(place: Path) -> None:
        os.link(source, place, src_dir_fd=0)  # any src_dir_fd makes Python follow the link that `source` is

    _remove(part)  # of a process that was killed
    with contextlib.suppress(FileExistsError):
        link(target)
        return
    for _ in range(100):  # two writers of the same file may remove each other's part; then each tries again
        try:
            link(part)
            part.replace(target)
            return
        except FileExistsError:
            _remove(part)
        except FileNotFoundError:
            continue
        except OSError:
            _remove(part)
            raise
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _replace_named(target: Path, part: str, data: bytes, mode: int | None) -> None:
    """By a hidden file, which a killed process leaves behind."""
    for other in target.parent.glob(f"{glob.escape(part)}.*.part"):
        with contextlib.suppress(OSError):
            if other.stat().st_mtime < time.time() - _STALE:
                other.unlink()
    place = target.with_name(f"{part}.{os.urandom(4).hex()}.part")
    try:
        with _open(place, os.O_CREAT | os.O_EXCL) as handle:
            _put(handle, data, mode)
        place.replace(target)
    except BaseException:
        _remove(place)
        raise


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


@contextlib.contextmanager
def _open(path: Path, flags: int) -> Iterator[int]:
    handle = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0) | flags, 0o666)
    try:
        yield handle
    finally:
        os.close(handle)


def _put(handle: int, data: bytes, mode: int | None = None) -> None:
    """Write all of the data, and onto the disk."""
    if mode is not None and hasattr(os, "fchmod"):
        os.fchmod(handle, mode)
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]
    os.fsync(handle)


def _sync(folder: Path) -> None:
    """A name is on the disk only when its folder is."""
    if os.name == "nt":
        return
    with contextlib.suppress(PermissionError):  # one may write there, but not list
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that knows no such thing
                raise
        finally:
            os.close(handle)
