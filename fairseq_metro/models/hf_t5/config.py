"""Sizes and switches of Hugging Face's T5, v1.0 and v1.1."""

from dataclasses import dataclass, field

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

ACTIVATIONS = ("relu", "gated-gelu")


@dataclass
class HfT5Config(FairseqDataclass):
    """T5 as Hugging Face has it; the defaults are v1.0's base size (Raffel et al., 2020)."""

    embed_dim: int = field(default=768, metadata={"help": "Hidden size of the model (d_model)."})
    ffn_dim: int = field(
        default=3072, metadata={"help": "Inner size of the feed-forward layers (d_ff)."}
    )
    attention_heads: int = field(
        default=12, metadata={"help": "Number of attention heads in every layer."}
    )
    head_dim: int = field(
        default=64,
        metadata={
            "help": "Size of an attention head (d_kv). The number of heads times d_kv may "
            "differ from the hidden size."
        },
    )
    encoder_layers: int = field(default=12, metadata={"help": "Number of encoder layers."})
    decoder_layers: int = field(default=12, metadata={"help": "Number of decoder layers."})
    activation: ChoiceEnum(ACTIVATIONS) = field(
        default="relu",
        metadata={
            "help": "Feed-forward activation: relu (v1.0), or gated-gelu (v1.1), which is gelu(W0 "
            "x) * W1 x with the tanh approximation of gelu."
        },
    )
    untied_output: bool = field(
        default=False,
        metadata={
            "help": "Use a separate output matrix (v1.1). Otherwise the logits are the states "
            "times d_model^-1/2, multiplied by the token embeddings (v1.0)."
        },
    )
    no_bos_logit: bool = field(
        default=False,
        metadata={
            "help": "Never predict <s>; for an imported model whose embedding table has no spare "
            "row for it."
        },
    )
    dropout: float = field(
        default=0.1,
        metadata={
            "help": "Dropout after embeddings, attention and feed-forward, inside feed-forward "
            "and after the last norm (T5: 0.1; pretraining of v1.1: 0)."
        },
    )
    attention_dropout: float = field(
        default=0.1, metadata={"help": "Dropout of the attention weights (T5: 0.1)."}
    )
    relative_position_buckets: int = field(
        default=32,
        metadata={"help": "Number of rows in the two relative-position tables (T5: 32)."},
    )
    relative_position_max_distance: int = field(
        default=128,
        metadata={"help": "Distance beyond which all positions share the last bucket (T5: 128)."},
    )
    layer_norm_epsilon: float = field(
        default=1e-6, metadata={"help": "Term added to the mean square in RMSNorm (T5: 1e-6)."}
    )
    max_positions: int = field(
        default=1024,
        metadata={
            "help": "Maximum number of tokens in an input or target in tasks and generation. No "
            "parameter depends on it."
        },
    )
    decoder_start: str = field(
        default="",
        metadata={
            "help": "First symbol of the decoder's input in fine-tuning and inference, stored in "
            "the checkpoint (default: the vocabulary's decoder_start; T5 uses <pad>)."
        },
    )
    pretraining_decoder_start: str = field(
        default="",
        metadata={
            "help": "First symbol of the decoder's input in pretraining, stored in the checkpoint "
            "(default: the vocabulary's pretraining_decoder_start; T5 uses <pad>)."
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
