"""Estimated cost of a model: parameters, memory of a training step, floating-point operations.

``cfg`` is a model's resolved config. N is the number of source tokens of one batch of one process,
in blocks of T; C, F, H, V are width, inner width, heads and vocabulary, e the bytes of an element.
"""

from dataclasses import dataclass

import torch

from fairseq_metro.models.metro_t5 import MetroT5Model, T5TransformerModel
from fairseq_metro.models.metro_t5.config import auxiliary_config
from fairseq_metro.models.symbols import Symbols

# Tokens that the T5 baseline's encoder and decoder see for a token of text, measured on blocks of
# 512 with 15 % noise: sentinels come in for spans of 3 tokens on average.
T5_SOURCE_SHARE, T5_TARGET_SHARE = 0.92, 0.185

GIB = 2**30


PARTS = {
    "encoder.embed_tokens": "token table",
    "encoder": "encoder",
    "decoder": "decoder",
    "auxiliary": "auxiliary model",
    "mlm_head": "MLM head",
    "rtd_head": "RTD head",
    "clm_head": "CLM head",
}


def parameters(objective, cfg, vocabulary):
    """Parameters of each part of the model, tied tables once: dict of name -> number."""
    kind = MetroT5Model if objective == "metro_t5" else T5TransformerModel
    with torch.device("meta"):
        model = kind(cfg, Symbols(vocabulary))
    counts = {}
    for name, parameter in model.named_parameters():
        part = next(title for prefix, title in PARTS.items() if name.startswith(prefix + "."))
        counts[part] = counts.get(part, 0) + parameter.numel()
    return counts


@dataclass(frozen=True)
class Precision:
    """Bytes that one parameter takes in a trainer's mode, and e.

    ``copies`` holds float32 masters and their gradients of fairseq's FP16Optimizer. Adam keeps two
    float32 averages in every mode.
    """

    element: int
    weights: int
    gradients: int
    copies: int = 0
    adam: int = 8

    @property
    def parameter(self):
        return self.weights + self.gradients + self.copies + self.adam


PRECISIONS = {
    "fp32": Precision(element=4, weights=4, gradients=4),
    "fp16": Precision(element=2, weights=2, gradients=2, copies=8),
    "bf16": Precision(element=2, weights=2, gradients=2, copies=8),
    "memory_efficient": Precision(element=2, weights=2, gradients=2),
    "amp": Precision(element=2, weights=4, gradients=4, copies=2),  # half copies of the weights
}


def layer_bytes(cfg, length, element, mask, padded, share=None):
    """Bytes that (an encoder layer, a decoder layer) keep for one token; see kept_bytes.

    share: of the positions, where a last layer computes those alone after its last attention; they
    are copied out first.
    """
    dim, heads = cfg.embed_dim, cfg.attention_heads
    bias = heads * length * element if padded else 0
    copied = 0 if share is None else share * dim
    share = 1 if share is None else share
    after = copied + share * (3 * dim + cfg.ffn_dim)
    return (
        (5 * dim + after) * element + 2 * share * dim * mask + 16 * share + 4 * heads + bias,
        (11 * dim + after) * element + (1 + 2 * share) * dim * mask + 8 + 16 * share + 8 * heads,
    )


def kept_bytes(
    objective,
    cfg,
    length,
    element,
    *,
    mask=1,
    padded=True,
    mask_prob=0.15,
    target_share=T5_TARGET_SHARE,
):
    """Bytes that the forward pass keeps for the backward pass, for one source token, without logits.

    What autograd saves, each storage once, of fused attention (no scores):

    * encoder layer: input, q, k, v, attention's output, input and output of the first LayerNorm,
      inner layer, input of the second: (8 C + F) e; dropout masks 2 C ``mask``; float32 statistics
      of two LayerNorms (16) and of attention (4 H). The attention mask, which is the relative bias,
      is kept too: H T e, where the batch has padding (otherwise once for the batch).
    * decoder layer: as much without the bias, and cross-attention: q, k, v, output, LayerNorm's
      input and output: (14 C + F) e; masks 3 C; statistics 24 + 8 H.
    * the last layer of METRO-T5's auxiliary model and decoder (RTD on the encoder): from the output
      of its last attention on, the positions with loss alone, and a copy of that output there.
    * embeddings: LayerNorm's input C e, a mask C, statistics 8. The encoder's output: C e.
    * RTD head: the inner layer and its LayerNorm's output, 2 C e and 8 more; the loss 16.
    * rows of the states that carry loss, C e each.

    mask: bytes of an element of a dropout mask (1 on GPUs; 0 without dropout; e on CPUs). With
    checkpoint_activations a layer keeps its input alone.
    """
    lean = getattr(cfg, "checkpoint_activations", False)

    def stack(c, layers, kind, share=None):
        dim = c.embed_dim
        layer = last = dim * element
        if not lean:
            layer = layer_bytes(c, length, element, mask, padded)[kind]
            last = layer_bytes(c, length, element, mask, padded, share)[kind]
        return dim * element + dim * mask + 8 + (layers - 1) * layer + last

    dim = cfg.embed_dim
    main = stack(cfg, cfg.encoder_layers, 0) + dim * element
    if objective == "t5":
        decoder = stack(cfg, cfg.decoder_layers, 1)
        return T5_SOURCE_SHARE * main + target_share * (decoder + dim * element)
    decoder = stack(cfg, cfg.decoder_layers, 1, mask_prob if cfg.rtd_on == "encoder" else None)
    auxiliary = auxiliary_config(cfg)
    rows = mask_prob * (dim + auxiliary.embed_dim) * element
    for head, transformed in ((cfg.mlm_head, "transform"), (cfg.clm_head, "projection")):
        if head == transformed:
            rows += mask_prob * (2 * dim * element + 8)
    rtd = 16 + (0 if cfg.rtd_head == "simple" else 2 * dim * element + 8)
    beside = stack(auxiliary, cfg.auxiliary_layers, 0, mask_prob)
    return main + beside + decoder + rows + rtd


