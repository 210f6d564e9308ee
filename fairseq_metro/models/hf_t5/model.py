"""T5 as Hugging Face's ``T5ForConditionalGeneration`` computes it, v1.0 and v1.1.

Raffel et al. (2020); differs from the METRO-T0 main model in nearly every layer, see
:mod:`fairseq_metro.models.hf_t5.layers`. Train it in float32 or bfloat16: the released weights
overflow float16.
"""

import torch
import torch.nn.functional as F
from fairseq.models import (
    FairseqEncoder,
    FairseqEncoderDecoderModel,
    FairseqIncrementalDecoder,
    register_model,
)
from torch import nn

from fairseq_metro.common.errors import UserError
from fairseq_metro.kernels.attention import runs_fused
from fairseq_metro.models.hf_t5.config import HfT5Config
from fairseq_metro.models.hf_t5.initialization import initialize
from fairseq_metro.models.hf_t5.layers import DecoderLayer, EncoderLayer, RMSNorm
from fairseq_metro.models.hf_t5.relative_position import RelativePositions
from fairseq_metro.models.incremental import LayerCaches, ReorderedStates
from fairseq_metro.models.metro_t5.model import T5TransformerModel
from fairseq_metro.models.metro_t5.stacks import decoder_visibility, padding_mask, recomputed
from fairseq_metro.models.sizes import check_sizes
from fairseq_metro.modules.attention import hide
from fairseq_metro.modules.compiled import run_layer
from fairseq_metro.modules.heads import project_to_vocabulary
from fairseq_metro.modules.segments import see_own_segment

NO_LOGIT = -1e4  # exp of it is 0 in every dtype, and float16 holds it


class Stack(nn.Module):
    """What encoder and decoder share: table, layers, bias, last norm, dropout.

    Mixed into fairseq's classes, which are modules already.
    """

    def build(self, cfg, embed_tokens, layer, count, bidirectional):
        self.embed_tokens = embed_tokens
        self.relative_positions = RelativePositions(
            cfg.relative_position_buckets,
            cfg.relative_position_max_distance,
            cfg.attention_heads,
            bidirectional,
            cfg.max_positions,
        )
        self.layers = nn.ModuleList(layer(cfg) for _ in range(count))
        self.layer_norm = RMSNorm(cfg.embed_dim, cfg.layer_norm_epsilon)
        self.dropout, self.longest = cfg.dropout, cfg.max_positions
        self.head_dim = cfg.head_dim
        self.checkpoint_activations = cfg.checkpoint_activations

    def takes_fused(self, x, caches=None):
        """Whether the layers' attention of states x runs in the fused kernel, in the dtype that
        autocast gives it."""
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        return caches is None and runs_fused(dtype, self.head_dim, kind)

    def relative(self):
        """The bias as the fused kernel takes it."""
        return dict(table=self.relative_positions.weight, bucket=self.relative_positions.near)

    def drop(self, x):
        return F.dropout(x, self.dropout, self.training)

    def through_layers(self, x, *masks, caches=None):
        """x (B, T, C) through every layer and the last norm."""
        for i, layer in enumerate(self.layers):
            if self.checkpoint_activations and torch.is_grad_enabled() and caches is None:
                x = recomputed(run_layer, layer, x, *masks)
            else:
                x = run_layer(layer, x, *masks) if caches is None else layer(x, *masks, caches[i])
        return self.drop(self.layer_norm(x))

    def max_positions(self):
        return self.longest


class HfT5Encoder(Stack, ReorderedStates, FairseqEncoder):
    """Pre-norm encoder; the bias of all layers is one table's, of both directions."""

    def __init__(self, cfg, dictionary, embed_tokens):
        FairseqEncoder.__init__(self, dictionary)
        self.build(cfg, embed_tokens, EncoderLayer, cfg.encoder_layers, bidirectional=True)
        self.pad = dictionary.pad()

    def forward(self, src_tokens, src_lengths=None, padded=None, source_segments=None, **unused):
        """src_tokens (B, T), right-padded. Returns a dict of lists, as fairseq's generator expects:
        encoder_out [(B, T, C)] and encoder_padding_mask [(B, T) bool] or [].

        source_segments (B, T) int64 where examples are packed, handed on as encoder_segments.
        Positions need not begin anew: only their differences count.
        """
        padding = None
        if source_segments is None:
            padding = padding_mask(src_tokens, self.pad, padded)
        x = self.drop(self.embed_tokens(src_tokens))
        if self.takes_fused(x):
            mask = dict(
                self.relative(),
                key_padding_mask=padding,
                query_segments=source_segments,
                key_segments=source_segments,
            )
        else:
            mask = self._added(src_tokens.size(1), padding, source_segments)
        x = self.through_layers(x, mask)
        out = {"encoder_out": [x], "encoder_padding_mask": [] if padding is None else [padding]}
        return out if source_segments is None else {**out, "encoder_segments": [source_segments]}

    def _added(self, length, padding, segments):
        """What torch's attention adds to the scores."""
        mask = self.relative_positions(length, length).unsqueeze(0)
        if segments is not None:
            return hide(mask, ~see_own_segment(segments, segments).unsqueeze(1))
        return mask if padding is None else hide(mask, padding[:, None, None, :])


