"""Estimated memory of one GPU in pretraining: parameters, a batch, the largest batch that fits."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from fairseq_metro.common.logs import quieted
from fairseq_metro.data.stock import missing_symbols
from fairseq_metro.recipes import costs
from fairseq_metro.recipes.words import chosen, first_folder, words
from fairseq_metro.vocabulary.folder import DICTIONARY, VOCAB_FOLDER, read_symbols

RESERVED = 0.08  # of the memory: CUDA's context, the allocator's gaps, communication


def resolved(arguments):
    """Parse a command's arguments as fairseq does: its config."""
    import fairseq_metro

    fairseq_metro.register()
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    with warnings.catch_warnings(), quieted("hydra"):
        warnings.simplefilter("ignore")  # hydra, of fairseq's own files
        args = options.parse_args_and_arch(options.get_training_parser(), ["DATA", *arguments])
        return convert_namespace_to_omegaconf(args)


def precision_of(common):
    """The name in :data:`costs.PRECISIONS` of the trainer's mode."""
    if common.memory_efficient_fp16 or common.memory_efficient_bf16:
        return "memory_efficient"
    return next((mode for mode in ("fp16", "bf16", "amp") if common[mode]), "fp32")


def vocabulary_size(folder, size):
    """Of a data folder's dictionary; without data the authors' for a size."""
    from fairseq_metro.recipes.parameters import VOCABULARY

    if not folder:
        return VOCABULARY[size]
    dictionary = Path(folder, VOCAB_FOLDER, DICTIONARY)
    if dictionary.is_file():
        return len(read_symbols(dictionary))
    symbols = read_symbols(Path(folder, DICTIONARY))
    return len(symbols) + len(missing_symbols(symbols, Path(folder, DICTIONARY)))


def target_share(task):
    """Tokens of T5's decoder for one of the text; METRO-T5's sees as many."""
    return 1.0 if task.get("decoding_target") == "all" else costs.T5_TARGET_SHARE


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU: of the parameters, whatever the batch, and of each token of a batch."""

    parameters: dict
    precision: costs.Precision
    buckets: float
    activations: float
    logits: float

    @property
    def fixed(self):
        number = sum(self.parameters.values())
        return number * (self.precision.parameter + self.buckets)

    def of(self, tokens):
        return self.fixed + tokens * (self.activations + self.logits)

    def most_tokens(self, gib):
        """The most tokens of a batch that fit ``gib`` GiB, ``RESERVED`` left free."""
        free = gib * costs.GIB * (1 - RESERVED) - self.fixed
        return max(0, int(free / (self.activations + self.logits)))


def memory_of(row, cfg, vocabulary, processes):
    """The :class:`Memory` of a run by its resolved config."""
    precision = costs.PRECISIONS[precision_of(cfg.common)]
    model = cfg.model
    shares = dict(mask_prob=cfg.task.mask_prob, target_share=target_share(cfg.task))
    # Where processes share, their backend keeps one more copy of the gradients.
    buckets = precision.gradients if processes > 1 else 0
    return Memory(
        parameters=costs.parameters(row.objective, model, vocabulary),
        precision=precision,
        buckets=buckets,
        activations=costs.activation_bytes(
            row.objective, model, cfg.task.tokens_per_sample, precision.element,
            mask=int(model.dropout > 0), **shares,
        ),
        logits=costs.logit_bytes(row.objective, vocabulary, precision.element, **shares),
    )  # fmt: skip


def tokens_that_fit(args, memory_gib, extra):
    """The most tokens of a batch of one process on a GPU of this memory, for parsed arguments."""
    row, batches = chosen(args)
    cfg = resolved([*words(row, batches), *extra])
    vocabulary = vocabulary_size(first_folder(args.data), row.size)
    return memory_of(row, cfg, vocabulary, batches.processes).most_tokens(memory_gib)
