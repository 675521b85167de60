"""Damaged files: mutants of real ones go through the readers of every format. ``make fuzz`` runs it.

A mutant is a real file with a few bytes changed, cut, moved or repeated, or with what is in it changed before it is
packed again: a field of a protobuf, a value of a JSON, a part of a zip. Whatever it is, a reader has to give a model
or one of the errors that it documents, soon, in little memory, and in words that steer no terminal; what opens is run.

Each mutant is made from the seed and its number alone. Processes of their own read them, so that one that dies or does
not end is known by its number.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import io
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from inspector.loading.model_inputs import Sizes, call_model
from inspector.loading.models import model_in
from inspector.loading.records import describe_record
from tinygrad_rnn.interop.file_format import format_of
from tinygrad_rnn.interop.weights import groups_of

from .inspector.cli.characters import characters
from .tinygrad_rnn.interop.onnx.texts import FUNCTIONS, GREEDY, LOOP, SCAN, file_of

KEPT = Path(__file__).parent / "tinygrad_rnn" / "interop" / "keras" / "files"
SECONDS, MEMORY = 10, 512 << 20
"""What reading and running one mutant may take: processor time, and bytes more than before."""

LONGEST = 1000
"""Axes of inputs beyond this would be run for long, as they should."""

NUMBERS = [0, 1, -1, 2, 7, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**40, 2**63 - 1, -(2**63)]
TEXTS = ["", "\x1b[31m", "<script>", "../../etc/passwd", "\0", "a" * 5000, "é\n", "float16", "relu", "None"]

# ------------------------------------------------------------------------------------------- mutants


def mutant(data: bytes, rng: np.random.Generator) -> bytes:
    """A file like one that somebody has damaged, by accident or on purpose."""
    inside = next((change for is_kind, change in _KINDS if is_kind(data)), None)
    if inside is None or rng.random() < 0.3:
        return changed_bytes(data, rng)
    try:
        return inside(data, rng)
    except Exception:  # where nothing of the kind can be changed
        return changed_bytes(data, rng)


def changed_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes anywhere, most near an end, where headers are."""
    found = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        size = len(found)
        if not size:
            break
        near = rng.random()
        at = int(rng.integers(min(size, 256))) if near < 0.3 else size - 1 - int(rng.integers(min(size, 256)))
        at = int(rng.integers(size)) if near > 0.5 else at
        length = int(rng.integers(1, 65))
        match int(rng.integers(8)):
            case 0:
                found[at] ^= 1 << int(rng.integers(8))
            case 1:
                found[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]))
            case 2:
                width = int(rng.choice([2, 4, 8]))
                number = NUMBERS[rng.integers(len(NUMBERS))] % 2 ** (8 * width)
                found[at : at + width] = number.to_bytes(width, "big" if rng.random() < 0.2 else "little")
            case 3:
                del found[at:]
            case 4:
                del found[at : at + length]
            case 5:
                found[at:at] = rng.bytes(length)
            case 6:
                found[at:at] = found[at : at + length] * int(rng.choice([1, 2, 100]))
            case 7:
                other = int(rng.integers(size))
                found[at : at + length] = found[other : other + length]
    return bytes(found)


def changed_zip(data: bytes, rng: np.random.Generator) -> bytes:
    """One part changed, left out, called otherwise or there twice, with sums that are right again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = int(rng.integers(len(parts)))
    name, content = parts[at]
    what = rng.random()
    if what < 0.85:
        parts[at] = name, mutant(content, rng)
    elif what < 0.9:
        parts[at] = name + TEXTS[rng.integers(len(TEXTS))], content
    elif what < 0.95:
        parts.append((name, mutant(content, rng)))
    else:
        del parts[at]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED if rng.random() < 0.3 else zipfile.ZIP_STORED) as archive:
        for part in parts:
            archive.writestr(*part)
    return packed.getvalue()


def changed_json(data: bytes, rng: np.random.Generator) -> bytes:
    """A value or two replaced, moved or left out."""
    root: list[Any] = [json.loads(data)]
    for _ in range(rng.integers(1, 3)):
        places = list(_places(root))
        holder, key = places[rng.integers(len(places))]
        match int(rng.integers(5)):
            case 0:
                del holder[key]
            case 1:
                other, place = places[rng.integers(len(places))]
                holder[key] = copy.deepcopy(other[place]) if place in _keys(other) else None
            case 2:
                holder[key] = json.loads("[" * 300 + "]" * 300) if rng.random() < 0.1 else [holder[key]]
            case 3:
                holder[key] = TEXTS[rng.integers(len(TEXTS))]
            case 4:
                values = [*NUMBERS, None, True, 1.5, 1e308, [], {}]
                holder[key] = values[rng.integers(len(values))]
        if not root:
            root = [None]
    return json.dumps(root[0]).encode()


def _keys(holder: Any) -> Any:
    return range(len(holder)) if isinstance(holder, list) else holder


def _places(holder: Any) -> Any:
    for key in _keys(holder):
        yield holder, key
        if isinstance(holder[key], (list, dict)):
            yield from _places(holder[key])


def changed_safetensors(data: bytes, rng: np.random.Generator) -> bytes:
    """Another header."""
    length = int.from_bytes(data[:8], "little")
    header = changed_json(data[8 : 8 + length], rng)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def changed_onnx(data: bytes, rng: np.random.Generator) -> bytes:
    """A field or two of the protobuf changed, left out or repeated."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    for _ in range(rng.integers(1, 3)):
        places = list(_fields(model))
        message, field = places[rng.integers(len(places))]
        value = getattr(message, field.name)
        if field.is_repeated and len(value):
            at = int(rng.integers(len(value)))
            match int(rng.integers(4)):
                case 0:
                    del value[at]
                case 1 if field.message_type:
                    value.add().CopyFrom(value[at])
                case 1:
                    value.append(value[at])
                case 2 if field.message_type:
                    value[at].CopyFrom(value[int(rng.integers(len(value)))])
                case 2:
                    value[at] = value[int(rng.integers(len(value)))]
                case 3 if not field.message_type:
                    value[at] = _scalar(field, value[at], model, rng)
        elif field.message_type:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, _scalar(field, value, model, rng))
    return model.SerializeToString()


