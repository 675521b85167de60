"""`inspector watch`: a script runs as it is, and at the end its recurrent parts are told of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inspector.cli.main import main

SCRIPT = """
import sys
import torch
import beside

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.RNN(2, 5)
        self.out = torch.nn.Linear(5, 1)

    def forward(self, x):
        return self.out(self.rnn(x)[0][-1])

if __name__ == "__main__":
    torch.manual_seed(0)
    model = Model()
    for step in range(beside.STEPS):
        model(torch.randn(30, 2, 2)).sum().backward()
        if step == 3:
            exec(sys.argv[1] if len(sys.argv) > 1 else "")
    print("trained", sys.argv[1:])
"""


@pytest.fixture
def script(torch: Any, tmp_path: Path) -> str:
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "beside.py").write_text("STEPS = 6")
    return str(tmp_path / "train.py")


def test_a_script_that_trains(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", script, "pass", "--epochs", "3"]) == 0
    out = capsys.readouterr().out
    assert "trained ['pass', '--epochs', '3']" in out
    assert "Model\n" in out
    row = next(line for line in out.splitlines() if line.startswith("rnn"))
    assert "RNN(2, 5)" in row and "T=30" in row and "vanishes" in row and "agrees to" in row


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("raise KeyboardInterrupt", 130, ""),
        ("raise ValueError('broken')", 1, "ValueError: broken"),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no data')", 1, "no data"),
        ("sys.exit()", 0, ""),
    ],
)
def test_a_script_that_ends_before_its_time(
    script: str, end: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", script, end]) == code
    out, err = capsys.readouterr()
    assert "agrees to" in out
    assert said in err
    assert "runpy" not in err and "watching" not in err


def test_pages_and_the_decay_over_training(script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--every", "2", "--report", str(tmp_path / "pages"), script]) == 0
    out = capsys.readouterr().out
    assert "3 training steps, 1 to 5" in out
    assert (tmp_path / "pages" / "rnn.html").read_text().startswith("<!DOCTYPE html>")
    assert (tmp_path / "pages" / "Model-training.svg").exists()
    assert "rnn.html" in out


def test_scripts_with_nothing_to_watch(torch: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.py").write_text("import torch\ntorch.nn.Linear(2, 3)(torch.ones(1, 2)).sum().backward()")
    assert main(["watch", str(tmp_path / "train.py")]) == 0
    assert "no model with a recurrent part" in capsys.readouterr().out
    assert main(["watch", str(tmp_path / "nothing.py")]) == 2
    assert "there is no script" in capsys.readouterr().err


@pytest.mark.slow  # what PyTorch imports to compile takes seconds
@pytest.mark.filterwarnings("ignore:Using `torch.compile:UserWarning")
def test_a_script_that_compiles_its_model(torch: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.py").write_text(
        "import torch\ntorch.compile(torch.nn.GRU(2, 3), backend='eager')(torch.ones(1, 1, 2))"
    )
    main(["watch", str(tmp_path / "train.py")])
    assert "compiled (torch.compile)" in capsys.readouterr().out


def test_a_part_called_before_its_model_is_watched_once(
    torch: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text(
        "import torch\n"
        "whole = torch.nn.Sequential(torch.nn.GRU(2, 3))\n"
        "other = torch.nn.GRU(3, 3)\n"
        "for _ in range(2):\n"
        "    part = whole[0](torch.ones(5, 1, 2))[0]\n"
        "    (whole(torch.ones(5, 1, 2))[0].sum() + other(part)[0].sum()).backward()\n"
    )
    assert main(["watch", str(tmp_path / "train.py")]) == 0
    out = capsys.readouterr().out
    assert out.count("agrees to") == 2
    assert "(2 calls)" in out


def test_the_hooks_are_gone_afterwards(script: str) -> None:
    from torch.nn.modules import module

    before = len(module._global_forward_hooks), len(module._global_forward_pre_hooks)
    main(["watch", script, "raise KeyboardInterrupt"])
    assert (len(module._global_forward_hooks), len(module._global_forward_pre_hooks)) == before


def test_a_script_that_goes_elsewhere_and_trains_in_a_thread(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "train.py").write_text(
        "import os, threading, time, torch\n"
        "os.chdir('other')\n"
        "models = [torch.nn.Sequential(torch.nn.GRU(2, 3)) for _ in range(2)]\n"
        "def work():\n"
        "    time.sleep(0.2)\n"
        "    for model in models:\n"
        "        model(torch.ones(5, 1, 2))[0].sum().backward()\n"
        "threading.Thread(target=work).start()\n"
    )
    assert main(["watch", "--report", "pages", script]) == 0
    assert capsys.readouterr().out.count("agrees to") == 2
    assert {page.name for page in (tmp_path / "pages").iterdir()} == {"0.html", "0-2.html"}
