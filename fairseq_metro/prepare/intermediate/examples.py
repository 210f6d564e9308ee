"""Drawn sentences to prompts as token ids, in worker processes; one side's files growing in order.

tokens.bin  ids of all prompts end to end, in the type of data/indexed.py
sizes.bin   int32, ids of each prompt
meta.bin    int32, six a prompt: rule label, document, sentence, partner's document, partner's
            sentence, position of the mask; -1 where there is none
"""

import contextlib
from dataclasses import dataclass

import numpy as np

from fairseq_metro.common.errors import UserError
from fairseq_metro.data.indexed import token_type
from fairseq_metro.prepare.intermediate.growing import GrowingFiles
from fairseq_metro.prepare.intermediate.pace import Pace
from fairseq_metro.prepare.intermediate.sampling import Sampler
from fairseq_metro.prepare.intermediate.sides import Side
from fairseq_metro.prepare.intermediate.store import Sentences
from fairseq_metro.prepare.workers import Workers
from fairseq_metro.smash.templates import PromptTemplate
from fairseq_metro.vocabulary.characters import Characters
from fairseq_metro.vocabulary.tokenizers import load_tokenizer

FILES = TOKENS, SIZES, META = "tokens.bin", "sizes.bin", "meta.bin"
META_COLUMNS = 6
COUNTS = "examples", "candidates", "trimmed", "tokens", "characters", "unknown_characters"


@dataclass
class Examples:
    """A chunk's examples: tokens (n,) end to end, sizes (k,), meta (k, 6), trimmed (k,) bool.

    characters: of the texts that were encoded for the chunk.
    """

    tokens: np.ndarray
    sizes: np.ndarray
    meta: np.ndarray
    trimmed: np.ndarray
    characters: Characters | None = None

    def __len__(self):
        return len(self.sizes)

    def prompts(self):
        """The ids of each example: list of arrays."""
        return np.split(self.tokens, np.cumsum(self.sizes)[:-1]) if len(self) else []

    def chosen(self, keep):
        """The examples where ``keep``, (k,) bool."""
        whole = np.repeat(keep, self.sizes)
        return Examples(self.tokens[whole], self.sizes[keep], self.meta[keep], self.trimmed[keep])


class Builder:
    """Makes the examples of a chunk, by its number alone."""

    def __init__(self, folder, side, group, seed, tokenizer):
        sentences = Sentences(folder)
        self.sampler = Sampler(sentences, Side(sentences, side), group, seed)
        self._group, self._tokenizer = group, load_tokenizer(*tokenizer)
        self._template = PromptTemplate.parse(group.template, group.drop)
        self._dtype = token_type(len(self._tokenizer))

    def __call__(self, chunk):
        drawn = self.sampler.draw(chunk)
        texts = [self._template.texts(texts) for texts in self.sampler.texts(drawn)]
        pieces = [piece for example in texts for piece in example]
        encoded = self._tokenizer.encode_many(pieces)
        of_pieces = iter(encoded)
        group = self._group
        settings = self._tokenizer, group.max_length, group.truncation
        prompts = [
            self._template.assemble([next(of_pieces) for _ in example], *settings)
            for example in texts
        ]
        masks = np.array([prompt.mask_position for prompt in prompts], dtype=np.int32)
        ids = [np.array(prompt.ids, dtype=self._dtype) for prompt in prompts]
        return Examples(
            np.concatenate(ids) if ids else np.zeros(0, self._dtype),
            np.array(list(map(len, ids)), dtype=np.int32),
            np.column_stack((self.sampler.meta(drawn), masks)),
            np.array([prompt.trimmed for prompt in prompts], dtype=bool),
            self._tokenizer.characters(pieces, encoded),
        )


_state: dict = {}


def _set_up(*arguments):
    _state["build"] = Builder(*arguments)


def _work(chunk):
    return _state["build"](chunk)


def make_side(folder, side, plan, count, settings, keep=None):
    """Make ``count`` examples of a side, or those still missing; return their facts.

    folder: of the sentences. keep: None, or a filter: Examples -> (k,) bool, with ``facts``. An
    example that passes is left out only where its label has its share already.
    """
    growing = GrowingFiles(folder.parent / side, FILES, settings)
    arguments = (folder, side, plan.group, plan.seed, plan.tokenizer_place)
    chunks = Builder(*arguments).sampler.chunks()
    facts = {
        **dict.fromkeys(COUNTS, 0), "labels": {str(label): 0 for label in plan.group.labels},
        **growing.facts,
    }  # fmt: skip
    if keep is not None:
        keep.facts = facts.setdefault("filter", keep.no_counts())  # counted on, after a resume
    try:
        if growing.finished:
            return facts
        with Workers(plan.workers, _set_up, arguments, _work) as pool:
            made = pool.map(range(growing.steps, chunks))
            with contextlib.closing(made):
                _take(made, growing, facts, count, side, keep)
        growing.agree(finished=True)
    except BaseException:
        growing.agree()
        raise
    finally:
        growing.close()
    return facts


def _take(made, growing, facts, count, side, keep):
    share = count // len(facts["labels"])
    pace = Pace(side, "examples", count, facts["examples"])
    while facts["examples"] < count:
        examples = next(made, None)
        if examples is None:
            return
        facts["candidates"] += len(examples)
        facts["characters"] += examples.characters.all
        facts["unknown_characters"] += examples.characters.unknown
        passing = np.ones(len(examples), dtype=bool) if keep is None else keep(examples)
        taken = examples.chosen(_within_share(examples.meta[:, 0], passing, facts["labels"], share))
        growing.write(TOKENS, taken.tokens)
        growing.write(SIZES, taken.sizes)
        growing.write(META, taken.meta)
        facts["examples"] += len(taken)
        facts["tokens"] += len(taken.tokens)
        facts["trimmed"] += int(taken.trimmed.sum())
        growing.step(facts)
        pace.show(facts["examples"])


def _within_share(labels, passing, counts, share):
    """Which of ``passing`` are taken until each label has its share; counts them: (k,) bool."""
    taken = np.zeros(len(labels), dtype=bool)
    for name in counts:
        rows = np.flatnonzero(passing & (labels == int(name)))[: share - counts[name]]
        taken[rows] = True
        counts[name] += len(rows)
    return taken


def characters_of(facts):
    """The Characters of the texts of a side's prompts. facts: what :func:`make_side` gave."""
    return Characters(facts.get("characters", 0), facts.get("unknown_characters", 0))


def check_enough(facts, count, requested, where, group):
    """Raise :class:`UserError` where a filter left too few; return how many there are."""
    made = facts["examples"]
    if made == count or (not requested and len(group.labels) == 1 and made):
        return made
    most = min(facts["labels"].values()) * len(group.labels)
    smaller = f"a size of {most}, " if most else ""
    raise UserError(
        f"{where}: only {made} of {count} examples pass the filter of group {group.name}; "
        f"give {smaller}more text, or a lower threshold in a group of your own"
    )
