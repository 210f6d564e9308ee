"""Options of ``smash-table`` and ``smash-figure``, importable without torch."""

from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.papers.smash.published import names

# How a model's role is known from its path.
ROLES = {"student": "student", "smash": "smash*", "middle": "middle", "teacher": "teacher"}


TABLE = """\
``fairseq-metro smash-table N``: a table of the SMASH paper, ours and theirs line by line.

Tables 1 (fine-tuning beside prompts), 2 (main results) and 3 (T5). Ours are finished runs of
fairseq-metro fewshot; a model's role is known by its folder's name (student, smash*, middle,
teacher), or by ``--role``. Writes OUT/tableN.md, .csv and .png.
"""


def table():
    """Build the command's argument parser."""
    made = CommandParser(description=TABLE)
    add = made.add_argument
    add("number", choices=names("tables"), help="Number of the table in the paper.")
    add(
        "--results",
        nargs="*",
        default=[],
        metavar="DIR",
        help="Output folders or result files of fairseq-metro fewshot.",
    )
    add("--role", nargs="+", metavar="NAME=PATTERN",
        help=f"Role of the models whose path matches PATTERN; roles: {', '.join(ROLES)}.")  # fmt: skip
    add("--k", type=int, default=16, help="Number of examples per label (default: %(default)s).")
    add("--out", type=Path, default=Path("."), metavar="DIR",
        help="Output folder (default: the current folder).")  # fmt: skip
    return made


FIGURE = """\
``fairseq-metro smash-figure N``: a figure of the SMASH paper from finished few-shot runs.

2a, 2b  the few-shot metric by distillation updates, a curve for each distillation setting: runs of
        fairseq-metro fewshot over the checkpoints of each setting's run (``--model
        RUN/checkpoint_*.pt``)
3       other templates and label words: runs with LM-BFF's automatic prompts (fairseq-metro fewshot
        --auto-templates, --auto-words), or few-shot tasks in files NAME-template-1.yaml,
        NAME-verbalizer-1.yaml and so on
4       the metric by the number K of examples a label

A model's role is known by its folder's name (student, smash*, middle, teacher), a setting by
smash-NAME-*; ``--role`` and ``--series`` say otherwise. Writes OUT/figureN.csv and .png; the picture
is drawn from the csv's rows. What the paper says of its curves, which it prints without numbers, is
printed beside.
"""


def figure():
    """Build the command's argument parser."""
    made = CommandParser(description=FIGURE)
    add = made.add_argument
    add("number", choices=names("figures"), help="Number of the figure in the paper.")
    add("--results", nargs="+", required=True, metavar="DIR",
        help="Output folders or result files of fairseq-metro fewshot.")  # fmt: skip
    add("--role", nargs="+", metavar="NAME=PATTERN",
        help="Role of the models whose path matches PATTERN.")  # fmt: skip
    add("--series", nargs="+", metavar="NAME=PATTERN",
        help="Figures 2a and 2b: distillation setting of the checkpoints whose path matches "
             "PATTERN.")  # fmt: skip
    add("--task",
        help="Few-shot task: for figures 2a and 2b, instead of the paper's; for figures 3 and 4, "
             "the only task to plot.")  # fmt: skip
    add("--k", type=int, default=16,
        help="Number of examples per label, except for figure 4 (default: 16).")  # fmt: skip
    add("--out", type=Path, default=Path("."), metavar="DIR",
        help="Output folder (default: the current folder).")  # fmt: skip
    return made
