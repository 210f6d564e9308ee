"""METRO-T5's main model (METRO-T0, section 4.2) for Hugging Face.

Post-LayerNorm layers, learned absolute positions on both sides, LayerNorm after the embeddings, a
relative-position table in every encoder layer, one table of tokens for both inputs and the output.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from fairseq_metro.interchange.remote_code.configuration_fairseq_metro import FairseqMetroConfig
from fairseq_metro.interchange.remote_code.layers_fairseq_metro import (
    DecoderLayer,
    Embedding,
    RelativePositions,
    Stack,
)


class FairseqMetroEncoder(Stack):
    """The encoder with the model's table of tokens."""

    def __init__(self, config):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.embed_dim, config.pad_token_id)

    def forward(
        self,
        input_ids,
        attention_mask=None,
        output_hidden_states=False,
        output_attentions=False,
        return_dict=True,
    ):
        """(B, T) int64 -> BaseModelOutput with last_hidden_state (B, T, C), or a tuple."""
        if output_attentions:
            raise ValueError("attention weights are not kept by fused attention")
        states = self.encode(
            input_ids, self.embed_tokens.weight, attention_mask, bool(output_hidden_states)
        )
        out = BaseModelOutput(states[-1], states if output_hidden_states else None)
        return out if return_dict else out.to_tuple()


class FairseqMetroDecoder(nn.Module):
    """The decoder; the table of tokens is handed in."""

    def __init__(self, config):
        super().__init__()
        self.embedding = Embedding(config, config.embed_dim)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))

    def forward(self, tokens, table, states, seen, own_seen=None, cache=None):
        """tokens (B, S), table (V, C), states (B, T, C), seen (B, T), own_seen (B, past + S) bool ->
        (B, S, C). cache: an EncoderDecoderCache that holds the past positions."""
        past, length = 0 if cache is None else int(cache.get_seq_length()), tokens.size(1)
        positions = torch.arange(past, past + length, device=tokens.device)
        x = self.embedding(tokens, table, positions.expand_as(tokens), past + length)
        mask = None
        if length > 1:
            mask = torch.arange(past + length, device=tokens.device) <= positions.unsqueeze(1)
        if own_seen is not None:
            own = own_seen.bool()[:, None, None]
            mask = own if mask is None else own & mask
        states_mask = seen.bool()[:, None, None]
        for i, layer in enumerate(self.layers):
            x = layer(x, mask, states, states_mask, cache, i)
        return x


class FairseqMetroPreTrainedModel(PreTrainedModel):
    """What transformers asks of a family of models."""

    config_class = FairseqMetroConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    _supports_sdpa = True
    _no_split_modules = ["EncoderLayer", "DecoderLayer"]  # noqa: RUF012

    def _init_weights(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.data.normal_(0.0, self.config.initializer_range)
        elif isinstance(module, nn.LayerNorm):
            module.weight.data.fill_(1.0)
        elif isinstance(module, RelativePositions):
            module.weight.data.zero_()
        if getattr(module, "bias", None) is not None:
            module.bias.data.zero_()


class FairseqMetroForConditionalGeneration(FairseqMetroPreTrainedModel, GenerationMixin):
    """The main model: text in, text out."""

    # A folder may hold the auxiliary model too: that is FairseqMetroForPreTraining's.
    _keys_to_ignore_on_load_unexpected = [r"^(auxiliary|mlm_head|rtd_head|clm_head)\."]  # noqa: RUF012

    def __init__(self, config):
        super().__init__(config)
        self.encoder, self.decoder = FairseqMetroEncoder(config), FairseqMetroDecoder(config)
        self.post_init()

    def get_encoder(self):
        return self.encoder

    def get_decoder(self):
        return self.decoder

    def get_input_embeddings(self):
        return self.encoder.embed_tokens

    def set_input_embeddings(self, value):
        self.encoder.embed_tokens = value

    def get_output_embeddings(self):
        return None  # the same table, used in forward

    def prepare_decoder_input_ids_from_labels(self, labels):
        """labels (B, S), -100 or pad where there are none -> the decoder's input (B, S)."""
        ids = labels.new_full(labels.shape, self.config.decoder_start_token_id)
        ids[:, 1:] = labels[:, :-1]
        return ids.masked_fill(ids.eq(-100), self.config.pad_token_id)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        decoder_input_ids=None,
        decoder_attention_mask=None,
        encoder_outputs=None,
        past_key_values=None,
        labels=None,
        use_cache=None,
        output_hidden_states=False,
        output_attentions=False,
        return_dict=True,
        cache_position=None,
    ):
        """input_ids (B, T), decoder_input_ids or labels (B, S) -> Seq2SeqLMOutput.

        logits (B, S, V); loss: mean over the labels that are not -100. attention_mask: not given, it
        hides padding. past_key_values: an EncoderDecoderCache, whose length alone tells the position
        of the new tokens. output_hidden_states: the encoder's.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids, attention_mask, output_hidden_states, output_attentions
            )
        states = encoder_outputs[0]
        if attention_mask is None:
            attention_mask = states.new_ones(states.shape[:2])
            if input_ids is not None:
                attention_mask = input_ids.ne(self.config.pad_token_id)
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError("give decoder_input_ids or labels")
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        if use_cache is None:
            use_cache = self.config.use_cache and labels is None and not self.training
        if use_cache and past_key_values is None:
            past_key_values = EncoderDecoderCache(DynamicCache(), DynamicCache())
        table = self.encoder.embed_tokens.weight
        features = self.decoder(
            decoder_input_ids, table, states, attention_mask, decoder_attention_mask,
            past_key_values,
        )  # fmt: skip
        logits = F.linear(features, table)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(
                logits.flatten(0, 1).float(), labels.flatten(), ignore_index=-100
            )
        out = Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            past_key_values=past_key_values if use_cache else None,
            encoder_last_hidden_state=states,
            encoder_hidden_states=encoder_outputs[1] if len(encoder_outputs) > 1 else None,
        )
        return out if return_dict else out.to_tuple()
