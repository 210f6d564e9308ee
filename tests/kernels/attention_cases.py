"""Inputs of attention, what the reference makes of them in float64, and how far off one may be."""

from dataclasses import dataclass

import torch

from fairseq_metro.kernels.attention import attention_reference

# Added to the error of torch's own operations in the same dtype: relative to the reference's norm.
FLOOR = {torch.float32: 5e-7, torch.float16: 1e-4, torch.bfloat16: 1e-3}
# Performance facts, section 8, for inputs of N(0, 1): relative error of output and gradients.
CAP = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.5e-2}
NAMES = ("out", "d_query", "d_memory", "d_table")


@dataclass
class Case:
    """Sizes and switches; no keys: self-attention, no reach: no bias."""

    queries: int
    keys: int | None = None
    batch: int = 2
    heads: int = 1
    dim: int = 16
    reach: int | None = None
    buckets: int = 5
    causal: bool = False
    padding: bool = False
    segments: bool = False
    dropout: float = 0.0
    scale: float | None = None
    size: float = 1.0
    seed: int = 123456789123

    def inputs(self, dtype=torch.float32, device="cpu"):
        """(query, memory or None, options) for both versions, and the output's gradient."""
        generator = torch.Generator().manual_seed(self.queries)
        drawn = lambda *sizes: torch.randn(*sizes, generator=generator)  # noqa: E731
        cross = self.keys is not None
        keys = self.keys if cross else self.queries
        shape = (self.heads, self.dim)
        query = self.size * drawn(self.batch, self.queries, 1 if cross else 3, *shape)
        memory = drawn(self.batch, keys, 2, *shape) if cross else None
        options = dict(causal=self.causal, dropout=self.dropout, scale=self.scale)
        if self.dropout:
            options["seed"] = torch.tensor([self.seed])
        if self.reach is not None:
            options["table"] = drawn(self.buckets, self.heads)
            options["bucket"] = torch.randint(
                self.buckets, (2 * self.reach + 1,), generator=generator
            )
        if self.padding:  # the first input is padding only
            options["key_padding_mask"] = torch.rand(self.batch, keys, generator=generator) < 0.3
            options["key_padding_mask"][0] = True
        if self.segments:
            own = [
                torch.randint(3, (self.batch, n), generator=generator).sort().values
                for n in (self.queries, keys)
            ]
            options["query_segments"], options["key_segments"] = own[0], own[1 if cross else 0]
        gradient = drawn(self.batch, self.queries, *shape)

        def place(x):
            if not isinstance(x, torch.Tensor):
                return x
            return x.to(device, dtype if x.is_floating_point() else x.dtype)

        options = {name: place(value) for name, value in options.items()}
        return place(query), place(memory), options, place(gradient)


def run(function, query, memory, options, gradient, dtype=None):
    """Output and gradients of query, memory and table by name, computed in a dtype."""
    changed = [
        None if x is None else x.detach().to(dtype or x.dtype).requires_grad_()
        for x in (query, memory, options.get("table"))
    ]
    if changed[2] is not None:
        options = {**options, "table": changed[2]}
    out = function(*changed[:2], **options)
    out.backward(gradient.to(out.dtype))
    values = [out.detach(), *(None if x is None else x.grad for x in changed)]
    return {name: x for name, x in zip(NAMES, values, strict=True) if x is not None}


def errors(found, expected):
    """By name, the norm of the difference over the norm of what is expected."""
    return {
        name: float((found[name].double() - value).norm() / value.norm().clamp(min=1e-12))
        for name, value in expected.items()
    }


def cancelled(query, memory, options, gradient, norm):
    """How many times larger than the table's gradient (its norm) the sums along diagonals are that
    it is the sum of: a row of scores' gradients adds up to 0, so few buckets nearly cancel, and what
    two orders of addition differ by is relative to the terms. Float64; 1 or more."""
    longest = max(query.size(1), (query if memory is None else memory).size(1))
    bucket = options["bucket"]
    reach = bucket.numel() // 2
    distances = torch.arange(-longest, longest + 1, device=bucket.device).clamp(-reach, reach)
    each = {
        "table": options["table"][bucket[distances + reach]],
        "bucket": torch.arange(2 * longest + 1, device=bucket.device),
    }
    found = run(attention_reference, query, memory, options | each, gradient, torch.float64)
    return max(1.0, float(found["d_table"].abs().sum() / norm))


def check(function, query, memory, options, gradient):
    """The facts' rule: at most 2 (the table's gradient 3) times the error of torch's operations in
    the same dtype, against float64, plus a floor (the table's as often as :func:`cancelled` says).
    Returns the errors."""
    dtype = query.dtype
    exact = run(attention_reference, query, memory, options, gradient, torch.float64)
    plain = errors(run(attention_reference, query, memory, options, gradient), exact)
    found = run(function, query, memory, options, gradient)
    for name, value in found.items():
        assert value.dtype == dtype and value.isfinite().all(), name
    ours = errors(found, exact)
    for name, error in ours.items():
        if exact[name].norm() < 1e-9:  # a single key has weight 1: no gradient but rounding
            assert found[name].norm() < 1e3 * FLOOR[dtype], name
            ours[name] = 0.0
            continue
        allowed = 2 * plain[name] + FLOOR[dtype]
        if name == "d_table":
            lost = cancelled(query, memory, options, gradient, exact[name].norm())
            allowed = 3 * plain[name] + lost * FLOOR[dtype]
        assert error <= allowed, f"{name}: {error:.2e}, torch {plain[name]:.2e}"
    return ours
