"""Which parameter of Hugging Face's T5 is which of :class:`~fairseq_metro.models.hf_t5.HfT5Model`.

The names differ, our projections are packed, and rows of the token table change places: see
:mod:`fairseq_metro.vocabulary.hf_t5`.
"""

import re

import torch

from fairseq_metro.common.errors import UserError
from fairseq_metro.interchange.authors_keys import TOKENS

DECODER_TOKENS, OUTPUT = "decoder.embed_tokens.weight", "decoder.output_projection.weight"
SHARED, HEAD = "shared.weight", "lm_head.weight"
ALIASES = (SHARED, TOKENS, DECODER_TOKENS)  # one table under three names in their files
# Old files hold a table that no version of their class reads.
IGNORED = re.compile(
    r"decoder\.block\.\d+\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"
)


def entries(config):
    """(our name, their names) of every parameter but the tables of tokens; several of theirs are
    packed into one of ours, in that order. config: fields of an ``HfT5Config``."""
    wide = ("wi_0", "wi_1") if config["activation"] == "gated-gelu" else ("wi",)
    for stack, last in (("encoder", 1), ("decoder", 2)):
        block = f"{stack}.block.{{}}.layer"
        bias = f"{block.format(0)}.0.SelfAttention.relative_attention_bias.weight"
        yield f"{stack}.relative_positions.weight", (bias,)
        yield f"{stack}.layer_norm.weight", (f"{stack}.final_layer_norm.weight",)
        for i in range(config[f"{stack}_layers"]):
            parts = {
                "self_attn.qkv_proj": _of("0.SelfAttention", "q", "k", "v"),
                "self_attn.out_proj": ("0.SelfAttention.o",),
                "self_attn_layer_norm": ("0.layer_norm",),
                "ffn.fc1": _of(f"{last}.DenseReluDense", *wide),
                "ffn.fc2": (f"{last}.DenseReluDense.wo",),
                "final_layer_norm": (f"{last}.layer_norm",),
            }
            if stack == "decoder":
                parts |= {
                    "encoder_attn.q_proj": ("1.EncDecAttention.q",),
                    "encoder_attn.kv_proj": _of("1.EncDecAttention", "k", "v"),
                    "encoder_attn.out_proj": ("1.EncDecAttention.o",),
                    "encoder_attn_layer_norm": ("1.layer_norm",),
                }
            for ours, theirs in parts.items():
                names = tuple(f"{block.format(i)}.{name}.weight" for name in theirs)
                yield f"{stack}.layers.{i}.{ours}.weight", names


def _of(module, *names):
    return tuple(f"{module}.{name}" for name in names)


def to_ours(theirs, config, rows):
    """Our state dict, float32, from theirs; rows: :class:`hf_t5_vocabulary.Rows`.

    Raises :class:`UserError` for a parameter that is missing, unknown, or of another shape.
    """
    left = {key: value for key, value in theirs.items() if not IGNORED.fullmatch(key)}
    tables = {key: left.pop(key) for key in (*ALIASES, HEAD) if key in left}
    if config["untied_output"] and HEAD not in tables:
        raise UserError(f"no parameter {HEAD} in it, although tie_word_embeddings is false")
    head = tables.pop(HEAD) if config["untied_output"] else None
    if not tables:
        raise UserError(f"no parameter {SHARED} in it; is this T5?")
    first, *others = tables
    for other in others:
        if not torch.equal(tables[first], tables[other]):
            raise UserError(f"parameters {first} and {other} differ, but must be one table")
    table = rows.to_ours(tables[first].float())
    state = {TOKENS: table, DECODER_TOKENS: table}
    if head is not None:
        state[OUTPUT] = rows.to_ours(head.float())
    for ours, names in entries(config):
        parts = []
        for name in names:
            if name not in left:
                raise UserError(f"no parameter {name} in it; is this T5, and its config.json?")
            parts.append(left.pop(name).float())
        state[ours] = torch.cat(parts) if len(parts) > 1 else parts[0]
    if left:
        raise UserError(f"parameter {min(left)} is none of T5's, by its config.json")
    _check_shapes(state, config)
    return state


def to_theirs(state, config, rows):
    """Their state dict from ours; the table of tokens once, as ``shared.weight``."""
    theirs = {SHARED: rows.to_theirs(state[TOKENS])}
    if config["untied_output"]:
        theirs[HEAD] = rows.to_theirs(state[OUTPUT])
    for ours, names in entries(config):
        parts = state[ours].chunk(len(names))
        theirs.update((name, part.contiguous()) for name, part in zip(names, parts, strict=True))
    return theirs


def _check_shapes(state, config):
    dim, inner = config["embed_dim"], config["attention_heads"] * config["head_dim"]
    table = (config["relative_position_buckets"], config["attention_heads"])
    gated = 1 + (config["activation"] == "gated-gelu")
    shapes = {
        "relative_positions": table,
        "qkv_proj": (3 * inner, dim),
        "kv_proj": (2 * inner, dim),
        "q_proj": (inner, dim),
        "out_proj": (dim, inner),
        "fc1": (gated * config["ffn_dim"], dim),
        "fc2": (dim, config["ffn_dim"]),
    }
    for key, value in state.items():
        name = key.split(".")[-2]
        expected = (dim,) if name.endswith("layer_norm") else shapes.get(name, (len(value), dim))
        if tuple(value.shape) != expected:
            raise UserError(
                f"{key} would be {tuple(value.shape)}, but config.json makes it {expected}"
            )
