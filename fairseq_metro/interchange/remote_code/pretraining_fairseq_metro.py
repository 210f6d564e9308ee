"""METRO-T5 with its auxiliary model and heads for Hugging Face."""

from fairseq_metro.interchange.remote_code.configuration_fairseq_metro import FairseqMetroConfig
from fairseq_metro.interchange.remote_code.layers_fairseq_metro import Head, Stack
from fairseq_metro.interchange.remote_code.modeling_fairseq_metro import (
    FairseqMetroForConditionalGeneration,
)


class FairseqMetroForPreTraining(FairseqMetroForConditionalGeneration):
    """With the auxiliary masked LM and the heads of METRO-T5's pretraining, for looking into them.

    ``forward`` is the main model's; :meth:`masked_lm_logits`, :meth:`replaced_logits` and
    :meth:`clm_logits` are the three parts of its pretraining (METRO-T0, equations 6 to 9).
    """

    _keys_to_ignore_on_load_unexpected = []  # noqa: RUF012

    def __init__(self, config):
        super().__init__(config)
        held, dim = config.auxiliary, config.embed_dim
        sizes = {key: value for key, value in held.items() if hasattr(config, key)}
        self.auxiliary = Stack(FairseqMetroConfig(**{**config.to_dict(), **sizes}), dim)
        width, transform = held["embed_dim"], held["mlm_head"] == "transform"
        self.mlm_head = Head(
            width, dim, transform, transform or width != dim, config.vocab_size * transform
        )
        projection, complex_rtd = held["clm_head"] == "projection", held["rtd_head"] == "roberta"
        self.clm_head = Head(dim, dim, projection, projection)
        self.rtd_head = Head(dim, dim, complex_rtd, complex_rtd, out=1)
        if held["share_auxiliary"] != "token":
            self.auxiliary.embedding.positions = self.encoder.embedding.positions
        if held["share_auxiliary"] == "token_pos_norm":
            self.auxiliary.embedding.layer_norm = self.encoder.embedding.layer_norm
        self.post_init()

    @property
    def _tied_weights_keys(self):
        shared = {"token": (), "token_pos": ("positions",)}
        names = shared.get(self.config.auxiliary["share_auxiliary"], ("positions", "layer_norm"))
        return [rf"auxiliary\.embedding\.{name}\." for name in names]

    def masked_lm_logits(self, input_ids, attention_mask=None):
        """The auxiliary model: tokens with masks (B, T) -> (B, T, V)."""
        table = self.encoder.embed_tokens.weight
        return self.mlm_head(self.auxiliary.encode(input_ids, table, attention_mask)[-1], table)

    def replaced_logits(self, input_ids, attention_mask=None, decoder_input_ids=None):
        """Logit of "replaced" at every token: (B, T). decoder_input_ids: where the head is on the
        decoder, its input."""
        if self.config.auxiliary["rtd_on"] == "encoder":
            states = self.encoder(input_ids, attention_mask)[0]
        else:
            states = self._decoder_states(input_ids, attention_mask, decoder_input_ids)
        return self.rtd_head(states).squeeze(-1)

    def clm_logits(self, input_ids, decoder_input_ids, attention_mask=None):
        """The decoder under pretraining's head, without a copy mechanism: (B, S, V)."""
        states = self._decoder_states(input_ids, attention_mask, decoder_input_ids)
        return self.clm_head(states, self.encoder.embed_tokens.weight)

    def _decoder_states(self, input_ids, attention_mask, decoder_input_ids):
        if attention_mask is None:
            attention_mask = input_ids.ne(self.config.pad_token_id)
        states, table = self.encoder(input_ids, attention_mask)[0], self.encoder.embed_tokens.weight
        return self.decoder(decoder_input_ids, table, states, attention_mask)
