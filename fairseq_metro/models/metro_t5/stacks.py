"""The stacks of T5-style models: a post-LN encoder, a post-LN causal decoder, and what both need.

METRO-T0, section 4: absolute positions and, in the encoder, a relative-position table in every layer.
"""

import torch
from fairseq.models import FairseqEncoder, FairseqIncrementalDecoder
from torch import nn
from torch.utils.checkpoint import checkpoint

from fairseq_metro.models.incremental import LayerCaches, ReorderedStates
from fairseq_metro.modules.compiled import run_layer
from fairseq_metro.modules.heads import project_to_vocabulary
from fairseq_metro.modules.relative_position import RelativePositionBias
from fairseq_metro.modules.segments import OwnSegment
from fairseq_metro.modules.transformer import DecoderLayer, Embedding, EncoderLayer

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
    if rows is not None:
        return layer(x, relative_position, mask, visible, rows)
    return run_layer(layer, x, relative_position, mask, visible)


def decoder_step(x, layer, states, mask, cache, visible, rows):
    """A decoder layer; what it decodes step by step, and its rows alone, are not compiled."""
    if cache is not None or rows is not None:
        return layer(x, states, mask, cache, visible, rows)
    return run_layer(layer, x, states, mask, None, visible)


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
        original_tokens=None,
        **unused,
    ):
        """src_tokens (B, T), right-padded. Returns a dict of lists, as fairseq's generator expects:
        encoder_out [(B, T, C)] and encoder_padding_mask [(B, T) bool] or [].

        original_tokens (B, T): tokens that are padding where src_tokens are, for a source in which the
        padding symbol can also stand for a token, as a replacement that was drawn.
        source_segments (B, T) int64 where examples are packed, see :mod:`~fairseq_metro.modules.
        segments`: they hide padding as well, and are handed on as encoder_segments. rows (M,) int64
        into the flattened (B, T): encoder_out is (M, C), of these positions alone.
        """
        mask = visible = None
        if source_segments is None:
            tokens = src_tokens if original_tokens is None else original_tokens
            mask = padding_mask(tokens, self.pad, padded)
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
                x = recomputed(decoder_step, x, layer, states, mask, None, visible, wanted)
            else:
                x = decoder_step(x, layer, states, mask, cache, visible, wanted)
        return x

    def output_layer(self, features):
        return project_to_vocabulary(features, self.embed_tokens.weight)

    def max_positions(self):
        return self.embedding.max_positions
