"""Models that Keras saved give Keras' numbers and gradients, and what is wrong with a file is said."""

from __future__ import annotations

import json
import re
import resource
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inspector
import tinygrad_rnn as tg
from tests.tinygrad_rnn.interop.keras.zoo import FILES, KEPT, drawn, gradients, zoo
from tinygrad_rnn.interop.keras.activations import ACTIVATIONS, hard_sigmoid_of_keras_2

h5py = pytest.importorskip("h5py", reason="h5py reads Keras' files")


def file_of(name: str) -> Path:
    return FILES / (name if "." in name else f"{name}.keras")


def parameter(found: dict[str, tg.Tensor], path: str) -> tg.Tensor:
    """By Keras' path, before which the name of a sequence may stand."""
    ends = [name for name in found if path == name or path.endswith(f"/{name}") or name.endswith(f"/{path}")]
    assert len(ends) == 1, path
    return found[ends[0]]


def agrees(model: Any, inputs: list[Any], outputs: list[Any], weights: list[Any], wanted: Any, tolerance: float) -> Any:
    call = model(*inputs)
    for ours, theirs in zip(call.values(), outputs, strict=True):
        np.testing.assert_allclose(ours.data, theirs, rtol=tolerance, atol=tolerance)
    if not wanted:
        return call
    loss = sum((tg.sum(y * w) for y, w in zip(call.values(), weights, strict=True)), tg.tensor(0.0))
    loss.backward()
    found = dict(model.named_parameters())
    for path, gradient in wanted.items():
        ours = parameter(found, path)
        assert ours.shape == gradient.shape
        grad = np.zeros(ours.shape) if ours.grad is None else np.asarray(ours.grad)
        np.testing.assert_allclose(grad, gradient, rtol=tolerance, atol=tolerance * max(1.0, np.abs(gradient).max()))
    return call


@pytest.mark.parametrize("name", KEPT)
def test_kept_files_give_the_numbers_and_gradients_that_keras_gave(name: str) -> None:
    with np.load(FILES / f"{name.partition('.')[0]}.npz") as kept:
        arrays = {
            role: [kept[key] for key in kept if key.startswith(f"{role} ")] for role in ("input", "output", "weight")
        }
        wanted = {key.partition(" ")[2]: kept[key] for key in kept if key.startswith("gradient ")}
    model = tg.load_keras(file_of(name))
    call = agrees(model, arrays["input"], arrays["output"], arrays["weight"], wanted, 2e-6)
    recurrent = [layer.name for layer in model.layers if layer.recurrent]
    assert {run.partition(":")[0] for run in call.runs} == set(recurrent) and recurrent
    assert model.format == "Keras" and model.producer.startswith("Keras 3.")


def test_a_run_is_one_of_our_cells() -> None:
    model = tg.load_keras(file_of("tagger"))
    call = model([[1, 2, 3, 4]])
    run = call.runs["bidirectional"]
    assert isinstance(run.cell, tg.Bidirectional) and isinstance(run.cell.forward, tg.cells.GRUCell)
    loss = tg.sum(call["time_distributed"][:, -1])
    assert inspector.trace(run, tg.sum(tg.square(call["time_distributed"]))).norm("forward/h").shape == (4,)
    loss.backward()
    compiled = tg.unroll(tg.compile(run.cell.forward), run.inputs)
    np.testing.assert_allclose(compiled.outputs[-1].data, run.children["forward"].outputs[-1].data, rtol=1e-5)
    assert str(model).splitlines()[2:4] == [
        f"  in   {next(iter(model.inputs))} (batch, T) int32",
        "  out  time_distributed (batch, T, 2) float32",
    ]


def test_sequences_of_their_own_lengths() -> None:
    model = tg.load_keras(file_of("encoder"))
    assert [str(port) for port in model.inputs.values()] == [
        "(batch, T of past, 3) float32",
        "(batch, T of now, 2) float32",
    ]
    call = model(past=np.ones((2, 5, 3)), now=np.ones((2, 3, 2)))
    assert list(call)[1:] == ["decoder", "decoder:1"]
    assert [len(run) for run in call.runs.values()] == [5, 3] and list(call.runs) == ["encoder", "decoder"]


