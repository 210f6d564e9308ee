"""METRO-T5: a T5-style encoder-decoder pretrained on what an auxiliary masked LM writes.

METRO-T0, figure 2. The main model alone is ``t5_transformer``; ``metro_t5`` adds the auxiliary
model and the RTD head, which fine-tuning leaves behind.
"""

from types import SimpleNamespace
from typing import NamedTuple

import torch
from fairseq.models import (
    FairseqEncoder,
    FairseqEncoderDecoderModel,
    FairseqIncrementalDecoder,
    register_model,
)
from torch import nn
from torch.utils.checkpoint import checkpoint

from fairseq_metro.errors import UserError
from fairseq_metro.kernels.head_loss import Draw, HeadLoss
from fairseq_metro.models.checked_loading import CheckedLoading
from fairseq_metro.models.incremental import LayerCaches, ReorderedStates
from fairseq_metro.models.metro_t5.config import MetroT5Config, T5TransformerConfig
from fairseq_metro.models.metro_t5.initialization import INITIALIZATIONS
from fairseq_metro.modules.heads import (
    RTDHead,
    Unprojected,
    VocabularyHead,
    project_to_vocabulary,
    select_rows,
    takes_targets,
)
from fairseq_metro.modules.relative_position import RelativePositionBias
from fairseq_metro.modules.sampling import sample_tokens
from fairseq_metro.modules.segments import OwnSegment
from fairseq_metro.modules.transformer import DecoderLayer, Embedding, EncoderLayer


class MetroOutput(NamedTuple):
    """What one pretraining pass computes.

    mlm_logits (M, V): the auxiliary model at the masked tokens. src_noise (B, T) int64: its samples
    written over the masked tokens, X^noise. rtd_logits (B, T): logit of "replaced" at every token.
    clm_logits (M, V): the decoder at the masked tokens, or (N, V) at all rows of clm_index. copies:
    the CLM's probability is a mixture with a copy of X^noise (Table 4).

    Where head and loss are one function there are no logits: mlm is what it found in place of
    mlm_logits, clm what it needs in place of clm_logits; they are None elsewhere.
    """

    mlm_logits: torch.Tensor | None
    src_noise: torch.Tensor
    rtd_logits: torch.Tensor
    clm_logits: torch.Tensor | None
    copies: bool = False
    mlm: HeadLoss | None = None
    clm: Unprojected | None = None


TOGETHER = "source_segments and target_segments are needed together"


def padding_mask(tokens, pad, padded):
    """(B, T) bool, True at padding, or None where it is known that there is none.

    padded: what the collater knows, or None. Only on a CPU are the tokens themselves looked at; on
    a GPU that would wait for the device.
    """
    if padded is False:
        return None
    mask = tokens.eq(pad)
    if padded is None and tokens.device.type == "cpu" and not mask.any():
        return None
    return mask


def recomputed(function, x, *arguments):
    """``function(x, *arguments)``, of which autograd keeps the arguments and no inner result.

    The backward pass calls it again, under the same random numbers, so that losses and gradients
    are those of a plain call bit by bit. x: a tensor, on the device whose generator counts.
    """
    return checkpoint(function, x, *arguments, use_reentrant=False)


def encoder_step(x, layer, relative_position, mask, visible=None, rows=None):
    """A layer with its position bias, which is (H, T, T) large and not kept for it either."""
    return layer(x, relative_position, mask, visible, rows)


def at_last(layers, rows):
    """What each layer is asked for: the last one ``rows``, the others everything."""
    return [None] * (len(layers) - 1) + [rows]


def decoder_visibility(target_segments, encoder_out):
    """What packed targets (B, S) may see of themselves, causally, and of the sources; None where
    they see all (nothing is packed, or several targets of one source are)."""
    sources = encoder_out.get("encoder_segments")
    if target_segments is None:
        if sources:
            raise ValueError(TOGETHER)
        return None, None
    own = OwnSegment(target_segments, target_segments, causal=True)
    return own, OwnSegment(target_segments, sources[0]) if sources else None