def activation_bytes(objective, cfg, length, element, **details):
    """:func:`kept_bytes`, and what recomputing one layer at a time adds (checkpoint_activations)."""
    kept = kept_bytes(objective, cfg, length, element, **details)
    if not getattr(cfg, "checkpoint_activations", False):
        return kept
    mask, padded = details.get("mask", 1), details.get("padded", True)
    return kept + max(layer_bytes(cfg, length, element, mask, padded))


def logit_bytes(objective, vocabulary, element, mask_prob=0.15, target_share=T5_TARGET_SHARE):
    """Bytes of logits for one source token at the height of a step.

    Rows that carry loss only (mask_prob N, twice for METRO-T5: MLM and CLM). Each has its logits,
    V e, and the float32 log-softmax that the backward pass needs, 4 V; of one head at a time there
    are 12 V more, for sampling, statistics and the gradient.
    """
    if objective == "t5":
        return target_share * vocabulary * (element + 4 + 12)
    return mask_prob * vocabulary * (2 * (element + 4) + 12)


def flops_per_token(
    objective,
    cfg,
    length,
    vocabulary,
    mask_prob=0.15,
    clm_share=None,
    target_share=T5_TARGET_SHARE,
):
    """Floating-point operations of training (forward and backward, 3 times forward) per source token.

    Forward, two for each multiplication: an encoder layer 8 C^2 + 4 C F + 4 T C, a decoder layer
    16 C^2 + 4 C F + 8 T C (attention dense, no causal discount), vocabulary heads 2 C V at the rows
    that carry loss, a RoBERTa-style head 2 C^2. Recomputation is not counted.

    clm_share: share of the tokens on which the CLM head is computed (default mask_prob; the
    released code computes it on all, 1.0, and keeps the masked ones). target_share: tokens of T5's
    decoder for one of the text. Cross-attention is counted with targets as long as sources.
    """

    def encoder(c, layers):
        dim = c.embed_dim
        return layers * (8 * dim**2 + 4 * dim * c.ffn_dim + 4 * length * dim)

    dim = cfg.embed_dim
    main = encoder(cfg, cfg.encoder_layers)
    decoder = cfg.decoder_layers * (16 * dim**2 + 4 * dim * cfg.ffn_dim + 8 * length * dim)
    head = 2 * dim * vocabulary
    if objective == "t5":
        return 3 * (T5_SOURCE_SHARE * main + target_share * (decoder + head))
    auxiliary = auxiliary_config(cfg)
    clm_share = mask_prob if clm_share is None else clm_share
    heads = mask_prob * head + clm_share * head
    heads += mask_prob * 2 * dim**2 * (cfg.mlm_head == "transform")
    heads += clm_share * 2 * dim**2 * (cfg.clm_head == "projection")
    heads += 2 * dim**2 * (cfg.rtd_head == "roberta") + 2 * dim
    return 3 * (main + decoder + encoder(auxiliary, cfg.auxiliary_layers) + heads)


def model_flops_utilization(tokens, gpus, hours, flops, peak):
    """MFU: tokens x flops per token over what ``gpus`` of ``peak`` TFLOP/s could do in ``hours``."""
    return tokens * flops / (gpus * hours * 3600 * peak * 1e12)
