"""Streams of bytes: one that can look ahead, and the decompressed text of each compression."""

import bz2
import contextlib
import gzip
import lzma
import tarfile
import zipfile
import zlib

from fairseq_metro.common.errors import UserError
from fairseq_metro.common.sources.kinds import BZIP2, GZIP, ZSTD

LONGEST_WINDOW = 1 << 31  # what zstd --long=31 writes
LARGEST_PIECE = 1 << 22
DAMAGED = (
    gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError, tarfile.TarError, zipfile.BadZipFile,
)  # fmt: skip


class Stream:
    """Bytes in their order, of which the next ones can be seen before they are read."""

    def __init__(self, source):
        self._source, self._ahead, self._ended = source, b"", False

    def peek(self, n):
        """The next ``n`` bytes, or as many as there are, which stay to be read."""
        while len(self._ahead) < n and not self._ended:
            block = self._source.read(n - len(self._ahead))
            self._ahead += block
            self._ended = not block
        return self._ahead[:n]

    def read(self, n=-1):
        """At most ``n`` bytes, all that are left without ``n``; none at the end."""
        if not self._ahead:
            return self._source.read(n)
        if n < 0:
            block, self._ahead = self._ahead + self._source.read(), b""
        else:
            block, self._ahead = self._ahead[:n], self._ahead[n:]
        return block


@contextlib.contextmanager
def readable(place):
    """Turn what reading and decompressing raise into a :class:`UserError` that names ``place``."""
    try:
        yield
    except UserError:
        raise
    except DAMAGED as error:
        reason = str(error) or type(error).__name__
        raise UserError(
            f"{place}: damaged or cut off ({reason}); fetch or compress it again"
        ) from None
    except FileNotFoundError:
        raise UserError(f"{place}: no such file") from None
    except OSError as error:
        if error.errno is None:  # bzip2 raises it for bad data
            raise UserError(
                f"{place}: damaged or cut off ({error}); fetch or compress it again"
            ) from None
        raise UserError(f"{place}: cannot be read ({error.strerror or error})") from None


def decompressed(packing, stream):
    """A :class:`Stream` of what is compressed in ``stream``, by one of kinds.COMPRESSIONS."""
    if packing == GZIP:
        return Stream(gzip.GzipFile(fileobj=stream))
    if packing == ZSTD:
        return Stream(_Zstd(stream))
    return Stream(
        _Frames(stream, bz2.BZ2Decompressor if packing == BZIP2 else lzma.LZMADecompressor)
    )


class _Frames:
    """Decompress bzip2's or xz's streams one after the other.

    Python's own files take a damaged stream that is not the first for the end.
    """

    def __init__(self, source, new):
        self._source, self._new = source, new
        self._frame, self._waiting = None, b""

    def read(self, n=-1):
        blocks = []
        while block := self._some(n):
            blocks.append(block)
            if n >= 0:
                break
        return b"".join(blocks)

    def _some(self, n):
        while True:
            if self._frame is None:
                self._waiting = self._waiting.lstrip(b"\0")  # padding between streams
            starved = self._frame is None or self._frame.needs_input
            if starved and not self._waiting:
                self._waiting = self._source.read(1 << 16)
                if not self._waiting:
                    if self._frame is not None:
                        raise EOFError("the file ends inside a stream")
                    return b""
                continue
            self._frame = self._frame or self._new()
            data, self._waiting = (self._waiting, b"") if starved else (b"", self._waiting)
            block = self._frame.decompress(data, max_length=n)
            if self._frame.eof:
                self._waiting = self._frame.unused_data + self._waiting
                self._frame = None
            if block:
                return block


class _Zstd:
    """Decompress zstandard frames one after the other; a file that ends inside one is an error.

    ``zstandard``'s own stream reader silently accepts a truncated file. A few bytes may stand for
    gigabytes, so as little is fed at a time as keeps what comes out small.
    """

    def __init__(self, source):
        import zstandard

        self._source, self._error = source, zstandard.ZstdError
        decompressor = zstandard.ZstdDecompressor(max_window_size=LONGEST_WINDOW)
        self._new_frame = decompressor.decompressobj
        self._frame, self._piece = None, 1024
        self._waiting, self._ready = b"", bytearray()

    def read(self, n=-1):
        while n < 0 or len(self._ready) < n:
            self._waiting = self._waiting or self._source.read(1 << 17)
            if not self._waiting:
                if self._frame is not None:
                    raise EOFError("the file ends inside a frame")
                break
            self._feed()
        block = bytes(self._ready if n < 0 else self._ready[:n])
        del self._ready[: len(block)]
        return block

    def _feed(self):
        piece, self._waiting = self._waiting[: self._piece], self._waiting[self._piece :]
        if self._frame is None:
            self._frame = self._new_frame()
        try:
            block = self._frame.decompress(piece)
        except self._error as error:
            raise EOFError(str(error)) from None
        self._ready += block
        if self._frame.eof:
            self._waiting = self._frame.unused_data + self._waiting
            self._frame = None
        if len(block) > LARGEST_PIECE:
            self._piece = max(64, self._piece // 2)
        elif len(block) < LARGEST_PIECE // 8:
            self._piece = min(1 << 17, self._piece * 2)
