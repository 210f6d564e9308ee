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
        default=768,
        metadata={"help": "Hidden size of the model (METRO-T0, Table 5: hidden dimension)."},
    )
    ffn_dim: int = field(default=3072, metadata={"help": "Inner size of the feed-forward layers."})
    attention_heads: int = field(
        default=12, metadata={"help": "Number of attention heads in every layer."}
    )
    encoder_layers: int = field(default=12, metadata={"help": "Number of encoder layers."})
    decoder_layers: int = field(default=12, metadata={"help": "Number of decoder layers."})
    dropout: float = field(
        default=0.1,
        metadata={"help": "Dropout after embeddings, attention and feed-forward (paper: 0.1)."},
    )
    attention_dropout: float = field(
        default=0.1, metadata={"help": "Dropout of the attention weights (paper: 0.1)."}
    )
    relative_position_buckets: int = field(
        default=32,
        metadata={"help": "Number of rows in each relative-position table (paper: 32; large: 64)."},
    )
    relative_position_max_distance: int = field(
        default=128, metadata={"help": "Distance beyond which all positions share the last bucket."}
    )
    max_positions: int = field(
        default=1024,
        metadata={
            "help": "Maximum number of tokens in an input or target, which is the number of "
            "rows in the position tables."
        },
    )
    decoder_start: str = field(
        default="",
        metadata={
            "help": "First symbol of the decoder's input in fine-tuning and inference, stored in "
            "the checkpoint (default: the vocabulary's decoder_start, </s>)."
        },
    )
    pretraining_decoder_start: str = field(
        default="",
        metadata={
            "help": "First symbol of the decoder's input in pretraining, stored in the checkpoint "
            "(default: the vocabulary's pretraining_decoder_start, the mask)."
        },
    )

    initialization: ChoiceEnum(["paper", "release"]) = field(
        default="paper",
        metadata={
            "help": "Initialization of the weights: paper uses a standard deviation of 0.02 for "
            "embeddings, as the paper states none; release follows the released code. "
            "--recipe sets it."
        },
    )
    checkpoint_activations: bool = field(
        default=False,
        metadata={
            "help": "Keep only the input of each layer and recompute its activations in the "
            "backward pass. This saves memory for one more forward pass of all layers; "
            "the results are the same."
        },
    )


@dataclass
class MetroT5Config(T5TransformerConfig):
    """The main model with its auxiliary model and the RTD head."""

    auxiliary_layers: int = field(
        default=4,
        metadata={"help": "Number of layers of the auxiliary masked LM (paper: 4; large++: 6)."},
    )
    auxiliary_embed_dim: int = field(
        default=0,
        metadata={"help": "Hidden size of the auxiliary model; 0 uses the main model's (paper)."},
    )
    auxiliary_dropout: Optional[float] = field(  # noqa: UP045  fairseq's parser knows this form
        default=None,
        metadata={
            "help": "All dropout rates of the auxiliary model (default: the main model's, as in "
            "the paper; released code: 0)."
        },
    )
    auxiliary_temperature: float = field(
        default=1.0,
        metadata={
            "help": "Temperature of the softmax from which replacements are sampled (paper: 1)."
        },
    )
    share_auxiliary: ChoiceEnum(["token", "token_pos", "token_pos_norm"]) = field(
        default="token",
        metadata={
            "help": "Tables shared by the main and auxiliary model: token embeddings (paper), "
            "positions as well, or also the LayerNorm after the embeddings (released "
            "base++)."
        },
    )
    mlm_head: ChoiceEnum(["linear", "transform"]) = field(
        default="linear",
        metadata={
            "help": "Head of the auxiliary model: linear is the tied matrix alone (paper, A.2); "
            "transform adds dense, ReLU and LayerNorm before it and a bias (released "
            "code)."
        },
    )
    rtd_head: ChoiceEnum(["roberta", "simple"]) = field(
        default="roberta",
        metadata={
            "help": "RTD head: roberta is dense, ReLU, LayerNorm and linear (paper, A.2); simple "
            "is one linear map."
        },
    )
    rtd_on: ChoiceEnum(["encoder", "decoder"]) = field(
        default="encoder",
        metadata={"help": "States that the RTD head reads (paper: encoder; Table 4: decoder)."},
    )
    clm_head: ChoiceEnum(["linear", "projection"]) = field(
        default="linear",
        metadata={
            "help": "CLM head: linear is the tied matrix alone (paper); projection adds dense, "
            "ReLU and LayerNorm before it (Table 4, Projection Layer on CLM; with "
            "--rtd-on decoder, the complex CLM head of A.2)."
        },
    )
    copy_mechanism: bool = field(
        default=False,
        metadata={
            "help": "Mix the CLM's softmax with a copy of the encoder's input, weighted by the "
            "detached RTD probability of 'original' (Table 4; our reading of COCO-LM's "
            "head)."
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
