"""What benchmarks/kernels.py measures: inputs of each operation, and every version of it by name.

Each problem has ``versions(on_gpu)``, names and functions; ``step(version)``, a forward and a backward
pass; and ``flops`` or ``bytes``, what a step is at least.
"""

import functools
import importlib

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from fairseq_metro.kernels.attention import attention_fused, attention_reference
from fairseq_metro.kernels.head_loss import Draw, head_loss_fused, head_loss_reference
from fairseq_metro.kernels.residual_norm import residual_norm_fused, residual_norm_reference
from fairseq_metro.modules.attention import hide, packed_attention
from fairseq_metro.modules.norm import add_dropout_norm
from fairseq_metro.modules.relative_position import RelativePositionBias

BACKENDS = {
    "sdpa efficient": SDPBackend.EFFICIENT_ATTENTION,
    "sdpa flash": SDPBackend.FLASH_ATTENTION,
    "sdpa cudnn": SDPBackend.CUDNN_ATTENTION,
    "sdpa math": SDPBackend.MATH,
}
USES = {  # bias, padding, causal, cross
    "encoder": (True, True, False, False),
    "encoder, no padding": (True, False, False, False),
    "decoder": (False, False, True, False),
    "cross": (False, True, False, True),
}


class Attention:
    """Inputs of one attention; sizes: batch, length, heads, width of a head."""

    def __init__(self, use, sizes, dropout, device, dtype):
        batch, length, heads, dim = sizes
        self.bias, padded, self.causal, self.cross = USES[use]
        self.dropout, self.length = dropout, length
        fresh = dict(device=device, dtype=dtype)
        self.query = torch.randn(batch, length, 1 if self.cross else 3, heads, dim, **fresh)
        self.memory = torch.randn(batch, length, 2, heads, dim, **fresh) if self.cross else None
        self.gradient = torch.randn(batch, length, heads, dim, **fresh)
        self.positions = RelativePositionBias(32, 128, heads, length).to(**fresh)
        torch.nn.init.normal_(self.positions.weight)
        self.padding = None
        if padded:  # right-padded by up to a tenth
            lengths = torch.randint(length * 9 // 10, length + 1, (batch, 1), device=device)
            self.padding = torch.arange(length, device=device) >= lengths
        self.changed = [x for x in (self.query, self.memory) if x is not None]
        self.changed += [self.positions.weight] if self.bias else []
        for x in self.changed:
            x.requires_grad_()
        products = 7  # of a forward and a backward pass
        self.flops = products * 2 * batch * heads * length**2 * dim * (0.5 if self.causal else 1)

    def parts(self):
        source = self.query if self.memory is None else self.memory
        chosen = (self.query[:, :, 0], source[:, :, -2], source[:, :, -1])
        return [x.transpose(1, 2) for x in chosen]

    def ours(self, version):
        positions = self.positions
        options = dict(key_padding_mask=self.padding, causal=self.causal, dropout=self.dropout)
        if self.bias:
            options.update(table=positions.weight, bucket=positions.near)
        return version(self.query, self.memory, **options)

    def added(self):
        """Bias and padding as torch's attention takes them."""
        mask = None
        if self.bias:
            mask = self.positions(self.length).unsqueeze(0)
        return mask if self.padding is None else hide(mask, self.padding[:, None, None, :])

    def sdpa(self, backend):
        with sdpa_kernel([backend]):
            q, k, v = self.parts()
            out = torch.nn.functional.scaled_dot_product_attention(
                q, k, v, attn_mask=self.added(), dropout_p=self.dropout, is_causal=self.causal
            )
        return out.transpose(1, 2)

    def flex(self):
        from torch.nn.attention.flex_attention import flex_attention

        if self.dropout:
            raise RuntimeError("FlexAttention has no dropout")
        table, bucket, padding = self.positions.weight, self.positions.near, self.padding
        reach = bucket.numel() // 2

        def score(s, b, h, i, j):
            if self.bias:
                s = s + table[bucket[(j - i).clamp(-reach, reach) + reach], h]
            if padding is not None:
                s = torch.where(padding[b, j], -float("inf"), s)
            return torch.where(j > i, -float("inf"), s) if self.causal else s

        return compiled(flex_attention)(*self.parts(), score_mod=score).transpose(1, 2)

    def module(self):
        """As the model calls it: on a CPU our own function with its own gradient."""
        bias = self.positions if self.bias else None
        options = dict(key_padding_mask=self.padding, causal=self.causal, dropout=self.dropout)
        return packed_attention(self.query, self.memory, bias=bias, **options)

    def versions(self, on_gpu):
        rows = {"eager": lambda: self.ours(attention_reference)}
        if on_gpu:
            rows["fused"] = lambda: self.ours(attention_fused)
            rows["compiled"] = compiled(lambda: self.ours(attention_reference))
            rows["flex"] = self.flex
        else:
            rows["ours"] = self.module
        for name, backend in BACKENDS.items():
            if on_gpu or name in ("sdpa math", "sdpa flash"):
                rows[name] = lambda backend=backend: self.sdpa(backend)
        return rows

    def step(self, version):
        """A forward and a backward pass."""
        forget_gradients(self.changed)
        version().backward(self.gradient)


class ResidualNorm:
    """LN(residual + dropout(update + bias)); sizes: rows, width. It is bound by memory, so what is
    told is bytes: 4 tensors read or written in each pass, were all in one kernel."""

    def __init__(self, use, sizes, dropout, device, dtype):
        rows, dim = sizes
        self.dropout = dropout
        fresh = dict(device=device, dtype=dtype)
        self.norm = torch.nn.LayerNorm(dim, **fresh)
        self.inputs = [torch.randn(rows, dim, **fresh) for _ in range(2)]
        self.shift = torch.zeros(dim, **fresh)
        self.gradient = torch.randn(rows, dim, **fresh)
        self.changed = [*self.inputs, self.norm.weight, self.norm.bias, self.shift]
        for x in self.changed:
            x.requires_grad_()
        self.bytes = 8 * self.gradient.nbytes

    def run(self, version):
        norm = self.norm
        options = dict(update_bias=self.shift, dropout=self.dropout)
        return version(*self.inputs, norm.weight, norm.bias, **options)

    def module(self):
        return add_dropout_norm(
            *self.inputs, self.norm, update_bias=self.shift, dropout=self.dropout, training=True
        )

    def other(self, norm):
        """Somebody else's LayerNorm after torch's own additions and dropout."""
        residual, update = self.inputs
        return norm(residual + F.dropout(update + self.shift, self.dropout))

    def versions(self, on_gpu):
        rows = {"eager": lambda: self.run(residual_norm_reference)}
        if not on_gpu:
            return {**rows, "ours": self.module}
        rows["fused"] = lambda: self.run(residual_norm_fused)
        rows["compiled"] = compiled(lambda: self.run(residual_norm_reference))
        rows["apex"] = lambda: self.other(self.taken("apex.normalization", "FusedLayerNorm"))
        rows["liger"] = lambda: self.other(
            self.taken("liger_kernel.transformers", "LigerLayerNorm")
        )
        return rows

    @functools.cache  # noqa: B019  a problem lives as long as its rows
    def taken(self, module, name):
        """A LayerNorm from another package, of this width; refused where it is not installed."""
        made = getattr(importlib.import_module(module), name)(self.norm.weight.numel())
        return made.to(self.gradient.device, self.gradient.dtype)

    def step(self, version):
        forget_gradients(self.changed)
        version().backward(self.gradient)


class HeadLoss:
    """Vocabulary head and loss; sizes: rows, width, vocabulary. "auxiliary" draws replacements too."""

    def __init__(self, use, sizes, dropout, device, dtype):
        rows, dim, vocabulary = sizes
        fresh = dict(device=device, dtype=dtype)
        self.hidden = torch.randn(rows, dim, **fresh)
        self.weight = torch.randn(vocabulary, dim, **fresh) * dim**-0.5
        self.target = torch.randint(vocabulary, (rows,), device=device)
        self.draw = None
        if use == "auxiliary":
            uniform = torch.rand(rows, dtype=torch.float64, device=device)
            tokens = torch.zeros(1, 8 * rows, dtype=torch.int64, device=device)
            self.draw = Draw(uniform, tokens, 8 * torch.arange(rows, device=device))
        self.changed = [self.hidden, self.weight]
        for x in self.changed:
            x.requires_grad_()
        self.flops = 3 * 2 * rows * dim * vocabulary

    def run(self, version):
        return version(self.hidden, self.weight, self.target, draw=self.draw).loss

    def liger(self):
        module = importlib.import_module("liger_kernel.transformers")
        loss = module.LigerFusedLinearCrossEntropyLoss(reduction="sum")
        return loss(self.weight, self.hidden, self.target)

    def torchs(self):
        return F.linear_cross_entropy(self.hidden, self.weight, self.target, reduction="sum")

    def versions(self, on_gpu):
        rows = {"eager": lambda: self.run(head_loss_reference)}
        if on_gpu:
            rows["fused"] = lambda: self.run(head_loss_fused)
            rows["compiled"] = compiled(lambda: self.run(head_loss_reference))
        if self.draw is None:
            rows["torch's linear_cross_entropy"] = self.torchs
            if on_gpu:
                rows["liger"] = self.liger
        return rows

    def step(self, version):
        forget_gradients(self.changed)
        version().backward()


def compiled(function):
    return torch.compile(function, dynamic=False)


def forget_gradients(tensors):
    for x in tensors:
        x.grad = None
