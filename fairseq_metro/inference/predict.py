"""Ask a trained model: what it generates for a text, or which of some choices is the likeliest.

One line is printed for each text: the output, or the choice. With --json it is an object: "input"
and "output", and with choices "choices" and their "scores", natural logarithms of probabilities.
"""

import json
import logging
import sys
from pathlib import Path

import fairseq_metro
from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.logs import messages_on_stderr
from fairseq_metro.common.sources import STANDARD_INPUT, mended, text_lines
from fairseq_metro.vocabulary.characters import add_allow_unknown

logger = logging.getLogger(__name__)


FROZEN_MODEL = "The model that a soft prompt was trained with; only for a run of soft prompts."


def parser():
    """The command's options."""
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR",
        help="Run directory, one of its checkpoints, or an exported Hugging Face "
             "folder.")  # fmt: skip
    add("--input", required=True, nargs="+", metavar="TEXT",
        help="Input texts; - alone reads one input per line from standard input.")  # fmt: skip
    add("--choices", nargs="*", metavar="TEXT",
        help="Answer choices to rank (default: generate an answer).")  # fmt: skip
    add("--json", action="store_true",
        help="Print one JSON object per line, including the scores of the choices.")  # fmt: skip
    add("--beam", type=int, metavar="N", help="Beam size in generation (default: 5).")
    add("--max-len", type=int, metavar="N",
        help="Maximum number of tokens in an output (default: 200).")  # fmt: skip
    add("--min-len", type=int, metavar="N",
        help="Minimum number of tokens in an output (default: 0, which allows an empty "
             "answer).")  # fmt: skip
    add("--device", help="Device: cpu, cuda, cuda:1, ... (default: a GPU if there is one).")
    add("--frozen-model", type=Path, metavar="DIR", help=FROZEN_MODEL)
    add_allow_unknown(add)
    return parser


@messages_on_stderr(logging.WARNING)
def main(argv=None):
    args = parser().parse_args(argv)
    texts = texts_of(args.input)
    options = {"beam": args.beam, "max_len_b": args.max_len, "min_len": args.min_len}
    options = {name: value for name, value in options.items() if value is not None}
    if args.choices is not None:
        check_choices(args.choices, options)
        args.choices = whole(args.choices, "--choices")
    predictor = fairseq_metro.load(args.folder, args.device, args.frozen_model)
    predictor.allow_unknown = args.allow_unknown
    for answer in answers(predictor, texts, args.choices, options):
        print(json.dumps(answer, ensure_ascii=False) if args.json else answer["output"])
    return 0


def texts_of(given):
    """The texts of ``--input``; of the standard input where that is ``-``. UserError."""
    texts = standard_input() if given == ["-"] else given
    if not texts:
        raise UserError("--input -: the standard input is empty; give one text on each line")
    if empty := [i for i, text in enumerate(texts, 1) if not text.strip()]:
        raise UserError(f"--input: text {empty[0]} is empty; give some text")
    return whole(texts, "--input")


def standard_input():
    """The lines of the standard input; what Unicode calls a line's end besides is part of a text."""
    if not hasattr(sys.stdin, "buffer"):
        text = sys.stdin.read()
        return text.removesuffix("\n").split("\n") if text else []
    try:
        return [line for _, line in text_lines(STANDARD_INPUT)]
    except UserError as error:
        raise UserError(f"--input {error}") from None


def whole(texts, option):
    """Texts with U+FFFD for what is no text: bytes of an argument that are not UTF-8."""
    mended_texts = [mended(text) for text in texts]
    if replaced := sum(count for _, count in mended_texts):
        logger.warning("%s: %d byte(s) that are not UTF-8 replaced by U+FFFD", option, replaced)
    return [text for text, _ in mended_texts]


def check_choices(choices, options):
    """Raise :class:`UserError` for choices that cannot be chosen among, before a model is read."""
    if not choices:
        raise UserError("--choices: none given; name at least one, or leave the option out")
    if any(not choice.strip() for choice in choices):
        raise UserError("--choices: one of them is empty; give some text")
    if options:
        raise UserError(
            "--beam, --max-len and --min-len belong to generation; leave them out with --choices"
        )


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
