"""A checkpoint is taken whole or refused whole: damage, wrong types, failing disks, what hooks recorded, numbers
that are not finite.
"""

from __future__ import annotations

import copy
import errno
import itertools
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from tests.failures import failing
from tinygrad_rnn.training import Checkpoint, Solved, Step

TASK = tg.tasks.ModernAdding(T=3)


class Counting:
    """A hook of a user's own that remembers something."""

    def __init__(self) -> None:
        self.steps = 0

    def __call__(self, step: Step) -> None:
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        return {"steps": np.array(self.steps)}

    def load_state_dict(self, mapping: dict[str, Any]) -> None:
        self.steps = int(mapping["steps"])


class Training:
    """One call of fit and all that takes part."""

    def __init__(self, path: Path | None, every: int = 2, lr: float = 0.01, **options: Any) -> None:
        self.model = tg.models.SequenceModel(tg.cells.RNNCell(2, 2, seed=0), 1, seed=0)
        self.optimizer = tg.optim.Adam(self.model.parameters(), lr=lr)
        self.stop = Solved(last=50)
        self.recorder = inspector.DecayRecorder(every=2, names=["h", "weight_hh"])
        self.counting = Counting()
        self.hooks: list[Any] = [self.recorder, lambda step: None, self.counting]
        self.path, self.every, self.options = path, every, options

    def run(self, steps: int) -> tg.training.History:
        return tg.fit(
            self.model,
            TASK,
            steps=steps,
            batch=2,
            optimizer=self.optimizer,
            stop=self.stop,
            every=self.every,
            hooks=self.hooks,
            checkpoint=self.path,
            **self.options,
        )

    def state(self) -> str:
        """Everything that may change, to the last bit."""
        owners = (self.model, self.optimizer, self.stop, self.recorder, self.counting)
        return repr([[(k, np.asarray(v).tobytes()) for k, v in owner.state_dict().items()] for owner in owners])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.safetensors"
    Training(path).run(4)
    return path


def refused(path: Path) -> str:
    """Why fit refuses a file; it has changed nothing."""
    training = Training(path)
    before, label = training.state(), training.model.cell.initialisation
    with pytest.raises(ValueError) as caught:
        training.run(6)
    assert training.state() == before and training.model.cell.initialisation == label
    assert path.name in str(caught.value)
    return str(caught.value)


# -------------------------------------------------------------------------------------------- damage


def test_no_damage_goes_unnoticed(good: Path, tmp_path: Path) -> None:
    """Bits and bytes flipped, cut out, doubled and cut off: refused, or it made no difference."""
    rng = np.random.default_rng(0)
    data, whole, path = good.read_bytes(), Checkpoint.read(good), tmp_path / "damaged.safetensors"
    refusals = 0
    for k in range(150):
        found = bytearray(data)
        place = (
            int(rng.integers(len(data))) if k % 2 else int(rng.integers(struct.unpack("<Q", data[:8])[0] + 8))
        )  # half of them in the header
        match k % 5:
            case 0 | 1:
                found[place] ^= 1 << int(rng.integers(8))
            case 2:
                found[place] = int(rng.integers(256))
            case 3:
                del found[place : place + int(rng.integers(1, 9))]
            case 4:
                found[place:place] = found[place : place + int(rng.integers(1, 9))]
        path.write_bytes(bytes(found) if k % 7 else data[:place])
        try:
            again = Checkpoint.read(path)
        except ValueError as error:
            assert path.name in str(error)
            refusals += 1
            continue
        assert again.facts == whole.facts and again.arrays.keys() == whole.arrays.keys()
        assert all(array.tobytes() == whole.arrays[name].tobytes() for name, array in again.arrays.items())
    assert refusals > 120


OTHERS: tuple[Any, ...] = (None, True, -1, 2**70, 1e308, "text", [], {}, [[1]], {"a": 1})


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


