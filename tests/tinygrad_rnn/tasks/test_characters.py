"""Any text, character by character."""

from __future__ import annotations

from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tinygrad_rnn.tasks.instances import cost, drawn, seeds
from tinygrad_rnn.tasks import Characters

texts = st.text(st.characters(codec="utf-8"), min_size=2, max_size=40)


@given(text=texts, data=st.data(), seed=seeds)
def test_windows_are_pieces_of_the_text(text: str, data: st.DataObject, seed: int) -> None:
    window = data.draw(st.integers(1, len(text) - 1))
    task = Characters(text, window)
    assert task.vocabulary == "".join(sorted(set(text))) and task.input_size == len(set(text))
    batch = drawn(task, seed)
    for k in range(8):
        said, asked = task.decode(batch.inputs[:, k]), task.decode(batch.targets[:, k])
        assert len(said) == window and said[1:] == asked[:-1] and said + asked[-1] in text
    assert task.decode(task.encode(text)) == text and task.decode(task.encode(text).argmax(axis=1)) == text


def test_every_window_is_drawn() -> None:
    task = Characters("abcdef", 3)
    batch = drawn(task, 0, 300)
    assert {task.decode(batch.inputs[:, k]) for k in range(300)} == {"abc", "bcd", "cde"}


@given(text=texts)
def test_a_file_is_its_text(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("texts") / "text"
    path.write_bytes(text.encode())
    assert Characters(path, 1) == Characters(text, 1) and Characters(path, 1).text == text


def test_entropies() -> None:
    text = "abracadabra " * 40
    task = Characters(text, len(text) - 1)
    batch = drawn(task, 0, 1)
    found = task.baselines()
    shares = {c: text[1:].count(c) / (len(text) - 1) for c in task.vocabulary}
    assert found["chance"] == log(6) and cost(task, 1 / 6, batch) == pytest.approx(log(6))
    assert cost(task, [shares[c] for c in task.vocabulary], batch) == pytest.approx(found["frequencies"])
    pairs = list(pairwise(text))
    after = np.array([[pairs.count((a, b)) for b in task.vocabulary] for a in task.vocabulary], float)
    after /= after.sum(axis=1, keepdims=True)
    assert cost(task, batch.inputs @ after, batch) == pytest.approx(found["one character back"])


def test_a_long_text_is_not_in_the_repr() -> None:
    assert repr(Characters("abc" * 100, 2)) == "Characters(window=2, vocabulary='abc')"


@pytest.mark.parametrize(
    ("text", "window", "error", "message"),
    [
        ("", 1, ValueError, "Characters: the text is empty"),
        ("corpus.txt", 50, ValueError, r"window=50 needs at least 51 characters, the text has 10; .*pathlib.Path"),
        (b"bytes", 1, TypeError, "text must be a str or a pathlib.Path, got bytes"),
        (None, 1, TypeError, "got NoneType"),
        ("abc", 0, ValueError, "Characters: window must be at least 1, got 0"),
        ("abc", "2", TypeError, "Characters: window must be an integer, got '2'"),
    ],
)
def test_bad_texts_are_named(text: Any, window: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Characters(text, window)


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Characters: cannot read .*nowhere.txt.*No such file"):
        Characters(tmp_path / "nowhere.txt")
    latin = tmp_path / "latin.txt"
    latin.write_bytes("überall café".encode() + "é".encode("latin-1") + b" and on")
    with pytest.raises(ValueError, match=r"latin.txt' is not UTF-8: byte 0xe9 at offset 14; save it"):
        Characters(latin)
    empty = tmp_path / "empty.txt"
    empty.touch()
    with pytest.raises(ValueError, match="the text is empty"):
        Characters(empty)


def test_bad_codes_are_named() -> None:
    task = Characters("abc", 1)
    with pytest.raises(ValueError, match="'x' does not occur"):
        task.encode("abx")
    with pytest.raises(ValueError, match=r"needs outputs \(T, 3\) or integers \(T,\), got float64 \(2, 4\)"):
        task.decode(np.zeros((2, 4)))
    for codes in ([3], [-1]):
        with pytest.raises(ValueError, match=r"codes must lie in 0..2"):
            task.decode(codes)


def test_a_stream_reads_on_where_it_stopped() -> None:
    task = Characters("abcdefghijklmnopqrstuvwxyz", window=4)
    stream = task.stream(3, np.random.default_rng(0))
    read = [next(stream) for _ in range(8)]
    for k in range(3):
        said = "".join(task.decode(batch.inputs[:, k]) for batch in read)
        begin = ord(said[0]) - ord("a")
        assert said == "".join(task.vocabulary[(begin + n) % 26] for n in range(32))
        assert task.decode(read[0].targets[:, k]) == said[1:5]
