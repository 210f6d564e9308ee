"""Tiny dictionaries, models and batches that many tests share."""

from types import SimpleNamespace

import numpy as np
import torch
from fairseq.data import Dictionary

from fairseq_metro.common.recipes import choices
from fairseq_metro.data.blocks import cut_blocks
from fairseq_metro.data.metro_dataset import MaskedBlocks
from fairseq_metro.data.t5_dataset import CorruptedBlocks
from fairseq_metro.kernels.head_loss import loss_of_logits
from fairseq_metro.models.metro_t5 import (
    MetroOutput,
    MetroT5Config,
    MetroT5Model,
    T5TransformerModel,
)
from fairseq_metro.modules.heads import Logits, copy_mixture

ORDINARY = 30  # ids 4 .. 33; then the mask and two sentinels


def dictionary():
    words = Dictionary()
    for i in range(ORDINARY):
        words.add_symbol(f"w{i}")
    for symbol in ("<mask>", "<sen001>", "<sen002>"):
        words.add_symbol(symbol)
    return words


def config(**changes):
    sizes = dict(
        embed_dim=16,
        ffn_dim=24,
        attention_heads=2,
        encoder_layers=2,
        decoder_layers=2,
        auxiliary_layers=1,
        relative_position_buckets=8,
        relative_position_max_distance=20,
        max_positions=64,
    )
    return MetroT5Config(**{**sizes, **changes})


def task(recipe="paper", **options):
    return SimpleNamespace(
        recipe_choices=choices(recipe, "base"),
        cfg=SimpleNamespace(**{"mask_prob": 0.15, "tokens_per_sample": 32, **options}),
        source_dictionary=dictionary(),
        target_dictionary=dictionary(),
        commonest_token=5,
    )


def model(kind=MetroT5Model, **changes):
    """A model all of whose parameters are non-zero, in evaluation mode."""
    built = kind.build_model(config(**changes), task())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return built.eval()


def output(sample, mlm_logits, noise, rtd_logits, clm_logits, copies=False):
    """What a METRO-T5 model with these logits gives that wrote ``noise`` (B, T) for a batch."""
    net_input, target = sample["net_input"], sample["target"]
    index = net_input["masked_index"]
    mlm = loss_of_logits(mlm_logits, target.flatten()[index], entropy=True)
    mlm = mlm._replace(noised=noise, replaced=noise.ne(target))
    if copies:
        rows = net_input.get("clm_index", index)
        clm_logits = copy_mixture(clm_logits, noise.flatten()[rows], rtd_logits.flatten()[rows])
    return MetroOutput(mlm, rtd_logits, Logits(clm_logits), Logits(mlm_logits))


def t5(**changes):
    return model(T5TransformerModel, **changes)


def dataset(lines=20, longest=24, seed=1, tokens_per_sample=32, **changes):
    """Masked blocks over random lines; two documents."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, longest, lines)
    sizes[lines // 2] = 1
    parts = []
    for size in sizes:
        parts += [*rng.integers(4, 4 + ORDINARY, size - 1), 2]
    words = dictionary()
    ordinary = np.zeros(len(words), dtype=bool)
    ordinary[4 : 4 + ORDINARY] = True
    options = dict(
        bos=words.bos(),
        pad=words.pad(),
        mask=words.index("<mask>"),
        decoder_start=words.index("<mask>"),
        ordinary=ordinary,
        mask_prob=0.15,
        seed=seed,
        shuffle=True,
    )
    blocks = cut_blocks(sizes, tokens_per_sample - 1, "complete_doc")
    return MaskedBlocks(np.array(parts, dtype=np.uint16), blocks, **{**options, **changes})


def t5_dataset(lines=20, longest=24, seed=1, tokens_per_sample=32, **changes):
    """Corrupted blocks over the same lines; the dictionary's two sentinels, unless more are given."""
    words = dictionary()
    same = dataset(lines, longest, seed, tokens_per_sample)
    shared = "bos pad decoder_start ordinary mask_prob seed shuffle".split()
    options = dict(
        sentinels=[words.index("<sen001>"), words.index("<sen002>")],
        end_of_target=words.eos(),
        empty_prob=0.1,
        longest_span=3,
        longest_source=tokens_per_sample,
        **{name: getattr(same, name) for name in shared},
    )
    return CorruptedBlocks(same.tokens, same.blocks, **{**options, **changes})


def batch(size=3, **changes):
    data = dataset(**changes)
    return data.collater([data[i] for i in range(size)])