class T5Encoder(ReorderedStates, FairseqEncoder):
    """Post-LN encoder with absolute positions and a relative-position table in every layer."""

    def __init__(self, cfg, dictionary, embed_tokens, num_layers):
        super().__init__(dictionary)
        self.pad = dictionary.pad()
        self.embed_tokens = embed_tokens
        self.embedding = Embedding(cfg, embed_tokens.embedding_dim)
        self.layers = nn.ModuleList(EncoderLayer(cfg) for _ in range(num_layers))
        self.relative_positions = nn.ModuleList(
            RelativePositionBias(
                cfg.relative_position_buckets,
                cfg.relative_position_max_distance,
                cfg.attention_heads,
                cfg.max_positions,
            )
            for _ in range(num_layers)
        )
        self.checkpoint_activations = cfg.checkpoint_activations

    def forward(
        self,
        src_tokens,
        src_lengths=None,
        padded=None,
        source_segments=None,
        rows=None,
        **unused,
    ):
        """src_tokens (B, T), right-padded. Returns a dict of lists, as fairseq's generator expects:
        encoder_out [(B, T, C)] and encoder_padding_mask [(B, T) bool] or [].

        source_segments (B, T) int64 where examples are packed, see :mod:`~fairseq_metro.modules.
        segments`: they hide padding as well, and are handed on as encoder_segments. rows (M,) int64
        into the flattened (B, T): encoder_out is (M, C), of these positions alone.
        """
        mask = visible = None
        if source_segments is None:
            mask = padding_mask(src_tokens, self.pad, padded)
        else:
            visible = OwnSegment(source_segments, source_segments)
        x = self.embedding(src_tokens, self.embed_tokens, segments=source_segments)
        asked = at_last(self.layers, rows)
        for layer, bias, wanted in zip(self.layers, self.relative_positions, asked, strict=True):
            if self.checkpoint_activations and torch.is_grad_enabled():
                x = recomputed(encoder_step, x, layer, bias, mask, visible, wanted)
            else:
                x = encoder_step(x, layer, bias, mask, visible, wanted)
        out = {"encoder_out": [x], "encoder_padding_mask": [] if mask is None else [mask]}
        return out if source_segments is None else {**out, "encoder_segments": [source_segments]}

    def max_positions(self):
        return self.embedding.max_positions


class T5Decoder(LayerCaches, FairseqIncrementalDecoder):
    """Post-LN causal decoder; its output layer is the shared token table."""

    def __init__(self, cfg, dictionary, embed_tokens):
        super().__init__(dictionary)
        self.embed_tokens = embed_tokens
        self.embedding = Embedding(cfg, embed_tokens.embedding_dim)
        self.layers = nn.ModuleList(DecoderLayer(cfg) for _ in range(cfg.decoder_layers))
        self.checkpoint_activations = cfg.checkpoint_activations

    def forward(self, prev_output_tokens, encoder_out=None, incremental_state=None, **unused):
        """prev_output_tokens (B, S) -> logits (B, S, V) and a dict that fairseq's callers read.

        With an incremental_state only the positions that are not in it yet come out.
        """
        x = self.extract_features(prev_output_tokens, encoder_out, incremental_state)
        return self.output_layer(x), {"attn": [None]}

    def extract_features(
        self,
        prev_output_tokens,
        encoder_out,
        incremental_state=None,
        target_segments=None,
        rows=None,
    ):
        """The last layer's states (B, S, C), before the output layer.

        Several targets of each input: prev_output_tokens (B * n, S), those of an input in
        neighbouring rows, beside encoder states of B inputs; states (B * n, S, C).
        target_segments (B, S) int64 where examples are packed; where the sources are not, the
        targets of a row are all of its one input. rows (M,) int64 into the flattened (B, S): the
        states of these positions alone, (M, C).
        """
        states = encoder_out["encoder_out"][0]
        mask = encoder_out["encoder_padding_mask"]
        mask = mask[0] if mask else None
        caches, first = self.caches_of(incremental_state)
        visible = decoder_visibility(target_segments, encoder_out)
        x = self.embedding(prev_output_tokens[:, first:], self.embed_tokens, first, target_segments)
        if first > 0 and x.size(1) != 1:
            raise ValueError(f"incremental decoding got {x.size(1)} new positions, expects 1")
        asked = at_last(self.layers, rows)
        caches = caches or [None] * len(self.layers)
        for layer, cache, wanted in zip(self.layers, caches, asked, strict=True):
            if self.checkpoint_activations and torch.is_grad_enabled() and cache is None:
                x = recomputed(layer, x, states, mask, None, visible, wanted)
            else:
                x = layer(x, states, mask, cache, visible, wanted)
        return x

    def output_layer(self, features):
        return project_to_vocabulary(features, self.embed_tokens.weight)

    def max_positions(self):
        return self.embedding.max_positions