class HfT5Decoder(Stack, LayerCaches, FairseqIncrementalDecoder):
    """Pre-norm causal decoder with its output layer, tied (v1.0) or not (v1.1)."""

    def __init__(self, cfg, dictionary, embed_tokens):
        FairseqIncrementalDecoder.__init__(self, dictionary)
        self.build(cfg, embed_tokens, DecoderLayer, cfg.decoder_layers, bidirectional=False)
        self.no_bos_logit, self.bos = cfg.no_bos_logit, dictionary.bos()
        self.output_projection = None
        if cfg.untied_output:
            self.output_projection = nn.Linear(cfg.embed_dim, len(dictionary), bias=False)

    def forward(self, prev_output_tokens, encoder_out=None, incremental_state=None, **unused):
        """prev_output_tokens (B, S) -> logits (B, S, V) and a dict that fairseq's callers read.

        With an incremental_state only the positions that are not in it yet come out.
        """
        x = self.extract_features(prev_output_tokens, encoder_out, incremental_state)
        return self.output_layer(x), {"attn": [None]}

    def extract_features(
        self, prev_output_tokens, encoder_out, incremental_state=None, target_segments=None
    ):
        """The last layer's states (B, S, C), before the output layer.

        Several targets of each input: prev_output_tokens (B * n, S), those of an input in
        neighbouring rows, beside encoder states of B inputs; states (B * n, S, C).
        target_segments (B, S) int64 where examples are packed; where the sources are not, the
        targets of a row are all of its one input.
        """
        caches, first = self.caches_of(incremental_state)
        own, cross = decoder_visibility(target_segments, encoder_out)
        padding = (encoder_out["encoder_padding_mask"] or [None])[0]
        new = prev_output_tokens[:, first:]
        x = self.drop(self.embed_tokens(new))
        states = encoder_out["encoder_out"][0]
        if self.takes_fused(x, caches):
            mask, cross = self._described(own, cross, padding)
        else:
            mask = self._causal(new.size(1), prev_output_tokens.size(1))
            if own is not None:
                mask = hide(mask, ~own.mask.unsqueeze(1))
            if cross is not None:
                cross = cross.mask.unsqueeze(1)
            elif padding is not None:
                cross = ~padding[:, None, None, :]
        return self.through_layers(x, states, mask, cross, caches=caches)

    def _described(self, own, cross, padding):
        """Masks of self- and of cross-attention as arguments of the fused kernel."""
        mask = dict(self.relative(), causal=True)
        if own is not None:
            mask.update(query_segments=own.queries, key_segments=own.keys)
        if cross is None:
            return mask, dict(key_padding_mask=padding)
        return mask, dict(query_segments=cross.queries, key_segments=cross.keys)

    def _causal(self, queries, keys):
        """The bias (1, H, queries, keys) of the last ``queries`` of ``keys`` positions."""
        bias = self.relative_positions(queries, keys).unsqueeze(0)
        if queries == 1:
            return bias
        ahead = torch.ones(queries, keys, dtype=torch.bool, device=bias.device)
        return hide(bias, ahead.triu(keys - queries + 1))

    def output_layer(self, features):
        """Features (..., C) -> logits (..., V)."""
        if self.output_projection is None:
            features = features * self.embed_tokens.embedding_dim**-0.5
            logits = project_to_vocabulary(features, self.embed_tokens.weight)
        else:
            logits = self.output_projection(features)
        if self.no_bos_logit:
            bos = torch.full_like(logits[..., :1], NO_LOGIT)
            logits = torch.cat([logits[..., : self.bos], bos, logits[..., self.bos + 1 :]], dim=-1)
        return logits


@register_model("hf_t5", dataclass=HfT5Config)
class HfT5Model(T5TransformerModel):
    """T5 v1.0 or v1.1; ``forward`` and loading are those of the METRO-T0 main model.

    The pad row of the token table is a row like any other: T5's decoder starts with it.
    """

    discards = ()

    def __init__(self, cfg, dictionary):
        check_config(cfg)
        embed_tokens = nn.Embedding(len(dictionary), cfg.embed_dim)
        encoder = HfT5Encoder(cfg, dictionary, embed_tokens)
        decoder = HfT5Decoder(cfg, dictionary, embed_tokens)
        FairseqEncoderDecoderModel.__init__(self, encoder, decoder)
        self.num_updates = 0

    @classmethod
    def build_model(cls, cfg, task):
        model = cls(cfg, task.source_dictionary)
        initialize(model, cfg)
        return model


def check_config(cfg):
    """Raise :class:`UserError` for sizes that cannot be."""
    check_sizes(cfg)
    buckets, distance = cfg.relative_position_buckets, cfg.relative_position_max_distance
    if buckets < 4 or distance <= buckets // 2:
        raise UserError(
            f"--relative-position-buckets {buckets} with --relative-position-max-distance "
            f"{distance}: at least 4 buckets, and a distance above half of them"
        )
