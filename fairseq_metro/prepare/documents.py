"""Documents of the usual corpora as plain text: a paragraph a line, a blank line between documents.

Sources are the user's own files, in the formats such corpora come in: ``.txt`` (blank line or one
file per document), ``.jsonl`` (a field holds the text; WikiExtractor, C4, OpenWebText, the Pile),
``.parquet`` (with pyarrow), each also ``.gz``, ``.xz``, ``.zst``; or ``hf:NAME[:CONFIG]``, a data
set of Hugging Face's ``datasets`` where it is installed and the hub is reached. Every source file
becomes one output file, so an interrupted command goes on with the next file.
"""

import argparse
import contextlib
import glob
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np

from fairseq_metro.errors import UserError
from fairseq_metro.files import atomic_write, read_json, write_json
from fairseq_metro.prepare.inputs import Inputs, lines
from fairseq_metro.stamp import make_stamp

HUB = "hf:"
STATE = "documents.json"
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
    found = (_SPACE.sub(" ", line).strip() for line in text.split("\n"))
    return [line for line in found if _LETTER.search(line)]


def document_hash(paragraphs):
    """64 bits of a document's text without case and spaces: what makes two documents the same."""
    text = "".join("".join(paragraphs).lower().split())
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def read_documents(source, field="text", whole_files=False):
    """Yield the text of each document of a source. Raises :class:`UserError`, one line."""
    if source.startswith(HUB):
        yield from _hub_documents(source, field)
        return
    name = re.sub(r"\.(gz|xz|zst)$", "", source)
    if name.endswith((".jsonl", ".json", ".ndjson")):
        yield from _json_documents(source, field)
    elif name.endswith(".parquet"):
        yield from _parquet_documents(source, field)
    elif whole_files:
        yield "\n".join(lines([source]))
    else:
        block = []
        for line in lines([source]):
            if line.strip():
                block.append(line)
            elif block:
                yield "\n".join(block)
                block = []
        if block:
            yield "\n".join(block)


def _field(row, field, where):
    text = row.get(field) if isinstance(row, dict) else None
    if not isinstance(text, str):
        known = ", ".join(sorted(row)) if isinstance(row, dict) else type(row).__name__
        raise UserError(f"{where}: no text in field {field!r} (there is: {known}); give --field")
    return text


def _json_documents(source, field):
    for number, line in enumerate(lines([source]), 1):
        if not line.strip():
            continue
        where = f"{source}: line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: not JSON ({error.msg}); one object a line is read") from None
        yield _field(row, field, where)


def _parquet_documents(source, field):
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{source}: reading parquet needs pyarrow; pip install pyarrow") from None
    try:
        table = pyarrow.parquet.ParquetFile(source)
    except (OSError, ValueError) as error:
        raise UserError(f"{source}: not a parquet file ({error})") from None
    if field not in table.schema_arrow.names:
        _field(dict.fromkeys(table.schema_arrow.names), field, source)
    for batch in table.iter_batches(columns=[field]):
        yield from (text for text in batch.column(0).to_pylist() if text)


def _hub_documents(source, field):
    name, _, config = source.removeprefix(HUB).partition(":")
    try:
        import datasets
    except ImportError:
        raise UserError(f"{source}: needs datasets; pip install datasets") from None
    try:
        rows = datasets.load_dataset(name, config or None, split="train", streaming=True)
        for row in rows:
            yield _field(row, field, source)
    except UserError:
        raise
    except Exception as error:  # the library raises many kinds for a hub out of reach
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{source}: not read from the hub ({reason}); give local files") from None


def expand(patterns):
    """Files of the patterns, sorted within each, ``hf:`` names as they are."""
    found = []
    for pattern in patterns:
        if pattern.startswith(HUB):
            found.append(pattern)
            continue
        files = sorted(path for path in glob.glob(pattern, recursive=True) if Path(path).is_file())
        if not files:
            raise UserError(f"{pattern}: no such file; quote patterns, ** goes into folders")
        found += files
    return found


@contextlib.contextmanager
def _compressed(path):
    """A text stream to ``path`` (``.zst``), whole or absent."""
    import zstandard

    compressor = zstandard.ZstdCompressor(level=3)
    with atomic_write(path, "wb") as raw, compressor.stream_writer(raw, closefd=False) as stream:
        yield lambda text: stream.write(text.encode("utf-8"))


