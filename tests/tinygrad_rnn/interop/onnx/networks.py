"""Networks such as people export, with inputs and the names of axes of any length.

``python -m tests.tinygrad_rnn.interop.onnx.networks`` keeps files of the newer exporter, which takes seconds for each,
in ``files/``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

FILES = Path(__file__).parent / "files"
KEPT = (("looped", 18), ("masked", 18), ("picture", 23), ("translator", 20), ("GRUCell", 18))
FOLDED = (("GRUCell", 18), ("both", 18))  # the latter without names of its weights


class CharLSTM(nn.Module):
    """The states come in and go out, as for sampling."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 5)
        self.rnn = nn.LSTM(5, 6, num_layers=2)
        self.head = nn.Linear(6, 11)

    def forward(self, ids, h, c):
        y, (h, c) = self.rnn(self.embedding(ids), (h, c))
        return self.head(y), h, c


class PackedTagger(nn.Module):
    """A bidirectional GRU over sentences of several lengths."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 5)
        self.rnn = nn.GRU(5, 4, batch_first=True, bidirectional=True)
        self.head = nn.Linear(8, 3)

    def forward(self, ids, lengths):
        packed = pack_padded_sequence(self.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=ids.shape[1])
        return self.head(y)


class MaskedTagger(PackedTagger):
    """The same with a mask."""

    def forward(self, ids, lengths):
        y, _ = self.rnn(self.embedding(ids))
        mask = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
        return self.head(y * mask[:, :, None])


class CRNN(nn.Module):
    """Reads the text in a picture, column by column."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(2)
        self.second = nn.Conv2d(4, 6, 3, padding=1)
        self.rnn = nn.LSTM(12, 5, bidirectional=True)
        self.head = nn.Linear(10, 7)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        for values in (self.norm.running_mean, self.norm.weight, self.norm.bias):  # one array each, not one for several
            nn.init.normal_(values)

    def forward(self, x):
        x = self.pool(F.relu(self.norm(self.conv(x))))
        x = F.max_pool2d(F.relu(self.second(x)), (2, 1))
        batch, channels, height, width = x.shape
        y, _ = self.rnn(x.reshape(batch, channels * height, width).permute(2, 0, 1))
        return F.log_softmax(self.head(y), -1)


class Translator(nn.Module):
    """An encoder, and a decoder that looks back at it."""

    def __init__(self):
        super().__init__()
        self.source, self.target = nn.Embedding(9, 5), nn.Embedding(9, 5)
        self.encoder = nn.LSTM(5, 6, batch_first=True)
        self.decoder = nn.LSTM(5, 6, batch_first=True)
        self.query = nn.Linear(6, 6, bias=False)
        self.out = nn.Linear(12, 9)

    def forward(self, source, target):
        encoded, state = self.encoder(self.source(source))
        decoded, _ = self.decoder(self.target(target), state)
        attention = torch.softmax(torch.bmm(self.query(decoded), encoded.transpose(1, 2)), -1)
        return self.out(torch.cat([decoded, torch.bmm(attention, encoded)], -1)), attention


class Detector(nn.Module):
    """Tells speech in chunks of sound: a branch for each rate, its spectrum by convolution, states in and out."""

    def __init__(self):
        super().__init__()
        self.high, self.low = nn.Parameter(torch.randn(18, 1, 16)), nn.Parameter(torch.randn(18, 1, 8))
        self.encoder = nn.Conv1d(9, 6, 3, padding=1)
        self.rnn = nn.LSTMCell(6, 6)
        self.decoder = nn.Conv1d(6, 1, 1)

    def forward(self, x, state, rate):
        if rate == 16000:
            y = F.conv1d(F.pad(x[:, None], (4, 4), mode="reflect"), self.high, stride=8)
        else:
            y = F.conv1d(F.pad(x[:, None], (2, 2), mode="reflect"), self.low, stride=4)
        spectrum = torch.sqrt(y[:, :9] ** 2 + y[:, 9:] ** 2)
        h, c = self.rnn(F.relu(self.encoder(spectrum)).mean(-1), (state[0], state[1]))
        return torch.sigmoid(self.decoder(F.relu(h)[:, :, None])).squeeze(-1), torch.stack([h, c])


class Mixer(nn.Module):
    """A cell of somebody's own."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(7, 8)
        self.keep = nn.Linear(7, 4)

    def forward(self, x, h):
        both = torch.cat([x, h], 1)
        a, b = self.mix(both).chunk(2, 1)
        n = torch.tanh(a) * torch.sigmoid(b)
        z = torch.sigmoid(self.keep(both))
        h = h + z * (n - h)
        return h  # noqa: RET504 - that the state has a name in the file


class Looped(nn.Module):
    """A loop of Python's over that cell, and over one of PyTorch's on top, from the end."""

    def __init__(self):
        super().__init__()
        self.cell, self.top = Mixer(), nn.LSTMCell(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x, h, c):
        state, below = torch.zeros(x.shape[0], 4), []
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
            below.append(state)
        above = []
        for value in below[::-1]:
            h, c = self.top(value, (h, c))
            above.append(self.head(h))
        return torch.stack(above, 1), h, c


class Scripted(nn.Module):
    """A loop for sequences of any length, as only a script has it."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, 4)

    def forward(self, x):
        h, c = torch.zeros(x.size(1), 4), torch.zeros(x.size(1), 4)
        found = []
        for t in range(x.size(0)):
            h, c = self.cell(x[t], (h, c))
            found.append(torch.relu(h))
        return torch.stack(found)


