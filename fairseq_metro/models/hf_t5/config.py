"""Sizes and switches of Hugging Face's T5, v1.0 and v1.1."""

from dataclasses import dataclass, field

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

ACTIVATIONS = ("relu", "gated-gelu")


@dataclass
class HfT5Config(FairseqDataclass):
    """T5 as Hugging Face has it; the defaults are v1.0's base size (Raffel et al., 2020)."""

    embed_dim: int = field(default=768, metadata={"help": "width of the model (d_model)"})
    ffn_dim: int = field(
        default=3072, metadata={"help": "inner width of the feed-forward layers (d_ff)"}
    )
    attention_heads: int = field(default=12, metadata={"help": "attention heads of every layer"})
    head_dim: int = field(
        default=64,
        metadata={"help": "width of a head (d_kv); heads x d_kv may differ from the width"},
    )
    encoder_layers: int = field(default=12, metadata={"help": "layers of the encoder"})
    decoder_layers: int = field(default=12, metadata={"help": "layers of the decoder"})
    activation: ChoiceEnum(ACTIVATIONS) = field(
        default="relu",
        metadata={
            "help": "feed-forward layers: relu (v1.0), or gated-gelu: gelu(W0 x) * W1 x with "
            "tanh's approximation of gelu (v1.1)"
        },
    )
    untied_output: bool = field(
        default=False,
        metadata={
            "help": "an output matrix of its own (v1.1); otherwise logits go through the token "
            "table, of states times d_model^-1/2 (v1.0)"
        },
    )
    no_bos_logit: bool = field(
        default=False,
        metadata={
            "help": "<s> is never predicted: for an imported model whose table has no row to spare "
            "for it"
        },
    )
    dropout: float = field(
        default=0.1,
        metadata={
            "help": "dropout after embeddings, attention, feed-forward, inside of feed-forward and "
            "after the last norm (T5: 0.1; v1.1's pretraining: 0)"
        },
    )
    attention_dropout: float = field(
        default=0.1, metadata={"help": "dropout of attention weights (T5: 0.1)"}
    )
    relative_position_buckets: int = field(
        default=32, metadata={"help": "rows of the two relative-position tables (T5: 32)"}
    )
    relative_position_max_distance: int = field(
        default=128, metadata={"help": "distance from which on all share the last bucket (T5: 128)"}
    )
    layer_norm_epsilon: float = field(
        default=1e-6, metadata={"help": "added to the mean square in RMSNorm (T5: 1e-6)"}
    )
    max_positions: int = field(
        default=1024,
        metadata={
            "help": "longest input and target in tokens that tasks and generation give it; no table "
            "depends on it"
        },
    )
    decoder_start: str = field(
        default="",
        metadata={
            "help": "symbol that begins the decoder's input in fine-tuning and inference; empty: "
            "the vocabulary's role decoder_start (T5's own: <pad>); kept in the checkpoint"
        },
    )
    pretraining_decoder_start: str = field(
        default="",
        metadata={
            "help": "symbol that begins the decoder's input in pretraining; empty: the "
            "vocabulary's role pretraining_decoder_start (T5's own: <pad>); kept in the checkpoint"
        },
    )
    checkpoint_activations: bool = field(
        default=False,
        metadata={
            "help": "keep each layer's input alone and compute the rest again in the backward "
            "pass: less memory, one more forward pass of all layers, the same numbers"
        },
    )