@register_model("t5_transformer", dataclass=T5TransformerConfig)
class T5TransformerModel(CheckedLoading, FairseqEncoderDecoderModel):
    """The main model alone: ``forward(src_tokens, src_lengths, prev_output_tokens)``.

    Loading a METRO-T5 checkpoint leaves the auxiliary model and the RTD head behind.
    """

    discards = ("auxiliary.", "rtd_head.", "mlm_head.", "clm_head.")
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
        the original tokens: with them heads and losses may be one function. Returns
        :class:`MetroOutput`. Without masked_index: the main model's logits and a dict, and
        ``others`` are the main model's.
        """
        if masked_index is None:
            return super().forward(src_tokens, src_lengths, prev_output_tokens, padded, **others)
        embedding = self.encoder.embed_tokens.weight
        with_loss = masked_target is not None and takes_targets(embedding)

        if self.skips_positions:
            rows = self.auxiliary(src_tokens, padded=padded, rows=masked_index)["encoder_out"][0]
        else:
            h_aux = self.auxiliary(src_tokens, padded=padded)["encoder_out"][0]
            rows = select_rows(h_aux, masked_index)
        mlm = mlm_logits = clm = clm_logits = None
        if with_loss:
            draw = Draw(uniform, src_tokens, masked_index)
            mlm = self.mlm_head.unprojected(rows, embedding).loss(
                masked_target, draw=draw, temperature=self.temperature
            )
            src_noise = mlm.noised
        else:
            mlm_logits = self.mlm_head(rows, embedding)
            sampled = sample_tokens(mlm_logits, uniform, self.temperature)
            src_noise = src_tokens.flatten().index_copy(0, masked_index, sampled)
            src_noise = src_noise.view_as(src_tokens)

        encoder_out = self.encoder(src_noise, padded=padded)
        h_enc = encoder_out["encoder_out"][0]
        wanted = masked_index if clm_index is None else clm_index
        if self.rtd_on == "encoder" and self.skips_positions:
            rtd_logits = self.rtd_head(h_enc)
            rows = self.decoder.extract_features(prev_output_tokens, encoder_out, rows=wanted)
        else:
            h_dec = self.decoder.extract_features(prev_output_tokens, encoder_out)
            rtd_logits = self.rtd_head(h_enc if self.rtd_on == "encoder" else h_dec)
            rows = select_rows(h_dec, wanted)
        if with_loss and not self.copies:  # the mixture with a copy needs every logit
            clm = self.clm_head.unprojected(rows, embedding)
        else:
            clm_logits = self.clm_head(rows, embedding)
        return MetroOutput(
            mlm_logits, src_noise, rtd_logits, clm_logits, self.copies, mlm=mlm, clm=clm
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
    if getattr(cfg, "auxiliary_temperature", 1.0) <= 0:
        raise UserError(f"--auxiliary-temperature is {cfg.auxiliary_temperature}, must be above 0")
