"""Task ``fewshot_prompt``: one run of few-shot prompt fine-tuning on a K-shot folder.

``fairseq-train KSHOT_FOLDER --task fewshot_prompt --fewshot-task sst2 --init-from RUN``; the grid
of runs that a table needs is ``fairseq-metro fewshot``'s.
"""

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from fairseq.data import FairseqDataset
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
from fairseq.tasks import register_task

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.identity import identity
from fairseq_metro.data.padding import right_padded
from fairseq_metro.models.metro_t5 import MetroT5Model, T5TransformerModel
from fairseq_metro.models.roberta import RobertaMLMModel
from fairseq_metro.smash.examples import read_split
from fairseq_metro.smash.tasks import load_task
from fairseq_metro.tasks.base import TextTask, TextTaskConfig, architecture_of
from fairseq_metro.vocabulary.characters import Characters
from fairseq_metro.vocabulary.folder import VOCAB_FOLDER
from fairseq_metro.vocabulary.roberta import RobertaVocabulary, open_vocabulary
from fairseq_metro.vocabulary.tokenizers import ROBERTA, T5, VocabularyTokenizer

logger = logging.getLogger(__name__)

NAME = "fewshot_prompt"


@dataclass
class FewshotPromptConfig(TextTaskConfig):
    """Options of ``--task fewshot_prompt``."""

    fewshot_task: str = field(
        default="", metadata={"help": "Few-shot task of DATA: a name (sst2) or a YAML file."}
    )
    allow_unknown: bool = field(
        default=False,
        metadata={
            "help": "Continue even if the vocabulary lacks more than half of the text's "
            "characters, which become <unk>."
        },
    )


class PromptedExamples(FairseqDataset):
    """Examples of a few-shot task in their prompt: ids, the mask's place, the target.

    rows: list of ids (list of int); masks: place of each row's mask, or of whatever position is
    asked for; targets: places of labels (int), or scores (float). decoder_input: of T5 the ids (2,)
    that its decoder is given, whose second position is asked (interchange/mask_models.py).
    characters: of the examples' texts.
    """

    characters = Characters()

    def __init__(self, rows, masks, targets, pad, seed=1, shuffle=False, decoder_input=None):
        self.rows, self.masks, self.pad, self.decoder_input = rows, masks, pad, decoder_input
        kind = torch.float32 if any(isinstance(t, float) for t in targets) else torch.int64
        self.targets = torch.tensor(targets, dtype=kind)
        self.sizes = np.array([len(row) for row in rows], dtype=np.int64)
        self.seed, self.shuffle, self.epoch = seed, shuffle, 1

    @classmethod
    def of_task(cls, task, examples, tok, **options):
        """Examples (of :func:`read_split`) of a FewshotTask in its prompt."""
        prompts = [task.build(example.sentences, tok) for example in examples]
        targets = [
            example.label if task.is_regression else task.labels.index(example.label)
            for example in examples
        ]
        rows, masks = [p.ids for p in prompts], [p.mask_position for p in prompts]
        dataset = cls(rows, masks, targets, tok.pad, **options)
        dataset.characters = characters_of(examples, tok)
        return dataset

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return int(index)

    def identity(self):
        """A name of the examples' prompts."""
        return identity(*map(np.array, self.rows))

    def num_tokens(self, index):
        return self.sizes[index]

    def size(self, index):
        return self.sizes[index]

    def set_epoch(self, epoch):
        self.epoch = epoch

    @property
    def can_reuse_epoch_itr_across_epochs(self):
        return not self.shuffle

    def ordered_indices(self):
        """The epoch's order: by seed and epoch alone where it is shuffled, else as in the file."""
        if not self.shuffle:
            return np.arange(len(self))
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self))

    def batch_by_size(
        self, indices, max_tokens=None, max_sentences=None, required_batch_size_multiple=1
    ):
        """Batches in the order of ``indices``, none of them left out.

        Stock fairseq throws the last one away where its size is no multiple of
        ``--required-batch-size-multiple`` (8 unless given); few-shot batches are of 2 or 4.
        """
        return super().batch_by_size(indices, max_tokens, max_sentences, 1)

    def collater(self, indices):
        """A batch: id (B,), nsentences, ntokens, target (B,), and net_input, right-padded.

        net_input, of RoBERTa: src_tokens (B, T), masked_index (B,) into B*T; of T5: src_tokens,
        src_lengths (B,), prev_output_tokens (B, 2), target_index (B,) into B*2.
        """
        tokens = torch.from_numpy(right_padded([self.rows[i] for i in indices], self.pad))
        first, net_input = torch.arange(len(indices)), {"src_tokens": tokens}
        if self.decoder_input is None:
            places = torch.tensor([self.masks[i] for i in indices])
            net_input["masked_index"] = first * tokens.size(1) + places
        else:
            net_input["src_lengths"] = torch.from_numpy(self.sizes[indices])
            net_input["prev_output_tokens"] = torch.tensor([self.decoder_input] * len(indices))
            net_input["target_index"] = 2 * first + 1
        return {
            "id": torch.tensor(indices),
            "nsentences": len(indices),
            "ntokens": int(self.sizes[indices].sum()),
            "net_input": net_input,
            "target": self.targets[indices],
        }


