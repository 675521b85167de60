"""The Reber grammars: against a regular expression written independently, and their closed forms."""

from __future__ import annotations

import re
from dataclasses import replace
from math import log

import numpy as np
import pytest
from hypothesis import given

from tests.tinygrad_rnn.tasks.instances import cost, drawn, is_mean, seeds, symbols
from tinygrad_rnn.tasks import ContinualReber, EmbeddedReber, Reber

# states 3 and 5 below, as what may follow them: T* V (P (X T* V ...) ...), solved by hand for the loops
AFTER_5 = "(?:PXT*V)*(?:V|PS)"
AFTER_3 = f"T*V{AFTER_5}"
INNER = f"B(?:TS*X(?:S|X{AFTER_3})|P{AFTER_3})E"
EMBEDDED = f"B(?:T{INNER}T|P{INNER}P)E"

# a way to the end from every state
WHOLE = ("BTBTXSETE", "BPBTXSEPE", "BTBPVVETE", "BPBPVVEPE", "BTBPVPSETE", "BPBPVPSEPE", "BTBTXXVVETE", "BPBTXXVVEPE")
ENDINGS = sorted({string[k:] for string in WHOLE for k in range(len(string))}, key=len)


@pytest.mark.parametrize(("task", "pattern"), [(Reber(), INNER), (EmbeddedReber(), EMBEDDED)])
@given(seed=seeds)
def test_strings_are_those_of_the_grammar(task: Reber, pattern: str, seed: int) -> None:
    for string in task.strings(20, np.random.default_rng(seed)):
        assert re.fullmatch(pattern, string)


@given(seed=seeds)
def test_the_stream_is_embedded_strings_end_to_end(seed: int) -> None:
    task = ContinualReber(60)
    for column in symbols(drawn(task, seed, 3)):
        text = "".join("BTPSXVE"[k] for k in column)
        whole = re.match(f"(?:{EMBEDDED})*", text)
        assert whole and len(text) == 60
        rest = text[whole.end() :]
        assert any(re.fullmatch(EMBEDDED, rest + ending) for ending in ENDINGS)


def test_lengths_are_those_of_the_closed_forms() -> None:
    rng = np.random.default_rng(1)
    inner = [len(string) for string in Reber().strings(20_000, rng)]
    embedded = [len(string) for string in EmbeddedReber().strings(20_000, rng)]
    assert is_mean(inner, 8) and min(inner) == 5 and abs(np.std(inner) - 3.38) < 0.1
    assert is_mean(embedded, 12) and min(embedded) == 9


@pytest.mark.parametrize(("task", "choices"), [(Reber(), 6), (EmbeddedReber(), 7)])
def test_the_optimum_is_the_entropy(task: Reber, choices: int) -> None:
    batch = drawn(task, 2, 20_000)
    legal = task.legal(batch)
    nats = np.where(batch.mask, np.log(np.maximum(legal.sum(axis=-1), 1)), 0).sum(axis=0)
    assert is_mean(nats, choices * log(2))
    best = legal / np.maximum(legal.sum(axis=-1, keepdims=True), 1)
    assert cost(task, best, batch) == pytest.approx(task.baselines()["optimum"], abs=0.003)


def test_forgetting_the_second_symbol_costs_ln_2() -> None:
    task = EmbeddedReber()
    batch = drawn(task, 3, 5000)
    outer = task.outer(batch)
    assert (outer.sum(axis=0) == 1).all() and (outer.argmax(axis=0) == batch.lengths - 2).all()
    forgetful = task.legal(batch).astype(float)
    forgetful[outer] = np.array([0, 1, 1, 0, 0, 0, 0])
    forgetful /= np.maximum(forgetful.sum(axis=-1, keepdims=True), 1)
    assert cost(task, forgetful, batch) == pytest.approx(task.baselines()["no memory"], abs=0.005)
    assert not task.correct(forgetful, batch).any()
    assert task.baselines()["no memory"] * 11 == pytest.approx(5.545, abs=5e-4)
    assert task.baselines()["optimum"] * 11 == pytest.approx(4.852, abs=5e-4)