class Begun(nn.Module):
    """Loops over cells that start from zeros; of the newer exporter's file, what it computed of them ahead is part."""

    def __init__(self, kind):
        super().__init__()
        self.cell, self.top = kind(3, 4), kind(4, 4)

    def forward(self, x):
        zeros = torch.zeros(x.shape[1], 4)
        below = above = (zeros, zeros) if isinstance(self.cell, nn.LSTMCell) else zeros
        for t in range(x.shape[0]):
            below = self.cell(x[t], below)
            above = self.top(below[0] if isinstance(below, tuple) else below, above)
        return above[0] if isinstance(above, tuple) else above


class Both(nn.Module):
    """A plain RNN in both directions, which the newer exporter writes step by step, with products of x ahead."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(3, 4, batch_first=True, bidirectional=True, nonlinearity="relu")
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        y, h = self.rnn(x)
        return self.head(y), h


class Network(NamedTuple):
    """A module, inputs for it by name, and the names of their axes of any length."""

    module: Any
    inputs: dict[str, Any]
    axes: dict[str, dict[int, str]]


def network(name: str) -> Network:
    """One of the above, the same every time."""
    torch.manual_seed(0)

    def ids(*shape):
        return torch.randint(0, 9, shape)

    lengths = torch.tensor([6, 3, 5])
    if name == "characters":
        states = {"h": torch.randn(2, 2, 6), "c": torch.randn(2, 2, 6)}
        axes = {"ids": {0: "T", 1: "batch"}, "h": {1: "batch"}, "c": {1: "batch"}}
        return Network(CharLSTM(), {"ids": ids(7, 2), **states}, axes)
    if name in ("packed", "masked"):
        module = PackedTagger() if name == "packed" else MaskedTagger()
        axes = {"ids": {0: "batch", 1: "T"}, "lengths": {0: "batch"}}
        return Network(module, {"ids": ids(3, 6), "lengths": lengths}, axes)
    if name == "picture":
        return Network(CRNN().eval(), {"x": torch.randn(2, 1, 8, 12)}, {"x": {0: "batch", 3: "width"}})
    if name == "translator":
        axes = {"source": {0: "batch", 1: "S"}, "target": {0: "batch", 1: "T"}}
        return Network(Translator(), {"source": ids(2, 5), "target": ids(2, 4)}, axes)
    if name == "looped":
        states = {"h": torch.randn(2, 4), "c": torch.randn(2, 4)}
        axes = {"x": {0: "batch"}, "h": {0: "batch"}, "c": {0: "batch"}}
        return Network(Looped(), {"x": torch.randn(2, 5, 3), **states}, axes)
    if name in ("LSTMCell", "GRUCell", "RNNCell"):
        return Network(Begun(getattr(nn, name)), {"x": torch.randn(4, 2, 3)}, {})
    if name in ("LSTM", "GRU", "RNN"):
        return Network(getattr(nn, name)(3, 4), {"x": torch.randn(4, 2, 3)}, {})
    if name == "both":
        return Network(Both(), {"x": torch.randn(2, 4, 3)}, {})
    if name == "scripted":
        with quiet():
            module = torch.jit.script(Scripted())
        return Network(module, {"x": torch.randn(5, 2, 3)}, {"x": {0: "T", 1: "batch"}})
    assert name == "detector"
    inputs = {"x": torch.randn(2, 32), "state": torch.randn(2, 2, 6), "rate": torch.tensor(16000)}
    with quiet():
        module = torch.jit.script(Detector())
    return Network(module, inputs, {"x": {0: "batch", 1: "N"}, "state": {1: "batch"}})


def scripted(made: Network, opset: int, *, folded: bool = False) -> bytes:
    """A file by the exporter that is built on TorchScript; what is computed of weights alone is in it if not folded."""
    file = io.BytesIO()
    with quiet():
        torch.onnx.export(
            made.module,
            tuple(made.inputs.values()),
            file,
            dynamo=False,
            opset_version=opset,
            input_names=list(made.inputs),
            dynamic_axes=made.axes,
            do_constant_folding=folded,
        )
    return file.getvalue()


def exported(made: Network, opset: int, *, folded: bool = False) -> bytes:
    """A file by the newer exporter, which is built on torch.export."""
    lengths = {name: dict.fromkeys(made.axes.get(name, {}), torch.export.Dim.AUTO) for name in made.inputs}
    with quiet():
        program = torch.onnx.export(made.module, tuple(made.inputs.values()), dynamo=True, opset_version=opset,
                                    input_names=list(made.inputs), dynamic_shapes=tuple(lengths.values()),
                                    optimize=folded, verbose=False)  # fmt: skip
    return program.model_proto.SerializeToString()


@contextlib.contextmanager
def quiet():
    """Both exporters warn of whatever is to come, and log what nobody reads."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def trimmed(file: bytes, *unread: str) -> bytes:
    """Without these notes, what else nobody reads, and folders of a machine in the lines of source that it notes."""
    import onnx

    model = onnx.load_from_string(file)
    del model.graph.value_info[:], model.functions[:]
    for node in model.graph.node:
        read = [
            entry for entry in node.metadata_props if not entry.key.endswith(("fx_node", "class_hierarchy", *unread))
        ]
        for entry in read:
            entry.value = re.sub(r'File "[^"]*?/(?=torch/|[^/"]*")', 'File "', entry.value)
        del node.metadata_props[:]
        node.metadata_props.extend(read)
    return model.SerializeToString()


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    for kept, opset in dict.fromkeys((*KEPT, *FOLDED)):
        folded = (kept, opset) in FOLDED
        file = exported(network(kept), opset, folded=folded)
        (FILES / f"{kept}-{opset}.onnx").write_bytes(trimmed(file, *["stack_trace"] * folded))