def convert(source, number, out, seen, options):
    """One source file to ``out/{train,valid}/NNNNN.txt.zst``; counts and the hashes it added."""
    counts = dict.fromkeys(("documents", "valid", "short", "duplicates", "bytes"), 0)
    added = []
    with (
        _compressed(out / "train" / f"{number:05d}.txt.zst") as to_train,
        _compressed(out / "valid" / f"{number:05d}.txt.zst") as to_valid,
    ):
        for text in read_documents(source, options.field, options.documents == "file"):
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
                added.append(key)
            held_out = key / 2**64 < options.valid_share
            written = "\n".join(paragraphs) + "\n\n"
            (to_valid if held_out else to_train)(written)
            counts["valid" if held_out else "documents"] += 1
            counts["bytes"] += len(written.encode("utf-8"))
    return counts, added


def plan(sources, options, seconds=3.0):
    """Disk and time, from a few seconds of the first local file; lines for the screen."""
    local = [source for source in sources if not source.startswith(HUB)]
    if not local:
        return ["the size of hub data sets is not known beforehand"]
    stored = sum(map(os.path.getsize, local))
    began, read = time.monotonic(), 0
    for text in read_documents(local[0], options.field, options.documents == "file"):
        read += len("\n".join(paragraphs_of(text)).encode("utf-8"))
        if time.monotonic() - began > seconds:
            break
    speed = max(read, 1) / max(time.monotonic() - began, 1e-6)
    plain = Inputs([local[0]]).text_bytes() if os.path.getsize(local[0]) < 1 << 28 else None
    share = plain / max(1, os.path.getsize(local[0])) if plain else 1.0
    text = stored * share
    return [
        f"{len(local)} files, {stored / 1e9:.2f} GB stored, about {text / 1e9:.2f} GB of text",
        f"documents: about {text * ZSTD_SHARE / 1e9:.2f} GB, {text / speed / 60:.1f} minutes",
        f"binarized: about {text / BYTES_PER_TOKEN * 2 / 1e9:.2f} GB, "
        f"{text / BYTES_PER_TOKEN / 1e9:.2f} billion tokens",
    ]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--source", nargs="+", required=True,
        help="files, quoted patterns, or hf:NAME[:CONFIG]; .txt, .jsonl, .parquet, also compressed",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder for train/ and valid/")
    parser.add_argument("--field", default="text", help="field of the text (default: %(default)s)")
    parser.add_argument(
        "--documents", choices=["blank-line", "file"], default="blank-line",
        help="what ends a document in a .txt file (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--min-characters", type=int, default=200,
        help="documents with less text are left out (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--valid-share", type=float, default=0.001,
        help="share of documents that goes to valid/, chosen by their text (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--keep-duplicates", action="store_true",
        help="do not leave out repeated documents (finding them takes about 60 bytes each)",
    )  # fmt: skip
    parser.add_argument("--plan", action="store_true", help="print disk and time needed, and stop")
    options = parser.parse_args(argv)
    if not 0 <= options.valid_share < 1:
        raise UserError(f"--valid-share is {options.valid_share}, must be at least 0 and below 1")
    sources = expand(options.source)
    for line in plan(sources, options):
        print(line)
    if options.plan:
        return 0
    return convert_all(sources, options)


def convert_all(sources, options):
    """Convert what is not there yet; ``documents.json`` says what is."""
    out = options.out
    for split in ("train", "valid"):
        (out / split).mkdir(parents=True, exist_ok=True)
    settings = {
        name: getattr(options, name)
        for name in ("field", "documents", "min_characters", "valid_share", "keep_duplicates")
    }
    state = {"settings": settings, "sources": sources, "done": []}
    if (out / STATE).exists():
        state = read_json(out / STATE)
        if state["settings"] != settings or state["sources"] != sources:
            raise UserError(f"{out}: made from other sources or settings; give another --out")
    seen = set()
    for number in range(len(state["done"])):
        seen.update(np.load(out / f".{number:05d}.hashes.npy").tolist())
    for number, source in enumerate(sources):
        if number < len(state["done"]):
            continue
        counts, added = convert(source, number, out, seen, options)
        with atomic_write(out / f".{number:05d}.hashes.npy", "wb") as stream:
            np.save(stream, np.array(added, dtype=np.uint64))
        state["done"].append(counts)
        write_json(out / STATE, {**state, **make_stamp()})
        words = ", ".join(f"{value:,} {name}" for name, value in counts.items())
        print(f"{number + 1}/{len(sources)} {source}: {words}", file=sys.stderr)
    total = {name: sum(done[name] for done in state["done"]) for name in state["done"][0]}
    if total["documents"] == 0:
        (out / STATE).unlink()  # nothing was made: neither empty files nor a note that it is done
        for number in range(len(sources)):
            for path in [*out.glob(f".{number:05d}.*"), *out.glob(f"*/{number:05d}.*")]:
                path.unlink()
        more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
        raise UserError(f"{sources[0]}{more}: no document left for {out}; see --min-characters")
    print(f"{out}: {total['documents']:,} documents, {total['bytes'] / 1e6:.1f} MB of text")
    return 0
