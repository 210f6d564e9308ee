"""Tensors in, kernels started: the host's side of :mod:`fairseq_metro.kernels.attention`."""

import math
from functools import cache

import torch
import triton

from fairseq_metro.kernels import attention_backward, attention_forward
from fairseq_metro.kernels.attention_mask import ROUNDS, SITE, keep_scale, lowest_kept
from fairseq_metro.kernels.attention_tiles import PAD
from fairseq_metro.kernels.on_device import on_its_device

BUCKET_BLOCK, SPREAD_BLOCK = 1024, 256

# (bytes of a number, padded width of a head) -> M queries, N keys, warps, stages of each kernel.
# N is 64 (the dropout mask), M of ``query`` at most 64 (the diagonals of the bias's gradient).
TILES = {
    (2, 64): {"forward": (128, 64, 8, 3), "query": (64, 64, 4, 2), "key": (64, 64, 4, 2)},
    (2, 128): {"forward": (128, 64, 8, 2), "query": (64, 64, 8, 2), "key": (32, 64, 8, 2)},
    (4, 64): {"forward": (32, 64, 8, 2), "query": (16, 64, 8, 1), "key": (32, 64, 16, 1)},
    (4, 128): {"forward": (16, 64, 16, 2), "query": (16, 64, 8, 2), "key": (16, 64, 8, 1)},
}
# The same from compute capability 10 on, where those need more registers than there are.
BLACKWELL = {(2, 64): {"forward": (128, 64, 8, 2), "query": (64, 64, 8, 2)}}


def padded_width(dim):
    """Columns of a tile for heads of a width: a power of two, at least 16."""
    return max(16, triton.next_power_of_2(dim))


def tile(kernel, itemsize, dim, major=9):
    """M, N and how many warps and stages a kernel ("forward", "query", "key") gets on GPUs of compute
    capability ``major``."""
    size = itemsize, max(64, padded_width(dim))
    of_size = TILES[size] | (BLACKWELL.get(size, {}) if major >= 10 else {})
    m, n, warps, stages = of_size[kernel]
    return dict(M=m, N=n, num_warps=warps, num_stages=stages)


@cache
def major_capability(device):
    """A GPU's major compute capability, asked for once; 0 of a CPU."""
    return torch.cuda.get_device_capability(device)[0] if device.type == "cuda" else 0


def dense_heads(tensor):
    """The tensor, copied only where the numbers of a head do not lie side by side."""
    return tensor if tensor.stride(-1) == 1 or tensor.size(-1) == 1 else tensor.contiguous()


class Inputs:
    """What all kernels are told: tensors, strides, sizes and switches, from the operator's own
    arguments (see :func:`fairseq_metro.kernels.attention.attention_op`)."""

    def __init__(
        self, query, memory, table, bucket, padding, query_segments, key_segments, seed, causal,
        dropout, scale,
    ):  # fmt: skip
        query = dense_heads(query)
        memory = query if memory is None else dense_heads(memory)
        self.q, self.k, self.v = query[:, :, 0], memory[:, :, -2], memory[:, :, -1]
        self.batch, self.queries, self.heads, self.dim = self.q.shape
        self.keys, self.table, self.scale = self.k.size(1), table, scale
        self.reach = 0 if bucket is None else bucket.numel() // 2
        self.bucket, self.seed = bucket, seed
        self.dropout = dropout
        self.padding, self.segments = padding, (query_segments, key_segments)
        self.causal = causal
        self.by_distance = None if table is None else self._spread()

    def _spread(self):
        """The bias of every head and distance, float32, as the kernels read it."""
        size = 2 * (self.reach + PAD) + 1
        out = self.q.new_empty((self.heads, size), dtype=torch.float32)
        attention_forward.spread_kernel[(triton.cdiv(size, SPREAD_BLOCK),)](
            self.table, self.bucket, out, self.heads, self.reach, self.scale, PAD=PAD,
            HEADS=triton.next_power_of_2(self.heads), N=SPREAD_BLOCK,
        )  # fmt: skip
        return out

    def pointers(self):
        """By name, the tensors that all kernels read; what is absent is stood in for and not read."""
        q = self.q
        return dict(
            q=q,
            k=self.k,
            v=self.v,
            by_distance=q if self.by_distance is None else self.by_distance,
            padding=q if self.padding is None else self.padding.contiguous().view(torch.uint8),
            query_segments=q if self.segments[0] is None else self.segments[0].contiguous(),
            key_segments=q if self.segments[1] is None else self.segments[1].contiguous(),
            seed=q if self.seed is None else self.seed,
        )

    def sizes(self):
        """By name, strides and numbers."""
        q_batch, q_row, q_head = self.q.stride()[:3]
        k_batch, k_row, k_head = self.k.stride()[:3]
        return dict(
            q_batch=q_batch,
            q_row=q_row,
            q_head=q_head,
            k_batch=k_batch,
            k_row=k_row,
            k_head=k_head,
            heads=self.heads,
            queries=self.queries,
            keys=self.keys,
            reach=self.reach,
            scale=self.scale * math.log2(math.e),
            lowest=lowest_kept(self.dropout),
            keep_scale=keep_scale(self.dropout) if self.dropout else 1.0,
        )

    def switches(self, kernel):
        """By name, what a kernel is compiled for."""
        shape = tile(kernel, self.q.element_size(), self.dim, major_capability(self.q.device))
        return dict(
            BIAS=self.table is not None,
            PADDING=self.padding is not None,
            SEGMENTS=self.segments[0] is not None,
            CAUSAL=self.causal,
            DROPOUT=bool(self.dropout),
            EVEN=self.queries % shape["M"] == 0 and self.keys % shape["N"] == 0,
            PAD=PAD,
            D=self.dim,
            WIDTH=padded_width(self.dim),
            PRECISION=precision(self.q.dtype),
            ROUNDS=ROUNDS,
            SITE=SITE,
            **shape,
        )


