"""A file is whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinygrad_rnn import files


@pytest.mark.parametrize("content", ["tëxt\n", b"\x00bytes"])
def test_content_is_written_as_it_is(content: str | bytes, tmp_path: Path) -> None:
    path = files.write(tmp_path / "file", content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.write(tmp_path / "file", "old")
    monkeypatch.setattr(Path, "replace", lambda self, target: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        files.write(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_missing_folder_and_a_folder_as_target_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no folder {tmp_path / 'none'}"):
        files.write(tmp_path / "none" / "file", "text")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        files.write(tmp_path, "text")
