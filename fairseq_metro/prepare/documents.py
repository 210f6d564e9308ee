"""Documents of the usual corpora as plain text: a paragraph a line, a blank line between documents.

Sources are the user's own files, in any form and packing that
:mod:`fairseq_metro.common.sources` knows: plain text (a blank line or the file's end ends a
document), rows of which a field holds the text (JSON
lines as of C4, OpenWebText, the Pile; CSV, TSV, parquet), WikiExtractor's output; or
``hf:NAME[:CONFIG]``, a data set of Hugging Face's ``datasets`` where it is installed and the hub is
reached. An interrupted command goes on after the last source that it had finished.
"""

import contextlib
import hashlib
import os
import re
import shutil
import sys
import time
from pathlib import Path

from fairseq_metro.common.arguments import CommandParser
from fairseq_metro.common.errors import UserError
from fairseq_metro.common.files import read_json, write_json, writing
from fairseq_metro.common.sources import (
    HUB,
    TEXT_FILES,
    BadRows,
    Reading,
    add_reading_options,
    check_readable,
    documents_of,
    expand,
    names_of,
    reading_of,
)
from fairseq_metro.common.sources.rows import counted, text_in
from fairseq_metro.common.stamp import make_stamp
from fairseq_metro.prepare.document_files import TRAIN, VALID, DocumentFiles
from fairseq_metro.prepare.folder_lock import locked, terminated_as_interrupted
from fairseq_metro.prepare.inputs import Inputs

STATE = "documents.json"
GROWING = ".growing"  # in OUT: what is not finished
EVERY = 2.0  # seconds between lines that tell how far it is
COUNTS = ("documents", "valid", "short", "duplicates", "bytes")
# Measured on English prose with 32k pieces: bytes of text per token; a token takes 2 bytes. The
# share that zstd leaves of such text.
BYTES_PER_TOKEN, ZSTD_SHARE = 4.4, 0.38
_SPACE = re.compile(r"\s+")
_LETTER = re.compile(r"[^\W\d_]")


def paragraphs_of(text):
    """The document's lines, whitespace collapsed, those without a letter left out.

    >>> paragraphs_of("One  two\\n\\n* * *\\nthree")
    ['One two', 'three']
    """
    paragraphs = (_SPACE.sub(" ", line).strip() for line in text.split("\n"))
    return [line for line in paragraphs if _LETTER.search(line)]


def document_hash(paragraphs):
    """64 bits of a document's text without case and spaces: what makes two documents the same."""
    text = "".join("".join(paragraphs).lower().split())
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def read_documents(source, reading=None, whole_files=False):
    """Yield the text of each document of a source. Raises :class:`UserError`, one line."""
    reading = reading or Reading()
    if source.startswith(HUB):
        yield from _hub_documents(source, reading)
    else:
        yield from documents_of(source, reading, whole_files)


def _hub_documents(source, reading):
    name, _, config = source.removeprefix(HUB).partition(":")
    try:
        import datasets
    except ImportError:
        raise UserError(f"{source}: needs datasets; pip install datasets") from None
    try:
        rows = datasets.load_dataset(name, config or None, split="train", streaming=True)
        texts = ((f"row {n}", text_in(row, reading.field)) for n, row in enumerate(rows, 1))
        yield from counted(texts, source, reading.bad_rows)
    except UserError:
        raise
    except Exception as error:  # the library raises many kinds for a hub out of reach
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{source}: not read from the hub ({reason}); give local files") from None


def convert(source, output, seen, options, reading):
    """Write one source's documents to a :class:`DocumentFiles`; return its counts."""
    counts = dict.fromkeys(COUNTS, 0)
    for text in read_documents(source, reading, options.documents == "file"):
        paragraphs = paragraphs_of(text)
        if sum(map(len, paragraphs)) < options.min_characters:
            counts["short"] += 1
            continue
        key = document_hash(paragraphs)
        if not options.keep_duplicates:
            if key in seen:
                counts["duplicates"] += 1
                continue
            seen.add(key)
            output.add_hash(key)
        held_out = key / 2**64 < options.valid_share
        data = ("\n".join(paragraphs) + "\n\n").encode("utf-8")
        output.write(VALID if held_out else TRAIN, data)
        counts["valid" if held_out else "documents"] += 1
        counts["bytes"] += len(data)
    return counts


def plan(sources, options, seconds=3.0):
    """Disk and time, from a few seconds of the first local file; lines for the screen."""
    local = [source for source in sources if not source.startswith(HUB)]
    if not local:
        return ["the size of hub data sets is not known beforehand"]
    stored = sum(map(os.path.getsize, local))
    sample = Inputs([local[0]], reading=Reading(options.text_field, options.form, BadRows(1.0)))
    began, read = time.monotonic(), 0
    for chunk in sample:
        read += len("\n".join(paragraphs_of(chunk.text())).encode("utf-8"))
        if time.monotonic() - began > seconds:
            break
    speed = max(read, 1) / max(time.monotonic() - began, 1e-6)
    unpacked = sample.bytes / sample.done / sample.stored_bytes if sample.done else 1.0
    text = stored * unpacked
    return [
        f"{len(local)} files, {stored / 1e9:.2f} GB stored, about {text / 1e9:.2f} GB of text",
        f"documents: about {text * ZSTD_SHARE / 1e9:.2f} GB, {text / speed / 60:.1f} minutes",
        f"binarized: about {text / BYTES_PER_TOKEN * 2 / 1e9:.2f} GB, "
        f"{text / BYTES_PER_TOKEN / 1e9:.2f} billion tokens",
    ]


