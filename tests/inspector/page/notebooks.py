"""Servers of notebooks, as they are installed, each in folders of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Script = Callable[[int], list[str]]


@contextmanager
def serving(folder: Path, script: Script, **environment: str) -> Iterator[str]:
    """The address of a server, which runs meanwhile; `script` is what to start, on a port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address, log = f"http://127.0.0.1:{port}", folder / "server.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, *script(port)], cwd=folder, stdout=out, stderr=out, env=home(folder) | environment
        )
    try:
        end = time.monotonic() + 60
        while not answers(address):
            assert server.poll() is None and time.monotonic() < end, log.read_text(errors="replace")[-3000:]
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=20).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def home(folder: Path) -> dict[str, str]:
    """An environment in which nothing of the user's is read or written."""
    inside = {
        name: str(folder / name.lower())
        for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH")]))
    return os.environ | inside | {"PYTHONPATH": path, "XDG_CONFIG_HOME": str(folder / "config")}


def notebook(path: Path, *cells: str) -> Path:
    """A notebook with these cells of code."""
    empty = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    made = [{**empty, "id": f"cell-{k}", "source": cell} for k, cell in enumerate(cells)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    text = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(text), encoding="utf-8")
    return path
