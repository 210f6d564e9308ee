"""Split the user's own text into ``train.txt`` and ``valid.txt``, whole documents to either side.

``python -m fairseq_metro.prepare.split --out DIR FILE…``. A document ends at a blank line and at
the end of a file. Its side depends on its own text alone: the same documents are always validation
documents, in whatever order or company they come; a repeated document is never on both sides.
"""

import hashlib
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError, run_command
from fairseq_metro.common.files import atomic_write
from fairseq_metro.common.sources import (
    TEXT_FILES,
    BadRows,
    Reading,
    add_reading_options,
    check_readable,
    expand,
    names_of,
    reading_of,
)
from fairseq_metro.prepare.inputs import Inputs

SHARE = 0.05
# Validation is run again and again: what it needs is enough text, not a share of a large corpus.
MOST_VALID_BYTES = 150_000
LEAST_VALID_BYTES = 2_000


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", metavar="FILE", help=TEXT_FILES)
    parser.add_argument("--out", required=True, type=Path,
        help="Folder to write train.txt and valid.txt to.")  # fmt: skip
    parser.add_argument(
        "--most-valid-bytes", type=int, default=MOST_VALID_BYTES,
        help="Approximate maximum size of valid.txt in bytes (default: %(default)s).",
    )  # fmt: skip
    parser.add_argument(
        "--share", type=float, default=SHARE,
        help="Fraction of the documents assigned to valid.txt, up to its maximum size (default: "
             "%(default)s).",
    )  # fmt: skip
    add_reading_options(parser)
    return parser


def main(argv=None):
    args = parser().parse_args(argv)
    if not 0 < args.share < 1:
        raise UserError(f"--share is {args.share}, must be between 0 and 1")
    reading = reading_of(args)
    train, valid = split_files(args.files, args.out, args.most_valid_bytes, args.share, reading)
    for sentence in reading.bad_rows.summary():
        print(sentence, file=sys.stderr)
    print(f"{args.out}: {train} documents for training, {valid} for validation")
    return 0


def split_files(files, out, most_valid_bytes=MOST_VALID_BYTES, share=SHARE, reading=None):
    """Write ``out/train.txt`` and ``out/valid.txt``; return the number of documents in each.

    Raises :class:`UserError` where a file cannot be read or there is too little text to split.
    """
    files, reading = expand(files), reading or Reading()
    for file in files:
        check_readable(file, regular=True)
    out.mkdir(parents=True, exist_ok=True)
    first = replace(reading, bad_rows=BadRows(reading.bad_rows.limit))
    total = sum(len(document.encode()) + 1 for document in documents(files, first))
    share = min(share, most_valid_bytes / max(total, 1))
    counts, sizes = [0, 0], [0, 0]
    with ExitStack() as stack:
        sides = [stack.enter_context(atomic_write(out / f"{s}.txt")) for s in ("train", "valid")]
        for document in documents(files, reading):
            side = int(draw(document) < share)
            sides[side].write(f"{document}\n\n")
            counts[side] += 1
            sizes[side] += len(document.encode())
        if not counts[0] or sizes[1] < min(LEAST_VALID_BYTES, most_valid_bytes):
            raise UserError(
                f"{names_of(files)}: {total} bytes in {sum(counts)} documents are too "
                "little to split off a validation part; give more text, or separate its documents "
                "by blank lines"
            )
    return tuple(counts)


def draw(document):
    """A number in [0, 1) that depends on nothing but the document's text.

    >>> draw("same") == draw("same") and 0 <= draw("same") < 1
    True
    """
    return int.from_bytes(hashlib.sha256(document.encode()).digest()[:8], "big") / 2**64


def documents(files, reading=None):
    """The documents of the files, in order, each as one string without its closing newline."""
    lines = []
    for chunk in Inputs(files, reading=reading):
        if chunk.new_file and lines:
            yield "\n".join(lines)
            lines = []
        for line in chunk.text().removesuffix("\n").split("\n"):
            if line.strip():
                lines.append(line.rstrip())
            elif lines:
                yield "\n".join(lines)
                lines = []
    if lines:
        yield "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_command(main))
