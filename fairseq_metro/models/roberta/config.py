"""Sizes and switches of RoBERTa."""

from dataclasses import dataclass, field

from fairseq.dataclass import FairseqDataclass


@dataclass
class RobertaMLMConfig(FairseqDataclass):
    """RoBERTa with its masked-LM head; the defaults are its base size (Liu et al., 2019)."""

    embed_dim: int = field(default=768, metadata={"help": "width of the model"})
    ffn_dim: int = field(default=3072, metadata={"help": "inner width of the feed-forward layers"})
    attention_heads: int = field(default=12, metadata={"help": "attention heads of every layer"})
    encoder_layers: int = field(default=12, metadata={"help": "layers"})
    max_positions: int = field(
        default=512,
        metadata={
            "help": "longest input in tokens; the position table has this many rows and those up "
            "to the padding symbol's id (RoBERTa: 512, 514 rows)"
        },
    )
    dropout: float = field(
        default=0.1,
        metadata={"help": "dropout after embeddings, attention and feed-forward (RoBERTa: 0.1)"},
    )
    attention_dropout: float = field(
        default=0.1, metadata={"help": "dropout of attention weights (RoBERTa: 0.1)"}
    )
    layer_norm_epsilon: float = field(
        default=1e-5, metadata={"help": "added to the variance in LayerNorm (RoBERTa: 1e-5)"}
    )