def precision(dtype):
    """How float32 tiles are multiplied: as torch multiplies matrices, TF32 only where it is on."""
    if dtype != torch.float32:
        return "ieee"
    chosen = torch.backends.cuda.matmul
    # Of torch's two settings the older one cannot be read where a program has set the newer.
    newer = getattr(chosen, "fp32_precision", None)
    return "tf32" if (chosen.allow_tf32 if newer is None else newer == "tf32") else "ieee"


@on_its_device
def forward(*arguments):
    """out (B, T, H, D) contiguous, levels (2, B, H, T) float32."""
    own = Inputs(*arguments)
    q = own.q
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    levels = q.new_empty((2, own.batch, own.heads, own.queries), dtype=torch.float32)
    switches = own.switches("forward")
    programs = triton.cdiv(own.queries, switches["M"]) * own.batch * own.heads
    if out.numel():
        attention_forward.forward_kernel[(programs,)](
            **own.pointers(), out=out, levels=levels, **own.sizes(), **switches
        )
    return out, levels


@on_its_device
def backward(d_out, out, levels, query, memory, *arguments):
    """Gradients of query and memory, contiguous, and of the table (buckets, H) float32; of absent
    ones empty tensors."""
    own = Inputs(query, memory, *arguments)
    d_out = dense_heads(d_out)
    d_query = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    d_memory = d_query.new_empty((0,) if memory is None else memory.shape)
    d_q, source = d_query[:, :, 0], d_query if memory is None else d_memory
    d_k, d_v = source[:, :, -2], source[:, :, -1]
    rows = 0 if own.table is None else own.table.size(0)
    d_table = levels.new_empty((rows, own.heads if rows else 0))
    if not d_out.numel():
        return d_query.zero_(), d_memory.zero_(), d_table.zero_()
    delta = torch.empty_like(levels[0])
    shared, sizes = own.pointers(), own.sizes()
    sizes.update(zip(("d_batch", "d_row", "d_head"), d_out.stride()[:3], strict=True))
    sizes["softmax_scale"] = own.scale
    switches = own.switches("query")
    m, n = switches["M"], switches["N"]
    blocks = triton.cdiv(own.queries, m)
    diagonals = delta
    if rows:
        width = (triton.cdiv(own.keys, n) + 1) * n
        diagonals = levels.new_empty((own.batch, own.heads, blocks, width))
    sizes.update(zip(("g_batch", "g_row", "g_head"), d_q.stride()[:3], strict=True))
    attention_backward.query_kernel[(blocks * own.batch * own.heads,)](
        **shared, out=out, d_out=d_out, levels=levels, delta=delta, d_q=d_q, diagonals=diagonals,
        **sizes, **switches,
    )  # fmt: skip
    sizes.update(zip(("g_batch", "g_row", "g_head"), d_k.stride()[:3], strict=True))
    switches = own.switches("key")
    blocks = triton.cdiv(own.keys, switches["N"])
    attention_backward.key_kernel[(blocks * own.batch * own.heads,)](
        **shared, d_out=d_out, levels=levels, delta=delta, d_k=d_k, d_v=d_v, **sizes, **switches
    )
    if rows:
        attention_backward.bucket_kernel[(rows, own.heads)](
            diagonals.sum(0), own.bucket, d_table, own.heads, own.queries, own.keys, own.reach,
            M=m, N=n, BLOCK=BUCKET_BLOCK,
        )  # fmt: skip
    return d_query, d_memory, d_table
