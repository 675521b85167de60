"""What every example is held to, and what some of them need."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import pytest

SVG = "{http://www.w3.org/2000/svg}"


def has_trained_network() -> bool:
    try:
        metadata.distribution("g2p-en")
    except metadata.PackageNotFoundError:
        return False
    return True


needs_trained_network = pytest.mark.skipif(
    not has_trained_network(), reason="g2p-en is not installed: pip install --no-deps g2p-en"
)


def assert_picture(path: Path) -> None:
    """A PNG with its signature and end, an SVG that parses and draws something, or a page that is whole."""
    data = path.read_bytes()
    if path.suffix == ".html":
        assert data.startswith(b"<!DOCTYPE html>") and data.endswith(b"</html>\n") and len(data) < 1_000_000, path
        return
    if path.suffix == ".png":
        assert data.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in data[-12:], path
    else:
        assert path.suffix == ".svg", path
        root = ElementTree.fromstring(data)
        assert root.tag == f"{SVG}svg"
        assert len(list(root.iter(f"{SVG}path"))) > 5, path


def assert_pictures(folder: Path, names: list[str], printed: str) -> None:
    """Exactly these pictures are there, well formed, and the example told of each."""
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    for name in names:
        assert_picture(folder / name)
        assert name in printed
