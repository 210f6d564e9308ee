"""The shipped configurations of attention's kernels, to be compiled without a GPU."""

from fairseq_metro.kernels.attention_backward import bucket_kernel, key_kernel, query_kernel
from fairseq_metro.kernels.attention_forward import forward_kernel, spread_kernel
from fairseq_metro.kernels.attention_launch import BUCKET_BLOCK, SPREAD_BLOCK, padded_width, tile
from fairseq_metro.kernels.attention_mask import ROUNDS, SITE
from fairseq_metro.kernels.attention_tiles import PAD

KERNELS = {"forward": forward_kernel, "query": query_kernel, "key": key_kernel}
SIZES = {"bf16": 2, "fp16": 2, "fp32": 4}
# The three attentions of a METRO-T5 layer: switches of the encoder's, the decoder's, and between.
USES = {
    "encoder": dict(BIAS=True, PADDING=True, SEGMENTS=False, CAUSAL=False),
    "decoder": dict(BIAS=False, PADDING=False, SEGMENTS=False, CAUSAL=True),
    "cross": dict(BIAS=False, PADDING=True, SEGMENTS=False, CAUSAL=False),
    "packed": dict(BIAS=True, PADDING=False, SEGMENTS=True, CAUSAL=False),
}


def arguments(kernel, capability, dtype="bf16", dim=64, use="encoder", dropout=True, even=True):
    """(types and constants, launch options) of "forward", "query" or "key" for one configuration on
    a compute capability, such as 80, 90 or 100."""
    tensor, multiple = f"*{dtype}:16", "i32:16"
    names = dict.fromkeys("q k v out d_out d_q d_k d_v".split(), tensor)
    names.update(dict.fromkeys("by_distance levels delta diagonals".split(), "*fp32:16"))
    names.update(padding="*u8:16", query_segments="*i64:16", key_segments="*i64:16", seed="*i64:16")
    strides = [f"{of}_{what}" for of in "qkdg" for what in ("batch", "row", "head")]
    names.update(dict.fromkeys(strides, multiple))
    names.update(dict.fromkeys("heads queries keys reach lowest".split(), "i32"))
    names.update(dict.fromkeys("scale softmax_scale keep_scale".split(), "fp32"))
    shape = tile(kernel, SIZES[dtype], dim, capability // 10)
    options = {name: shape.pop(name) for name in ("num_warps", "num_stages")}
    names.update(
        USES[use], DROPOUT=dropout, EVEN=even, D=dim, WIDTH=padded_width(dim), PRECISION="ieee",
        PAD=PAD, ROUNDS=ROUNDS, SITE=SITE, **shape,
    )  # fmt: skip
    return names, options


def small_kernels():
    """The two kernels around the others: (kernel, arguments)."""
    shape = tile("query", 2, 64)
    spread = dict(
        table="*bf16:16", bucket="*i64:16", by_distance="*fp32:16", heads="i32",
        reach="i32", scale="fp32", PAD=PAD, HEADS=16, N=SPREAD_BLOCK,
    )  # fmt: skip
    sums = dict(
        diagonals="*fp32:16", bucket="*i64:16", d_table="*fp32:16", heads="i32", queries="i32",
        keys="i32", reach="i32", M=shape["M"], N=shape["N"], BLOCK=BUCKET_BLOCK,
    )  # fmt: skip
    return [(spread_kernel, spread), (bucket_kernel, sums)]
