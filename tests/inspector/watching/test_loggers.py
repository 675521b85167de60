"""The callbacks that docs/pytorch.md shows, run with the loggers that they are for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import inspector

PAGE = Path(__file__).resolve().parents[3] / "docs" / "pytorch.md"


def block(name: str, **names: Any) -> dict[str, Any]:
    """What a block of the page defines."""
    found = re.search(
        rf"^```python no-run {name}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    exec(compile(found[1], f"{PAGE.name}:{name}", "exec"), names)
    return names


def watched(torch: Any) -> Any:
    module = torch.nn.GRU(2, 3)
    watching = inspector.watch(module, every=1)
    for _ in range(2):
        module(torch.randn(8, 1, 2))[0][-1].sum().backward()
    return watching


def test_whatever_has_a_log(torch: Any) -> None:
    class Logger:
        def __init__(self) -> None:
            self.logged: dict[str, float] = {}

        def log(self, values: dict[str, float], step: int) -> None:
            self.logged |= values

    logger = Logger()
    block("log", inspector=inspector, watching=watched(torch))["log"](logger, 2)
    assert 0 < logger.logged["half-life/h"] < 8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_tensorboard(torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    monkeypatch.chdir(tmp_path)
    names = block("tensorboard", inspector=inspector, watching=watched(torch))
    names["write"](2)
    names["writer"].close()
    assert sum(path.stat().st_size for path in (tmp_path / "runs").iterdir()) > 10_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_lightning(
    torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lightning = pytest.importorskip("lightning", reason="pip install lightning")
    monkeypatch.chdir(tmp_path)

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = torch.nn.GRU(2, 3, batch_first=True)

        def training_step(self, batch: Any, index: int) -> Any:
            return self.rnn(batch[0])[0].pow(2).mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(8, 5, 2)), batch_size=4)
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[block("lightning", inspector=inspector)["WatchGradients"]()],
    )
    trainer.fit(Module(), data)
    assert "half-life/h" in trainer.logged_metrics
    assert "agrees to" in capsys.readouterr().out
