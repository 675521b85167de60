"""What cannot be watched or looked at is said, with what to do."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import inspector


def test_what_is_no_model(torch: Any) -> None:
    with pytest.raises(TypeError, match=r"needs a torch\.nn\.Module, got dict"):
        inspector.watch({})
    with pytest.raises(ValueError, match=r"Linear has no recurrent part.*from_torch"):
        inspector.watch(torch.nn.Linear(2, 3))
    for options in ({"every": 0}, {"every": True}, {"max_batch": -1}, {"every": 1.5}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be a positive number"):
            inspector.watch(torch.nn.GRU(2, 3), **options)


@pytest.mark.slow  # what PyTorch imports to compile takes seconds
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_and_compiled_parts(torch: Any) -> None:
    class Model(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = torch.nn.GRU(2, 3)

        def forward(self, x: Any) -> Any:
            return self.rnn(x)[0]

    with pytest.raises(TypeError, match="0 is scripted"):
        inspector.watch(torch.jit.script(torch.nn.Sequential(torch.nn.GRU(2, 3))))
    with pytest.raises(TypeError, match=r"rnn is compiled.*that was given to torch\.compile"):
        inspector.watch(torch.compile(Model()))
    whole = Model()
    whole.compile()
    with pytest.raises(TypeError, match="rnn is compiled"):
        inspector.watch(whole)


def test_names(torch: Any) -> None:
    model = torch.nn.ModuleDict({"encoder": torch.nn.GRU(2, 3), "decoder": torch.nn.GRU(3, 3)})
    watching = inspector.watch(model)
    with pytest.raises(KeyError, match="'encoder', 'decoder'; did you mean encoder"):
        watching["encodr"]
    assert watching.names == ("encoder", "decoder")
    with pytest.raises(RuntimeError, match="has not been called"):
        watching["encoder"]
    model["decoder"](torch.randn(4, 1, 3))[0].sum().backward()
    assert watching.names == ("decoder", "encoder")
    assert "not seen" in str(watching)


def test_before_a_backward(torch: Any) -> None:
    module = torch.nn.GRU(2, 3)
    watching = inspector.watch(module)
    outputs, _ = module(torch.randn(4, 1, 2))
    with pytest.raises(RuntimeError, match=r"no backward pass.*loss\.backward"):
        watching[""]
    del outputs
    with torch.no_grad():
        module(torch.randn(4, 1, 2))
    with pytest.raises(RuntimeError, match="no_grad"):
        watching.calls("")


def test_a_part_that_no_gradient_reached(torch: Any) -> None:
    model = torch.nn.ModuleDict({"lost": torch.nn.GRU(2, 3), "found": torch.nn.GRU(3, 3)})
    watching = inspector.watch(model)
    model["found"](model["lost"](torch.randn(4, 1, 2))[0].detach())[0].sum().backward()
    seen = watching["lost"]
    assert not seen.reached
    assert (seen.trace().norm("h") == 0).all()
    assert "no gradient reached it" in str(watching)


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"watch: PyTorch is not installed: pip install tinygrad-rnn\[torch\]"):
        inspector.watch(object())