def _fields(message: Any) -> Any:
    for field, value in message.ListFields():
        yield message, field
        if field.message_type:
            for part in value if field.is_repeated else [value]:
                yield from _fields(part)


def _scalar(field: Any, value: Any, model: Any, rng: np.random.Generator) -> Any:
    """Another value of a field; a text is often another name of the model, so that circles arise."""
    if field.type == field.TYPE_STRING:
        names = [*TEXTS[:1], *TEXTS[1:3], *(name for node in model.graph.node for name in (*node.input, *node.output))]
        return names[rng.integers(len(names))]
    if field.type == field.TYPE_BYTES:
        return changed_bytes(value, rng) if value else b"\0"
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return [0.0, -1.0, float("nan"), float("inf"), 1e30][rng.integers(5)]
    low, high = (-(2**31), 2**31 - 1) if field.type in (field.TYPE_INT32, field.TYPE_ENUM) else (-(2**63), 2**63 - 1)
    number = int(np.clip(NUMBERS[rng.integers(len(NUMBERS))], low, high)) if rng.random() < 0.5 else value
    return int(np.clip(int(number) + int(rng.integers(-2, 3)), max(low, 0) if field.type == 13 else low, high))


def _is_onnx(data: bytes) -> bool:
    return data[:1] == b"\x08" and data[2:3] in (b"\x12", b"\x3a", b"\x42")


_KINDS: list[tuple[Callable[[bytes], bool], Callable[[bytes, np.random.Generator], bytes]]] = [
    (lambda data: data[:2] == b"PK", changed_zip),
    (lambda data: data[:1] in (b"{", b"["), changed_json),
    (lambda data: data[8:9] == b"{", changed_safetensors),
    (_is_onnx, changed_onnx),
]

# -------------------------------------------------------------------------------------------- judging


def read(path: Path) -> str:
    """Whether a file was ``"opened"``, ``"run"`` or ``"refused"``.

    Raises
    ------
    Exception
        Whatever no reader documents, or words that steer a terminal.
    """
    try:
        kind = format_of(path)
        if kind == "json":
            said, model = describe_record(path), None
        elif kind in ("onnx", "keras"):
            model = model_in(path).astype(np.float64)
            said = str(model)
        else:
            groups, model, said = groups_of(path), None, ""
            for group in groups.values():
                try:
                    group.network()
                except KeyError as error:  # a name too few or too many
                    said += str(error.args[0])
    except ValueError as error:
        _printable(str(error), path)
        return "refused"
    _printable(said, path)
    if model is None or any(isinstance(n, int) and n > LONGEST for p in model.inputs.values() for n in p.shape):
        return "opened"
    try:
        _printable(repr(call_model(model, [], Sizes(), 0)[0]), path)
    except ValueError as error:
        _printable(str(error), path)
        return "opened"
    return "run"


def _printable(text: str, path: Path) -> None:
    said = text.replace(str(path), "")
    if any(not line.isprintable() for line in said.split("\n")):
        raise AssertionError(f"steers a terminal: {said!r}"[:500])
    if len(said) > 20_000:
        raise AssertionError(f"says {len(said):,} letters: {said[:200]!r}")


