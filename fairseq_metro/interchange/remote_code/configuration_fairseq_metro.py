"""Sizes of a METRO-T5 for Hugging Face; the names are those of fairseq_metro's options."""

from transformers import PretrainedConfig


class FairseqMetroConfig(PretrainedConfig):
    """A post-LayerNorm encoder-decoder with learned positions and relative tables in its encoder.

    auxiliary: None, or the options of METRO-T5's auxiliary model and heads, where they were kept.
    fairseq_metro: what is known of the training, as written by the export; nothing reads it here.
    """

    model_type = "fairseq_metro"
    keys_to_ignore_at_inference = ("past_key_values",)
    attribute_map = {  # noqa: RUF012  transformers' own form
        "hidden_size": "embed_dim",
        "d_model": "embed_dim",
        "num_attention_heads": "attention_heads",
        "num_hidden_layers": "decoder_layers",  # what transformers' caches have layers for
        "max_position_embeddings": "max_positions",
    }

    def __init__(
        self,
        vocab_size=33280,
        embed_dim=768,
        ffn_dim=3072,
        attention_heads=12,
        encoder_layers=12,
        decoder_layers=12,
        relative_position_buckets=32,
        relative_position_max_distance=128,
        max_positions=1024,
        dropout=0.1,
        attention_dropout=0.1,
        initializer_range=0.02,
        use_cache=True,
        auxiliary=None,
        fairseq_metro=None,
        **others,
    ):
        self.vocab_size = vocab_size
        self.embed_dim, self.ffn_dim, self.attention_heads = embed_dim, ffn_dim, attention_heads
        self.encoder_layers, self.decoder_layers = encoder_layers, decoder_layers
        self.relative_position_buckets = relative_position_buckets
        self.relative_position_max_distance = relative_position_max_distance
        self.max_positions = max_positions
        self.dropout, self.attention_dropout = dropout, attention_dropout
        self.initializer_range, self.use_cache = initializer_range, use_cache
        self.auxiliary, self.fairseq_metro = auxiliary, fairseq_metro
        ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
        ids |= {"decoder_start_token_id": 2, "is_encoder_decoder": True}
        super().__init__(**{**ids, **others})
