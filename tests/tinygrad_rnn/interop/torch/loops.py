"""Modules that loop over time themselves, as users of PyTorch write them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

I, H, O = 3, 4, 2  # noqa: E741 - inputs, hidden units, outputs, as everywhere


class Kept(nn.Module):
    """Keeps the hidden state of every step, to be asked for its gradient."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def keep(self, h):
        if h.requires_grad and self.training:
            h.retain_grad()
            self.kept.append(h)
        return h


class Plain(Kept):
    """Outputs of every step, read out behind the loop."""

    batch_first, output = False, "h"

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.GRUCell(I, H), nn.Linear(H, O)

    def forward(self, x):
        h = torch.zeros(x.size(1), H, dtype=x.dtype)
        outs = []
        for t in range(x.size(0)):
            h = self.keep(self.cell(x[t], h))
            outs.append(h)
        return self.out(torch.stack(outs)), h


class Projected(Kept):
    """All inputs projected before the loop, the last state read out; written by hand."""

    batch_first, output = True, "h"

    def __init__(self):
        super().__init__()
        self.inp, self.hh, self.out = nn.Linear(I, H), nn.Linear(H, H, bias=False), nn.Linear(H, O)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], H)
        for x_t in self.inp(x).unbind(1):
            h = self.keep(torch.tanh(self.hh(h) + x_t))
        return F.log_softmax(self.out(h), dim=-1)


class TwoInOne(Kept):
    """Two layers in one loop, outputs written into a tensor, a readout at every step."""

    batch_first, output = True, "y"

    def __init__(self):
        super().__init__()
        self.c1, self.c2, self.out = nn.LSTMCell(I, H), nn.LSTMCell(H, H), nn.Linear(H, O)

    def forward(self, x):
        B, T, _ = x.shape
        first = second = None
        outs = x.new_zeros(B, T, O)
        for t in range(T):
            first = self.c1(x[:, t], first)
            second = self.c2(first[0], second)
            self.keep(second[0])
            outs[:, t] = self.out(second[0])
        return outs


class Learned(Kept):
    """A learned initial state, joined outputs, and an LSTM written by hand."""

    batch_first, output = False, "h"

    def __init__(self):
        super().__init__()
        self.h0, self.c0 = nn.Parameter(torch.randn(H)), nn.Parameter(torch.randn(1, H))
        self.lin = nn.Linear(I + H, 4 * H)

    def forward(self, x):
        h, c = self.h0.expand(x.size(1), -1), self.c0.expand(x.size(1), H)
        outs = []
        for x_t in x:
            i, f, g, o = self.lin(torch.cat([x_t, h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = self.keep(torch.sigmoid(o) * torch.tanh(c))
            outs.append(h.unsqueeze(0))
        return torch.cat(outs, dim=0), (h, c)


class Layers(nn.Module):
    """One layer after the other, each with a loop of its own."""

    batch_first, output = False, "h2"

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.RNNCell(I, H), nn.RNNCell(H, H)])

    def forward(self, x):
        for cell in self.layers:
            h = torch.zeros(x.shape[1], H, dtype=x.dtype)
            outs = []
            for t in range(len(x)):
                h = cell(x[t], h)
                outs.append(h)
            x = torch.stack(outs, 0)
        return x


class Memory(nn.Module):
    """Backwards in time, attention over the whole sequence, a start made of it, and neighbours mixed before."""

    batch_first, output = True, "h"

    def __init__(self):
        super().__init__()
        self.conv, self.mem = nn.Conv1d(I, H, 3, padding=1), nn.Linear(I, H)
        self.cell = nn.GRUCell(H, H)

    def forward(self, x):
        mixed = self.conv(x.transpose(1, 2)).transpose(1, 2)
        memory = self.mem(x)
        h = memory.mean(1)
        outs = []
        for t in reversed(range(x.size(1))):
            weights = torch.softmax((memory @ h[:, :, None]).squeeze(-1), -1)
            context = (weights[:, None] @ memory).squeeze(1)
            h = self.cell(mixed[:, t] + context, h)
            outs.insert(0, h)
        return torch.stack(outs, 1)


class Delta(nn.Module):
    """The delta rule: queries, keys and values of all steps at once, a matrix as the state, its mean read as well."""

    batch_first, output = True, "o"

    def __init__(self):
        super().__init__()
        self.qkv, self.gate = nn.Linear(I, 3 * H), nn.Linear(I, 1)

    def forward(self, x):
        q, k, v = self.qkv(x).view(x.size(0), x.size(1), 3, H).unbind(2)
        beta = torch.sigmoid(self.gate(x))
        S = torch.zeros(x.size(0), H, H, dtype=x.dtype)
        outs = []
        for t in range(x.size(1)):
            kt = F.normalize(k[:, t], dim=-1)
            error = v[:, t] - torch.einsum("bvk,bk->bv", S, kt)
            S = S + beta[:, t, :, None] * error[:, :, None] * kt[:, None, :]
            o = torch.einsum("bvk,bk->bv", S, q[:, t])
            outs.append(o)
        return torch.stack(outs, dim=1), S.mean(dim=(1, 2))


class Sliced(nn.Module):
    """A network over time called for a timestep at a time, and sums that grow along the loop."""

    batch_first, output = False, "total"

    def __init__(self):
        super().__init__()
        self.step, self.out = nn.Linear(I + H, H), nn.Linear(H, O)

    def forward(self, x):
        h = torch.zeros(1, x.size(1), H, dtype=x.dtype)[0]
        total = 0.0
        for t in range(x.size(0)):
            h = h + 0.5 * torch.relu(self.step(torch.cat([x[t : t + 1].squeeze(0), h], -1)))
            total = total + self.out(h)
        return total / 2


LOOPS = [Plain, Projected, TwoInOne, Learned, Layers, Memory, Delta, Sliced]


class Tokens(nn.Module):
    """Whole numbers that are looked up before the loop."""

    def __init__(self):
        super().__init__()
        self.emb, self.cell, self.out = nn.Embedding(7, I), nn.GRUCell(I, H), nn.Linear(H, 7)

    def forward(self, tokens):
        h = torch.zeros(tokens.shape[1], H, dtype=self.out.weight.dtype)
        logits = []
        for x_t in self.emb(tokens):
            h = self.cell(x_t, h)
            logits.append(self.out(h))
        return torch.stack(logits)