def characters_of(examples, tok):
    """The Characters of the sentences of few-shot examples, for a tokenizer."""
    return tok.characters([sentence for example in examples for sentence in example.sentences])


@register_task(NAME, dataclass=FewshotPromptConfig)
class FewshotPromptTask(TextTask):
    """Cross entropy over label words at the mask; scores by the verbalizer KL."""

    make_data = "fairseq-metro kshot"

    @classmethod
    def setup_task(cls, cfg, **kwargs):
        cls.check_options(cfg)
        start = Path(cfg.init_from)
        around = (start, start / VOCAB_FOLDER, start.parent / VOCAB_FOLDER)
        if not cfg.vocab and cfg.init_from:
            cfg.vocab = str(next((f for f in around if _is_vocabulary(f)), ""))
        return super().setup_task(cfg, **kwargs)

    @classmethod
    def check_options(cls, cfg):
        super().check_options(cfg)
        if not cfg.fewshot_task:
            raise UserError("--fewshot-task is missing; give a name such as sst2, or a YAML file")
        load_task(cfg.fewshot_task)

    def __init__(self, cfg, vocabulary, stamps):
        super().__init__(cfg, vocabulary, stamps)
        self.fewshot = load_task(cfg.fewshot_task)
        self.kind = ROBERTA  # until a model is built
        self.words = list(self.fewshot.verbalizer(self.tokenizer).ids)
        self.stamps = [{"data": split_hash(cfg.data)}]

    @property
    def tokenizer(self):
        """Of the model's kind; label words have the same ids for both."""
        if isinstance(self.vocabulary, RobertaVocabulary):
            return self.vocabulary.tokenizer
        return VocabularyTokenizer(self.vocabulary, self.kind)

    @property
    def decoder_input(self):
        """What T5's decoder is given (interchange/mask_models.py); None for RoBERTa."""
        if self.kind != T5:
            return None
        return [self.pretraining_decoder_start, self.tokenizer.mask]

    @classmethod
    def read_stamp(cls, folder, vocabulary):
        return None

    def load_dataset(self, split, epoch=1, combine=False, **kwargs):
        """``train``, and as ``valid`` the folder's dev split."""
        examples = read_split(self.fewshot, self.cfg.data, "dev" if split == "valid" else split)
        dataset = PromptedExamples.of_task(
            self.fewshot, examples, self.tokenizer, seed=self.cfg.seed, shuffle=split == "train",
            decoder_input=self.decoder_input,
        )  # fmt: skip
        dataset.characters.judge(f"{self.cfg.data}/{split}", self.cfg.allow_unknown, logger)
        dataset.set_epoch(epoch)
        self.datasets[split] = dataset

    def max_positions(self):
        return None  # prompts are cut when they are built

    def build_model(self, cfg, from_checkpoint=False):
        name = architecture_of(cfg)
        model = ARCH_MODEL_REGISTRY.get(name) or MODEL_REGISTRY[name]
        self.kind = T5 if issubclass(model, T5TransformerModel) else ROBERTA
        return super().build_model(cfg, from_checkpoint)

    def check_model(self, cfg):
        name = architecture_of(cfg)
        model = ARCH_MODEL_REGISTRY.get(name) or MODEL_REGISTRY[name]
        known = issubclass(model, (RobertaMLMModel, T5TransformerModel))
        if not known or issubclass(model, MetroT5Model):
            raise UserError(
                f"--arch {name}: --task {NAME} asks for the word at a mask; give --arch "
                "roberta_mlm_base, t5_transformer_base, hf_t5_base or another size"
            )

    def build_criterion(self, cfg, from_checkpoint=False):
        if cfg._name != NAME:
            raise UserError(
                f"--criterion {cfg._name} is not for --task {NAME}; give --criterion {NAME}"
            )
        return super().build_criterion(cfg, from_checkpoint)


def split_hash(folder):
    """SHA-256 over the names and contents of a K-shot folder's files, hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _is_vocabulary(folder):
    try:
        open_vocabulary(folder)
    except UserError:
        return False
    return True