def parser():
    """Build the command's argument parser."""
    parser = CommandParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--source", nargs="+", required=True,
        help="Input documents; hf:NAME[:CONFIG] is a data set on the Hugging Face hub. "
             f"{TEXT_FILES}",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True,
        help="Folder to write train/ and valid/ to.")  # fmt: skip
    add_reading_options(parser)
    parser.add_argument(
        "--documents", choices=["blank-line", "file"], default="blank-line",
        help="What ends a document in plain text (default: %(default)s).",
    )  # fmt: skip
    parser.add_argument(
        "--min-characters", type=int, default=200,
        help="Minimum number of characters in a document; shorter ones are dropped (default: "
             "%(default)s).",
    )  # fmt: skip
    parser.add_argument(
        "--valid-share", type=float, default=0.001,
        help="Fraction of the documents assigned to valid/, selected by a hash of their text "
             "(default: %(default)s).",
    )  # fmt: skip
    parser.add_argument(
        "--keep-duplicates", action="store_true",
        help="Keep repeated documents. Detecting them takes about 60 bytes of memory per document.",
    )  # fmt: skip
    parser.add_argument("--plan", action="store_true",
        help="Print the disk space and time needed, then exit.")  # fmt: skip
    return parser


def main(argv=None):
    options = parser().parse_args(argv)
    if not 0 <= options.valid_share < 1:
        raise UserError(f"--valid-share is {options.valid_share}, must be at least 0 and below 1")
    reading = reading_of(options)
    sources = expand(options.source)
    for source in sources:
        if not source.startswith(HUB):
            check_readable(source, regular=True)
    for line in plan(sources, options):
        print(line)
    if options.plan:
        return 0
    with terminated_as_interrupted():
        return convert_all(sources, options, reading)


def convert_all(sources, options, reading):
    """Convert what is not there yet; ``documents.json`` says that all is."""
    out = options.out
    settings = {
        "field": options.text_field,
        "form": options.form,
        "documents": options.documents,
        "min_characters": options.min_characters,
        "valid_share": options.valid_share,
        "keep_duplicates": options.keep_duplicates,
    }
    with locked(out), writing(out):
        if not finished_already(out, settings, sources):
            make(sources, options, reading, settings)
        shutil.rmtree(out / GROWING, ignore_errors=True)  # of a run killed right at its end
        total = totals(read_json(out / STATE)["done"])
    for sentence in reading.bad_rows.summary():
        print(sentence, file=sys.stderr)
    print(f"{out}: {total['documents']:,} documents, {total['bytes'] / 1e6:.1f} MB of text")
    return 0


def finished_already(out, settings, sources):
    """Whether ``out`` holds all documents of these sources and settings.

    Raises :class:`UserError` where it holds others, finished or not.
    """
    other = UserError(f"{out}: made from other sources or settings; give another --out")
    if (out / STATE).exists():
        state = read_json(out / STATE)
        if {"form": None, **state["settings"]} != settings or state["sources"] != sources:
            raise other
        if len(state["done"]) < len(sources):
            raise UserError(f"{out}: left unfinished by an earlier version; give another --out")
        return True
    progress = out / GROWING / "progress.json"
    if progress.exists():
        if read_json(progress)["settings"] != growing_settings(settings, sources):
            raise other
    elif any(path.is_dir() and any(path.iterdir()) for path in (out / TRAIN, out / VALID)):
        raise UserError(f"{out}: holds other files in {TRAIN}/ or {VALID}/; give another --out")
    return False


def growing_settings(settings, sources):
    """What an unfinished output depends on; few bytes, however many sources there are."""
    digest = hashlib.sha256("\0".join(sources).encode("utf-8", "surrogateescape"))
    return {**settings, "sources": digest.hexdigest()}


def make(sources, options, reading, settings):
    """Convert the sources, from where an earlier run was interrupted on."""
    out, bad_rows = options.out, reading.bad_rows
    output = DocumentFiles(out / GROWING, growing_settings(settings, sources))
    bad_rows.restore(output.facts)
    try:
        if not output.finished:
            seen, shown = output.seen(), time.monotonic()
            for number, source in enumerate(sources[output.sources :], output.sources + 1):
                before = bad_rows.bad
                counts = convert(source, output, seen, options, reading)
                counts["bad"] = bad_rows.bad - before
                output.end_source(counts, bad_rows.facts())
                now = time.monotonic()
                if len(sources) < 20 or now - shown > EVERY or number == len(sources):
                    words = ", ".join(f"{value:,} {name}" for name, value in counts.items())
                    print(f"{number}/{len(sources)} {source}: {words}", file=sys.stderr)
                    shown = now
            output.keep()
        empty = totals(output.counts())["documents"] == 0
        if not empty:
            output.keep(finished=True)
            output.put_in_place(out)
            state = {"settings": settings, "sources": sources, "done": output.counts()}
            write_json(out / STATE, {**state, **make_stamp()})
    except BaseException:
        if output.sources:
            output.keep(output.finished)
        else:
            remove(output, out)
        raise
    finally:
        output.close()
    remove(output, out)
    if empty:
        raise UserError(f"{names_of(sources)}: no document left for {out}; see --min-characters")


def remove(output, out):
    """Remove what grew, and ``out`` as well where nothing else is in it."""
    output.remove()
    with contextlib.suppress(OSError):
        out.rmdir()


def totals(counts):
    """Sums over sources: dict."""
    return {name: sum(count[name] for count in counts) for name in COUNTS}
