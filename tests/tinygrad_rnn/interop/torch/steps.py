"""Steps as users of PyTorch write them, each with the shapes of its input and states for a batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

I, H, K = 3, 4, 2  # noqa: E741 - inputs, as everywhere


class PeepholeLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(I + H, 4 * H)
        self.peep = nn.Parameter(0.3 * torch.randn(3, H))

    def forward(self, x, state):
        h, c = state
        i, f, g, o = self.lin(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        i = torch.sigmoid(i + self.peep[0] * c)
        f = torch.sigmoid(f + self.peep[1] * c)
        c = f * c + i * torch.tanh(g)
        o = torch.sigmoid(o + self.peep[2] * c)
        h = o * torch.tanh(c)
        return h, c


class LayerNormLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.ih, self.hh = nn.Linear(I, 4 * H, bias=False), nn.Linear(H, 4 * H, bias=False)
        self.ln_ih, self.ln_hh, self.ln_c = nn.LayerNorm(4 * H), nn.LayerNorm(4 * H), nn.LayerNorm(H)

    def forward(self, x, h, c):
        gates = self.ln_ih(self.ih(x)) + self.ln_hh(self.hh(h))
        i, f, o = torch.sigmoid(gates[:, : 3 * H]).chunk(3, dim=-1)
        g = gates[:, 3 * H :].tanh()
        c = f * c + i * g
        return o * self.ln_c(c).tanh(), c


class MinGRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.to_z, self.to_h = nn.Linear(I, H), nn.Linear(I, H)

    def forward(self, x, h_prev):
        z = self.to_z(x).sigmoid()
        candidate = self.to_h(x)
        return (1 - z) * h_prev + z * candidate


class Attention(nn.Module):
    """A recurrent query over a memory that stays."""

    def __init__(self):
        super().__init__()
        self.query, self.cell = nn.Linear(H, K), nn.GRUCell(I + K, H)

    def forward(self, x, h, memory):
        q = self.query(h).unsqueeze(1)
        weights = torch.softmax(q @ memory.transpose(1, 2) / K**0.5, dim=-1)
        read = (weights @ memory).squeeze(1)
        return self.cell(torch.cat((x, read), -1), h), memory


class DeltaRule(nn.Module):
    """A gated delta rule with a matrix as its state, and an output that is none."""

    def __init__(self):
        super().__init__()
        self.qkv, self.beta, self.alpha = nn.Linear(I, 3 * H), nn.Linear(I, 1), nn.Linear(I, 1)

    def forward(self, x, S):
        q, k, v = self.qkv(x).split(H, dim=-1)
        k = F.normalize(k, dim=-1)
        beta, alpha = torch.sigmoid(self.beta(x)), torch.sigmoid(self.alpha(x))
        S = S * alpha[..., None]
        error = v - torch.einsum("bvk,bk->bv", S, k)
        S = S + beta[..., None] * torch.einsum("bv,bk->bvk", error, k)
        y = torch.einsum("bvk,bk->bv", S, q)
        return y, S


class Zoneout(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.p = nn.LSTMCell(I, H), 0.2

    def forward(self, x, h, c):
        new_h, new_c = self.cell(x, (h, c))
        if self.training:
            keep = torch.rand_like(h) < self.p
            return torch.where(keep, h, new_h), torch.where(keep, c, new_c)
        return self.p * h + (1 - self.p) * new_h, self.p * c + (1 - self.p) * new_c


class MultiplicativeLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.mx, self.mh = nn.Linear(I, H, bias=False), nn.Linear(H, H, bias=False)
        self.w = nn.Parameter(0.4 * torch.randn(4 * H, I + H))
        self.b = nn.Parameter(torch.zeros(4 * H))

    def forward(self, x, hidden):
        h, c = hidden
        m = self.mx(x) * self.mh(h)
        z = torch.addmm(self.b, torch.cat([x, m], 1), self.w.t())
        f, i, o, u = torch.split(z, H, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(u)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)


class Residual(nn.Module):
    """A stack of layers, normalised, with dropout, a frozen weight and a buffer."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(I + H, 8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, H), nn.SiLU())
        self.norm, self.bn = nn.LayerNorm(H), nn.BatchNorm1d(H)
        self.register_buffer("decay", torch.linspace(0.5, 0.9, H))
        self.net[0].bias.requires_grad_(False)
        self.bn.running_var += 0.5

    def forward(self, x, hx):
        update = self.net(torch.cat([x, hx], -1))
        return self.bn(self.norm(hx * self.decay + F.elu(update).clamp(min=-0.3, max=2.0)))


