"""Split the user's own text into ``train.txt`` and ``valid.txt``, whole documents to either side.

``python -m fairseq_metro.prepare.split --out DIR FILE…``. A document ends at a blank line and at
the end of a file. Its side depends on its own text alone: the same documents are always validation
documents, in whatever order or company they come; a repeated document is never on both sides.
"""

import argparse
import hashlib
import io
import lzma
import os
import sys
import zlib
from contextlib import ExitStack
from gzip import BadGzipFile
from gzip import open as open_gzip
from pathlib import Path

import zstandard

from fairseq_metro.errors import UserError, run_command
from fairseq_metro.files import atomic_write

SHARE = 0.05
# Validation is run again and again: what it needs is enough text, not a share of a large corpus.
MOST_VALID_BYTES = 150_000
LEAST_VALID_BYTES = 2_000


def main(argv=None):
    parser = argparse.ArgumentParser(prog="split", description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="UTF-8 text, plain or .gz, .xz, .zst")
    parser.add_argument("--out", required=True, type=Path, help="folder for train.txt, valid.txt")
    parser.add_argument(
        "--most-valid-bytes", type=int, default=MOST_VALID_BYTES,
        help="size that valid.txt should not exceed much (default: %(default)s)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    train, valid = split_files(args.files, args.out, args.most_valid_bytes)
    print(f"{args.out}: {train} documents for training, {valid} for validation")
    return 0


def split_files(files, out, most_valid_bytes=MOST_VALID_BYTES):
    """Write ``out/train.txt`` and ``out/valid.txt``; return the number of documents in each.

    Raises :class:`UserError` where a file cannot be read or there is too little text to split.
    """
    out.mkdir(parents=True, exist_ok=True)
    total = sum(len(document.encode()) + 1 for document in documents(files))
    share = min(SHARE, most_valid_bytes / max(total, 1))
    counts, sizes = [0, 0], [0, 0]
    with ExitStack() as stack:
        sides = [stack.enter_context(atomic_write(out / f"{s}.txt")) for s in ("train", "valid")]
        for document in documents(files):
            side = int(draw(document) < share)
            sides[side].write(f"{document}\n\n")
            counts[side] += 1
            sizes[side] += len(document.encode())
        if not counts[0] or sizes[1] < min(LEAST_VALID_BYTES, most_valid_bytes):
            raise UserError(
                f"{', '.join(map(str, files))}: {total} bytes in {sum(counts)} documents are too "
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


def documents(files):
    """The documents of the files, in order, each as one string without its closing newline."""
    for path in files:
        lines = []
        for line in _lines(path):
            if line.strip():
                lines.append(line.rstrip())
            elif lines:
                yield "\n".join(lines)
                lines = []
        if lines:
            yield "\n".join(lines)


def _lines(path):
    number = 0
    try:
        with _open(path) as stream:
            for line in stream:
                number += 1
                yield line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: line {number} is not UTF-8 ({error.reason}); convert the file, for example "
            f"with: iconv -f latin1 -t utf-8 {path}"
        ) from None
    except (BadGzipFile, lzma.LZMAError, zlib.error, zstandard.ZstdError, EOFError) as error:
        raise UserError(f"{path}: damaged after line {number} ({error})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def _open(path):
    if path.suffix == ".gz":
        return open_gzip(path, "rb")
    if path.suffix == ".xz":
        return lzma.open(path, "rb")
    if path.suffix == ".zst":
        return io.BufferedReader(zstandard.open(path, "rb"))
    if os.path.isdir(path):
        raise UserError(f"{path}: is a folder; name the files in it")
    return open(path, "rb")


if __name__ == "__main__":
    sys.exit(run_command(main))
