"""``fairseq-metro passages``: passages of a user's corpus for each row of a data set, by BM25 (bm25s).

METRO-T0 retrieves from MS MARCO's passages with a dense retriever; this is the plain stand-in that
needs no GPU. OUT has a line for each row, {"row": n, "passages": [best first]}, for
``fairseq-metro evaluate --passages OUT``.
"""

import json
import logging
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import atomic_write
from fairseq_metro.common.logs import messages_on_stderr, quieted
from fairseq_metro.common.sources import TEXT_FILES, add_reading_options, reading_of
from fairseq_metro.evaluate.corpus_files import BY_FORM, corpus_files, texts_of
from fairseq_metro.evaluate.passages import FIELD
from fairseq_metro.prompts.task_data import open_dataset

logger = logging.getLogger(__name__)

AT_ONCE = 1024  # queries


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--corpus", nargs="+", required=True, metavar="FILE",
        help=f"Corpus of passages, one per line or row. {TEXT_FILES}")  # fmt: skip
    add_reading_options(parser, "--corpus-field", BY_FORM)
    add("--tasks", type=Path, metavar="DIR", help="Folder of task data.")
    add("--hub", action="store_true",
        help="Download data sets without local files from the Hugging Face hub.")  # fmt: skip
    add("--dataset", default="mmlu", help="Data set whose rows are the queries (default: mmlu).")
    add("--split", default="validation", help="Split of the data set (default: validation).")
    add("--field", default="question",
        help="Field of a row that holds the query (default: question).")  # fmt: skip
    add("--passages", type=int, default=10, metavar="N",
        help="Number of passages retrieved per row (default: 10).")  # fmt: skip
    add("--out", type=Path, required=True, metavar="FILE")
    return parser


@messages_on_stderr()
def main(argv=None):
    args = parser().parse_args(argv)
    if args.passages < 1:
        raise UserError(f"--passages is {args.passages}, must be at least 1")
    library()
    queries = queries_of(open_dataset(args.dataset, args.tasks, args.hub), args.split, args.field)
    reading = reading_of(args)
    passages = [text for path in corpus_files(args.corpus) for text in texts_of(path, reading)]
    for sentence in reading.bad_rows.summary():
        logger.warning("%s", sentence)
    results = retrieve(passages, queries, args.passages)
    with atomic_write(args.out) as stream:
        for row, texts in enumerate(results):
            stream.write(json.dumps({"row": row, FIELD: texts}, ensure_ascii=False) + "\n")
    logger.info("%s: %d rows, %d of %d passages each", args.out, len(queries),
                min(args.passages, len(passages)), len(passages))  # fmt: skip
    return 0


def library():
    """The module bm25s. Raises :class:`UserError` where it is not installed."""
    try:
        import bm25s
    except ImportError:
        raise UserError("retrieval needs bm25s: pip install bm25s") from None
    return bm25s


def queries_of(data, split, field):
    """A field of every row of a split: list of str. Raises :class:`UserError`."""
    queries = []
    for number, row in enumerate(data.rows(split), 1):
        if not isinstance(row.get(field), str):
            fields = ", ".join(key for key, value in row.items() if isinstance(value, str))
            raise UserError(f"{data.name}, row {number}: no text {field!r} (its texts: {fields})")
        queries.append(row[field])
    return queries


def retrieve(passages, queries, most):
    """For each query the ``most`` passages of highest BM25 score, best first: list of lists of str.

    Lucene's BM25 (k1 1.5, b 0.75) over lower-cased words without English stop words. Raises
    :class:`UserError` for an empty corpus.
    """
    if not passages:
        raise UserError("--corpus: no passages in it")
    with quieted("bm25s"):
        return _retrieve(library(), passages, queries, most)


def _retrieve(bm25s, passages, queries, most):
    def words(texts):
        return bm25s.tokenize(texts, stopwords="en", show_progress=False)

    index = bm25s.BM25()
    index.index(words(passages), show_progress=False)
    retrieved = []
    for first in range(0, len(queries), AT_ONCE):
        tokens = words(queries[first : first + AT_ONCE])
        places, _ = index.retrieve(tokens, k=min(most, len(passages)), show_progress=False)
        retrieved += [[passages[place] for place in row] for row in places]
    return retrieved