@pytest.mark.parametrize("at", (0, 1, 2, 3, 4, 6, 9, 14, 33))
def test_facts_of_another_type_are_refused_by_their_name(good: Path, tmp_path: Path, at: int) -> None:
    """Written with a checksum that fits: only the schema, and what is asked of each value, can tell."""
    whole = Checkpoint.read(good)
    every = [place for place in places(whole.facts) if place and place[0] not in ("rows", "sequences", "step")]
    every += [("rows",), ("rows", 0), ("rows", 1, "loss"), ("step",), ("sequences",)]
    *way, last = every[at % len(every)]
    path = tmp_path / "swapped.safetensors"
    for other in OTHERS:
        facts: Any = copy.deepcopy(whole.facts)
        inner = facts
        for key in way:
            inner = inner[key]
        if (
            type(inner[last]) is type(other)
            or (isinstance(inner[last], float) and type(other) is int)
            or (last == "loss" and type(other) in (int, float))
        ):
            continue
        inner[last] = other
        Checkpoint(whole.arrays, facts).write(path)
        assert str((*way, last)[0]) in refused(path).replace("$.", "")


def test_arrays_that_do_not_fit_are_refused_by_their_name(good: Path, tmp_path: Path) -> None:
    whole = Checkpoint.read(good)
    path = tmp_path / "arrays.safetensors"
    for name, array in whole.arrays.items():
        part, _, own = name.partition(".")
        for changed in (
            {},
            {name: np.zeros((*array.shape, 2))},
            {f"{name}x": array},
            {name: np.full(array.shape, 0.5)},
            {name: np.full(array.shape, np.nan)},
        ):
            if (
                changed
                and name in changed
                and array.dtype.kind == "f"
                and (changed[name] == 0.5).all()
                and changed[name].shape == array.shape
            ):
                continue  # numbers like any other
            Checkpoint({**{k: v for k, v in whole.arrays.items() if k != name}, **changed}, whole.facts).write(path)
            if part == "hook1" and changed and f"{name}x" not in changed:
                continue  # what a user's own hook takes is its own affair
            if own.startswith("norms") and changed and np.isnan(changed.get(name, 0.0)).all():
                continue  # of a step where nothing was, a norm is NaN
            assert part in refused(path)


def test_hostile_files_are_value_errors(tmp_path: Path) -> None:
    path = tmp_path / "hostile.safetensors"

    def write(header: Any, body: bytes = b"") -> Path:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + body)
        return path

    one = {"shape": [2], "data_offsets": [0, 4]}
    for header, body in (
        ({"a": {"dtype": "BF16", **one}}, b"1234"),
        ({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}, b"1234"),
        ({"a": {"dtype": "F64", "shape": [2**62], "data_offsets": [0, 8]}}, b"12345678"),
        ({"a": {"dtype": "F64", "shape": [0, 2**62], "data_offsets": [0, 0]}}, b""),
        (b"[" * 100_000, b""),
        (b"[]", b""),
        (b"", b""),
        ({"__metadata__": {"training": "[" * 100_000}}, b""),
        ({"__metadata__": {"training": "{}"}}, b""),
    ):
        with pytest.raises(ValueError, match="hostile"):
            Checkpoint.read(write(header, body))
    with pytest.raises(ValueError, match=r"hostile\.safetensors: a cannot be read: .*float8"):
        tg.load_safetensors(write({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}, b"1234"))


