"""Raw documents to the prompts of a SMASH task group, for prompt distillation.

Documents are cut into sentences, sentences drawn (pairs with exactly balanced rule labels, or single
ones), put into the group's template, and written as fairseq reads them: DATA/train.prompts and
DATA/valid.prompts (.bin, .idx: one prompt a line, one mask each), .meta.npy beside each (rule label,
document, sentence, partner's document, partner's sentence, position of the mask), dict.txt, vocab/,
intermediate.json. Flat memory, all cores; the bytes do not depend on the number of workers.
Interrupted, the same command goes on where it was.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import sha256_file
from fairseq_metro.common.sources import (
    HUB,
    STANDARD_INPUT,
    TEXT_FILES,
    Reading,
    add_reading_options,
    check_readable,
    expand,
    reading_of,
)
from fairseq_metro.prepare.intermediate.reading import DOCUMENTS, LINES
from fairseq_metro.prepare.intermediate.teacher_filter import label_words, teacher_hash
from fairseq_metro.prepare.workers import available_cores
from fairseq_metro.smash.groups import DIRECTIONS, PAIRS, TaskGroup, group_names, load_group
from fairseq_metro.smash.templates import PromptTemplate
from fairseq_metro.vocabulary.characters import add_allow_unknown
from fairseq_metro.vocabulary.tokenizers import KINDS, load_tokenizer


@dataclass(frozen=True)
class Plan:
    """The validated plan of a command."""

    group: TaskGroup
    sources: list
    texts: dict  # source -> SHA-256, None on the hub
    tokenizer: object
    tokenizer_place: tuple  # what load_tokenizer takes
    dest: Path
    size: int | None
    valid_size: int | None
    held_out: float
    documents: str
    lines: str
    reading: Reading
    seed: int
    workers: int
    teacher: str | None
    teacher_hash: str | None
    allow_unknown: bool = False

    def sentence_settings(self):
        """What decides about the sentences, for JSON: dict."""
        return {
            "texts": list(self.texts.values()),
            "hub": [source for source in self.sources if source.startswith(HUB)],
            "documents": self.documents,
            "lines": self.lines,
            "field": self.reading.field,
            **({"form": self.reading.form} if self.reading.form else {}),
            "tokenizer": self.tokenizer.hash,
            "least_tokens": self.group.least_tokens,
            "least_sentences": self.group.least_sentences,
            "seed": self.seed,
        }

    def settings(self):
        """What decides about every byte, for JSON: dict."""
        return {
            **self.sentence_settings(),
            "kind": self.tokenizer.kind,
            "held-out": self.held_out,
            "size": self.size,
            "valid-size": self.valid_size,
            "filter-teacher": self.teacher_hash,
            "group": self.group.settings(),
        }


def parser():
    """Build the command's argument parser."""
    made = CommandParser(description=__doc__)
    add = made.add_argument
    add("--group", required=True, metavar="NAME|FILE",
        help=f"Task group: a group of the package ({', '.join(group_names())}) or a YAML "
             "file.")  # fmt: skip
    add("--input", nargs="+", required=True, metavar="TEXT",
        help="Input documents; hf:NAME[:CONFIG] is a data set on the Hugging Face hub. "
             f"{TEXT_FILES}")  # fmt: skip
    add("--vocab", type=Path, metavar="VOCAB",
        help="Vocabulary folder written by fairseq-metro vocabulary.")  # fmt: skip
    add("--tokenizer", type=Path, metavar="DIR",
        help="Local Hugging Face folder of a RoBERTa, instead of --vocab.")  # fmt: skip
    add("--kind", choices=KINDS, default=KINDS[0],
        help="Model family of the prompts: a mask token, or T5's first sentinel (default: "
             "%(default)s).")  # fmt: skip
    add("--dest", type=Path, required=True, metavar="DATA", help="Data folder to write.")
    add("--size", type=int, metavar="N",
        help="Number of training examples (default: as many as the text yields, up to the size in "
             "the group's recipe).")  # fmt: skip
    add("--valid-size", type=int, metavar="N",
        help="Number of held-out examples (default: the fraction --held-out of --size, as far as "
             "the text yields them).")  # fmt: skip
    add("--held-out", type=float, default=0.01, metavar="SHARE",
        help="Fraction of the documents reserved for valid (default: %(default)s).")  # fmt: skip
    add("--documents", choices=DOCUMENTS, default=DOCUMENTS[0],
        help="What ends a document in plain text: a blank line, the end of the file, every line "
             "(text without documents), or a WikiText heading ' = Title = ' (default: "
             "%(default)s).")  # fmt: skip
    add("--lines", choices=LINES, default=LINES[0],
        help="What a line of plain text is: a paragraph, which is split into sentences; part of a "
             "paragraph that ends at the next blank line; or a sentence (default: "
             "%(default)s).")  # fmt: skip
    add_reading_options(made)
    add_allow_unknown(add)
    add("--max-length", type=int, metavar="TOKENS",
        help="Maximum number of tokens in a prompt (default: the group's).")  # fmt: skip
    add("--direction", choices=DIRECTIONS,
        help="Position of the partner in a pair of adjacent sentences (default: the "
             "group's).")  # fmt: skip
    add("--filter-teacher", metavar="MODEL",
        help="RoBERTa checkpoint for the group's filter, which removes examples on which this "
             "model is undecided.")  # fmt: skip
    add("--seed", type=int, default=1, help="Random seed for all sampling (default: %(default)s).")
    add("--workers", type=int, default=available_cores(), metavar="N",
        help="Number of processes (default: all cores, %(default)s).")  # fmt: skip
    return made