def test_the_stream_has_the_cost_of_its_length() -> None:
    for length in (1, 5, 40):
        task = ContinualReber(length)
        batch = drawn(task, 4, 6000)
        legal = task.legal(batch)
        best = legal / legal.sum(axis=-1, keepdims=True)
        assert cost(task, best, batch) == pytest.approx(task.baselines()["optimum"], abs=0.004)
        recalls = task.baselines()["no memory"] - task.baselines()["optimum"]
        assert task.outer(batch).mean() * log(2) == pytest.approx(recalls, abs=0.002)
    assert ContinualReber(100_000).baselines()["optimum"] == pytest.approx(7 * log(2) / 12, rel=1e-4)


def test_right_means_the_legal_symbols_are_ahead_not_the_one_that_came() -> None:
    task = Reber()
    batch = task.encode(["BTXSE"])
    assert not task.correct(batch.targets, batch).any()
    legal = task.legal(batch)
    named = ["".join("BTPSXVE"[k] for k in np.flatnonzero(row)) for row in legal[:, 0]]
    assert named == ["TP", "SX", "SX", "E"]
    only_first = replace(batch, mask=np.arange(4)[:, None] == 0)
    assert task.legal(only_first)[0].any() and not task.legal(only_first)[1:].any()
    outputs = np.where(legal, 0.3, 0.2)
    assert task.correct(outputs, batch).all()
    outputs[1, 0, 0] = 0.3  # as active as the least of the legal ones
    assert not task.correct(outputs, batch).any()


@given(seed=seeds)
def test_encode_takes_strings_apart_and_together(seed: int) -> None:
    task = EmbeddedReber()
    strings = task.strings(5, np.random.default_rng(seed))
    batch = task.encode(strings)
    for k, string in enumerate(strings):
        codes = ["BTPSXVE".index(symbol) for symbol in string]
        assert batch.lengths[k] == len(string) - 1 == batch.mask[:, k].sum()
        assert symbols(batch)[k] == codes[:-1]
        assert batch.targets[: len(string) - 1, k].argmax(axis=-1).tolist() == codes[1:]


def test_a_split_is_drawn_as_the_grammar_draws_and_disjoint() -> None:
    training, test = EmbeddedReber().split(np.random.default_rng(0), 256)
    assert len(training) == len(test) == 256 and not set(training) & set(test)
    assert 80 < len(set(training)) < 130, "short strings come again and again"
    assert abs(np.mean([len(string) for string in training]) - 12) < 0.9
    assert (training, test) == EmbeddedReber().split(np.random.default_rng(0), 256)


@given(seed=seeds)
def test_training_and_test_strings_are_disjoint(seed: int) -> None:
    training, test = EmbeddedReber().split(np.random.default_rng(seed), 60, distinct=True)
    assert len(training) == len(test) == 60 == len(set(training)) == len(set(test))
    assert not set(training) & set(test)
    assert (training, test) == EmbeddedReber().split(np.random.default_rng(seed), 60, distinct=True)
    EmbeddedReber().encode(training + test)


def test_neither_half_has_the_longer_strings() -> None:
    rng = np.random.default_rng(5)
    pairs = [EmbeddedReber().split(rng, 30, distinct=True) for _ in range(300)]
    assert is_mean([np.mean([*map(len, a)]) - np.mean([*map(len, b)]) for a, b in pairs], 0)


@pytest.mark.parametrize(
    ("strings", "error", "message"),
    [
        ([], ValueError, "EmbeddedReber.encode: no strings"),
        ("BTBTXSETE", TypeError, "needs a sequence of strings"),
        ([1], TypeError, "needs a sequence of strings"),
        (["BTBTXSETE", "BTBTXSEPE"], ValueError, "string 1 leaves the grammar with 'P' at position 7"),
        (["BTBTXSETE", "BTBTXSET"], ValueError, "string 1, 'BTBTXSET', stops before its end"),
        ([""], ValueError, "string 0, '', stops before its end"),
        (["BTBTXSETEB"], ValueError, "string 0 leaves the grammar with 'B' at position 9"),
        (["BTQ"], ValueError, "string 0 has 'Q'; the symbols are BTPSXVE"),
    ],
)
def test_bad_strings_are_named(strings: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        EmbeddedReber().encode(strings)


def test_bad_sizes_are_named() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="Reber: size must be at least 1, got 0"):
        Reber().strings(0, rng)
    with pytest.raises(ValueError, match="Reber: size must be at least 1, got -2"):
        Reber().split(rng, -2)
    with pytest.raises(TypeError, match="EmbeddedReber: rng must be"):
        EmbeddedReber().split(7)  # type: ignore[arg-type]
