"""METRO-T5: a T5-style encoder-decoder pretrained on what an auxiliary masked LM writes.

METRO-T0, figure 2. The main model alone is ``t5_transformer``; ``metro_t5`` adds the auxiliary
model and the RTD head, which fine-tuning leaves behind.
"""

from typing import NamedTuple

import torch
from fairseq.models import FairseqEncoderDecoderModel, register_model
from torch import nn

from fairseq_metro.kernels.head_loss import Draw, HeadLoss
from fairseq_metro.models.checked_loading import CheckedLoading
from fairseq_metro.models.metro_t5.config import (
    MetroT5Config,
    T5TransformerConfig,
    auxiliary_config,
    check_config,
)
from fairseq_metro.models.metro_t5.initialization import INITIALIZATIONS
from fairseq_metro.models.metro_t5.stacks import TOGETHER, T5Decoder, T5Encoder
from fairseq_metro.modules.heads import (
    Logits,
    RTDHead,
    Unprojected,
    VocabularyHead,
    copy_mixture,
    select_rows,
)


class MetroOutput(NamedTuple):
    """What one pretraining pass computes, at M masked tokens of B x T.

    mlm: the auxiliary model's loss, and its samples written over the masked tokens. rtd_logits
    (B, T): logit of "replaced" at every token. clm: the decoder at the masked tokens, or at all rows
    of clm_index, with ``logits`` (N, V) and ``loss(target)``; with a copy mechanism these are the
    mixture's log-probabilities (Table 4). auxiliary: the auxiliary model at the masked tokens.
    """

    mlm: HeadLoss
    rtd_logits: torch.Tensor
    clm: Unprojected | Logits
    auxiliary: Unprojected | Logits

    @property
    def src_noise(self):
        """X^noise (B, T) int64, which the encoder reads."""
        return self.mlm.noised

    @property
    def mlm_logits(self):
        """(M, V), computed when they are read: a loss in one function with its head keeps none."""
        return self.auxiliary.logits

    @property
    def clm_logits(self):
        """(M, V) or (N, V), computed when they are read."""
        return self.clm.logits


@register_model("t5_transformer", dataclass=T5TransformerConfig)
class T5TransformerModel(CheckedLoading, FairseqEncoderDecoderModel):
    """The main model alone: ``forward(src_tokens, src_lengths, prev_output_tokens)``.

    Loading a METRO-T5 checkpoint leaves the auxiliary model and the RTD head behind.
    """

    discards: tuple[str, ...] = ("auxiliary.", "rtd_head.", "mlm_head.", "clm_head.")
    # Fields of the config that the task fills in.
    decoder_starts = ("decoder_start", "pretraining_decoder_start")

    def __init__(self, cfg, dictionary):
        check_config(cfg)
        embed_tokens = nn.Embedding(len(dictionary), cfg.embed_dim, dictionary.pad())
        encoder = T5Encoder(cfg, dictionary, embed_tokens, cfg.encoder_layers)
        super().__init__(encoder, T5Decoder(cfg, dictionary, embed_tokens))
        self.num_updates = 0

    @classmethod
    def build_model(cls, cfg, task):
        model = cls(cfg, task.source_dictionary)
        INITIALIZATIONS[cfg.initialization](model)
        return model

    def set_num_updates(self, num_updates):
        super().set_num_updates(num_updates)
        self.num_updates = num_updates

    def forward(
        self,
        src_tokens,
        src_lengths,
        prev_output_tokens,
        padded=None,
        target_index=None,
        source_segments=None,
        target_segments=None,
        **unused,
    ):
        """(B, T), (B,), (B, S) int64 -> logits (B, S, V) and a dict.

        target_index (N,) int64 into the flattened (B, S): logits (N, V), of these positions only.
        source_segments (B, T), target_segments (B, S) int64, together, where examples are packed:
        0 at padding, 1, 2, ... over each; every example gets the logits it would get alone.
        """
        if source_segments is None and target_segments is not None:
            raise ValueError(TOGETHER)
        encoder_out = self.encoder(
            src_tokens, src_lengths, padded=padded, source_segments=source_segments
        )
        h_dec = self.decoder.extract_features(
            prev_output_tokens, encoder_out, target_segments=target_segments
        )
        if target_index is not None:
            h_dec = select_rows(h_dec, target_index)
        return self.decoder.output_layer(h_dec), {"attn": [None]}

    def upgrade_state_dict_named(self, state_dict, name):
        super().upgrade_state_dict_named(state_dict, name)
        for key in [key for key in state_dict if key.startswith(self.discards)]:
            del state_dict[key]


