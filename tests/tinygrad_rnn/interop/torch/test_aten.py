"""Every operation that is taken over, and random compositions of them: from_torch compares each with PyTorch itself."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.interop.torch.aten import ATEN, LIKE, LIMITS, OVERWRITES

torch = pytest.importorskip("torch")
F = torch.nn.functional
W = torch.nn.Parameter(0.5 * torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))

# each keeps (batch, 4)
ONE = {
    "abs": torch.abs,
    "acos": lambda x: torch.acos(0.9 * torch.tanh(x)),
    "acosh": lambda x: torch.acosh(x.square() + 1.1),
    "addcdiv": lambda x: torch.addcdiv(x, x, x * x + 1, value=0.5),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=0.5),
    "addmm": lambda x: torch.addmm(x, x, W[:4], beta=0.5, alpha=2),
    "amax": lambda x: x - x.amax(1, keepdim=True),
    "amin": lambda x: x - torch.amin(x, dim=(1,), keepdim=True),
    "arange": lambda x: x * torch.arange(4),
    "argmax": lambda x: x + x.argmax(1, keepdim=True) - x.argmin(1, True),
    "asin": lambda x: torch.asin(0.9 * torch.tanh(x)),
    "asinh": torch.asinh,
    "atan": torch.atan,
    "atan2": lambda x: torch.atan2(x, x * x + 1),
    "atanh": lambda x: torch.atanh(0.9 * torch.tanh(x)),
    "baddbmm": lambda x: torch.baddbmm(x[:, None], x[:, None], W[:4].expand(x.size(0), 4, 4)).squeeze(1),
    "bmm": lambda x: (x[:, :, None].bmm(x[:, None]) / 8).sum(2),
    "bool": lambda x: torch.where((x > 0) & (x < 1) | ~(x != x) ^ (x >= 2), x, x.clone()),
    "cat": lambda x: torch.cat([x[:, 2:], x[:, :2]], -1),
    "ceil": lambda x: x + x.detach().ceil() - x.floor() - x.trunc() + torch.round(x),
    "clamp": lambda x: x.clamp(-0.5, 0.7) + x.clamp(min=0.1) + torch.clamp(x, max=0.2),
    "clamp.Tensor": lambda x: torch.clamp(x, min=x.mean(1, keepdim=True)),
    "clamp_min": lambda x: torch.clamp_min(x, 0.3) + torch.clamp_max(x, 0.1),
    "conv": lambda x: F.conv1d(x[:, None], W[:1, None, :3], padding=1, stride=1).flatten(1),
    "cos": torch.cos,
    "cosh": lambda x: torch.cosh(torch.tanh(x)),
    "cumprod": lambda x: torch.cumprod(torch.tanh(x), 1),
    "cumsum": lambda x: x.cumsum(-1),
    "diagonal": lambda x: torch.diagonal(x[:, :, None] * x[:, None] / 4, dim1=1, dim2=2),
    "div": lambda x: x / (x * x + 1) + torch.div(x, 3, rounding_mode="floor") + x.div(2, rounding_mode="trunc"),
    "dot": lambda x: x * torch.dot(W[0], W[1]) + torch.mv(W[:4], W[5]) + torch.addmv(W[0], W[:4], W[1]),
    "einsum": lambda x: torch.einsum("bi,ij->bj", x, W[:4]) + torch.einsum("...i,ij", x, W[:4]),
    "elu": lambda x: F.elu(x, alpha=0.5) + F.selu(x) + F.celu(x, 2.0),
    "embedding": lambda x: x + F.embedding(torch.tensor([1, 2, 2]), W).sum(0),
    "erf": torch.erf,
    "exp": lambda x: torch.exp(torch.tanh(x)) + torch.exp2(x.sigmoid()) + torch.expm1(-x.abs()),
    "expand": lambda x: x.mean(1, keepdim=True).expand(-1, 4) + x[:, :1].expand_as(x),
    "eye": lambda x: x @ torch.eye(4, dtype=x.dtype),
    "flip": lambda x: x.flip(1),
    "full": lambda x: x + torch.full((x.shape[0], 4), 0.5, dtype=x.dtype) + torch.full_like(x, 2) + x.new_full((4,), 3),
    "gather": lambda x: x.gather(1, torch.tensor([[3, 1, 1, 0]]).expand(len(x), 4)),
    "gelu": lambda x: F.gelu(x) + F.gelu(x, approximate="tanh"),
    "glu": lambda x: F.glu(torch.cat([x, x * 2], 1)),
    "hardtanh": lambda x: F.hardtanh(x) + F.relu6(x),
    "index": lambda x: x[:, torch.tensor([3, 0, 0, 1])] + x[..., [0, 1, 2, 3]],
    "index_select": lambda x: x.index_select(1, torch.tensor([2, 2, 1, 0])),
    "isnan": lambda x: torch.where(torch.isnan(x) | torch.isinf(x), 0.0, x),
    "layer_norm": lambda x: F.layer_norm(x, (4,), W[0], W[1], 1e-3),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "lerp": lambda x: torch.lerp(x, W[0], 0.3) + torch.lerp(x, W[1], torch.sigmoid(x)),
    "linear": lambda x: F.linear(x, W, bias=None)[:, :4] + F.linear(x, W[:4], W[4]),
    "linspace": lambda x: x * torch.linspace(0, 1, 4, dtype=x.dtype),
    "log": lambda x: torch.log(x * x + 1) + torch.log2(x.abs() + 1) + torch.log10(x.abs() + 1) + torch.log1p(x.abs()),
    "log_softmax": lambda x: torch.log_softmax(x, 1),
    "logaddexp": lambda x: torch.logaddexp(x, W[0]),
    "logical": lambda x: x * torch.logical_or(torch.logical_and(x > 0, x < 1), torch.logical_not(x > -1)),
    "logsigmoid": F.logsigmoid,
    "logsumexp": lambda x: x - x.logsumexp(1, keepdim=True),
    "masked_fill": lambda x: x.masked_fill(x > 0.5, -1.0),
    "matmul": lambda x: x @ W[:4] + torch.matmul(W[:4], x[..., None])[..., 0] + (W[0] @ W[:4].T),
    "max": lambda x: x.max(1, keepdim=True)[0] + x - x.min(dim=1)[0][:, None] + x.max() - x.min(),
    "maximum": lambda x: torch.maximum(x, W[0]) - torch.minimum(x, W[1]),
    "mean": lambda x: x - x.mean(1, keepdim=True) + x.mean() + x.mean(0),
    "mish": F.mish,
    "neg": lambda x: -x,
    "norm": lambda x: (
        F.normalize(x, dim=1) + x.norm(dim=1, keepdim=True) + torch.linalg.vector_norm(x, 1, dim=1)[:, None]
    ),
    "ones": lambda x: x + torch.ones_like(x) * torch.ones(4) + x.new_ones(x.shape) - torch.zeros(len(x), 4),
    "outer": lambda x: x @ torch.outer(W[0], W[1]),
    "pad": lambda x: F.pad(x, (1, 2), value=0.5)[:, 1:5],
    "permute": lambda x: x.T.contiguous().t() + x.permute(1, 0).transpose(0, 1) + x.mT.mT,
    "pow": lambda x: x**2 + x.pow(3) + (x * x + 1) ** 0.5 + (x * x + 1).pow(-x) + 2.0 ** x.tanh() + x.float_power(1),
    "prod": lambda x: x + torch.tanh(x).prod(1, keepdim=True),
    "reciprocal": lambda x: 1 / (x * x + 1) + torch.reciprocal(x.abs() + 1),
    "relu": torch.relu,
    "remainder": lambda x: x % 3,
    "repeat": lambda x: x[:, :2].repeat(1, 2),
    "reshape": lambda x: x.reshape(x.size(0), 2, 2).flatten(1).view(-1, 4).view(len(x), 2, -1).reshape(-1, 4),
    "rms_norm": lambda x: F.rms_norm(x, (4,), W[0], 1e-3),
    "roll": lambda x: x.roll(1, 1) + torch.roll(x, (1, 2), (1, 1)),
    "rsub": lambda x: 1 - x + torch.rsub(x, W[0], alpha=2) + torch.sub(x, x, alpha=3),
    "scalar": lambda x: x + torch.tensor(0.5) + torch.scalar_tensor(2.0),
    "sdpa": lambda x: F.scaled_dot_product_attention(*[x[:, :, None] * W[0, :2]] * 3).sum(2),
    "sigmoid": torch.sigmoid,
    "sign": lambda x: x * torch.sign(x),
    "silu": F.silu,
    "sin": torch.sin,
    "sinh": lambda x: torch.sinh(torch.tanh(x)),
    "softmax": lambda x: F.softmax(x, dim=-1),
    "softplus": lambda x: F.softplus(x, beta=2, threshold=5),
    "split": lambda x: (
        torch.stack([a * b for a, b in zip(x.unbind(1), x.split([1, 2, 1], 1)[1].chunk(2, 1), strict=False)], 1).mean(2)
        @ W[:2]
    ),
    "sqrt": lambda x: (x * x + 0.1).sqrt() + (x * x + 1).rsqrt(),
    "squeeze": lambda x: x[:, None].squeeze(1) + x.unsqueeze(-1).squeeze() + x[None].squeeze(0),
    "std": lambda x: x + x.std(1, keepdim=True) + x.std(dim=1, unbiased=False)[:, None],
    "sum": lambda x: x - x.sum(1, keepdim=True) + x.sum() + (x > 0).sum(1, keepdim=True),
    "tan": lambda x: torch.tan(torch.tanh(x)),
    "tanh": torch.tanh,
    "to": lambda x: x.float().double() + (x > 0).to(x.dtype) + (x > 1).double().type_as(x),
    "tril": lambda x: x @ W[:4].tril() + x @ W[:4].triu(1),
    "var": lambda x: x * x.var(1, keepdim=True) + torch.var_mean(x, dim=1, keepdim=True)[0],
    "writes": lambda x: x.clone().mul_(2).add_(1).clamp_(-1, 1).masked_fill_(x > 2, 0.0).sigmoid_(),
    "fills": lambda x: (
        torch.zeros_like(x).copy_(x) + torch.empty_like(x).fill_(2) + x.clone().zero_() + x.new_empty(4).fill_(1)
    ),
}
ROUNDED = {"hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish}  # PyTorch's derivatives have seven digits
TWO = {
    "add": lambda x, h: torch.add(x, h, alpha=0.5),
    "mul": lambda x, h: x * h,
    "sub": lambda x, h: x - h,
    "gate": lambda x, h: torch.sigmoid(x) * h + (1 - torch.sigmoid(x)) * x,
    "where": lambda x, h: torch.where(x > h, x, h),
    "attend": lambda x, h: (torch.softmax(x[:, :, None] * h[:, None], -1) @ h[..., None]).squeeze(-1),
    "write": lambda x, h: torch.stack([x, h], 1).clone().index_select(1, torch.tensor([1, 0])).sum(1),
}


@pytest.mark.parametrize("name", [*ONE, *ROUNDED])
def test_operations_agree_with_pytorch(name):
    """from_torch raises where values or gradients differ; here it is made to look at another batch, too."""
    function = {**ONE, **ROUNDED}[name]
    x, h = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    cell = tg.from_torch(lambda x, h: function(x) + h, x, h)
    other = torch.randn(4, 4, dtype=torch.float64)
    run = tg.unroll(cell, other[None].numpy())
    assert abs(run.stacked.data[0] - function(other).detach().numpy()).max() < 1e-10


@given(st.data())
def test_random_compositions_agree_with_pytorch(data):
    names = data.draw(st.lists(st.sampled_from([*ONE, *TWO]), min_size=2, max_size=5))
    seed = data.draw(st.integers(0, 9999))
    places = data.draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=8, max_size=8))

    def step(x, h, weight=W):
        assert W is weight  # what a function reads from around it are parameters
        values = [x, h]
        for name, (a, b) in zip(names, places, strict=False):
            a, b = values[a % len(values)], values[b % len(values)]
            values.append(torch.tanh(ONE[name](a) if name in ONE else TWO[name](a, b)))
        return sum(values[2:]) / 4

    torch.manual_seed(seed)
    x, h = torch.randn(2, 3, 4, dtype=torch.float64)
    cell = tg.from_torch(step, x, h)
    more, start = torch.randn(3, 2, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    more.requires_grad_()
    state, outputs = start, []
    for t in range(3):
        state = step(more[t], state)
        outputs.append(state)
    loss = (torch.stack(outputs) ** 2).sum()
    theirs = torch.autograd.grad(loss, [more, start], allow_unused=True)
    ours_x, ours_h = tg.tensor(more.detach().numpy(), True), tg.tensor(start.detach().numpy(), True)
    run = tg.unroll(cell, ours_x, [ours_h])
    ours = tg.grad((run.stacked**2).sum(), [ours_x, ours_h])
    for mine, other in zip(ours, theirs, strict=True):
        other = torch.zeros(mine.shape) if other is None else other
        assert abs(mine.data - other.numpy()).max() <= 1e-9 * max(1.0, float(other.abs().max()))


def test_a_wrong_operation_is_found_when_a_cell_is_made(monkeypatch):
    x, h = torch.randn(2, 3, 4, dtype=torch.float64)
    monkeypatch.setitem(ATEN, "tanh.default", tg.sigmoid)
    with pytest.raises(RuntimeError, match="the value of h of step comes out otherwise than in PyTorch"):
        tg.from_torch(lambda x, h: torch.tanh(x) + h, x, h)
    monkeypatch.setitem(ATEN, "tanh.default", lambda x: tg.tanh(tg.stop_gradient(x)))
    with pytest.raises(RuntimeError, match="the gradient of x of step"):
        tg.from_torch(lambda x, h: torch.tanh(x) + h, x, h)


def test_the_table_names_operations_that_exist():
    for name in ATEN:
        packet, overload = name.split(".")
        found = getattr(torch.ops.aten, packet, None) or getattr(torch.ops.aten, f"{packet}_", None)
        assert found is not None, name
        assert overload in found.overloads() or overload in getattr(torch.ops.aten, f"{packet}_").overloads(), name
    assert set(LIMITS) <= set(ATEN) and set(LIKE.values()) <= set(ATEN)


def test_the_page_lists_them():
    page = (Path(__file__).parents[4] / "docs/from_torch.md").read_text(encoding="utf-8")
    listed = page.split("<!-- operations -->\n```text\n")[1].split("```")[0].split()
    assert listed == sorted({name.split(".")[0].strip("_") for name in [*ATEN, *LIKE, *OVERWRITES]})
