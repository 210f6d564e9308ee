"""Rows and templates of a mixture to a data folder for prompt fine-tuning.

Every row of every data set is put into words by the data set's templates, cut into the vocabulary's
pieces and written as fairseq reads it: DEST/train, DEST/valid, DEST/heldout with a folder per task,
dict.txt, vocab/, prompted.json. Flat memory, all cores; the bytes do not depend on the number of
workers. Interrupted, the same command goes on after the last finished data set.

Training rows come from the data sets' training splits alone, evaluation rows from others; rows that
say the same on both sides are counted, and can be left out of training.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources import add_max_bad_rows, bad_rows_limit
from fairseq_metro.common.sources.bad_rows import DEFAULT
from fairseq_metro.prepare.prompted.mixture_options import add_mixture_options, chosen_mixture
from fairseq_metro.prepare.prompted.units import with_sets
from fairseq_metro.prepare.workers import available_cores
from fairseq_metro.prompts import METRO, T0, DropRules, Templates, find_templates
from fairseq_metro.prompts.collection import OWN, PROMPTSOURCE, promptsource_folder
from fairseq_metro.prompts.mixtures import Mixture, flan
from fairseq_metro.prompts.mixtures.mixture import HELDOUT, TRAIN, VALID
from fairseq_metro.prompts.task_data import NotThere, open_dataset
from fairseq_metro.vocabulary.characters import add_allow_unknown
from fairseq_metro.vocabulary.folder import Vocabulary

logger = logging.getLogger(__name__)

SPLITS = (VALID, HELDOUT, TRAIN)  # evaluation first: training may have to avoid its rows
RULES = {"metro": METRO, "t0": T0}
# Longest source of the model that the pairs are for, by rule: FLAN's (Wei et al. 2022, section 2.4),
# METRO-T0's (Table 6).
MAX_SOURCE, OTHER_MAX_SOURCE = {"flan": 1024}, 512
VALID_ROWS = 200  # FLAN's number (Wei et al. 2022, section 2.4)
OVERLAPS = REPORT, DROP = "report", "drop"


@dataclass(frozen=True)
class Plan:
    """The validated plan of a command."""

    mixture: Mixture
    templates: Templates
    tasks: Path | None
    hub: bool
    vocabulary: Vocabulary
    dest: Path | None
    splits: tuple[str, ...]
    rules: DropRules
    seed: int
    limit: int | None
    valid_rows: int
    overlap: str
    workers: int
    max_source: int = OTHER_MAX_SOURCE
    max_bad_rows: int | float | None = None
    allow_unknown: bool = False

    @property
    def room(self):
        """Most tokens of an input with its exemplars: FLAN's 960 of 1,024, else all but the ends."""
        kept_free = flan.SEPARATOR_TOKENS if self.mixture.rule == "flan" else 2  # <s> and </s>
        return self.max_source - kept_free

    def open(self, name):
        """The data set of this name, from the user's files or the hub."""
        return open_dataset(name, folder=self.tasks, hub=self.hub)

    def settings(self, split):
        """Options that decide about a split's bytes, apart from its data sets' own: for JSON."""
        settings = {"mixture": self.mixture.name, "vocabulary": self.vocabulary.hash,
                 "seed": self.seed, "limit": self.limit}  # fmt: skip
        if split == TRAIN:
            overlap = {"evaluation-overlap": self.overlap}
            return settings | {"drop-rules": self.rules.name} | overlap
        return settings | ({"valid-rows": self.valid_rows} if split == VALID else {})