@pytest.fixture(scope="module")
def keras() -> Any:
    pytest.importorskip("torch", reason="Keras runs on PyTorch here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pytest.importorskip("keras", reason="the live comparison needs Keras")
    if found.backend.backend() != "torch":
        pytest.skip("Keras was imported with another backend")
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_model_agrees_with_keras(keras: Any, tmp_path: Path) -> None:
    for number, (name, (model, shapes, ints)) in enumerate(zoo(keras).items()):
        rng = np.random.default_rng(number)
        inputs = drawn(model, shapes, ints, rng)
        outputs, weights, wanted = gradients(keras, model, inputs)
        for suffix in ("keras", "h5"):
            if (name, suffix) == ("nested", "h5"):
                continue  # such a file keeps a copy of what is shared for each place
            path = tmp_path / f"{number}.{suffix}"
            model.save(path)
            try:
                agrees(tg.load_keras(path), inputs, outputs, weights, wanted, 2e-5)
            except (AssertionError, ValueError) as error:
                raise AssertionError(f"{name}, {suffix}: {error}") from error


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_activations_are_keras(keras: Any) -> None:
    import torch

    x = np.linspace(-8.0, 8.0, 258).astype(np.float32)
    for name, ours in ACTIVATIONS.items():
        theirs = keras.activations.get(name)
        mine = tg.tensor(x)
        twin = torch.from_numpy(x).requires_grad_()
        expected = theirs(twin)
        np.testing.assert_allclose(ours(mine).data, expected.detach(), rtol=2e-5, atol=1e-6, err_msg=name)
        (grad,) = tg.grad(tg.sum(ours(mine)), [mine])
        (slope,) = torch.autograd.grad(expected.sum(), twin)
        np.testing.assert_allclose(grad.data, slope, rtol=2e-4, atol=2e-5, err_msg=name)
    np.testing.assert_allclose(hard_sigmoid_of_keras_2(x), np.clip(0.2 * x + 0.5, 0, 1), rtol=1e-6)


# ------------------------------------------------------------------------------------------ Keras 2


def legacy(path: Path, layers: list[dict[str, Any]], weights: dict[str, dict[str, Any]], **more: Any) -> Path:
    """A file as Keras 2 wrote it."""
    model = {"class_name": "Sequential", "config": {"name": "old", "layers": layers}, **more}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = b"2.2.4", b"tensorflow"
        file.attrs["model_config"] = json.dumps(model).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [layer["config"]["name"].encode() for layer in layers]
        for layer in layers:
            name = layer["config"]["name"]
            inside = group.create_group(name)
            inside.attrs["weight_names"] = [f"{name}/{key}:0".encode() for key in weights.get(name, {})]
            for key, array in weights.get(name, {}).items():
                inside[f"{name}/{key}:0"] = array
    return path


def recurrent(kind: str, **options: Any) -> dict[str, Any]:
    config = {"name": "rnn", "trainable": True, "units": 3, "batch_input_shape": [None, None, 2], "dtype": "float32"}
    return {"class_name": kind, "config": {**config, "use_bias": True, "return_sequences": True, **options}}


@pytest.mark.parametrize(("kind", "gates", "order"), [("CuDNNLSTM", 4, [0, 1, 2, 3]), ("CuDNNGRU", 3, [1, 0, 2])])
def test_cudnns_matrices_lie_across_their_shapes(kind: str, gates: int, order: list[int], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs, recurrents = rng.normal(size=(gates, 3, 2)), rng.normal(size=(gates, 3, 3))  # of each gate (units, ...)
    biases = rng.normal(size=(2, gates, 3))
    weights = {
        "kernel": np.hstack([w.ravel().reshape(2, 3) for w in inputs]).astype("f4"),
        "recurrent_kernel": np.hstack(list(recurrents)).astype("f4"),
        "bias": biases.ravel().astype("f4"),
    }
    model = tg.load_keras(legacy(tmp_path / "a.h5", [recurrent(kind)], {"rnn": weights}))
    x = rng.normal(size=(2, 5, 2))
    cell = (tg.cells.LSTMCell if gates == 4 else tg.cells.GRUCell)(2, 3)
    cell.load_state_dict(
        {
            "weight_ih": np.concatenate(inputs[order]),
            "weight_hh": np.concatenate(recurrents[order]),
            "bias_ih": np.concatenate(biases[0][order]),
            "bias_hh": np.concatenate(biases[1][order]),
        }
    )
    wanted = tg.unroll(cell, x.transpose(1, 0, 2)).stacked.data.transpose(1, 0, 2)
    np.testing.assert_allclose(model(x)["rnn"].data, wanted, rtol=1e-5, atol=1e-6)
    assert model.producer == "Keras 2.2.4, backend tensorflow"
    assert [name for name, _ in model.named_parameters()] == ["rnn/kernel", "rnn/recurrent_kernel", "rnn/bias"]


def test_keras_2_has_another_hard_sigmoid_and_another_default_gru(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kernel, inner, bias = rng.normal(size=(2, 9)), rng.normal(size=(3, 9)), rng.normal(size=9)
    weights = {"kernel": kernel.astype("f4"), "recurrent_kernel": inner.astype("f4"), "bias": bias.astype("f4")}
    model = tg.load_keras(
        legacy(tmp_path / "a.h5", [recurrent("GRU", recurrent_activation="hard_sigmoid")], {"rnn": weights})
    )
    x, h = rng.normal(size=(1, 4, 2)), np.zeros((1, 3))
    for t in range(4):
        z, r = (
            np.clip(0.2 * (x[:, t] @ kernel[:, s] + h @ inner[:, s] + bias[s]) + 0.5, 0, 1)
            for s in (slice(3), slice(3, 6))
        )
        n = np.tanh(x[:, t] @ kernel[:, 6:] + (r * h) @ inner[:, 6:] + bias[6:])
        h = z * h + (1 - z) * n
    np.testing.assert_allclose(model(x)["rnn"].data[:, -1], h, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------- what is no such file


def changed(tmp_path: Path, change: Any, name: str = "masked") -> Path:
    """A file with other JSON in it."""
    path = tmp_path / "changed.keras"
    with zipfile.ZipFile(file_of(name)) as old, zipfile.ZipFile(path, "w") as new:
        for part in old.namelist():
            data = old.read(part)
            if part == "config.json":
                config = json.loads(data)
                change(config)
                data = json.dumps(config).encode()
            new.writestr(part, data)
    return path


def rewired(tmp_path: Path, change: Any, name: str = "masked") -> Path:
    """A file with other weights in it."""
    path = tmp_path / "rewired.keras"
    with zipfile.ZipFile(file_of(name)) as old, zipfile.ZipFile(path, "w") as new:
        for part in old.namelist():
            if part != "model.weights.h5":
                new.writestr(part, old.read(part))
        (tmp_path / "w.h5").write_bytes(old.read("model.weights.h5"))
        with h5py.File(tmp_path / "w.h5", "r+") as file:
            change(file)
        new.write(tmp_path / "w.h5", "model.weights.h5")
    return path


def layer(number: int, **values: Any) -> Any:
    def change(config: Any) -> None:
        found = config["config"]["layers"][number]
        for key, value in values.items():
            (found if key in ("class_name", "module", "registered_name") else found["config"])[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (layer(6, units=4), ValueError, r"dense\w*/kernel.* has shape \(3, 2\), must have \(3, 4\)"),
        (layer(6, units=-1), ValueError, "units=-1, which must be a whole number from 1"),
        (layer(6, activation="<b>"), tg.UnsupportedError, r"layer 'dense.*' \(Dense\) has the activation '<b>'"),
        (layer(6, class_name="Lambda"), tg.UnsupportedError, "is code of whoever wrote the file, which is not run"),
        (layer(6, module="mine", registered_name="mine>Own"), tg.UnsupportedError, "whose code is not here"),
        (layer(6, class_name="Magic"), tg.UnsupportedError, "Magic.* of which nothing is known"),
        (layer(6, class_name="Xyz"), tg.UnsupportedError, r"Xyz.* known; \d+ others are known, see docs/keras.md$"),
        (layer(6, class_name="LSMT"), tg.UnsupportedError, r"; of \d+ that are known, nearest (is|are) LSTM"),
        (layer(6, activation="reluu"), tg.UnsupportedError, r"; of \d+ that are known, nearest are relu"),
        (layer(5, class_name="LSTM"), ValueError, r"\(LSTMCell\) has no weights in the file"),
        (layer(6, name="gru"), ValueError, "two layers called gru|nothing"),
        (lambda c: c["config"]["layers"].pop(), ValueError, "belong to no layer"),
        (lambda c: c["config"]["layers"].clear(), ValueError, "has no layers"),
        (lambda c: c.update(class_name="Own", config={}), tg.UnsupportedError, "a model of one's own class"),
        (lambda c: c.update(config=7), ValueError, "has no configuration"),
    ],
)
def test_what_is_wrong_with_a_layer_is_said(change: Any, kind: Any, message: str, tmp_path: Path) -> None:
    if "two layers" in message:

        def change(config: Any) -> None:
            config["config"]["layers"][6]["config"]["name"] = config["config"]["layers"][5]["config"]["name"]

    with pytest.raises(kind, match=message):
        tg.load_keras(changed(tmp_path, change))


def test_an_input_layer_that_is_no_input_is_refused(tmp_path: Path) -> None:
    def more(config: Any) -> None:
        layers = config["config"]["layers"]
        first = json.loads(json.dumps(layers[0]))
        first["name"] = first["config"]["name"] = "more"
        layers.append(first)

    with pytest.raises(ValueError, match="has an input layer, more, that is none of its inputs"):
        tg.load_keras(changed(tmp_path, more, "shared"))


def test_layers_in_a_circle_are_refused(tmp_path: Path) -> None:
    def circle(config: Any) -> None:
        layers = config["config"]["layers"]
        target = next(one for one in layers if one["class_name"] == "LSTM")
        for one in layers:
            if one["class_name"] == "Dense":
                for node in one["inbound_nodes"]:
                    node["args"][0]["config"]["keras_history"] = [target["name"], 1, 0]

    with pytest.raises(ValueError, match="read each other in a circle"):
        tg.load_keras(changed(tmp_path, circle, "shared"))


def external(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.ExternalLink("/etc/passwd", "/")


def soft(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.SoftLink("/layers/embedding/vars/0")


def hard(file: Any) -> None:
    file["layers/again"] = file["layers"]


def virtual(file: Any) -> None:
    del file["layers/dense/vars/0"]
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3, 2))
    file.create_virtual_dataset("layers/dense/vars/0", layout)


def elsewhere(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file.create_dataset("layers/dense/vars/0", (3, 2), "f4", external=[("/etc/passwd", 0, 24)])


def huge(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file.create_dataset("layers/dense/vars/0", (1 << 20, 1 << 20), "f4", chunks=(1, 1))


def words(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file.create_dataset("layers/dense/vars/0", (3, 2), h5py.string_dtype())


def pairs(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file.create_dataset("layers/dense/vars/0", (3, 2), [("a", "f4"), ("b", "f4")])


def references(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file.create_dataset("layers/dense/vars/0", (3, 2), h5py.ref_dtype)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "ExternalLink.* not followed"),
        (soft, "SoftLink.* not followed"),
        (hard, "in the file twice"),
        (virtual, "lies in another file"),
        (elsewhere, "lies in another file"),
        (huge, "has shape"),
        (words, "not numbers"),
        (pairs, "not numbers"),
        (references, "not numbers"),
        (lambda f: f.create_dataset("layers/dense_1/vars/0", data=[1.0]), "belong to no layer"),
        (lambda f: f.__delitem__("layers/gru"), "has no weights in the file"),
    ],
)
def test_weights_come_from_the_file_alone(change: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        tg.load_keras(rewired(tmp_path, change))


def test_what_is_declared_has_to_be_stored(tmp_path: Path) -> None:
    def empty(file: Any) -> None:
        del file["layers/embedding/vars/0"]
        file.create_dataset("layers/embedding/vars/0", (1 << 24, 4), "f4", chunks=(1 << 10, 4))

    path = rewired(tmp_path, empty)
    shutil.copy(path, tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as old, zipfile.ZipFile(path, "w") as new:
        for part in old.namelist():
            data = old.read(part).replace(b'"input_dim": 7', b'"input_dim": 16777216')
            new.writestr(part, data)
    with pytest.raises(ValueError, match="declares 268,435,456 bytes, of which 0 are stored"):
        tg.load_keras(path)


def test_bombs_and_wrong_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("metadata.json", '{"keras_version": "3.0.0"}')
        file.writestr("config.json", b" " * (80 << 20))
        file.writestr("model.weights.h5", b"")
    with pytest.raises(ValueError, match=r"config\.json is 83,886,080 bytes"):
        tg.load_keras(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../config.json", "{}")
    with pytest.raises(ValueError, match=r"config\.json is not in the file"):
        tg.load_keras(path)
    deep = "[" * 100_000 + "]" * 100_000
    with zipfile.ZipFile(file_of("masked")) as old, zipfile.ZipFile(path, "w") as new:
        for part in old.namelist():
            new.writestr(part, deep if part == "config.json" else old.read(part))
    with pytest.raises(ValueError, match=r"config\.json is"):
        tg.load_keras(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        tg.load_keras(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ValueError, match="damaged"):
        tg.load_keras(path)
    with pytest.raises(FileNotFoundError):
        tg.load_keras(tmp_path / "none.keras")
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.attrs["layer_names"] = [b"a"]
    with pytest.raises(ValueError, match="holds weights alone"):
        tg.load_keras(tmp_path / "weights.h5")


def test_heaps_in_which_the_library_would_go_round_for_ever_are_refused(tmp_path: Path) -> None:
    data = bytearray(file_of("before.h5").read_bytes())
    start = data.index(b"GCOL")
    place, end = start + 16, start + int.from_bytes(data[start + 8 : start + 16], "little")
    while data[place : place + 2] != b"\0\0" and place < end:
        place += 16 + -(-int.from_bytes(data[place + 8 : place + 16], "little") // 8) * 8
    data[place + 8 : place + 16] = bytes(8)
    (tmp_path / "a.h5").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.h5 is damaged: a heap at byte \d+ has no end"):
        tg.load_keras(tmp_path / "a.h5")


@pytest.mark.parametrize(("length", "elsewhere"), [(4_097, 0), (2**31 - 1, 0), (2**32 - 1, 0), (2**31 - 1, 2**62)])
def test_a_text_longer_than_its_heap_is_refused_before_memory_is_taken_for_it(
    length: int, elsewhere: int, tmp_path: Path
) -> None:
    data = bytearray(file_of("before.h5").read_bytes())
    with h5py.File(file_of("before.h5")) as file:
        known = len(file.attrs["model_config"]).to_bytes(4, "little")
    place = 4 + data.index(known + data.index(b"GCOL").to_bytes(8, "little"))
    data[place - 4 : place] = length.to_bytes(4, "little")
    data[place : place + 8] = elsewhere.to_bytes(8, "little") if elsewhere else data[place : place + 8]
    (tmp_path / "a.h5").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        ValueError, match=rf"a\.h5 is damaged: a text at byte {place - 4} of {length:,} bytes is in no heap"
    ):
        tg.load_keras(tmp_path / "a.h5")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # kilobytes


def test_a_text_of_a_type_that_is_written_elsewhere_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kind"] = h5py.string_dtype()
        file.attrs.create("model_config", "{}", dtype=file["kind"])
    with pytest.raises(ValueError, match=r"model_config of / is no text"):
        tg.load_keras(tmp_path / "a.h5")


def test_one_text_that_many_say_is_theirs_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["model_config"] = ["x" * 60_000, *"abcdefgh" * 500]
    data = bytearray((tmp_path / "a.h5").read_bytes())
    place = re.search((60_000).to_bytes(4, "little") + b"......\0\0[^\0]...", data, re.DOTALL).start()
    data[place : place + 16 * 4_001] = data[place : place + 16] * 4_001
    (tmp_path / "a.h5").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.h5 is damaged: a text at byte \d+"):
        tg.load_keras(tmp_path / "a.h5")


def test_models_inside_models_are_not_called_without_end(tmp_path: Path) -> None:
    dense = {"module": "keras.layers", "class_name": "Activation", "config": {"name": "x", "activation": "tanh"}}
    for depth in range(6):
        entry = {
            "class_name": "InputLayer",
            "config": {"name": f"in{depth}", "batch_shape": [None, 2]},
            "inbound_nodes": [],
        }
        calls = [
            {
                "args": [{"class_name": "__keras_tensor__", "config": {"keras_history": [f"in{depth}", 0, 0]}}],
                "kwargs": {},
            }
        ]
        inner = {**dense, "inbound_nodes": calls * 9}
        ends = {"input_layers": [[f"in{depth}", 0, 0]], "output_layers": [[dense["config"]["name"], int(depth > 0), 0]]}
        name = f"m{depth}"
        config = {
            "name": name,
            "layers": [{**entry, "name": f"in{depth}"}, {**inner, "name": dense["config"]["name"]}],
            **ends,
        }
        dense = {"module": "keras", "class_name": "Functional", "config": config}
    with pytest.raises(ValueError, match="calls layers more than 20000 times"):
        tg.load_keras(changed(tmp_path, lambda c: (c.clear(), c.update(dense))))


@pytest.mark.parametrize("name", ["masked", "before.h5", "shared"])
def test_damaged_files_end_in_an_error(name: str, tmp_path: Path) -> None:
    data = file_of(name).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / f"damaged{file_of(name).suffix}"
    for k in range(60):
        damaged = bytearray(data[: rng.integers(len(data))] if k % 4 == 0 else data)
        for place in rng.integers(0, max(len(damaged), 1), 1 + k % 7):
            if len(damaged):
                damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            tg.load_keras(path)
        except ValueError as error:
            assert path.name in str(error) or "damaged" in str(error)