def seeds(torch: Any = None) -> dict[str, bytes]:
    """Real files of every format, as small as may be; those of PyTorch where it is given."""
    found = {path.name: path.read_bytes() for path in KEPT.iterdir() if path.suffix in (".keras", ".h5")}
    weights = {f"encoder.{name}": value for name, value in tg.cells.GRUCell(2, 3, seed=0).state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        found["gru.safetensors"] = tg.save_safetensors(weights, Path(folder, "gru.safetensors")).read_bytes()
        if importlib.util.find_spec("onnx"):
            found["characters.onnx"] = characters(Path(folder, "characters.onnx")).read_bytes()
            found |= _loops()
    for name, save in ("gru.npz", np.savez), ("packed.npz", np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, **weights)
        found[name] = buffer.getvalue()
    for name, is_zip in (("zip.pt", True), ("pickle.pt", False)) if torch else ():
        buffer = io.BytesIO()
        tensors = {key: torch.tensor(value) for key, value in weights.items()}
        torch.save({"model": tensors, "epoch": 3}, buffer, _use_new_zipfile_serialization=is_zip)
        found[name] = buffer.getvalue()
    return found


def _loops() -> dict[str, bytes]:
    """ONNX files with subgraphs and functions."""
    rng = np.random.default_rng(0)

    def made(text: str, numbers: dict[str, Any] | None = None, **shapes: tuple[int, ...]) -> bytes:
        arrays = {name: rng.normal(size=shape).astype("f") for name, shape in shapes.items()}
        return file_of(text, **arrays, **(numbers or {}))

    return {
        "scan.onnx": made(SCAN, W=(8, 3), R=(8, 4), b=(8,), V=(4, 2)),
        "loop.onnx": made(LOOP, W=(16, 7), b=(16,)),
        "greedy.onnx": made(GREEDY, {"end": np.int64(2)}, E=(6, 4), R=(4, 4), O=(4, 6)),
        "functions.onnx": made(FUNCTIONS, W=(3, 3), b=(3,)),
    }


# ------------------------------------------------------------------------------------------- running


def judge(names: list[str], files: dict[str, bytes], seed: int, numbers: range, folder: Path, answers: Any) -> None:
    """Read mutants one after the other, and send of each its number, outcome and what was wrong."""
    warnings.simplefilter("ignore")
    own = folder / str(os.getpid())
    own.mkdir()
    os.chdir(own)
    limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        answers.send((number, "begun", ""))
        name = names[number % len(names)]
        path = own / f"m{Path(name).suffix}"
        path.write_bytes(mutant(files[name], np.random.default_rng([seed, number])))
        start, wrong, outcome = time.process_time(), "", "failed"
        try:
            outcome = read(path)
        except BaseException:
            wrong = traceback.format_exc()
        took = time.process_time() - start
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if not wrong and took > SECONDS:
            wrong = f"took {took:.0f} s"
        if not wrong and (most - limit) * 1024 > MEMORY:
            wrong = f"took {(most - limit) >> 10} MB"
        if others := [one.name for one in own.iterdir() if one != path]:
            wrong = wrong or f"wrote {others}"
        limit = max(limit, most)
        answers.send((number, outcome, wrong))
        path.unlink()


def fuzz(files: dict[str, bytes], seed: int, numbers: range, report: Callable[[str, int, str], None]) -> Counter[str]:
    """Read these mutants in a process that is begun anew whenever it dies; how many had each outcome."""
    names, counts = sorted(files), Counter[str]()
    context = multiprocessing.get_context("fork")
    at = numbers.start
    with tempfile.TemporaryDirectory() as folder:
        while at < numbers.stop:
            here, there = context.Pipe(duplex=False)
            todo = range(at, min(at + 500, numbers.stop))
            process = context.Process(target=judge, args=(names, files, seed, todo, Path(folder), there))
            process.start()
            there.close()
            try:
                while at < todo.stop and here.poll(6 * SECONDS):
                    number, outcome, wrong = here.recv()
                    at = number + (outcome != "begun")
                    if outcome != "begun":
                        counts[f"{Path(names[number % len(names)]).suffix} {outcome}"] += 1
                    if wrong:
                        counts["wrong"] += 1
                        report(names[number % len(names)], number, wrong)
            except EOFError:
                pass
            if at < todo.stop:
                counts["wrong"] += 1
                report(names[at % len(names)], at, f"died or did not end ({process.exitcode})")
                at += 1
                process.kill()
            process.join()
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=2000, help="mutants (default: 2000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=0, help="which mutants")
    parser.add_argument("--files", type=Path, nargs="*", default=[], help="more real files")
    parser.add_argument("--keep", type=Path, help="folder for mutants with which something is wrong")
    options = parser.parse_args()
    torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
    files = seeds(torch) | {path.name: path.read_bytes() for path in options.files}
    seen: Counter[str] = Counter()

    def report(name: str, number: int, wrong: str) -> None:
        last = wrong.strip().splitlines()[-1][:300]
        seen[last[:60]] += 1
        if seen[last[:60]] <= 3:
            print(f"{name}, mutant {number}: {wrong[-2000:] if seen[last[:60]] == 1 else last}", flush=True)
        if options.keep:
            options.keep.mkdir(exist_ok=True)
            content = mutant(files[name], np.random.default_rng([options.seed, number]))
            (options.keep / f"{number}{Path(name).suffix}").write_bytes(content)

    start = time.perf_counter()
    numbers = range(options.first, options.first + options.number)
    counts = fuzz(files, options.seed, numbers, report)
    for outcome, count in sorted(counts.items()):
        print(f"{outcome:24} {count:>8,}")
    print(f"{options.number:,} mutants of {len(files)} files, seed {options.seed}, {time.perf_counter() - start:.0f} s")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