@register_model("metro_t5", dataclass=MetroT5Config)
class MetroT5Model(T5TransformerModel):
    """Main model, auxiliary masked LM (shared token table), and RTD head on the encoder.

    skips_positions: the last layers of the auxiliary model and of the decoder compute the positions
    that carry loss alone. False for whoever watches the layers: the loss is the same.
    """

    discards = ()
    skips_positions = True

    def __init__(self, cfg, dictionary):
        super().__init__(cfg, dictionary)
        auxiliary = auxiliary_config(cfg)
        self.auxiliary = T5Encoder(
            auxiliary, dictionary, self.encoder.embed_tokens, cfg.auxiliary_layers
        )
        if cfg.share_auxiliary != "token":
            self.auxiliary.embedding.positions = self.encoder.embedding.positions
        if cfg.share_auxiliary == "token_pos_norm":
            self.auxiliary.embedding.layer_norm = self.encoder.embedding.layer_norm
        transform = cfg.mlm_head == "transform"
        self.mlm_head = VocabularyHead(
            auxiliary.embed_dim, cfg.embed_dim, transform, len(dictionary) if transform else 0
        )
        self.clm_head = VocabularyHead(
            cfg.embed_dim, cfg.embed_dim, cfg.clm_head == "projection", 0
        )
        self.rtd_head = RTDHead(cfg.embed_dim, simple=cfg.rtd_head == "simple")
        self.rtd_on, self.copies = cfg.rtd_on, bool(cfg.copy_mechanism)
        self.temperature = cfg.auxiliary_temperature

    def forward(
        self,
        src_tokens,
        src_lengths,
        prev_output_tokens,
        masked_index=None,
        uniform=None,
        clm_index=None,
        padded=None,
        masked_target=None,
        **others,
    ):
        """A pretraining pass (METRO-T0, equations 6 to 9) when masked_index is given.

        src_tokens (B, T) with masks; prev_output_tokens (B, T); masked_index (M,) int64 into the
        flattened (B, T); uniform (M,) float64; clm_index (N,) int64: rows that carry CLM loss, not
        given: the masked ones; padded: is there padding (None: unknown); masked_target (M,) int64,
        the original tokens, without which there is no MLM loss. Returns :class:`MetroOutput`.
        Without masked_index: the main model's logits and a dict, and ``others`` are the main model's.
        """
        if masked_index is None:
            return super().forward(src_tokens, src_lengths, prev_output_tokens, padded, **others)
        embedding = self.encoder.embed_tokens.weight

        if self.skips_positions:
            h_aux = self.auxiliary(src_tokens, padded=padded, rows=masked_index)["encoder_out"][0]
        else:
            h_aux = self.auxiliary(src_tokens, padded=padded)["encoder_out"][0]
            h_aux = select_rows(h_aux, masked_index)
        auxiliary = self.mlm_head.unprojected(h_aux, embedding)
        draw = Draw(uniform, src_tokens, masked_index)
        mlm = auxiliary.loss(masked_target, draw=draw, temperature=self.temperature)

        # A replacement may be any symbol, padding's too: it is a token like the others.
        encoder_out = self.encoder(mlm.noised, padded=padded, original_tokens=src_tokens)
        h_enc = encoder_out["encoder_out"][0]
        clm_index = masked_index if clm_index is None else clm_index
        if self.rtd_on == "encoder" and self.skips_positions:
            rtd_logits = self.rtd_head(h_enc)
            h_dec = self.decoder.extract_features(prev_output_tokens, encoder_out, rows=clm_index)
        else:
            h_dec = self.decoder.extract_features(prev_output_tokens, encoder_out)
            rtd_logits = self.rtd_head(h_enc if self.rtd_on == "encoder" else h_dec)
            h_dec = select_rows(h_dec, clm_index)
        clm = self.clm_head.unprojected(h_dec, embedding)
        if self.copies:
            rows = (x.flatten().index_select(0, clm_index) for x in (mlm.noised, rtd_logits))
            clm = Logits(copy_mixture(clm.logits, *rows))
        return MetroOutput(mlm, rtd_logits, clm, auxiliary)
