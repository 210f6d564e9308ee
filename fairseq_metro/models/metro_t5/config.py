"""Sizes and switches of METRO-T5, and of its main model alone."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from fairseq_metro.common.errors import UserError
from fairseq_metro.models.sizes import check_sizes


@dataclass
class T5TransformerConfig(FairseqDataclass):
    """The main model: a T5-style encoder-decoder with the changes of METRO-T0, section 4.2."""

    embed_dim: int = field(
        default=768, metadata={"help": "width of the model (METRO-T0, Table 5: hidden dimension)"}
    )
    ffn_dim: int = field(default=3072, metadata={"help": "inner width of the feed-forward layers"})
    attention_heads: int = field(default=12, metadata={"help": "attention heads of every layer"})
    encoder_layers: int = field(default=12, metadata={"help": "layers of the encoder"})
    decoder_layers: int = field(default=12, metadata={"help": "layers of the decoder"})
    dropout: float = field(
        default=0.1,
        metadata={"help": "dropout after embeddings, attention and feed-forward (paper: 0.1)"},
    )
    attention_dropout: float = field(
        default=0.1, metadata={"help": "dropout of attention weights (paper: 0.1)"}
    )
    relative_position_buckets: int = field(
        default=32, metadata={"help": "rows of each relative-position table (paper: 32; large 64)"}
    )
    relative_position_max_distance: int = field(
        default=128, metadata={"help": "distance from which on all share the last bucket"}
    )
    max_positions: int = field(
        default=1024,
        metadata={"help": "longest input and target in tokens: rows of the position tables"},
    )
    decoder_start: str = field(
        default="",
        metadata={
            "help": "symbol that begins the decoder's input in fine-tuning and inference; empty: "
            "the vocabulary's role decoder_start, </s>; kept in the checkpoint"
        },
    )
    pretraining_decoder_start: str = field(
        default="",
        metadata={
            "help": "symbol that begins the decoder's input in pretraining; empty: the "
            "vocabulary's role pretraining_decoder_start, the mask; kept in the checkpoint"
        },
    )

    initialization: ChoiceEnum(["paper", "release"]) = field(
        default="paper",
        metadata={
            "help": "initial weights; the paper names none (ours: embeddings 0.02), the released "
            "code's are the other choice; --recipe sets it"
        },
    )
    checkpoint_activations: bool = field(
        default=False,
        metadata={
            "help": "keep each layer's input alone and compute the rest again in the backward "
            "pass: less memory, one more forward pass of all layers, the same numbers"
        },
    )


@dataclass
class MetroT5Config(T5TransformerConfig):
    """The main model with its auxiliary model and the RTD head."""

    auxiliary_layers: int = field(
        default=4,
        metadata={"help": "layers of the auxiliary masked LM (paper: 4; large++ 6)"},
    )
    auxiliary_embed_dim: int = field(
        default=0,
        metadata={"help": "width of the auxiliary model; 0: the main model's (paper)"},
    )
    auxiliary_dropout: Optional[float] = field(  # noqa: UP045  fairseq's parser knows this form
        default=None,
        metadata={
            "help": "all dropouts of the auxiliary model; not given: the main model's (paper; the "
            "released code has 0)"
        },
    )
    auxiliary_temperature: float = field(
        default=1.0,
        metadata={"help": "replacements are drawn from softmax(logits / temperature) (paper: 1)"},
    )
    share_auxiliary: ChoiceEnum(["token", "token_pos", "token_pos_norm"]) = field(
        default="token",
        metadata={
            "help": "tables that main and auxiliary model share: tokens (paper), also positions, "
            "also the LayerNorm after the embeddings (released base++)"
        },
    )
    mlm_head: ChoiceEnum(["linear", "transform"]) = field(
        default="linear",
        metadata={
            "help": "the auxiliary model's head: linear is the tied matrix alone (paper, A.2), "
            "transform has dense, ReLU, LayerNorm before it and a bias (released code)"
        },
    )
    rtd_head: ChoiceEnum(["roberta", "simple"]) = field(
        default="roberta",
        metadata={
            "help": "roberta: dense, ReLU, LayerNorm, linear (paper, A.2); simple: one linear map"
        },
    )
    rtd_on: ChoiceEnum(["encoder", "decoder"]) = field(
        default="encoder",
        metadata={"help": "states the RTD head reads (paper: encoder; Table 4: decoder)"},
    )
    clm_head: ChoiceEnum(["linear", "projection"]) = field(
        default="linear",
        metadata={
            "help": "linear: the tied matrix alone (paper); projection: dense, ReLU, LayerNorm "
            "before it (Table 4, Projection Layer on CLM; with --rtd-on decoder A.2's complex "
            "CLM head)"
        },
    )
    copy_mechanism: bool = field(
        default=False,
        metadata={
            "help": "mix the CLM's softmax with a copy of the encoder's input, weighted by the RTD "
            "probability of 'original', detached (Table 4; our reading of COCO-LM's head)"
        },
    )


def auxiliary_config(cfg):
    """Sizes and dropouts of the auxiliary encoder; head width and FFN ratio are the main model's."""
    dim = cfg.auxiliary_embed_dim or cfg.embed_dim
    dropout, attention_dropout = cfg.dropout, cfg.attention_dropout
    if cfg.auxiliary_dropout is not None:
        dropout = attention_dropout = cfg.auxiliary_dropout
    heads = max(1, cfg.attention_heads * dim // cfg.embed_dim)
    if dim % heads != 0:
        raise UserError(
            f"--auxiliary-embed-dim {dim} cannot be cut into {heads} heads; give a multiple of "
            f"the main model's head width {cfg.embed_dim // cfg.attention_heads}"
        )
    return SimpleNamespace(
        embed_dim=dim,
        ffn_dim=cfg.ffn_dim * dim // cfg.embed_dim,
        attention_heads=heads,
        dropout=dropout,
        attention_dropout=attention_dropout,
        max_positions=cfg.max_positions,
        relative_position_buckets=cfg.relative_position_buckets,
        relative_position_max_distance=cfg.relative_position_max_distance,
        checkpoint_activations=cfg.checkpoint_activations,
    )


def check_config(cfg):
    """Raise :class:`UserError` for sizes that cannot be."""
    check_sizes(cfg)
    if cfg.embed_dim % cfg.attention_heads != 0:
        raise UserError(
            f"--embed-dim {cfg.embed_dim} is not a multiple of --attention-heads "
            f"{cfg.attention_heads}; change one of them"
        )
    buckets, distance = cfg.relative_position_buckets, cfg.relative_position_max_distance
    if buckets < 4 or distance <= buckets // 4 + 1:
        raise UserError(
            f"--relative-position-buckets {buckets} with --relative-position-max-distance "
            f"{distance}: at least 4 buckets, and a distance above a quarter of them plus 1"
        )
    width = getattr(cfg, "auxiliary_embed_dim", 0)
    if width not in (0, cfg.embed_dim) and cfg.share_auxiliary != "token":
        raise UserError(
            f"--auxiliary-embed-dim {width} with --share-auxiliary {cfg.share_auxiliary}: tables "
            "of different widths cannot be shared; share tokens only"
        )