def parser():
    """Build the command's argument parser."""
    made = CommandParser(description=__doc__)
    add = made.add_argument
    add_mixture_options(add)
    add("--tasks", type=Path, metavar="FOLDER",
        help="Folder with one subfolder of task data per data set.")  # fmt: skip
    add("--hub", action="store_true",
        help="Download data sets without local files from the Hugging Face hub.")  # fmt: skip
    add("--templates", nargs="+", default=[], metavar="SRC",
        help="Folders in promptsource's layout, or YAML files. They take precedence over the "
             "package's own templates and those of an installed promptsource.")  # fmt: skip
    add("--vocab", required=True, type=Path, help="Vocabulary folder of the pretrained model.")
    add("--dest", type=Path, metavar="DATA", help="Data folder to write.")
    add("--split", nargs="+", choices=SPLITS,
        help="Splits to build: train; valid, the validation rows of the training sets; heldout, "
             "the held-out sets of the mixture (default: train, and valid if there are validation "
             "rows).")  # fmt: skip
    add("--drop-rules", choices=RULES,
        help="Rules for dropping training pairs: metro drops empty targets, t0 drops empty "
             "inputs, and evaluation also drops targets that are not among the answer choices "
             "(default: the mixture's).")  # fmt: skip
    add("--seed", type=int,
        help="Random seed for template variants and row sampling (default: the "
             "mixture's).")  # fmt: skip
    add("--limit", type=int, metavar="ROWS",
        help="Maximum number of rows per data set in each split, sampled from all of its "
             "rows.")  # fmt: skip
    add("--valid-rows", type=int, default=VALID_ROWS, metavar="ROWS",
        help="Maximum number of rows per data set in valid (default: %(default)s, as in "
             "FLAN).")  # fmt: skip
    add("--evaluation-overlap", choices=OVERLAPS, default=REPORT,
        help="How to treat training rows with the same text as an evaluation row: report counts "
             "them, drop also removes them (default: report).")  # fmt: skip
    add("--max-source-length", type=int, metavar="N",
        help="Maximum number of source tokens of the model to be trained. Exemplars that do not "
             "fit are left out (default: 1,024 with the rule flan, else 512).")  # fmt: skip
    add_max_bad_rows(
        add, "How many rows of a data set may be bad: damaged, without a label, or without a value "
        "that a template prints. They are left out and counted; a larger number ends "
        f"the command (default: {DEFAULT.replace('%', '%%')}; for rows that are not UTF-8 or are cut "
        "off, only the share)."
    )  # fmt: skip
    add_allow_unknown(add)
    add("--workers", type=int, default=available_cores(), metavar="N",
        help="Number of processes for rendering and encoding (default: all cores, "
             "%(default)s).")  # fmt: skip
    add("--show", type=int, metavar="N",
        help="Print N examples of every task and write nothing.")  # fmt: skip
    return made


def plan(args):
    """The :class:`Plan` of parsed arguments. Raises :class:`UserError` for what cannot be done."""
    least = {"max_source_length": 2 * flan.SEPARATOR_TOKENS}
    for name in ("workers", "limit", "valid_rows", "show", "max_source_length"):
        value = getattr(args, name)
        if value is not None and value < least.get(name, 1):
            raise UserError(
                f"--{name.replace('_', '-')} is {value}, must be at least {least.get(name, 1)}"
            )
    if args.dest is None and args.show is None:
        raise UserError("no --dest: name the data folder to write, or --show N to print examples")
    if args.tasks is None and not args.hub:
        raise UserError("no --tasks: name the folder with the data sets' files, or give --hub")
    if args.tasks is not None and not args.tasks.is_dir():
        raise UserError(f"--tasks {args.tasks}: no such folder")
    mixture = chosen_mixture(args)
    mixture.refuse_trained_and_held_out()
    templates = templates_from(args.templates)
    mixture = mixture.with_templates(templates)
    splits = args.split or [TRAIN, VALID]
    refuse_missing(mixture, splits, args)
    vocabulary = Vocabulary.load(args.vocab)
    vocabulary.require_tokenizer()
    made = Plan(
        mixture=mixture, templates=templates, tasks=args.tasks, hub=args.hub,
        vocabulary=vocabulary, dest=args.dest, workers=args.workers,
        splits=tuple(split for split in SPLITS if split in splits),
        rules=RULES[args.drop_rules or ("t0" if mixture.rule == "t0" else "metro")],
        seed=mixture.seed if args.seed is None else args.seed,
        limit=args.limit, valid_rows=args.valid_rows, overlap=args.evaluation_overlap,
        max_source=args.max_source_length or MAX_SOURCE.get(mixture.rule, OTHER_MAX_SOURCE),
        max_bad_rows=bad_rows_limit(args), allow_unknown=args.allow_unknown,
    )  # fmt: skip
    if not args.split and not with_sets(made, VALID)[0].valid:
        logger.warning("mixture %s: no validation rows, so there is no valid", mixture.name)
        made = replace(made, splits=(TRAIN,))
    return made


def refuse_missing(mixture, splits, args):
    """Raise :class:`UserError` that names all data sets without files, where several have none."""
    if args.hub:
        return  # what the hub does not have is known when it is asked
    sets = [
        mixture_set
        for split in splits
        for mixture_set in mixture.sets_of(split)
        if not mixture_set.jsonl
    ]
    names = dict.fromkeys(mixture_set.dataset for mixture_set in sets)
    missing = [name for name in names if not is_there(name, args.tasks)]
    if len(missing) > 1:
        raise UserError(
            f"{args.tasks}: {len(missing)} of the {len(names)} data sets of mixture {mixture.name} "
            f"are not there; add them, or do without: --without {' '.join(missing)}"
        )


def is_there(name, folder):
    """Whether a data set has files below a folder."""
    try:
        open_dataset(name, folder=folder)
    except NotThere:
        return False
    except UserError:
        pass  # the build says what is wrong
    return True


def templates_from(sources):
    """The user's templates in front of the package's own and an installed promptsource's."""
    installed = [PROMPTSOURCE] if promptsource_folder() else []
    return find_templates([*installed, OWN, *sources])
