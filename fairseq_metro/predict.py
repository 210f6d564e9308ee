"""Ask a trained model: what it generates for a text, or which of some choices is the likeliest.

One line is printed for each text: the output, or the choice. With --json it is an object: "input"
and "output", and with choices "choices" and their "scores", natural logarithms of probabilities.
"""

import argparse
import json
import logging
import sys
from pathlib import Path

import fairseq_metro
from fairseq_metro.errors import UserError
from fairseq_metro.evaluate.options import FROZEN_MODEL
from fairseq_metro.logs import messages_on_stderr


@messages_on_stderr(logging.WARNING)
def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR",
        help="a run's folder, one of its checkpoints, or an exported Hugging Face folder")  # fmt: skip
    add("--input", required=True, nargs="+", metavar="TEXT",
        help="the texts; - alone: each line of the standard input")  # fmt: skip
    add("--choices", nargs="*", metavar="TEXT",
        help="choose among these (default: generate)")  # fmt: skip
    add("--json", action="store_true", help="a JSON object per line, with the choices' scores")
    add("--beam", type=int, metavar="N", help="width of the search in generation (default: 5)")
    add("--max-len", type=int, metavar="N", help="longest output in tokens (default: 200)")
    add("--device", help="cpu, cuda, cuda:1, ... (default: a GPU where there is one)")
    add("--frozen-model", type=Path, metavar="DIR", help=FROZEN_MODEL)
    args = parser.parse_args(argv)
    texts = texts_of(args.input)
    options = {"beam": args.beam, "max_len_b": args.max_len}
    options = {name: value for name, value in options.items() if value is not None}
    if args.choices is not None:
        check_choices(args.choices, options)
    predictor = fairseq_metro.load(args.folder, args.device, args.frozen_model)
    for answer in answers(predictor, texts, args.choices, options):
        print(json.dumps(answer, ensure_ascii=False) if args.json else answer["output"])
    return 0


def texts_of(given):
    """The texts of ``--input``; of the standard input where that is ``-``."""
    texts = sys.stdin.read().splitlines() if given == ["-"] else given
    if not texts:
        raise UserError("--input -: the standard input is empty; give one text on each line")
    if empty := [i for i, text in enumerate(texts, 1) if not text.strip()]:
        raise UserError(f"--input: text {empty[0]} is empty; give some text")
    return texts


def check_choices(choices, options):
    """Raise :class:`UserError` for choices that cannot be chosen among, before a model is read."""
    if not choices:
        raise UserError("--choices: none given; name at least one, or leave the option out")
    if any(not choice.strip() for choice in choices):
        raise UserError("--choices: one of them is empty; give some text")
    if options:
        raise UserError("--beam and --max-len belong to generation; leave them out with --choices")


def answers(predictor, texts, choices, options):
    """A dict for each text, as --json prints it."""
    if choices is None:
        outputs = predictor.generate(texts, **options)
        return [{"input": i, "output": o} for i, o in zip(texts, outputs, strict=True)]
    scores = predictor.score_choices(texts, choices)
    return [
        {"input": text, "output": choices[row.index(max(row))], "choices": choices, "scores": row}
        for text, row in zip(texts, scores, strict=True)
    ]
