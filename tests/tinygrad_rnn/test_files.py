"""A file is whole or not there, whatever fails and whoever is killed."""

from __future__ import annotations

import csv
import errno
import itertools
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.failures import failing
from tinygrad_rnn import files


@pytest.fixture(params=["without a name", "by name"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to make a file; elsewhere than on Linux there is only the second."""
    if request.param == "by name":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no files without a name")
    return str(request.param)


@pytest.fixture
def umask() -> Iterator[int]:
    mask = 0o027
    before = os.umask(mask)
    yield mask
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", ["tëxt\n", b"\x00bytes"])
def test_content_is_written_as_it_is(content: str | bytes, tmp_path: Path, way: str) -> None:
    for _ in range(2):
        path = files.write(tmp_path / "file", content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("old", [None, "old"])
def test_whichever_call_fails_the_file_is_old_or_new_and_nothing_lies_beside_it(
    old: str | None, tmp_path: Path, way: str
) -> None:
    path = tmp_path / "file"
    for number, for_ever in itertools.product((errno.ENOSPC, errno.EIO), (False, True)):
        for k in itertools.count(1):
            path.unlink(missing_ok=True)
            if old is not None:
                path.write_text(old)
            failed = None
            with failing(k, number, for_ever) as calls:
                try:
                    files.write(path, "new content")
                except OSError as error:
                    failed = error
            found = path.read_text() if path.exists() else None
            if failed is None:
                assert found == "new content"
            else:
                assert failed.errno == number and failed.filename == str(path)
                assert found in (old, "new content")
                assert found == old or calls.made[-1] in ("open", "fsync"), (
                    "with the new file there, only its folder can fail"
                )
            litter = [name for name in names(tmp_path) if name != "file"]
            assert not litter or (calls.struck and calls.made[k - 1] == "unlink")
            for name in litter:
                (tmp_path / name).unlink()
            if not calls.struck:
                break
        assert k > 5


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(tmp_path: Path, way: str) -> None:
    files.write(tmp_path / "file", "old")
    with failing(10**6) as calls:
        files.write(tmp_path / "file", "new content")
    named = calls.made.index("replace")
    assert "fsync" in calls.made[calls.made.index("write") : named] and calls.made[named + 1 :] == ["open", "fsync"]


def test_what_a_failing_system_says_is_said_of_the_file_asked_for(tmp_path: Path) -> None:
    with (
        failing(1, errno.EROFS, for_ever=True),
        pytest.raises(OSError, match=r"Read-only file system: '.*picture\.svg'"),
    ):
        files.write(tmp_path / "picture.svg", "text")


def test_a_new_file_has_the_usual_mode_and_an_old_one_keeps_its_own(
    tmp_path: Path, way: str, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "umask", None)  # it is the whole process's, so that other threads would see it change
        path = files.write(tmp_path / "file", "old")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    for mode in (0o600, 0o664, 0o755):
        path.chmod(mode)
        files.write(path, "new")
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_links_are_followed_and_stay(tmp_path: Path, way: str) -> None:
    (tmp_path / "away").mkdir()
    target = files.write(tmp_path / "away" / "file", "old")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "second").symlink_to("link")
    (tmp_path / "dangling").symlink_to(tmp_path / "away" / "other")
    assert files.write(tmp_path / "second", "new") == tmp_path / "second"
    files.write(tmp_path / "dangling", "made")
    assert target.read_text() == "new" and (tmp_path / "away" / "other").read_text() == "made"
    assert all((tmp_path / name).is_symlink() for name in ("link", "second", "dangling"))
    assert names(tmp_path / "away") == ["file", "other"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a link to another user")
def test_a_link_that_somebody_planted_in_a_shared_folder_is_not_followed(tmp_path: Path) -> None:
    own, shared = files.write(tmp_path / "own", "precious"), tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "report.html").symlink_to(own)
    os.lchown(shared / "report.html", 12345, 12345)
    for write in (files.write, files.append):
        with pytest.raises(PermissionError, match=r"another user: '.*report\.html'"):
            write(shared / "report.html", b"other")
    assert own.read_text() == "precious"
    shared.chmod(0o755)
    files.write(shared / "report.html", "in a folder of one's own it is meant")
    assert own.read_text() != "precious"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    files.write(tmp_path / "pipe", "through")
    reader.join()
    assert read == ["through"] and (tmp_path / "pipe").is_fifo()


def test_several_writers_of_one_file_all_succeed(tmp_path: Path, way: str) -> None:
    contents = [f"{k}" * 10_000 for k in range(4)]
    failures: list[BaseException] = []

    def work(content: str) -> None:
        try:
            for _ in range(30):
                files.write(tmp_path / "file", content)
                assert (tmp_path / "file").read_text() in contents
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and names(tmp_path) == ["file"]


@pytest.mark.parametrize("gone", [False, True])
def test_what_a_killed_process_left_behind_is_removed(
    tmp_path: Path, way: str, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Stands for a process that ends here: nothing is cleaned up."""

    def die(*_: object) -> None:
        raise Killed

    path = files.write(tmp_path / "file", "old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        patch.setattr(files, "_remove", lambda path: None)
        with pytest.raises(Killed):
            files.write(path, "new")
    (left,) = [name for name in names(tmp_path) if name != "file"]
    if gone:
        path.unlink()
    if way == "by name":
        files.write(path, "newer")
        assert left in names(tmp_path), "it could be a process that is writing now"
        os.utime(tmp_path / left, (0, time.time() - 2 * 3600))
    files.write(path, "newest")
    assert names(tmp_path) == ["file"] and path.read_text() == "newest"


@pytest.mark.slow
def test_killed_at_any_moment_the_file_is_whole_and_alone(tmp_path: Path) -> None:
    script = (
        "import runpy, sys\nwrite = runpy.run_path(sys.argv[1])['write']\n"  # the file alone, which is there at once
        "for k in range(10**9):\n    write(sys.argv[2], str(k % 10) * 3_000_000)\n    print(k, flush=True)\n"
    )
    path = tmp_path / "file"
    for k in range(12):
        child = subprocess.Popen([sys.executable, "-c", script, files.__file__, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.003 * k)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        text = path.read_text()
        assert len(text) == 3_000_000 and len(set(text)) == 1
        files.write(path, "x")
        assert names(tmp_path) == ["file"] or not hasattr(os, "O_TMPFILE")


def test_a_missing_folder_and_a_folder_as_target_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no folder {tmp_path / 'none'}"):
        files.write(tmp_path / "none" / "file", "text")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        files.write(tmp_path, "text")


def test_half_a_surrogate_pair_is_written_as_an_escape(tmp_path: Path) -> None:
    assert files.write(tmp_path / "file", "a\udc80é").read_text(encoding="utf-8") == r"a\udc80é"


def test_lines_are_added_to_what_is_there(tmp_path: Path) -> None:
    for k in range(3):
        files.append(tmp_path / "file", b"%d\n" % k)
    assert (tmp_path / "file").read_bytes() == b"0\n1\n2\n"


# ------------------------------------------------------------------------------------------------ CSV


def read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_numbers_stay_numbers_and_formulas_become_text(tmp_path: Path) -> None:
    hostile = ["=cmd|' /C calc'!A0", "+1+1", "-1-1", "@SUM(A1)", "\tx", "\rx"]
    harmless = ["-1.5", "+3e-7", "-inf", "h", "", "a=b", "'quoted'", "tab\tin it"]
    path = files.write_csv(tmp_path / "a.csv", ["name", "=value"], [[name, -1.5] for name in hostile + harmless])
    assert read(path) == [["name", "'=value"], *([f"'{n}", "-1.5"] for n in hostile), *([n, "-1.5"] for n in harmless)]


@given(
    st.lists(
        st.lists(st.text() | st.floats(allow_nan=False) | st.integers() | st.none(), min_size=2, max_size=2), max_size=4
    )
)
def test_every_table_reads_back(tmp_path_factory: pytest.TempPathFactory, rows: list[list[object]]) -> None:
    found = read(files.write_csv(tmp_path_factory.getbasetemp() / "table.csv", ["a", "b"], rows))
    assert len(found) == len(rows) + 1
    for texts, row in zip(found[1:], rows, strict=True):
        for text, value in zip(texts, row, strict=True):
            if isinstance(value, (int, float)):
                assert type(value)(text) == value
            else:
                assert text.removeprefix("'") == ("" if value is None else value).removeprefix("'")
                assert not text.startswith(("=", "@", "\t", "\r"))


@pytest.mark.parametrize("path", ["a.svg", "B.SVG", Path("folder.png/.hidden.svg")])
def test_a_known_suffix_is_found(path: str | Path) -> None:
    assert files.suffix_of(path, ("svg", "png")) == "svg"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a.txt", "'a.txt' must end in .svg, .png or .pdf"),
        ("a", "'a' must end in .svg, .png or .pdf"),
        ("svg", "'svg' must end in .svg, .png or .pdf"),
        ("", "'' is no name of a file; one such as 'a.svg' must end in .svg, .png or .pdf"),
        ("x/.PNG", "'x/.PNG' is no name of a file; one such as 'a.svg' must end in .svg, .png or .pdf"),
    ],
)
def test_an_unknown_suffix_is_refused_in_one_wording(path: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        files.suffix_of(path, ("svg", "png", "pdf"))