@pytest.mark.parametrize("for_ever", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_whichever_call_fails_nothing_is_lost(tmp_path: Path, for_ever: bool) -> None:
    """Training that a full disk ended goes on from its last checkpoint to the same end."""
    straight = Training(None)
    straight.run(4)
    for k in itertools.count(1):
        path = tmp_path / f"{k}.safetensors"
        with failing(k, errno.ENOSPC, for_ever) as calls:
            try:
                Training(path).run(4)
                failed = False
            except OSError as error:
                failed = True
                assert error.filename == str(path)
        assert not failed or calls.struck
        again = Training(path)
        again.run(4)
        assert again.state() == straight.state()
        if not calls.struck:
            break
    assert k > 12


# --------------------------------------------------------------------------------------------- hooks


def test_what_hooks_recorded_is_there_after_an_interruption(tmp_path: Path) -> None:
    straight, path = Training(None), tmp_path / "c.safetensors"
    straight.run(8)
    Training(path).run(5)
    resumed = Training(path)
    resumed.run(8)
    assert resumed.recorder.steps == [1, 2, 4, 6, 8] and list(resumed.recorder.curves) == ["h", "weight_hh"]
    assert resumed.counting.steps == 8 and resumed.state() == straight.state()
    for name, curves in straight.recorder.curves.items():
        np.testing.assert_array_equal(resumed.recorder.curves[name], curves)
    resumed.recorder.to_csv(tmp_path / "resumed.csv")
    assert (tmp_path / "resumed.csv").read_text() == straight.recorder.to_csv(tmp_path / "straight.csv").read_text()


def test_a_record_is_not_lost_by_leaving_its_hook_out(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    Training(path).run(4)
    without = Training(path)
    without.hooks = [without.counting]
    with pytest.raises(
        ValueError,
        match="holds what the hooks DecayRecorder, Counting have recorded, now there are Counting; give them again",
    ):
        without.run(6)
    other = Training(path)
    other.hooks[0] = inspector.DecayRecorder(every=3, names=["h", "weight_hh"])
    with pytest.raises(ValueError, match=r"hook0: .*made with every=2 .*this is DecayRecorder\(every=3"):
        other.run(6)
    more, late = Training(path), inspector.DecayRecorder(every=1)
    more.hooks.append(late)
    more.run(6)
    assert more.recorder.steps == [1, 2, 4, 6] and late.steps == [5, 6], "a new hook records from now on"


# ---------------------------------------------------------------------------------------- not finite


def scaled(factor: float) -> Any:
    def predict(model: Any, batch: Any) -> Any:
        found = model(batch.inputs)
        return found._replace(outputs=found.outputs * factor)

    return predict


def steep(model: Any, batch: Any) -> Any:
    """The root of 0, which has a value and no derivative."""
    found = model(batch.inputs)
    return found._replace(outputs=tg.sqrt(found.outputs * 0.0))


@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value|divide by zero) encountered:RuntimeWarning")
def test_an_update_that_overflows_is_neither_returned_nor_written(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    training = Training(path, every=1)
    training.optimizer = tg.optim.SGD(training.model.parameters(), lr=1.7e308)
    before = training.model.state_dict()
    with pytest.raises(
        FloatingPointError,
        match=r"after the update, parameter [\w.]+ is not finite at step 1; .*; no checkpoint was written",
    ):
        training.run(1)
    assert not path.exists()
    for name, array in training.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg="parameters are as before the step")


@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value|divide by zero) encountered:RuntimeWarning")
@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (scaled(np.inf), "the loss is (inf|nan) at step 4"),
        (scaled(1e150), r"after the update, the optimizer's mean_square.\d is not finite at step 4"),
        (steep, r"the gradient of [\w.]+ is not finite at step 4"),
    ],
)
def test_what_is_not_finite_ends_the_training_and_keeps_the_checkpoint(
    predict: Any, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.safetensors"
    Training(path, every=1).run(3)
    kept = path.read_bytes()
    with pytest.raises(
        FloatingPointError, match=rf"fit: {message}; .*; the last good checkpoint, of step 3, is {path}"
    ):
        Training(path, every=1, predict=predict).run(5)
    assert path.read_bytes() == kept


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_test_loss_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    def predict(model: Any, batch: Any) -> Any:
        return scaled(np.inf if batch.inputs.shape[1] == 7 else 1.0)(model, batch)

    path, log = tmp_path / "c.safetensors", tmp_path / "log.csv"
    with pytest.raises(FloatingPointError, match=r"the test loss is (inf|nan) at step 2"):
        Training(path, predict=predict, test_size=7, log=log).run(4)
    assert not path.exists() and not log.exists()


def test_a_parameter_that_is_not_finite_from_the_start_is_named() -> None:
    training = Training(None)
    training.model.cell.weight_hh.data = np.full((2, 2), np.nan)
    with pytest.raises(FloatingPointError, match=r"the loss is nan, parameter cell\.weight_hh is not finite at step 1"):
        training.run(1)


# ------------------------------------------------------------------------------------ before anything


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"clip": 0}, ValueError, "clip must be positive and finite, got 0"),
        ({"clip": float("nan")}, ValueError, "clip must be"),
        ({"checkpoint": "none/c"}, FileNotFoundError, "there is no folder"),
        ({"checkpoint": "."}, IsADirectoryError, "it is a folder"),
        ({"log": "none/log.csv"}, FileNotFoundError, "there is no folder"),
        ({"log": "log.pickle"}, ValueError, r"must end in \.csv or \.jsonl"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(
    options: Any, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    training = Training(None)
    before = training.state()
    with pytest.raises(error, match=message):
        tg.fit(training.model, TASK, steps=1, hooks=training.hooks, **options)
    assert training.state() == before
