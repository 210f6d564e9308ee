"""Sizes and switches of METRO-T5, and of its main model alone."""

from dataclasses import dataclass, field

from fairseq.dataclass import FairseqDataclass


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


@dataclass
class MetroT5Config(T5TransformerConfig):
    """The main model with its auxiliary model and the RTD head."""

    auxiliary_layers: int = field(
        default=4,
        metadata={"help": "layers of the auxiliary masked LM (paper: 4; large++ 6)"},
    )
    pretraining_decoder_start: str = field(
        default="",
        metadata={
            "help": "symbol that begins the decoder's input in pretraining; empty: the "
            "vocabulary's role pretraining_decoder_start, the mask; kept in the checkpoint"
        },
    )