class Written(nn.Module):
    """Writes in place, builds its zeros for the batch, and takes the gradient away from a part."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(0.3 * torch.randn(H, H))

    def forward(self, x, h):
        out = x.new_zeros(x.size(0), H)
        out[:, :I] = x
        out[:, I] = h[:, 0] ** 2
        out += torch.relu(h) @ self.w
        out.mul_(0.5).add_(h.detach(), alpha=0.1)
        with torch.no_grad():
            shift = h.mean(dim=1, keepdim=True)
        return torch.where(out > 0, out, 0.1 * out) + shift


class TwoLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList([nn.LSTMCell(I, H), nn.LSTMCell(H, H)])
        self.readout = nn.Linear(H, 2)

    def forward(self, x, states):
        new = []
        for cell, state in zip(self.cells, states, strict=True):
            state = cell(x, state)
            x = state[0]
            new.append(state)
        return F.log_softmax(self.readout(x), dim=1), tuple(new)


class ConvLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1 + 2, 4 * 2, 3, padding=1)

    def forward(self, x, h, c):
        i, f, g, o = self.conv(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class Tied(nn.Module):
    """A weight used twice, a weight of unit norm, statistics over units, and a list as the result."""

    def __init__(self):
        super().__init__()
        self.lin = nn.utils.parametrizations.weight_norm(nn.Linear(H, H))
        self.x_in = nn.Linear(I, H)

    def forward(self, x, a, b):
        a_new = torch.tanh(self.lin(a) + self.x_in(x) - b.var(dim=1, keepdim=True))
        b_new = self.lin(a_new) * F.softplus(b).rsqrt() + b.abs().sqrt() * a_new.amax(1, keepdim=True)
        return [a_new, b_new]


def state(batch, *shape):
    return torch.randn(batch, *(shape or (H,)), dtype=torch.float64)


def pair(batch):
    return state(batch), state(batch)


STEPS = {
    "PeepholeLSTM": (PeepholeLSTM, lambda b: [pair(b)]),
    "LayerNormLSTM": (LayerNormLSTM, lambda b: [*pair(b)]),
    "MinGRU": (MinGRU, lambda b: [state(b)]),
    "Attention": (Attention, lambda b: [state(b), state(b, 5, K)]),
    "DeltaRule": (DeltaRule, lambda b: [state(b, H, H)]),
    "Zoneout": (Zoneout, lambda b: [*pair(b)]),
    "MultiplicativeLSTM": (MultiplicativeLSTM, lambda b: [pair(b)]),
    "Residual": (Residual, lambda b: [state(b)]),
    "Written": (Written, lambda b: [state(b)]),
    "TwoLayers": (TwoLayers, lambda b: [(pair(b), pair(b))]),
    "ConvLSTM": (ConvLSTM, lambda b: [state(b, 2, 3, 3), state(b, 2, 3, 3)]),
    "Tied": (Tied, lambda b: [*pair(b)]),
    "LSTMCell": (lambda: nn.LSTMCell(I, H), lambda b: [pair(b)]),
    "GRUCell": (lambda: nn.GRUCell(I, H, bias=False), lambda b: [state(b)]),
    "RNNCell": (lambda: nn.RNNCell(I, H, nonlinearity="relu"), lambda b: [state(b)]),
}
"""From a name to what makes the module, and the states for a batch, as the module takes them."""


def module(name):
    """A module of that name in float64 and eval."""
    torch.manual_seed(7)
    return STEPS[name][0]().double().eval()


def inputs(name, *lead):
    """Inputs (*lead, features)."""
    return torch.randn(*lead, *((1, 3, 3) if name == "ConvLSTM" else (I,)), dtype=torch.float64)
