"""Reading text of any size: plain or compressed files, standard input; chunks of whole lines."""

import contextlib
import gzip
import lzma
import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

from fairseq_metro.errors import UserError

STANDARD_INPUT = "-"
COMPRESSED = (".gz", ".xz", ".zst")
CHUNK_BYTES = 1 << 20
LONGEST_LINE = 1 << 26


@dataclass(frozen=True)
class Chunk:
    """Whole lines of one file: ``data`` ends at a line's end (or the file's)."""

    path: str
    first_line: int  # 1 for the file's first
    offset: int  # bytes of (decompressed) text before it in this file
    data: bytes
    new_file: bool  # nothing of this file came before

    def halves(self, at):
        """The chunk cut at byte ``at``, which must be a line's end; an empty half is None."""
        left, right = self.data[:at], self.data[at:]
        lines = left.count(b"\n")
        return (
            Chunk(self.path, self.first_line, self.offset, left, self.new_file) if left else None,
            Chunk(self.path, self.first_line + lines, self.offset + at, right, not left)
            if right
            else None,
        )

    def text(self):
        """The decoded text. Raises :class:`UserError` with file, line and byte if not UTF-8."""
        try:
            return self.data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = self.first_line + self.data.count(b"\n", 0, error.start)
            remedy = f"iconv -f latin1 -t utf-8 {self.path}"
            raise UserError(
                f"{self.path}: line {line}, byte {self.offset + error.start} is not UTF-8 "
                f"({error.reason}); convert the file, for example: {remedy}"
            ) from None


class Inputs:
    """The text files of one split, read once in order. Iterating yields :class:`Chunk` s.

    ``done``: the share of the files' bytes read so far, or None for standard input. Raises
    :class:`UserError` where a file is missing, empty of bytes altogether, damaged or not readable.
    """

    def __init__(self, paths, chunk_bytes=CHUNK_BYTES):
        self.paths = [str(path) for path in paths]
        self.chunk_bytes = chunk_bytes
        self.bytes = 0  # decompressed
        self._read_before, self._raw = 0, None
        for path in self.paths:
            check_readable(path)
        self.from_stdin = STANDARD_INPUT in self.paths
        self.stored_bytes = None if self.from_stdin else sum(map(os.path.getsize, self.paths))

    @property
    def done(self):
        if not self.stored_bytes:
            return None
        here = self._raw.tell() if self._raw is not None and not self._raw.closed else 0
        return min(1.0, (self._read_before + here) / self.stored_bytes)

    def text_bytes(self):
        """Size of the decompressed text; compressed files are read through for it."""
        total = 0
        for path in self.paths:
            if path.endswith(COMPRESSED):
                with open_text(path) as stream, readable(path):
                    while block := stream.read(1 << 22):
                        total += len(block)
            else:
                total += os.path.getsize(path)
        return total

    def __iter__(self):
        for path in self.paths:
            with open_text(path) as stream:
                self._raw = None if path == STANDARD_INPUT else stream.raw_file
                yield from self._chunks(path, stream)
            self._raw = None
            self._read_before += 0 if path == STANDARD_INPUT else os.path.getsize(path)

    def _chunks(self, path, stream):
        rest, line, offset = b"", 1, 0
        while True:
            with readable(path):
                block = stream.read(self.chunk_bytes)
            self.bytes += len(block)
            end = block.rfind(b"\n") + 1
            if block and not end:
                rest += block
                if len(rest) > LONGEST_LINE:
                    raise UserError(
                        f"{path}: line {line} is longer than {LONGEST_LINE >> 20} MiB; cut the "
                        "text into lines, for example at paragraphs"
                    )
                continue
            data, rest = (rest + block[:end], block[end:]) if block else (rest, b"")
            if data:
                yield Chunk(path, line, offset, data, new_file=offset == 0)
                line += data.count(b"\n")
                offset += len(data)
            if not block:
                return


def lines(paths):
    """Every line of the files, decoded, without its newline."""
    for chunk in Inputs(paths):
        yield from chunk.text().removesuffix("\n").split("\n")


def check_readable(path):
    """Raise :class:`UserError` unless ``path`` is a file that can be opened, or standard input."""
    if path == STANDARD_INPUT:
        return
    if Path(path).is_dir():
        raise UserError(f"{path}: is a folder; name the files in it")
    with readable(path), open(path, "rb"):
        pass


@contextlib.contextmanager
def readable(path):
    """Turn what reading and decompressing raise into a :class:`UserError` that names the file."""
    try:
        yield
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise UserError(
            f"{path}: damaged or cut off ({error}); fetch or compress it again"
        ) from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


@contextlib.contextmanager
def open_text(path):
    """A binary stream of the decompressed text, by the name's suffix; ``-`` is standard input."""
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    with contextlib.ExitStack() as stack:
        with readable(path):
            raw = stack.enter_context(open(path, "rb"))
        yield _Decompressed(path, raw)


class _Decompressed:
    """``read(n)`` of the text and ``raw_file``, the stored file, whose position shows progress."""

    def __init__(self, path, raw):
        self.raw_file = raw
        suffix = Path(path).suffix
        if suffix == ".gz":
            self.read = gzip.GzipFile(fileobj=raw).read
        elif suffix == ".xz":
            self.read = lzma.LZMAFile(raw).read  # noqa: SIM115
        elif suffix == ".zst":
            self.read = _ZstdReader(raw).read
        else:
            self.read = raw.read


class _ZstdReader:
    """Decompress zstandard frames one after the other; a file that ends inside one is an error.

    (``zstandard``'s own stream reader ends a cut-off file without a word.)
    """

    def __init__(self, raw):
        import zstandard

        self._raw, self._error = raw, zstandard.ZstdError
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._frame, self._ready = None, bytearray()

    def read(self, n):
        while len(self._ready) < n:
            block = self._raw.read(1 << 17)
            if not block:
                if self._frame is not None:
                    raise EOFError("the file ends inside a frame")
                break
            try:
                while block:
                    self._frame = self._frame or self._new()
                    self._ready += self._frame.decompress(block)
                    if not self._frame.eof:
                        break
                    block, self._frame = self._frame.unused_data, None
            except self._error as error:
                raise EOFError(str(error)) from None
        found = bytes(self._ready[:n])
        del self._ready[:n]
        return found
