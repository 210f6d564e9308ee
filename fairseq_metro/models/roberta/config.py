"""Sizes and switches of RoBERTa."""

from dataclasses import dataclass, field

from fairseq.dataclass import FairseqDataclass


@dataclass
class RobertaMLMConfig(FairseqDataclass):
    """RoBERTa with its masked-LM head; the defaults are its base size (Liu et al., 2019)."""

    embed_dim: int = field(default=768, metadata={"help": "Hidden size of the model."})
    ffn_dim: int = field(default=3072, metadata={"help": "Inner size of the feed-forward layers."})
    attention_heads: int = field(
        default=12, metadata={"help": "Number of attention heads in every layer."}
    )
    encoder_layers: int = field(default=12, metadata={"help": "Number of layers."})
    max_positions: int = field(
        default=512,
        metadata={
            "help": "Maximum number of tokens in an input. The position table also has rows up to "
            "the id of the padding symbol (RoBERTa: 512, which gives 514 rows)."
        },
    )
    dropout: float = field(
        default=0.1,
        metadata={"help": "Dropout after embeddings, attention and feed-forward (RoBERTa: 0.1)."},
    )
    attention_dropout: float = field(
        default=0.1, metadata={"help": "Dropout of the attention weights (RoBERTa: 0.1)."}
    )
    layer_norm_epsilon: float = field(
        default=1e-5, metadata={"help": "Term added to the variance in LayerNorm (RoBERTa: 1e-5)."}
    )
