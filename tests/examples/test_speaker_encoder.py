"""A trained speaker encoder, out of a file of PyTorch's, listens to all of an utterance."""

from __future__ import annotations

from importlib import metadata

import numpy as np
import pytest

from tests.examples.checks import assert_pictures

pytest.importorskip("torch", reason="the weights are a file of PyTorch's: pip install torch")
import speaker_encoder as example


def test_bands_are_where_the_resonances_are():
    bands = example.utterance(110, 1.0)
    assert bands.shape == (example.FRAMES, example.BANDS)
    edges = example.hertz(np.linspace(0, 15 + 27 * np.log(8) / np.log(6.4), example.BANDS + 2))
    lowest = edges[1:-1][bands[100:115].mean(axis=0).argmax()]  # of u
    assert 200 < lowest < 400


@pytest.mark.slow
def test_its_gradient_lasts(tmp_path, capsys):
    try:
        metadata.distribution("resemblyzer")
    except metadata.PackageNotFoundError:
        pytest.skip("needs the weights in a package: pip install --no-deps resemblyzer==0.1.4")
    assert example.main(["--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert_pictures(tmp_path, ["speaker-encoder.png"], printed)
    assert "all is well" in printed
    assert "Stacked(LSTMCell(40, 256), LSTMCell(256, 256), LSTMCell(256, 256))" in printed