def plan(args):
    """The :class:`Plan` of parsed arguments. Raises :class:`UserError` for what cannot be done."""
    for name, least in (("workers", 1), ("size", 1), ("valid_size", 1), ("seed", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} is {value}, must be at least {least}")
    if not 0 <= args.held_out < 1:
        raise UserError(f"--held-out is {args.held_out}, must be at least 0 and below 1")
    if not args.held_out and args.valid_size:
        raise UserError("--valid-size without held-out documents; give --held-out above 0")
    if (args.vocab is None) == (args.tokenizer is None):
        raise UserError("give --vocab, or --tokenizer, one of them")
    group = changed(load_group(args.group), args)
    for name in ("size", "valid_size"):
        check_balanced(name, getattr(args, name), group)
    if args.filter_teacher and group.filter is None:
        raise UserError(f"--filter-teacher: group {group.name} has no filter; leave it out")
    place = (str(args.vocab or args.tokenizer), args.kind)
    tokenizer = load_tokenizer(*place)
    check_words(group, tokenizer, place[0])
    sources = sources_of(args.input)
    texts = {source: None if source.startswith(HUB) else sha256_file(source) for source in sources}
    return Plan(
        group=group, sources=sources, texts=texts, tokenizer=tokenizer, tokenizer_place=place,
        dest=args.dest, size=args.size, valid_size=args.valid_size, held_out=args.held_out,
        documents=args.documents, lines=args.lines, reading=reading_of(args), seed=args.seed,
        workers=args.workers, teacher=args.filter_teacher,
        teacher_hash=teacher_hash(args.filter_teacher) if args.filter_teacher else None,
        allow_unknown=args.allow_unknown,
    )  # fmt: skip


def changed(group, args):
    """The group with what the command line says otherwise. Raises :class:`UserError`."""
    if args.max_length is not None:
        if args.max_length < 8:
            raise UserError(f"--max-length is {args.max_length}, must be at least 8")
        group = replace(group, max_length=args.max_length)
    if args.direction is not None:
        if group.sampler != PAIRS:
            raise UserError(f"--direction says nothing in group {group.name}; leave it out")
        group = replace(group, direction=args.direction)
    return group


def check_balanced(name, size, group):
    """Raise :class:`UserError` for a size that labels cannot share equally."""
    labels = len(group.labels)
    if size is not None and size % labels:
        near = size // labels * labels
        suggestion = f"{near} or {near + labels}" if near else str(labels)
        raise UserError(
            f"--{name.replace('_', '-')} is {size}, but {labels} rule labels come in equal "
            f"numbers; give {suggestion}"
        )


def check_words(group, tokenizer, place):
    """Raise :class:`UserError` where a word of the group is no token, or its prompt does not fit."""
    template = PromptTemplate.parse(group.template, group.drop)
    words = list(group.verbalizer.values())
    words += [] if group.filter is None else list(group.filter.words)
    try:
        if words:
            label_words(words, tokenizer)
        template.build([""] * template.sentences, tokenizer, group.max_length, group.truncation)
    except UserError as error:
        raise UserError(f"{place}, for group {group.name}: {error}") from None


def sources_of(patterns):
    """The input files, each once and readable. Raises :class:`UserError`."""
    if STANDARD_INPUT in patterns:
        raise UserError("--input -: standard input cannot be read again to go on; give files")
    sources, seen = expand(patterns), set()
    for source in sources:
        real = source if source.startswith(HUB) else os.path.realpath(source)
        if real in seen:
            raise UserError(f"{source}: given twice; a text belongs to the input once")
        seen.add(real)
        if not source.startswith(HUB):
            check_readable(source, regular=True)
    return sources
