"""The options of commands that read a user's text."""

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources.bad_rows import DEFAULT, BadRows, row_limit
from fairseq_metro.common.sources.forms import FORMS
from fairseq_metro.common.sources.parts import Reading

TEXT_FILES = (
    "Files, folders or quoted patterns: plain text, JSON lines, CSV, TSV, parquet or WikiExtractor's "
    "output, in UTF-8 (or UTF-16 with a byte order mark), compressed or in archives of any kind."
)


DEFAULT_LIMIT = DEFAULT.replace("%", "%%")  # for help texts


def add_reading_options(parser, field="--field", default="text"):
    """Add the options that :func:`reading_of` reads; ``field`` is the name of the first."""
    add = parser.add_argument
    add(field, default=default, metavar="NAME", dest="text_field",
        help="Field of rows that holds the text; 2 stands for the second column of a table "
             f"without names, -1 for the last (default: {default}).")  # fmt: skip
    add("--format", choices=FORMS, dest="form",
        help="Form of all files, where it must not be taken from their content (from the name for "
             "csv and tsv).")  # fmt: skip
    add_max_bad_rows(
        add, "How many rows may be bad: without text, damaged, not UTF-8. They are left out and "
        f"counted; a larger number ends the command (default: {DEFAULT_LIMIT})."
    )  # fmt: skip


def add_max_bad_rows(add, words):
    """Add ``--max-bad-rows``, of which :func:`bad_rows_limit` reads the value. words: its help."""
    add("--max-bad-rows", metavar="N|SHARE", help=words)


def bad_rows_limit(args):
    """The limit that :class:`BadRows` takes, None where none was given. Raises UserError."""
    return None if args.max_bad_rows is None else row_limit(args.max_bad_rows)


def reading_of(args):
    """The :class:`Reading` of parsed arguments. Raises :class:`UserError`."""
    if not args.text_field:
        raise UserError("--field is empty; give the name of the field that holds the text")
    return Reading(args.text_field, args.form, BadRows(bad_rows_limit(args)))
